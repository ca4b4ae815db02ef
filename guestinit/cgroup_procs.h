/* SPDX-License-Identifier: Apache-2.0 */
/* The processes of a cgroup and of those below it, by guestinit's own pids. */
#ifndef GUESTINIT_CGROUP_PROCS_H
#define GUESTINIT_CGROUP_PROCS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

#define CGROUP_PROCS_MAX 65536

/* Lists the processes, in no order; *pids is allocated. At most CGROUP_PROCS_MAX. */
int cgroup_procs_list(int dir_fd, pid_t **pids, size_t *n) must_check;

/* Sends a signal to all of them; with a session, only to those in it. proc_fd: guestinit's. */
void cgroup_procs_signal(int dir_fd, int proc_fd, int signal, pid_t session);

#endif
