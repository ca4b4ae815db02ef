/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes executed in a container; see exec.h. Each is cloned by guestinit itself, so that the
 * kernel tells it the exit status: into the container's cgroup by the clone, into its pid
 * namespace because guestinit's children are made there for that moment, into the others by
 * itself (exec_child.c).
 */
#include "guestinit/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/agent.h"
#include "guestinit/cgroup.h"
#include "guestinit/cgroup_procs.h"
#include "guestinit/container.h"
#include "guestinit/exec_child.h"
#include "guestinit/guest.h"
#include "guestinit/ns.h"
#include "guestinit/syscalls.h"

struct exec *guest_exec_find(struct container *c, const char *name)
{
	struct exec *x = c->execs;

	while (x && strcmp(x->spec->exec, name) != 0)
		x = x->next;
	return x;
}

void guest_exec_free(struct exec *x)
{
	struct container *c = x->container;

	for (struct exec **p = &c->execs; *p; p = &(*p)->next) {
		if (*p == x) {
			*p = x->next;
			break;
		}
	}
	loop_del(&c->guest->loop, &x->report);
	fd_closep(&x->report_fd);
	guest_streams_close(&x->streams);
	create_free(x->spec);
	free(x);
}

/* The last word about it; the container may have waited for this alone. */
static void exec_over(struct exec *x)
{
	struct container *c = x->container;

	if (x->failed)
		agent_exec_failed(c->guest->agent, c->create->id, x->spec->exec, x->exit_code,
			x->failure.text);
	else
		agent_exec_exited(c->guest->agent, c->create->id, x->spec->exec, x->exit_code);
	guest_exec_free(x);
	guest_container_rest_over(c);
}

static void exec_drained(struct streams *streams)
{
	exec_over((struct exec *)(void *)((char *)streams - offsetof(struct exec, streams)));
}

static void exec_report(struct exec *x, const struct child_report *report, int *fd)
{
	if (report->kind == CHILD_TERMINAL) {
		int ret = guest_streams_take_terminal(&x->streams, fd);
		if (ret < 0)
			agent_log(x->container->guest->agent, LOG_LEVEL_WARNING, "terminal: %s",
				strerror(-ret));
	} else if (report->kind == CHILD_EXEC) {
		x->exec_tried = true;
	} else if (report->kind == CHILD_FAILED && !x->failed) {
		x->failed = true;
		x->exit_code = report->code;
		err_set(&x->failure, EIO, "%s", report->text);
	}
}

static bool exec_read_report(struct exec *x, bool wait)
{
	struct child_report report;
	int fd;

	if (!report_receive(x->report_fd, wait, &report, &fd))
		return false;
	exec_report(x, &report, &fd);
	fd_closep(&fd);
	return true;
}

static void exec_end_reports(struct exec *x)
{
	struct container *c = x->container;

	loop_del(&c->guest->loop, &x->report);
	fd_closep(&x->report_fd);
	if (!x->exec_tried || x->failed)
		return;
	x->started = true;
	agent_exec_started(c->guest->agent, c->create->id, x->spec->exec, x->pid);
}

static void exec_report_ready(struct loop_source *source, uint32_t events)
{
	struct exec *x = (struct exec *)(void *)((char *)source - offsetof(struct exec, report));

	(void)events;
	if (!exec_read_report(x, true))
		exec_end_reports(x);
}

static void exec_ended(struct exec *x, int status)
{
	bool signaled = WIFSIGNALED(status);

	while (x->report_fd >= 0 && exec_read_report(x, false))
		;
	if (x->report_fd >= 0)
		exec_end_reports(x);
	x->pid = 0;
	if (!x->started && !x->failed) {
		x->failed = true;
		x->exit_code = 1;
		err_set(&x->failure, EIO, "the process died while it was set up (%s%d)",
			signaled ? "signal " : "exit code ",
			signaled ? WTERMSIG(status) : WEXITSTATUS(status));
	}
	if (!x->failed)
		x->exit_code = signaled ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (x->failed || x->dropped) {
		exec_over(x);
		return;
	}
	if (x->container->create->disks.n)
		sync();
	/* What it left running may keep its streams open, but nobody listens to it any more. */
	guest_streams_finish(&x->streams, exec_drained);
}

