/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a running container's limits. */
#ifndef GUESTINIT_UPDATE_H
#define GUESTINIT_UPDATE_H

#include <jansson.h>

#include "base/err.h"
#include "base/savedfiles.h"
#include "guestinit/create.h"

struct container;

/*
 * Applies `resources` of an update message to the container's cgroup; device rules stay. One that
 * fails changes nothing.
 */
int guest_update(struct container *c, const json_t *resources, struct err *e) must_check;

/* Takes the last one back, once. */
int guest_update_undo(struct container *c, struct err *e) must_check;

/* What guest_update_undo goes back to. */
struct update_before {
	bool set;
	struct saved_files files;
	struct opt_i64 memory, swap, quota;
	struct opt_u64 period;
};

#endif
