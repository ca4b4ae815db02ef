/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's cgroup (v2): made below the root, given the limits of `linux.resources`, entered
 * by the container's first process at its creation, watched for out-of-memory kills.
 */
#ifndef GUESTINIT_CGROUP_H
#define GUESTINIT_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

struct cfg_resources;

/* Enables every controller below the directory, in one write where possible. */
int guest_cgroup_enable(int root_fd) must_check;

/* Makes the cgroup `name` below root_fd; the descriptor of its directory, or -errno. */
int guest_cgroup_create(int root_fd, const char *name, struct err *e) must_check;

/* Applies the limits. The error names the field. */
int guest_cgroup_limit(int dir_fd, const struct cfg_resources *r, struct err *e) must_check;

/* Gives the cgroup to the root of a user namespace: it may make cgroups below it. */
int guest_cgroup_delegate(int dir_fd, uid_t uid, struct err *e) must_check;

/* Whether the kernel killed a process of the cgroup, or of one below it, for lack of memory. */
bool guest_cgroup_oom(int dir_fd);

/* Kills what is left in it; the second waits until nothing is, for at most 5 s. */
void guest_cgroup_kill(int dir_fd);
void guest_cgroup_kill_wait(int dir_fd);

void guest_cgroup_remove(int root_fd, const char *name);

#endif
