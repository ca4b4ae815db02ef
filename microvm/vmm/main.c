/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvrun-vmm, the monitor of one virtual machine: reads its plan, makes the machine, runs the
 * session, and exits with the container's own code. Its main thread is the loop that serves
 * devices, streams and sockets; the KVM engine adds a thread per vCPU, disks have some of theirs.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/kvm/probe.h"
#include "microvm/vmm/control.h"
#include "microvm/vmm/machine.h"
#include "microvm/vmm/plan.h"
#include "microvm/vmm/session.h"

struct monitor {
	struct loop loop;
	struct plan plan;
	struct console_log console;
	struct control control;
	struct machine machine;
	struct session session;
	struct loop_source signals;
	bool console_ready, session_ready;
	int exit_code;
};

static int monitor_connect(void *arg, uint32_t host_port, int rd_fd, int wr_fd,
	const struct vsock_conn_events *events, void *conn_arg)
{
	struct monitor *m = arg;

	return vsock_connect(
		m->machine.vsock, host_port, MSG_STREAM_PORT, rd_fd, wr_fd, events, conn_arg);
}

static void monitor_stop_vm(void *arg)
{
	struct monitor *m = arg;

	machine_stop(&m->machine);
}

static void monitor_emit(void *arg, const json_t *event)
{
	struct monitor *m = arg;

	control_emit(&m->control, event);
}

/* ": Kernel panic ...; the last lines of its console:" and the lines. */
static void monitor_describe(void *arg, char *text, size_t cap_bytes)
{
	struct monitor *m = arg;
	char panic[CONSOLE_LOG_LINE_BYTES], tail[CONSOLE_LOG_TAIL_BYTES];
	bool panicked = console_log_panic(&m->console, panic, sizeof(panic));
	unsigned lines = console_log_tail(&m->console, tail, sizeof(tail));

	if (panicked)
		snprintf(text, cap_bytes, ": the guest's kernel: %s; its console's last lines:%s",
			panic, tail);
	else if (lines)
		snprintf(text, cap_bytes, "; the last lines of the guest's console:%s", tail);
}

static void monitor_finish(void *arg, int exit_code)
{
	struct monitor *m = arg;

	m->exit_code = exit_code;
	loop_stop(&m->loop);
}

static const struct session_ops session_ops = {
	.connect = monitor_connect,
	.stop_vm = monitor_stop_vm,
	.emit = monitor_emit,
	.describe = monitor_describe,
	.finish = monitor_finish,
};

static void on_kill(void *arg, int signal)
{
	session_kill(&((struct monitor *)arg)->session, signal);
}

static void on_resize(void *arg, unsigned rows, unsigned columns)
{
	session_resize(&((struct monitor *)arg)->session, rows, columns);
}

static void on_stop(void *arg)
{
	session_stop(&((struct monitor *)arg)->session);
}

static const struct control_ops control_ops = {
	.kill = on_kill,
	.resize = on_resize,
	.stop = on_stop,
};

static int on_accept(void *arg, uint32_t guest_port, struct vsock_accepted *accepted)
{
	int fd = session_accept(&((struct monitor *)arg)->session);

	(void)guest_port;
	if (fd < 0)
		return fd;
	accepted->rd_fd = accepted->wr_fd = fd;
	return 0;
}

static void on_ended(void *arg, enum engine_end how, const char *message)
{
	session_vm_ended(&((struct monitor *)arg)->session, how, message);
}

static void on_fs_lost(void *arg, const char *why)
{
	session_fail(&((struct monitor *)arg)->session, why);
}

static const struct machine_events machine_events = {
	.accept = on_accept,
	.ended = on_ended,
	.fs_lost = on_fs_lost,
};

static void signals_ready(struct loop_source *source, uint32_t events)
{
	struct monitor *m =
		(struct monitor *)(void *)((char *)source - offsetof(struct monitor, signals));
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) == sizeof(info)) {
		log_warn("ended by signal %u", info.ssi_signo);
		session_stop(&m->session);
	}
}

/*
 * Signals that would end this program end the VM in good order instead, so that a terminal gets
 * its mode back. Those that hvrun has set to be ignored stay so.
 */
