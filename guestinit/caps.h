/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capabilities: their names, and how a process takes on the five sets of an OCI configuration.
 * By system calls: libcap's start-up code would cost every boot a dozen of them.
 */
#ifndef GUESTINIT_CAPS_H
#define GUESTINIT_CAPS_H

#include <stdint.h>

#include "base/err.h"

struct cfg_capabilities;

/* The number of "CAP_CHOWN" (case counts), or -ENOENT. */
int caps_number(const char *name) must_check;

/* Drops what is not in the bounding set; before the change of user, as it needs CAP_SETPCAP. */
int caps_bound(const struct cfg_capabilities *caps, struct err *e) must_check;

/* Sets the other four sets; after the change of user, under PR_SET_KEEPCAPS. */
int caps_apply(const struct cfg_capabilities *caps, struct err *e) must_check;

#endif
