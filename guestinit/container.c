/* SPDX-License-Identifier: Apache-2.0 */
/* The containers of this guest; see container.h. */
#include "guestinit/container.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/agent.h"
#include "guestinit/cgroup.h"
#include "guestinit/cgroup_procs.h"
#include "guestinit/exec.h"
#include "guestinit/guest.h"
#include "guestinit/launch.h"
#include "guestinit/report.h"
#include "guestinit/resolver.h"
#include "guestinit/sockets.h"
#include "guestinit/syscalls.h"

/*
 * How long a reader on the host can keep an ended container: of an exec's output, of a socket, and
 * of a socket when the host has sent SIGKILL.
 */
#define PATIENCE_TICK_NS      UINT64_C(1000000000)
#define PATIENCE_TICKS	      10u
#define PATIENCE_KILLED_TICKS 1u

struct container *guest_container_find(struct guest *guest, const char *id)
{
	struct container *c = guest->containers;

	while (c && strcmp(c->create->id, id) != 0)
		c = c->next;
	return c;
}

static void container_unlink(struct container *c)
{
	for (struct container **p = &c->guest->containers; *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			return;
		}
	}
}

void guest_container_free(struct container *c)
{
	struct guest *guest = c->guest;

	container_unlink(c);
	loop_del(&guest->loop, &c->report);
	fd_closep(&c->report_fd);
	thrash_fini(&c->thrash);
	oom_watch_fini(&c->oom_watch);
	while (c->execs)
		guest_exec_free(c->execs);
	loop_timer_fini(&c->patience);
	sockets_close(c);
	guest_resolver_close(c);
	guest_streams_close(&c->streams);
	if (c->cgroup_fd >= 0) {
		if (c->pid)
			guest_cgroup_kill(c->cgroup_fd);
		fd_closep(&c->cgroup_fd);
		guest_cgroup_remove(guest->cgroup_fd, c->create->id);
	}
	create_free(c->create);
	free(c);
}

/* The last word about a container, once nothing of it is left to tell. */
static void container_try_over(struct container *c)
{
	struct agent *agent = c->guest->agent;

	if (c->pid || c->execs || c->sockets || !(c->failed || c->drained))
		return;
	if (c->failed)
		agent_failed(agent, c->create->id, c->exit_code, c->failure.text);
	else
		agent_exited(agent, c->create->id, c->exit_code, c->oom);
	guest_container_free(c);
}

static void container_drained(struct streams *streams)
{
	struct container *c =
		(struct container *)(void *)((char *)streams - offsetof(struct container, streams));

	c->drained = true;
	container_try_over(c);
}

void guest_container_rest_over(struct container *c)
{
	container_try_over(c);
}

static void container_impatient(struct loop_timer *timer)
{
	struct container *c =
		(struct container *)(void *)((char *)timer - offsetof(struct container, patience));
	bool late = ++c->patience_ticks >= PATIENCE_TICKS;

	if (late || (c->killed && c->patience_ticks >= PATIENCE_KILLED_TICKS))
		sockets_close(c);
	if (c->execs && late)
		guest_exec_drop_ended(c);
	else
		container_try_over(c);
}

static void container_fail(struct container *c, int exit_code, const struct err *e)
{
	if (c->failed)
		return;
	c->failed = true;
	c->failure = *e;
	c->exit_code = exit_code;
}

/* What the child asks for fails: it can't go on. */
static void container_answer(struct container *c, int ret, const struct err *e)
{
	if (ret == 0 && report_answer(c->report_fd) == 0)
		return;
	if (ret < 0)
		container_fail(c, 1, e);
	kill(c->pid, SIGKILL);
}

static void container_report(struct container *c, const struct child_report *report, int *fd)
{
	struct err e = {0};
	int ret;

	switch (report->kind) {
	case CHILD_NEED_OUTSIDE:
		ret = launch_outside(c, &e);
		container_answer(c, ret, &e);
		break;
	case CHILD_NEED_LIMITS:
		ret = launch_set_limits(c, &e);
		container_answer(c, ret, &e);
		break;
	case CHILD_NEED_RESOLVER:
		guest_resolver_start(c);
		container_answer(c, 0, &e);
		break;
	case CHILD_TERMINAL:
		ret = guest_streams_take_terminal(&c->streams, fd);
		if (ret < 0)
			agent_log(
				c->guest->agent, LOG_LEVEL_WARNING, "terminal: %s", strerror(-ret));
		break;
	case CHILD_CREATED:
		c->created = true;
		oom_watch_start(&c->oom_watch, c);
		agent_created(c->guest->agent, c->create->id);
		break;
	case CHILD_EXEC:
		c->exec_tried = true;
		break;
	case CHILD_FAILED:
		err_set(&e, EIO, "%s", report->text);
		container_fail(c, report->code, &e);
		break;
	default:
		break;
	}
}

/* Reads what the child reported; false when the socket has ended. */
static bool container_read_report(struct container *c, bool wait)
{
	struct child_report report;
	int fd;

	if (!report_receive(c->report_fd, wait, &report, &fd))
		return false;
	container_report(c, &report, &fd);
	fd_closep(&fd);
	return true;
}

static void container_end_reports(struct container *c)
{
	loop_del(&c->guest->loop, &c->report);
	fd_closep(&c->report_fd);
	if (!c->exec_tried || c->failed)
		return;
	c->started = true;
	agent_started(c->guest->agent, c->create->id);
	oom_watch_start(&c->oom_watch, c);
}