static int set_up_signals(struct monitor *m, struct err *e)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	static const int ends[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
	sigset_t set;

	sigaction(SIGPIPE, &ignore, NULL);
	sigaction(SIGTTOU, &ignore, NULL); /* restores a terminal from the background as well */
	sigaction(SIGTTIN, &ignore, NULL);
	sigemptyset(&set);
	for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct sigaction now;
		/* A signal that is blocked is queued although it is ignored: leave those out. */
		if (sigaction(ends[i], NULL, &now) < 0 || now.sa_handler != SIG_IGN)
			sigaddset(&set, ends[i]);
	}
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return err_sys(e, errno, "signals");
	cleanup_close int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_sys(e, errno, "signals");
	int ret = loop_add(&m->loop, &m->signals, fd, EPOLLIN);
	if (ret < 0)
		return err_sys(e, -ret, "signals");
	(void)steal_fd(&fd);
	return 0;
}

static int set_up(struct monitor *m, int plan_fd, struct err *e)
{
	int ret = plan_read(&m->plan, plan_fd, e);

	if (ret < 0)
		return ret;
	if (m->plan.debug)
		log_init("hvrun-vmm", STDERR_FILENO, LOG_LEVEL_DEBUG);
	ret = control_init(
		&m->control, &m->loop, steal_fd(&m->plan.control_fd), &control_ops, m, e);
	if (ret < 0)
		return ret;
	struct session_config config = {
		.loop = &m->loop,
		.id = m->plan.id,
		.container_fd = steal_fd(&m->plan.container_fd),
		.in_fd = steal_fd(&m->plan.in_fd),
		.out_fd = steal_fd(&m->plan.out_fd),
		.err_fd = steal_fd(&m->plan.err_fd),
		.terminal_fd = steal_fd(&m->plan.terminal_fd),
		.ops = &session_ops,
		.arg = m,
	};
	m->session_ready = true;
	ret = session_init(&m->session, &config, e);
	if (!ret)
		ret = set_up_signals(m, e);
	if (!ret)
		ret = machine_init(
			&m->machine, &m->plan, &m->loop, &m->console, &machine_events, m, e);
	if (!ret)
		ret = machine_start(&m->machine, e);
	return ret;
}

static void tear_down(struct monitor *m)
{
	int fd = m->signals.fd;

	machine_fini(&m->machine);
	if (m->session_ready)
		session_fini(&m->session);
	control_fini(&m->control);
	if (fd >= 0)
		loop_del(&m->loop, &m->signals);
	fd_closep(&fd);
	plan_fini(&m->plan);
	if (m->console_ready)
		console_log_fini(&m->console);
	loop_fini(&m->loop);
}

/* The user hears it from hvrun, if there is one to tell; else from here. */
static int report_failure(struct monitor *m, const struct err *e)
{
	if (m->session_ready)
		session_fail(&m->session, e->text);
	else
		log_error("%s", e->text);
	return SESSION_EXIT_VM;
}

static int run(int plan_fd)
{
	struct monitor *m = calloc(1, sizeof(*m));
	struct err e = {0};

	if (!m || loop_init(&m->loop) < 0 || console_log_init(&m->console) < 0) {
		log_error("no memory");
		free(m);
		return SESSION_EXIT_VM;
	}
	m->console_ready = true;
	m->exit_code = SESSION_EXIT_VM;
	m->signals.fd = m->control.sock.fd = -1;
	m->signals.ready = signals_ready;
	if (set_up(m, plan_fd, &e) < 0) {
		report_failure(m, &e);
	} else {
		int ret = loop_run(&m->loop);
		if (ret < 0)
			log_error("event loop: %s", strerror(-ret));
	}
	int code = m->exit_code;
	tear_down(m);
	free(m);
	return code;
}

static int probe_kvm(void)
{
	struct err e = {0};

	if (kvm_probe(&e) < 0) {
		printf("%s\n", e.text);
		return 1;
	}
	printf("ok\n");
	return 0;
}

static int usage(FILE *out)
{
	fputs("usage: hvrun-vmm --plan-fd N   run the virtual machine of the plan in descriptor N\n"
	      "       hvrun-vmm --probe-kvm   try whether KVM runs unmodified code here\n"
	      "       hvrun-vmm --version | --help\n"
	      "\n"
	      "Started by hvrun; the plan is described in docs/protocol.md.\n",
		out);
	return out == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
	log_init("hvrun-vmm", STDERR_FILENO, LOG_LEVEL_WARNING);
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		printf("hvrun-vmm %s\n", HVRUN_VERSION);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--help"))
		return usage(stdout);
	if (argc == 2 && !strcmp(argv[1], "--probe-kvm"))
		return probe_kvm();
	if (argc == 3 && !strcmp(argv[1], "--plan-fd")) {
		char *end;
		errno = 0;
		long fd = strtol(argv[2], &end, 10);
		if (!errno && *argv[2] && !*end && fd >= 0 && fd <= INT32_MAX)
			return run((int)fd);
	}
	return usage(stderr);
}