bool guest_exec_reaped(struct container *c, pid_t pid, int status)
{
	for (struct exec *x = c->execs; x; x = x->next) {
		if (x->pid == pid) {
			exec_ended(x, status);
			return true;
		}
	}
	return false;
}

int guest_exec_kill(struct exec *x, int signal)
{
	struct container *c = x->container;
	struct err e;

	if (!x->pid)
		return -ESRCH;
	if (kill(x->pid, signal) < 0)
		return -errno;
	if (signal == SIGKILL) {
		int proc = guest_proc(c->guest, &e);
		if (proc >= 0)
			cgroup_procs_signal(c->cgroup_fd, proc, SIGKILL, x->pid);
	}
	return 0;
}

void guest_exec_drop(struct exec *x)
{
	x->dropped = true;
	if (!x->pid)
		exec_over(x);
	else if (guest_exec_kill(x, SIGKILL) < 0)
		agent_log(x->container->guest->agent, LOG_LEVEL_WARNING,
			"a process that nobody waits for can't be killed");
}

void guest_exec_drop_ended(struct container *c)
{
	struct exec *next;

	/* The container goes with the last one at the earliest. */
	for (struct exec *x = c->execs; x; x = next) {
		next = x->next;
		if (!x->pid)
			guest_exec_drop(x);
	}
}

/* Where the container keeps processes in cgroups of its own making, to those of its first. */
static int exec_open_cgroup(struct container *c, struct err *e)
{
	char path[64], text[4096];
	int proc = guest_proc(c->guest, e);

	if (proc < 0)
		return proc;
	snprintf(path, sizeof(path), "%d/cgroup", (int)c->pid);
	cleanup_close int file = openat(proc, path, O_RDONLY | O_CLOEXEC);
	ssize_t n = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
	if (n < 0)
		return err_sys(e, errno, "can't find the container's cgroup");
	text[n] = '\0';
	char *line = strstr(text, "0::/");
	if (!line)
		return err_set(e, ENOENT, "the container is in no cgroup");
	line += strlen("0::/");
	line[strcspn(line, "\n")] = '\0';
	int fd = sys_openat2(c->guest->cgroup_fd, line[0] ? line : ".",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	return fd < 0 ? err_sys(e, errno, "can't open the container's cgroup") : fd;
}

static pid_t exec_clone(struct container *c, struct exec_child *ch, int cgroup_fd)
{
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)(unsigned)cgroup_fd,
	};
	bool pid_ns = c->ns_flags & CLONE_NEWPID;
	cleanup_close int self = pid_ns ? pidfd_open(getpid(), 0) : -1;

	if (pid_ns && (self < 0 || setns(ch->pid_fd, CLONE_NEWPID) < 0))
		return -errno;
	pid_t pid = sys_clone3(&args);
	if (pid == 0)
		exec_child_main(ch);
	int code = errno;
	/* Without a way back, the next container would be born inside of this one. */
	if (pid_ns && setns(self, CLONE_NEWPID) < 0) {
		agent_log(c->guest->agent, LOG_LEVEL_ERROR, "pid namespace: %s", strerror(errno));
		loop_stop(&c->guest->loop);
	}
	return pid < 0 ? -code : pid;
}

static int exec_spawn(struct exec *x, struct exec_child *ch, struct err *e)
{
	struct container *c = x->container;
	pid_t pid = exec_clone(c, ch, c->cgroup_fd);

	if (pid == -EBUSY || pid == -EOPNOTSUPP) {
		cleanup_close int cgroup = exec_open_cgroup(c, e);
		if (cgroup < 0)
			return cgroup;
		pid = exec_clone(c, ch, cgroup);
	}
	if (pid < 0)
		return err_sys(e, -pid, "can't clone the process");
	x->pid = pid;
	return 0;
}

