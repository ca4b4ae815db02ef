/* SPDX-License-Identifier: Apache-2.0 */
/*
 * guestinit's half of a container's start: everything that needs the guest's own namespaces and
 * privileges, up to the clone.
 */
#ifndef GUESTINIT_LAUNCH_H
#define GUESTINIT_LAUNCH_H

#include "base/err.h"

struct container;

/*
 * Clones the container's first process; c->pid, c->report_fd, c->cgroup_fd and its streams are
 * set, also in part on failure: guest_container_free undoes it.
 */
int launch_container(struct container *c, struct err *e) must_check;

/* Answers CHILD_NEED_OUTSIDE and CHILD_NEED_LIMITS. */
int launch_outside(struct container *c, struct err *e) must_check;
int launch_set_limits(struct container *c, struct err *e) must_check;

#endif
