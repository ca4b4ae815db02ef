/* SPDX-License-Identifier: Apache-2.0 */
/* Containers as `state` and `list` print them. */
#ifndef RUNTIME_LISTING_H
#define RUNTIME_LISTING_H

#include <jansson.h>

#include "runtime/container.h"

/*
 * The OCI state with runc's additions: rootfs, created and owner, and a pid of 0 when there is
 * none. A new reference; NULL without memory.
 */
json_t *listing_entry(const struct container *c);

#endif
