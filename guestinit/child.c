/* SPDX-License-Identifier: Apache-2.0 */
/* From clone to exec; see child.h. */
#include "guestinit/child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/create.h"
#include "guestinit/start_hooks.h"
#include "guestinit/mount.h"
#include "guestinit/ns.h"
#include "guestinit/process.h"
#include "guestinit/pty.h"
#include "guestinit/rootfs.h"
#include "guestinit/syscalls.h"
#include "guestinit/sysfile.h"

int child_become_root(struct err *e)
{
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return err_sys(e, errno, "config.linux.uidMappings: can't become user 0");
	return 0;
}

/* Once guestinit has written the maps and moved the net devices; then root of a user namespace. */
static int child_wait_outside(const struct child *ch, struct err *e)
{
	if (!ch->user_ns && !ch->net_devices)
		return 0;
	int ret = report_ask(ch->report_fd, CHILD_NEED_OUTSIDE, e);
	if (ret < 0 || !ch->user_ns)
		return ret;
	ret = child_become_root(e);
	/* The change of user took it its own files in /proc, of which clock offsets are one. */
	if (ret == 0 && (ch->create->os.clone_flags & CLONE_NEWTIME) &&
		prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		ret = err_sys(e, errno, "can't own what is its own");
	return ret;
}

static int child_set_oom_score(const struct child *ch, int proc_fd, struct err *e)
{
	const struct opt_i64 *adj = &ch->create->process.oom_score_adj;

	/* In a user namespace, guestinit has done it. */
	if (!adj->set || !adj->value || ch->user_ns)
		return 0;
	int ret = sysfile_writef(proc_fd, "self/oom_score_adj", "%" PRId64, adj->value);
	return ret < 0 ? err_sys(e, -ret, "config.process.oomScoreAdj") : 0;
}

static bool child_needs_proc(const struct child *ch)
{
	const struct create *c = ch->create;

	return c->os.sysctl.n || c->os.monotonic.set || c->os.boottime.set ||
		(c->process.oom_score_adj.set && c->process.oom_score_adj.value);
}

int child_set_stdio(const int fds[3], struct err *e)
{
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			return err_sys(e, errno, "stdio");
	return 0;
}

/*
 * What is preserved becomes descriptors 3 and up. The reports' socket, the only other descriptor
 * that is still needed, makes room: *report_fd is its number from now on.
 */
static int child_set_preserved(const struct child *ch, int *report_fd, struct err *e)
{
	int n = (int)ch->create->stdio.preserved.n, moved[MSG_PRESERVED_MAX], ret = 0;

	if (!n)
		return 0;
	int fd = fcntl(ch->report_fd, F_DUPFD_CLOEXEC, STREAM_COUNT + n);
	if (fd < 0)
		return err_sys(e, errno, "preserved descriptors");
	*report_fd = fd;
	for (int i = 0; i < n && ret >= 0; i++)
		ret = moved[i] =
			fcntl(ch->stdio[STREAM_COUNT + i], F_DUPFD_CLOEXEC, STREAM_COUNT + n);
	for (int i = 0; i < n && ret >= 0; i++)
		ret = dup2(moved[i], STREAM_COUNT + i);
	return ret < 0 ? err_sys(e, errno, "preserved descriptors") : 0;
}

int child_open_terminal(const struct child *ch, int root_fd, bool console, struct err *e)
{
	struct pty pty;
	int ret = pty_open(root_fd, ch->rows, ch->columns, &pty, e);

	if (ret < 0)
		return ret;
	cleanup_close int master = pty.master_fd, slave = pty.slave_fd;
	if (console) {
		ret = pty_bind_console(root_fd, slave);
		if (ret < 0)
			return err_sys(e, -ret, "terminal: /dev/console");
	}
	ret = report_send_fd(ch->report_fd, CHILD_TERMINAL, master);
	if (ret < 0)
		return err_sys(e, -ret, "terminal");
	const int fds[3] = {slave, slave, slave};
	ret = child_set_stdio(fds, e);
	if (ret < 0)
		return ret;
	if (ioctl(0, TIOCSCTTY, 0) < 0)
		return err_sys(e, errno, "terminal: can't control it");
	uid_t uid = ch->create->process.user.uid;
	if (uid && fchown(0, uid, (gid_t)-1) < 0)
		return err_sys(e, errno, "terminal: can't give it to the user");
	return 0;
}

static int child_set_up_root(const struct child *ch, struct rootfs *r, struct err *e)
{
	const struct create *c = ch->create;
	int ret = rootfs_enter(r, ch, e);

	if (ret == 0)
		ret = rootfs_furnish(r, ch, e);
	if (ret == 0)
		ret = process_make_cwd(r->mounts.root_fd, c, e);
	if (ret == 0)
		ret = c->stdio.terminal ? child_open_terminal(ch, r->mounts.root_fd, true, e)
					: child_set_stdio(ch->stdio, e);
	return ret < 0 ? ret : rootfs_finish(r, c, e);
}

static int child_set_limits(const struct child *ch, struct err *e)
{
	if (ch->files && setrlimit(RLIMIT_NOFILE, ch->files) < 0)
		return err_sys(e, errno, "can't limit open files");
	if (!ch->create->process.rlimits.n)
		return 0;
	/* The root of a user namespace may not raise hard limits; guestinit may. */
	return ch->user_ns ? report_ask(ch->report_fd, CHILD_NEED_LIMITS, e)
			   : process_set_limits(0, ch->create, e);
}

static int child_set_up(const struct child *ch, struct err *e)
{
	const struct create *c = ch->create;
	cleanup_close int proc = -1;
	struct rootfs r;

	umask(0);
	int ret = child_wait_outside(ch, e);
	if (ret < 0)
		return ret;
	if (setsid() < 0)
		return err_sys(e, errno, "can't start a session");
	if (child_needs_proc(ch)) {
		proc = mount_new("proc", 0, NULL, 0, e);
		if (proc < 0)
			return proc;
	}
	ret = ns_unshare_late(c, proc, e);
	if (ret == 0)
		ret = child_set_oom_score(ch, proc, e);
	if (ret == 0 && ch->network_ns)
		ret = ns_loopback_up(e);
	if (ret == 0)
		ret = child_set_up_root(ch, &r, e);
	if (ret == 0)
		ret = ns_set_names(c, e);
	if (ret == 0)
		ret = ns_write_sysctl(c, proc, e);
	if (ret == 0)
		ret = rootfs_restrict(&r, c, e);
	if (ret == 0)
		ret = process_set_scheduling(c, e);
	return ret < 0 ? ret : child_set_limits(ch, e);
}

_Noreturn void child_become(const struct child *ch, int ret, struct err *e)
{
	const struct create *c = ch->create;
	const struct opt_i64 *mask = &c->process.user.umask;
	struct start_hooks hooks = {.state_fd = -1, .output_fd = -1};
	char *path = NULL, **env = NULL;
	int code = 1, report_fd = ch->report_fd;

	if (ret == 0)
		ret = child_set_preserved(ch, &report_fd, e);
	if (ret == 0 && c->start_hooks.n)
		ret = start_hooks_prepare(&hooks, c, e);
	if (ret == 0) {
		umask(mask->set ? (mode_t)mask->value & 0777 : 022);
		ret = process_become(c, &path, &env, &code, e);
	}
	if (ret == 0 && !c->start)
		ret = report_ask(report_fd, CHILD_CREATED, e);
	else if (ret == 0 && c->resolver)
		ret = report_ask(report_fd, CHILD_NEED_RESOLVER, e);
	if (ret == 0 && c->start_hooks.n)
		ret = start_hooks_run(&hooks, c, e);
	if (ret == 0) {
		/* Nothing of guestinit's goes on, whatever was forgotten above. */
		close_range(
			STREAM_COUNT + (unsigned)c->stdio.preserved.n, ~0u, CLOSE_RANGE_CLOEXEC);
		report_send(report_fd, CHILD_EXEC, 0, "");
		(void)!process_exec(c, path, env, &code, e);
	}
	report_send(report_fd, CHILD_FAILED, code, e->text);
	_exit(code);
}

_Noreturn void child_main(const struct child *ch)
{
	struct err e = {0};
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int ret = child_set_up(ch, &e);
	child_become(ch, ret, &e);
}
