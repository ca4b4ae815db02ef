/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Into a container; see exec_child.h. From its first moment the process is in the container's pid
 * namespace, with more privileges than anybody there: until it has become its user it can't be
 * traced, and it takes nothing of guestinit's along that it does not need.
 */
#include "guestinit/exec_child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/create.h"
#include "guestinit/process.h"
#include "guestinit/syscalls.h"
#include "guestinit/sysfile.h"

/* Closes all descriptors from 3 on but these, sorted here. */
static int exec_close_others(int *keep, unsigned n, struct err *e)
{
	unsigned next = 3;

	for (unsigned i = 1; i < n; i++)
		for (unsigned j = i; j && keep[j - 1] > keep[j]; j--) {
			int higher = keep[j - 1];
			keep[j - 1] = keep[j];
			keep[j] = higher;
		}
	for (unsigned i = 0; i < n; i++) {
		if (keep[i] < (int)next)
			continue;
		if (keep[i] > (int)next && close_range(next, (unsigned)keep[i] - 1, 0) < 0)
			return err_sys(e, errno, "can't close descriptors");
		next = (unsigned)keep[i] + 1;
	}
	return close_range(next, ~0u, 0) < 0 ? err_sys(e, errno, "can't close descriptors") : 0;
}

/* What takes guestinit's privileges: the root of a user namespace may not raise limits. */
static int exec_set_limits(const struct exec_child *ch, struct err *e)
{
	const struct create *c = ch->child.create;
	const struct opt_i64 *adj = &c->process.oom_score_adj;

	if (adj->set) {
		int ret = sysfile_writef(ch->proc_fd, "self/oom_score_adj", "%" PRId64, adj->value);
		if (ret < 0)
			return err_sys(e, -ret, "process.oomScoreAdj");
	}
	if (ch->child.files && setrlimit(RLIMIT_NOFILE, ch->child.files) < 0)
		return err_sys(e, errno, "can't limit open files");
	int ret = process_set_scheduling(c, e);
	return ret < 0 ? ret : process_set_limits(0, c, e);
}

static int exec_enter(const struct exec_child *ch, struct err *e)
{
	/* The pid namespace is entered by birth; a time namespace can't be had by a pidfd early. */
	uint64_t flags = (ch->ns_flags | CLONE_NEWNS) & ~(uint64_t)(CLONE_NEWPID | CLONE_NEWTIME);

	if (ch->time_fd >= 0 && setns(ch->time_fd, CLONE_NEWTIME) < 0)
		return err_sys(e, errno, "can't enter the time namespace");
	if (setns(ch->pid_fd, (int)flags) < 0)
		return err_sys(e, errno, "can't enter the container's namespaces");
	return ch->child.user_ns ? child_become_root(e) : 0;
}

static int exec_set_up(const struct exec_child *ch, struct err *e)
{
	const struct child *child = &ch->child;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_sys(e, errno, "can't hide from the container");
	if (setsid() < 0)
		return err_sys(e, errno, "can't start a session");
	int ret = exec_set_limits(ch, e);
	if (ret == 0) {
		int keep[STREAM_FDS_MAX + 3] = {child->report_fd, ch->pid_fd, ch->time_fd};
		memcpy(keep + 3, child->stdio, sizeof(child->stdio));
		ret = exec_close_others(keep, sizeof(keep) / sizeof(keep[0]), e);
	}
	if (ret == 0)
		ret = exec_enter(ch, e);
	if (ret < 0 || !child->create->stdio.terminal)
		return ret < 0 ? ret : child_set_stdio(child->stdio, e);
	cleanup_close int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root < 0 ? err_sys(e, errno, "root") : child_open_terminal(child, root, false, e);
}

_Noreturn void exec_child_main(const struct exec_child *ch)
{
	struct err e = {0};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int ret = exec_set_up(ch, &e);
	child_become(&ch->child, ret, &e);
}
