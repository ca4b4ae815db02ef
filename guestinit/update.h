/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a running container's limits. */
#ifndef GUESTINIT_UPDATE_H
#define GUESTINIT_UPDATE_H

#include <jansson.h>

#include "base/err.h"

struct container;

/* Applies `resources` of an update message to the container's cgroup; device rules stay. */
int guest_update(struct container *c, const json_t *resources, struct err *e) must_check;

#endif
