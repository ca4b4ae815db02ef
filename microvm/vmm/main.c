/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvrun-vmm, the monitor of one virtual machine: reads its plan, makes the machine, runs the
 * session, and exits with the container's own code. Its main thread is the loop that serves
 * devices, streams and sockets; the KVM engine adds a thread per vCPU, disks have some of theirs.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/kvm/probe.h"
#include "microvm/vmm/clients.h"
#include "microvm/vmm/confine.h"
#include "microvm/vmm/control.h"
#include "microvm/vmm/fs_log.h"
#include "microvm/vmm/last_words.h"
#include "microvm/vmm/machine.h"
#include "microvm/vmm/oom.h"
#include "microvm/vmm/plan.h"
#include "microvm/vmm/relay_helper.h"
#include "microvm/vmm/relay_socket.h"
#include "microvm/vmm/resolver.h"
#include "microvm/vmm/root.h"
#include "microvm/vmm/session.h"
#include "microvm/vmm/signals.h"

struct monitor {
	struct loop loop;
	struct plan plan;
	struct console_log console;
	struct control control;
	struct machine machine;
	struct session session;
	struct relay_sockets relays;
	int relay_helper;
	struct resolver resolver;
	struct clients *clients; /* NULL: none */
	struct signals signals;
	struct oom oom;
	struct last_words words;
	struct fs_log fs_log;
	int tty_fd; /* the controlling terminal, -1: none */
	bool console_ready, session_ready;
	bool own_root; /* the mount namespace is its own */
	int exit_code;
};

static int monitor_connect(void *arg, uint32_t host_port, int rd_fd, int wr_fd,
	const struct vsock_conn_events *events, void *conn_arg)
{
	struct monitor *m = arg;

	return vsock_connect(
		m->machine.vsock, host_port, MSG_STREAM_PORT, rd_fd, wr_fd, events, conn_arg);
}

static void monitor_disconnect(void *arg, uint32_t host_port)
{
	struct monitor *m = arg;

	vsock_disconnect(m->machine.vsock, host_port, MSG_STREAM_PORT);
}

static int monitor_pause_vm(void *arg, bool pause, struct err *e)
{
	struct monitor *m = arg;

	return machine_pause(&m->machine, pause, e);
}

static void monitor_stop_vm(void *arg)
{
	struct monitor *m = arg;

	machine_stop(&m->machine);
}

static void monitor_emit(void *arg, const json_t *event)
{
	struct monitor *m = arg;
	const char *name = json_string_value(json_object_get(event, "event"));
	json_int_t code = json_integer_value(json_object_get(event, "code"));

	/* With nobody to tell it to, it goes where this program's messages go. */
	if (!m->control.lifeline && !strcmp(name, "lost"))
		log_error("%s: %s", json_string_value(json_object_get(event, "stream")),
			json_string_value(json_object_get(event, "message")));
	/* Who starts a created container hears itself why its program could not be started. */
	if (!m->control.lifeline && !strcmp(name, "failed") && code == SESSION_EXIT_VM)
		last_words_say(&m->words, event);
	control_emit(&m->control, event);
}

static bool monitor_panic(void *arg, char *text, size_t cap_bytes)
{
	return console_log_panic(&((struct monitor *)arg)->console, text, cap_bytes);
}

static json_t *monitor_console(void *arg)
{
	return console_log_tail(&((struct monitor *)arg)->console);
}

static void monitor_stderr_over(void *arg)
{
	last_words_close_stream(&((struct monitor *)arg)->words);
}

static bool monitor_tell_oom(void *arg)
{
	return oom_tell(&((struct monitor *)arg)->oom);
}

static void on_oom_told(void *arg)
{
	session_oom_told(&((struct monitor *)arg)->session);
}

static bool monitor_relays_open(void *arg)
{
	return ((struct monitor *)arg)->relays.n_conns > 0;
}

static void on_relay_closed(void *arg)
{
	session_output_done(&((struct monitor *)arg)->session);
}

static void monitor_finish(void *arg, int exit_code)
{
	struct monitor *m = arg;

	m->exit_code = exit_code;
	loop_stop(&m->loop);
}