/* What the process needs from guestinit's own /proc. */
static int exec_open_proc(struct container *c, struct exec_child *ch, struct err *e)
{
	const struct opt_i64 *adj = &ch->child.create->process.oom_score_adj;
	bool time_ns = c->ns_flags & CLONE_NEWTIME;
	char path[64];

	if (!adj->set && !time_ns)
		return 0;
	ch->proc_fd = guest_proc(c->guest, e);
	if (ch->proc_fd < 0 || !time_ns)
		return ch->proc_fd < 0 ? ch->proc_fd : 0;
	/* Its own once the container's program has begun, and before that, too. */
	snprintf(path, sizeof(path), "%d/ns/time_for_children", (int)c->pid);
	ch->time_fd = openat(ch->proc_fd, path, O_RDONLY | O_CLOEXEC);
	return ch->time_fd < 0 ? err_sys(e, errno, "can't open the time namespace") : 0;
}

static int exec_launch(struct exec *x, struct err *e)
{
	struct container *c = x->container;
	const struct create *spec = x->spec;
	struct exec_child ch = {
		.child = {.create = spec,
			.rows = spec->stdio.rows,
			.columns = spec->stdio.columns,
			.user_ns = c->ns_flags & CLONE_NEWUSER},
		.ns_flags = c->ns_flags,
		.proc_fd = -1,
		.time_fd = -1,
	};
	uint32_t uid = ns_map_id(&c->create->os.uid_maps, spec->process.user.uid);
	int pair[2];

	if (uid == (uint32_t)-1)
		return err_set(
			e, EINVAL, "process.user.uid: %u is not mapped", spec->process.user.uid);
	ch.child.files = guest_raise_files(c->guest);
	cleanup_close int pid_fd = pidfd_open(c->pid, 0);
	if (pid_fd < 0)
		return err_sys(e, errno, "the container's process");
	ch.pid_fd = pid_fd;
	int ret = guest_streams_prepare(&x->streams, &c->guest->loop, &spec->stdio, uid,
		c->guest->null_path, ch.child.stdio, e);
	if (ret == 0)
		ret = exec_open_proc(c, &ch, e);
	if (ret == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		ret = err_sys(e, errno, "can't make a socket");
	if (ret == 0) {
		x->report_fd = pair[0];
		ch.child.report_fd = pair[1];
		ret = exec_spawn(x, &ch, e);
		close(pair[1]);
	}
	for (unsigned i = 0; i < STREAM_FDS_MAX; i++)
		fd_closep(&ch.child.stdio[i]);
	fd_closep(&ch.time_fd);
	return ret;
}

int guest_exec_create(struct container *c, struct create *spec, int *exit_code, struct err *e)
{
	int ret = 0;

	*exit_code = 1;
	if (!c->pid || !(c->created || c->started))
		ret = err_set(e, ESRCH, "the container is not running");
	else if (guest_exec_find(c, spec->exec))
		ret = err_set(e, EEXIST, "exec: there is a process \"%s\" already", spec->exec);
	struct exec *x = ret == 0 ? calloc(1, sizeof(*x)) : NULL;
	if (!x) {
		create_free(spec);
		return ret < 0 ? ret : err_set(e, ENOMEM, "out of memory");
	}
	x->container = c;
	x->spec = spec;
	x->report_fd = -1;
	x->report = (struct loop_source){.fd = -1, .ready = exec_report_ready};
	guest_streams_init(&x->streams);
	ret = exec_launch(x, e);
	if (ret == 0) {
		x->next = c->execs;
		c->execs = x;
		ret = loop_add(&c->guest->loop, &x->report, x->report_fd, EPOLLIN);
		if (ret < 0)
			err_sys(e, -ret, "can't watch the process");
	}
	if (ret < 0) {
		if (x->pid > 0)
			kill(x->pid, SIGKILL); /* reaped as nobody's */
		guest_exec_free(x);
	}
	return ret;
}
