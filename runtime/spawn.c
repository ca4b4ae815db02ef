/* SPDX-License-Identifier: Apache-2.0 */
/* Starting programs; see spawn.h. */
#include "runtime/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES (64 * 1024)

static const int ignored[] = {SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU};

/* In the child of vfork. -1 with errno. */
static int set_limits(const struct spawn *spawn)
{
	const struct rlimit none = {0, 0};
	struct rlimit files;

	if (spawn->no_core && setrlimit(RLIMIT_CORE, &none) < 0)
		return -1;
	if (!spawn->files_max)
		return 0;
	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return -1;
	if (files.rlim_max > spawn->files_max)
		files.rlim_max = spawn->files_max;
	files.rlim_cur = files.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &files);
}

/*
 * Runs in the child of vfork: on the parent's memory, so it calls nothing but the kernel and
 * changes nothing but *fault. The descriptors, signals and limits are its own.
 */
static _Noreturn void child(const struct spawn *spawn, int null, pid_t parent, volatile int *fault)
{
	struct sigaction action = {.sa_handler = spawn->session ? SIG_DFL : SIG_IGN};

	if (spawn->session)
		setsid(); /* can't fail: the child of vfork leads no process group */
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		sigaction(ignored[i], &action, NULL);
	action.sa_handler = SIG_DFL;
	sigaction(SIGPIPE, &action, NULL);
	sigprocmask(SIG_SETMASK, spawn->mask, NULL);
	if (spawn->death_signal) {
		if (prctl(PR_SET_PDEATHSIG, spawn->death_signal) < 0)
			goto failed;
		/* The parent of a namespace's first process is not in it: 0. */
		if (getpid() != 1 && getppid() != parent)
			_exit(1);
	}
	for (size_t i = 0; i < spawn->n_cgroup_fds; i++)
		if (write(spawn->cgroup_fds[i], "0", 1) < 0 && errno != ENOENT &&
			errno != ENODEV && !(errno == EACCES && spawn->cgroup_may_fail))
			goto failed;
	if (spawn->netns && setns(*spawn->netns, CLONE_NEWNET) < 0)
		goto failed;
	if (spawn->cpus && sched_setaffinity(0, sizeof(*spawn->cpus), spawn->cpus) < 0)
		goto failed;
	if (spawn->mems &&
		syscall(SYS_set_mempolicy, MPOL_BIND, spawn->mems, spawn->mems_bits + 1) < 0)
		goto failed;
	if (set_limits(spawn) < 0)
		goto failed;
	/* All that the caller of hvrun left open goes too, not only what is marked. */
	if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		goto failed;
	for (size_t i = 0; i < spawn->n_fds; i++)
		if (spawn->fds[i] > 2 && fcntl(spawn->fds[i], F_SETFD, 0) < 0)
			goto failed;
	if (dup2(null, STDIN_FILENO) < 0 || dup2(spawn->out, STDOUT_FILENO) < 0 ||
		dup2(spawn->err, STDERR_FILENO) < 0)
		goto failed;
	execve(spawn->path, spawn->argv, environ);
failed:
	*fault = errno;
	_exit(1);
}

struct start {
	const struct spawn *spawn;
	int null;
	pid_t parent;
	volatile int *fault;
};

static int first_child(void *arg)
{
	const struct start *start = arg;

	child(start->spawn, start->null, start->parent, start->fault);
}

/*
 * vfork into a new pid namespace. Not by unshare, whose way back is closed to a process in a user
 * namespace. -1 with errno.
 */
static pid_t first_fork(const struct start *start)
{
	_Alignas(16) char stack[STACK_BYTES];

	return clone(first_child, stack + sizeof(stack),
		CLONE_VM | CLONE_VFORK | CLONE_NEWPID | SIGCHLD, (void *)(uintptr_t)start);
}

pid_t spawn_start(const struct spawn *spawn, int null, struct err *e)
{
	volatile int fault = 0;
	const struct start start = {spawn, null, getpid(), &fault};
	sigset_t all, saved;

	/* A handler must not run in the child, where it would work on the parent's memory. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &saved);
	pid_t pid = spawn->own_pids ? first_fork(&start) : -1;
	if (pid < 0)
		pid = vfork(); /* NOLINT: as cheap as it gets, see child() */
	if (pid == 0)
		child(spawn, null, start.parent, &fault); /* NOLINT */
	int code = errno;
	sigprocmask(SIG_SETMASK, &saved, NULL);
	if (pid < 0)
		return err_sys(e, code, "%s: can't start", spawn->path);
	if (!fault)
		return pid;
	waitpid(pid, NULL, 0);
	return err_sys(e, fault, "%s: can't start", spawn->path);
}
