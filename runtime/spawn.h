/* SPDX-License-Identifier: Apache-2.0 */
/* Starting another program with exactly the descriptors that it is to have. */
#ifndef RUNTIME_SPAWN_H
#define RUNTIME_SPAWN_H

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct spawn {
	const char *path;
	char *const *argv;
	const int *fds; /* kept under their numbers; -1 is skipped */
	size_t n_fds;
	int out, err;		   /* become stdout and stderr (2: inherited); stdin is /dev/null */
	int death_signal;	   /* sent to it when the calling process dies; 0: none */
	const sigset_t *mask;	   /* its signal mask */
	const cpu_set_t *cpus;	   /* NULL: as the caller */
	const unsigned long *mems; /* memory nodes, NULL: as the caller */
	size_t mems_bits;
	const int *cgroup_fds; /* open cgroup.procs files that it enters */
	size_t n_cgroup_fds;
	bool cgroup_may_fail; /* systemd moves it in later, where it can't do so itself */
	bool session;	      /* outlives its caller: a session of its own, no signal ignored */
	const int *netns;     /* a network namespace that it enters; NULL: the caller's */
	unsigned files_max;   /* RLIMIT_NOFILE and its hard limit, less where the caller's is; 0:
				 the caller's */
	bool no_core;	      /* RLIMIT_CORE is 0 */
	bool own_pids; /* the first of a pid namespace of its own, where the kernel allows that */
};

/*
 * Starts a program in hvrun's process group, so that it may use the terminal, but with the
 * terminal's signals and SIGTERM ignored: hvrun forwards them. (Not so with `session`.) Returns the
 * pid, the caller's to wait for; or -errno with e naming the program. null is an open descriptor of
 * /dev/null.
 */
pid_t spawn_start(const struct spawn *spawn, int null, struct err *e) must_check;

#endif