static void container_report_ready(struct loop_source *source, uint32_t events)
{
	struct container *c =
		(struct container *)(void *)((char *)source - offsetof(struct container, report));

	(void)events;
	if (!container_read_report(c, true))
		container_end_reports(c);
}

/*
 * The main process has ended: nothing else of the container survives it. With a pid namespace the
 * kernel has seen to that.
 */
static void container_reaped(struct container *c, int status)
{
	while (c->report_fd >= 0 && container_read_report(c, false))
		;
	if (c->report_fd >= 0)
		container_end_reports(c);
	c->pid = 0;
	guest_resolver_close(c);
	if (!(c->create->os.clone_flags & CLONE_NEWPID))
		guest_cgroup_kill_wait(c->cgroup_fd);
	thrash_fini(&c->thrash);
	oom_watch_fini(&c->oom_watch);
	c->oom = c->thrash.killed || guest_cgroup_oom(c->cgroup_fd);
	int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	bool waiting = c->created && !c->starting; /* a signal ended it before its start */
	if (!c->started && !c->failed && !waiting) {
		struct err e = {0};
		err_set(&e, EIO, "the container's process died while it was set up (%s%d)%s",
			WIFSIGNALED(status) ? "signal " : "exit code ",
			WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
			c->oom ? ": out of memory" : "");
		container_fail(c, 1, &e);
	}
	if (c->failed)
		sockets_close(c);
	else
		sockets_end(c);
	if ((c->execs || c->sockets) &&
		loop_timer_set(&c->patience, PATIENCE_TICK_NS, PATIENCE_TICK_NS) < 0)
		agent_log(c->guest->agent, LOG_LEVEL_WARNING, "can't set a timer");
	if (c->failed) {
		container_try_over(c);
		return;
	}
	c->exit_code = code;
	if (c->create->disks.n)
		sync(); /* the VM may be gone right after `exited` */
	guest_streams_end(&c->streams, container_drained);
}

void guest_container_reap(struct guest *guest)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (struct container *c = guest->containers; c; c = c->next) {
			if (c->pid == pid) {
				container_reaped(c, status);
				break;
			}
			if (guest_exec_reaped(c, pid, status))
				break;
		}
	}
}

int guest_container_start(struct container *c)
{
	if (!c->created || c->starting || c->report_fd < 0)
		return -EINVAL;
	c->starting = true;
	guest_resolver_start(c);
	return report_answer(c->report_fd);
}

/*
 * While it waits for its start, the process has no handlers, and as the first of its pid
 * namespace it would ignore what ends any other.
 */
static bool container_must_die(const struct container *c, int signal)
{
	static const int harmless[] = {
		0, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH};

	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (signal == harmless[i])
			return false;
	return c->created && !c->starting && signal > 0 && signal <= SIGRTMAX;
}

int guest_container_kill(struct container *c, int signal, bool all)
{
	c->killed |= signal == SIGKILL;
	if (!c->pid)
		return -ESRCH;
	if (container_must_die(c, signal))
		signal = SIGKILL;
	if (all && signal > 0 && signal <= SIGRTMAX) {
		cgroup_procs_signal(c->cgroup_fd, -1, signal, 0);
		if (signal != SIGKILL)
			return 0;
	}
	return kill(c->pid, signal) < 0 ? -errno : 0;
}

/* Whoever takes it may be gone afterwards. */
static int container_attach(struct container *c, uint32_t port, int socket_fd)
{
	int ret = guest_streams_attach(&c->streams, port, socket_fd);

	if (ret)
		return ret;
	for (struct exec *x = c->execs; x; x = x->next) {
		ret = guest_streams_attach(&x->streams, port, socket_fd);
		if (ret)
			return ret;
	}
	return 0;
}

int guest_container_attach(struct guest *guest, uint32_t port, int socket_fd)
{
	for (struct container *c = guest->containers; c; c = c->next) {
		int ret = container_attach(c, port, socket_fd);
		if (ret)
			return ret;
	}
	return 0;
}

int guest_container_create(
	struct guest *guest, struct create *create, int *exit_code, struct err *e)
{
	*exit_code = 1;
	if (guest_container_find(guest, create->id)) {
		err_set(e, EEXIST, "id: there is a container \"%s\" already", create->id);
		create_free(create);
		return -EEXIST;
	}
	struct container *c = calloc(1, sizeof(*c));
	if (!c) {
		create_free(create);
		return err_set(e, ENOMEM, "out of memory");
	}
	c->guest = guest;
	c->create = create;
	c->report_fd = c->cgroup_fd = -1;
	c->report = (struct loop_source){.fd = -1, .ready = container_report_ready};
	thrash_init(&c->thrash);
	oom_watch_init(&c->oom_watch);
	guest_streams_init(&c->streams);
	int ret = loop_timer_init(&guest->loop, &c->patience, container_impatient);
	ret = ret < 0 ? err_sys(e, -ret, "can't make a timer") : launch_container(c, e);
	if (ret == 0) {
		c->next = guest->containers;
		guest->containers = c;
		ret = loop_add(&guest->loop, &c->report, c->report_fd, EPOLLIN);
		if (ret < 0)
			err_sys(e, -ret, "can't watch the container's process");
	}
	if (ret < 0) {
		if (c->pid > 0)
			kill(c->pid, SIGKILL); /* reaped as nobody's */
		guest_container_free(c);
	}
	return ret;
}
