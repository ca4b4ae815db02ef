/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's process: limits, user, capabilities, seccomp, and the program that it becomes.
 * Functions run in the process itself, in this order.
 */
#ifndef GUESTINIT_PROCESS_H
#define GUESTINIT_PROCESS_H

#include <sys/types.h>

#include "base/err.h"

struct create;

/* prlimit(2) on pid (0: the caller); from guestinit where the caller may not raise limits. */
int process_set_limits(pid_t pid, const struct create *c, struct err *e) must_check;

/* Scheduler, I/O priority, personality. */
int process_set_scheduling(const struct create *c, struct err *e) must_check;

/* Makes the working directory where it is missing. */
int process_make_cwd(int root_fd, const struct create *c, struct err *e) must_check;

/*
 * no_new_privs, seccomp, bounding set, ids, capabilities, working directory, program: everything
 * up to the exec itself. *path and *env are what to exec, allocated.
 */
int process_become(
	const struct create *c, char **path, char ***env, int *exit_code, struct err *e) must_check;

/* The last filter, then execve(2). Returns only with an error, *exit_code 126 or 127. */
int process_exec(const struct create *c, const char *path, char **env, int *exit_code,
	struct err *e) must_check;

/*
 * Finds a program as execvp(3) would, in the PATH of env. The path is allocated. -errno with a
 * message for the user, *exit_code 127 when it is not there and 126 when it is not executable.
 */
int process_find(const char *name, const char *const *env, char **path, int *exit_code,
	struct err *e) must_check;

/* The home directory of uid by the text of /etc/passwd, or NULL; allocated. */
char *process_home(const char *passwd, uid_t uid);

#endif