static const struct session_ops session_ops = {
	.connect = monitor_connect,
	.disconnect = monitor_disconnect,
	.pause_vm = monitor_pause_vm,
	.stop_vm = monitor_stop_vm,
	.emit = monitor_emit,
	.panic = monitor_panic,
	.console = monitor_console,
	.stderr_over = monitor_stderr_over,
	.tell_oom = monitor_tell_oom,
	.relays_open = monitor_relays_open,
	.finish = monitor_finish,
};

static void on_kill(void *arg, int signal)
{
	session_kill(&((struct monitor *)arg)->session, signal, false);
}

static void on_create(void *arg)
{
	session_release(&((struct monitor *)arg)->session);
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
	.create = on_create,
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

static void tell_size(struct monitor *m)
{
	unsigned rows, columns;

	if (terminal_size(m->tty_fd, &rows, &columns))
		session_resize(&m->session, rows, columns);
}

static void on_signal(void *arg, int signal)
{
	struct monitor *m = arg;

	if (signal == SIGWINCH) {
		tell_size(m);
	} else if (m->plan.forward_signals) {
		session_kill(&m->session, signal, false);
	} else {
		log_warn("ended by signal %d", signal);
		session_stop(&m->session);
	}
}

/* A pseudo-terminal of the host that is the container's: its size is known by being its owner. */
static int take_terminal(struct monitor *m, struct err *e)
{
	int ret = 0;

	if (!m->plan.controlling)
		return 0;
	m->tty_fd = fcntl(m->plan.terminal_fd, F_DUPFD_CLOEXEC, 3);
	ret = m->tty_fd < 0 ? -errno : terminal_make_own(m->tty_fd);
	return ret < 0 ? err_sys(e, -ret, "controlling terminal") : 0;
}

/* What other processes than the hvrun that started this one may do. */
static int set_up_clients(struct monitor *m, struct err *e)
{
	if (m->plan.listen_fd < 0)
		return 0;
	int ret =
		clients_create(&m->clients, &m->loop, steal_fd(&m->plan.listen_fd), &m->session, e);
	m->session.clients = m->clients;
	return ret;
}

/*
 * Whoever enters this process' namespace must not find the host's files there. Without privileges
 * there is no other; and nobody else could enter it either.
 */
static int own_root(struct monitor *m, struct err *e)
{
	int ret = root_own(e);

	m->own_root = ret == 0;
	if (ret == -EPERM)
		log_line(geteuid() ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING,
			"the host's root directory stays: %s", e->text);
	return ret == -EPERM ? 0 : ret;
}

static int leave_root(struct monitor *m, struct err *e)
{
	if (!m->own_root)
		return 0;
	int ret = root_leave(e);
	return ret < 0 ? err_add(e, "can't leave the host's root directory") : 0;
}

/*
 * From here on the process has less and less: files, privileges, system calls. A vCPU runs when all
 * of that is done. QEMU comes first, as it opens files and makes threads of its own.
 */
static int start(struct monitor *m, struct err *e)
{
	int ret = 0;

	plan_close_boot(&m->plan);
	if (m->plan.emulation) {
		ret = machine_start(&m->machine, e);
		if (!ret)
			ret = own_root(m, e);
	}
	if (!ret)
		ret = leave_root(m, e);
	if (!ret)
		ret = confine_process(&m->plan, e);
	if (!ret && !m->plan.emulation)
		ret = machine_start(&m->machine, e);
	if (!ret)
		ret = machine_launch(&m->machine, confine_calls(), e);
	if (!ret)
		ret = confine_loop(&m->machine, e);
	if (!ret)
		machine_run(&m->machine);
	return ret;
}

/* What this process has that is not of the plan: its loop. */
static int close_others(struct monitor *m, struct err *e)
{
	const int own[] = {m->loop.epoll_fd, m->loop.wake_fd};

	return confine_descriptors(&m->plan, own, sizeof(own) / sizeof(own[0]), e);
}

static int set_up(struct monitor *m, int plan_fd, struct err *e)
{
	int ret = plan_read(&m->plan, plan_fd, e);

	if (!ret)
		ret = close_others(m, e);
	if (ret < 0)
		return ret;
	if (m->plan.debug)
		log_init("hvrun-vmm", STDERR_FILENO, LOG_LEVEL_DEBUG);
	/* First: why hvrun-fs has ended is not to be lost. Who wants debugging gets all. */
	ret = fs_log_init(&m->fs_log, &m->loop, steal_fd(&m->plan.fs_log_fd),
		m->plan.debug ? SIZE_MAX : FS_LOG_BYTES, e);
	if (!ret)
		ret = control_init(&m->control, &m->loop, steal_fd(&m->plan.control_fd),
			m->plan.lifeline, &control_ops, m, e);
	if (!ret)
		ret = take_terminal(m, e);
	if (ret < 0)
		return ret;
	/* Only a monitor that hvrun leaves behind has to speak for itself. */
	if (m->plan.forward_signals)
		last_words_keep_stream(&m->words,
			m->plan.terminal_fd >= 0 ? m->plan.terminal_fd : m->plan.err_fd,
			m->plan.terminal_fd >= 0);
	m->words.log_fd = steal_fd(&m->plan.report_fd);
	m->words.json = m->plan.report_json;
	struct session_config config = {
		.loop = &m->loop,
		.id = m->plan.id,
		.container_fd = steal_fd(&m->plan.container_fd),
		.in_fd = steal_fd(&m->plan.in_fd),
		.out_fd = steal_fd(&m->plan.out_fd),
		.err_fd = steal_fd(&m->plan.err_fd),
		.terminal_fd = steal_fd(&m->plan.terminal_fd),
		.n_preserved = m->plan.n_preserved,
		.hold = m->plan.hold,
		.disks = m->plan.n_disks > 0,
		.boot_timeout_s = m->plan.boot_timeout_s,
		.ops = &session_ops,
		.arg = m,
	};
	for (unsigned i = 0; i < config.n_preserved; i++) {
		config.preserved[i] = m->plan.preserved[i];
		m->plan.preserved[i].fd = -1;
	}
	m->session_ready = true;
	ret = session_init(&m->session, &config, e);
	if (!ret)
		ret = signals_init(&m->signals, &m->loop, m->plan.forward_signals,
			m->plan.controlling, on_signal, m, e);
	if (!ret)
		ret = oom_init(&m->oom, &m->loop, steal_fd(&m->plan.oom_fd), on_oom_told, m, e);
	if (!ret)
		ret = set_up_clients(m, e);
	if (!ret && m->tty_fd >= 0)
		tell_size(m);
	/* With all that hvrun's user has, and before it has a guest's memory. */
	if (!ret)
		ret = relay_helper_start(&m->plan, &m->relay_helper, e);
	if (!ret)
		ret = resolver_start(&m->resolver, &m->plan, e);
	/* While it is the only thread: those of devices and vCPUs will share it. */
	if (!ret && !m->plan.emulation)
		ret = own_root(m, e);
	if (!ret)
		ret = machine_init(&m->machine, &m->plan, confine_calls(), &m->loop, &m->console,
			&machine_events, m, e);
	if (!ret)
		ret = relay_sockets_init(&m->relays, m->machine.vsock, &m->plan, m->relay_helper,
			on_relay_closed, m, e);
	if (!ret)
		ret = resolver_listen(&m->resolver, m->machine.vsock, &m->plan, e);
	return ret ? ret : start(m, e);
}

static void tear_down(struct monitor *m)
{
	machine_fini(&m->machine);
	clients_free(m->clients);
	if (m->session_ready)
		session_fini(&m->session);
	control_fini(&m->control);
	signals_fini(&m->signals);
	oom_fini(&m->oom);
	fs_log_fini(&m->fs_log);
	last_words_fini(&m->words);
	fd_closep(&m->tty_fd);
	fd_closep(&m->relay_helper);
	fd_closep(&m->resolver.helper);
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
	last_words_init(&m->words);
	m->signals.source.fd = m->control.sock.fd = m->tty_fd = m->relay_helper = -1;
	m->resolver.helper = -1;
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
	      "       hvrun-vmm --list-calls  print the system calls that each kind of thread may "
	      "make\n"
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
	if (argc == 2 && !strcmp(argv[1], "--list-calls")) {
		confine_print(stdout);
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "--plan-fd")) {
		char *end;
		errno = 0;
		long fd = strtol(argv[2], &end, 10);
		if (!errno && *argv[2] && !*end && fd >= 0 && fd <= INT32_MAX)
			return run((int)fd);
	}
	return usage(stderr);
}
