/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a container; see supervise.h.
 *
 * How it ends: the monitor says "exited" or "failed" and exits; or it dies without a word; or
 * hvrun-fs dies, and the monitor is told to stop. The sockets end with whoever holds their other
 * end, so no death goes unnoticed, and whoever does not go by itself within GRACE_NS is killed. A
 * program that another signal ends is told of, whatever the reason of the end is: "hvrun-fs ended",
 * say, which is how it looks to the monitor.
 */
#include "runtime/supervise.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"

#define EVENT_MAX_BYTES (64u << 10)
#define EVENT_MAX_DEPTH 8
#define GRACE_NS	400000000ull
#define GRACE_TOLD_NS	2000000000ull /* to take down a large machine in good order */
#define FINI_MS		500

#define EXIT_VM 125 /* the VM failed, not the container */

#define VMM "the monitor (hvrun-vmm)"
#define FS  "the file server (hvrun-fs)"

#define of(ptr, member)                                                                            \
	((struct supervise *)(void *)((char *)(ptr)-offsetof(struct supervise, member)))

static void supervise_fail(struct supervise *s, int code, const char *text)
{
	if (s->failed)
		return;
	s->failed = true;
	s->code = code;
	err_set(&s->err, ECANCELED, "%s", text);
}

static void supervise_send(struct supervise *s, json_t *packet)
{
	cleanup_json json_t *json = packet;
	cleanup_free char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	if (!text || s->control_fd < 0)
		return;
	/* A monitor that is going away ends the socket; there is nothing more to tell it. */
	int ret = fd_send_packet(s->control_fd, text, strlen(text), NULL, 0);
	if (ret < 0)
		log_debug("monitor: %s: %s", text, strerror(-ret));
}

static void supervise_kill(struct supervise *s, pid_t pid)
{
	s->killed = true;
	kill(pid, SIGKILL);
}

/* Takes away what keeps the children alive, the more firmly the more often. */
static void supervise_stop(struct supervise *s)
{
	if (s->grace == 0) {
		supervise_send(s, json_pack("{s:s}", "op", "stop"));
	} else {
		if (s->vmm)
			supervise_kill(s, s->vmm);
		else if (s->fs)
			supervise_kill(s, s->fs);
	}
	s->grace++;
	if (loop_timer_set(&s->timer, GRACE_NS, GRACE_NS) < 0)
		log_debug("timer: %s", strerror(errno));
}

static void supervise_reached(struct supervise *s, enum supervise_until what)
{
	if (s->until != what || s->failed)
		return;
	s->reached = true;
	loop_stop(&s->loop);
}

void supervise_lost(const json_t *event)
{
	const char *stream = json_string_value(json_object_get(event, "stream"));
	const char *message = json_string_value(json_object_get(event, "message"));

	if (stream && message)
		log_error("%s: %s", stream, message);
}

static void event_handle(struct supervise *s, const json_t *event)
{
	const char *name = json_string_value(json_object_get(event, "event"));
	json_int_t code = json_integer_value(json_object_get(event, "code"));

	if (!name)
		return;
	if (code < 0 || code > 255)
		code = EXIT_VM;
	if (strcmp(name, "created") == 0) {
		supervise_reached(s, SUPERVISE_CREATED);
	} else if (strcmp(name, "started") == 0) {
		s->started = true;
		if (s->on_started)
			s->on_started(s->arg);
		supervise_reached(s, SUPERVISE_STARTED);
	} else if (strcmp(name, "exited") == 0) {
		s->told = true;
		s->oom = json_is_true(json_object_get(event, "oom"));
		if (!s->failed)
			s->code = (int)code;
	} else if (strcmp(name, "failed") == 0) {
		const char *message = json_string_value(json_object_get(event, "message"));
		s->told = true;
		if (!s->failed)
			s->console = json_incref(json_object_get(event, "console"));
		supervise_fail(s, code ? (int)code : EXIT_VM,
			message ? message : "the virtual machine failed");
	} else if (strcmp(name, "lost") == 0) {
		supervise_lost(event);
	} else if (strcmp(name, "booted") == 0) {
		log_debug("booted, time stamp counter %" JSON_INTEGER_FORMAT,
			json_integer_value(json_object_get(event, "tsc")));
	}
}

/* Takes one packet of the monitor's. False when there is none: *end tells whether ever again. */
static bool control_take(struct supervise *s, bool *end)
{
	char packet[EVENT_MAX_BYTES];
	struct err e;

	*end = s->control_fd < 0;
	if (*end)
		return false;
	ssize_t n = fd_recv_packet(s->control_fd, packet, sizeof(packet), NULL, NULL);
	if (n <= 0) {
		*end = n != -EAGAIN;
		return false;
	}
	cleanup_json json_t *event = json_parse(packet, (size_t)n, EVENT_MAX_DEPTH, &e);
	if (event)
		event_handle(s, event);
	else
		log_warn("monitor: %s", e.text);
	return true;
}

/* Gives the monitor a while to end by itself before it is made to. */
static void vmm_hurry(struct supervise *s, uint64_t grace_ns)
{
	if (!s->vmm || s->grace)
		return;
	s->grace = 1;
	if (loop_timer_set(&s->timer, grace_ns, GRACE_NS) < 0)
		supervise_kill(s, s->vmm);
}

static void control_ready(struct loop_source *source, uint32_t events)
{
	struct supervise *s = of(source, control);
	bool end;

	(void)events;
	control_take(s, &end);
	if (end) {
		/* The monitor is gone or going: SIGCHLD has the rest. */
		loop_del(&s->loop, &s->control);
		fd_closep(&s->control_fd);
		vmm_hurry(s, GRACE_NS);
	} else if (s->told) {
		vmm_hurry(s, GRACE_TOLD_NS);
	}
}

static void describe(char *text, size_t cap, const char *what, int status)
{
	if (WIFSIGNALED(status))
		snprintf(text, cap, "%s was killed by signal %d (%s)", what, WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		snprintf(text, cap, "%s ended early, with code %d", what, WEXITSTATUS(status));
}

/* Adds to the reason that there is by now, if there has to be one. */
static void tell_signal(struct supervise *s, const char *what, int status)
{
	char text[160], reason[sizeof(s->err.text)];

	if (!WIFSIGNALED(status) || s->killed)
		return;
	describe(text, sizeof(text), what, status);
	if (!s->failed) {
		log_warn("%s", text);
		return;
	}
	snprintf(reason, sizeof(reason), "%s", s->err.text);
	err_set(&s->err, ECANCELED, "%s; %s", reason, text);
}

static void vmm_ended(struct supervise *s, int status)
{
	char text[160];
	bool end;

	s->vmm = 0;
	/* What it said last may still lie in the socket. */
	while (control_take(s, &end))
		;
	loop_del(&s->loop, &s->control);
	fd_closep(&s->control_fd);
	if (s->told) {
		tell_signal(s, VMM, status);
	} else {
		describe(text, sizeof(text), VMM, status);
		supervise_fail(s, EXIT_VM, text);
	}
	/* The file server ends with its sockets, of which this is the last. */
	fd_closep(&s->fs_control_fd);
	s->grace = 1;
	if (s->fs && loop_timer_set(&s->timer, GRACE_NS, GRACE_NS) < 0)
		supervise_kill(s, s->fs);
}

static void fs_blame(struct supervise *s)
{
	char text[160];

	describe(text, sizeof(text), FS, s->fs_status);
	supervise_fail(s, EXIT_VM, text);
	if (s->grace == 0)
		supervise_stop(s);
}

/*
 * A file server that exits in good order has seen the end of its socket: then it is the monitor
 * that is on its way out, even if it is not reaped yet, and whose reason counts.
 */
static void fs_ended(struct supervise *s, int status)
{
	s->fs = 0;
	s->fs_status = status;
	if (!s->vmm || s->told) {
		tell_signal(s, FS, status);
		return;
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 ||
		loop_timer_set(&s->timer, GRACE_NS, GRACE_NS) < 0)
		fs_blame(s);
}

static void supervise_timer(struct loop_timer *timer)
{
	struct supervise *s = of(timer, timer);

	if (!s->fs && s->vmm && !s->told && !s->failed)
		fs_blame(s);
	else
		supervise_stop(s);
}

static void supervise_reap(struct supervise *s)
{
	int status;
	bool end;

	/* What the monitor has said comes before what its end brings about. */
	while (control_take(s, &end))
		;
	/* Only these two: what else a parent left us is none of our business. */
	if (s->vmm && waitpid(s->vmm, &status, WNOHANG) == s->vmm)
		vmm_ended(s, status);
	if (s->fs && waitpid(s->fs, &status, WNOHANG) == s->fs)
		fs_ended(s, status);
	if (!s->vmm && !s->fs)
		loop_stop(&s->loop);
}

/* Until there is a process to take them, the signals that end a program end the run. */
static void forward(struct supervise *s, int signal)
{
	if (s->started) {
		supervise_send(s, json_pack("{s:s, s:i}", "op", "kill", "signal", signal));
		return;
	}
	if (signal != SIGINT && signal != SIGTERM && signal != SIGHUP && signal != SIGQUIT)
		return;
	char text[96];
	snprintf(text, sizeof(text), "ended by signal %d (%s) before the container had started",
		signal, strsignal(signal));
	supervise_end(s, 128 + signal, text);
}

static void signals_ready(struct loop_source *source, uint32_t events)
{
	struct supervise *s = of(source, signals);
	struct signalfd_siginfo info[8];

	(void)events;
	ssize_t n = read(s->signal_fd, info, sizeof(info));
	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(info[0]); i++) {
		int signal = (int)info[i].ssi_signo;
		uint16_t rows, columns;
		if (signal == SIGCHLD) {
			supervise_reap(s);
		} else if (signal == SIGWINCH) {
			if (s->streams->terminal >= 0 && streams_size(s->streams, &rows, &columns))
				supervise_send(s,
					json_pack("{s:s, s:i, s:i}", "op", "resize", "rows", rows,
						"columns", columns));
		} else {
			forward(s, signal);
		}
	}
}

void supervise_clear(struct supervise *s)
{
	memset(s, 0, offsetof(struct supervise, err));
	s->signal_fd = s->control_fd = s->fs_control_fd = -1;
	s->signals.fd = s->control.fd = s->timer.source.fd = -1;
	s->loop.epoll_fd = s->loop.wake_fd = -1;
}

int supervise_init(struct supervise *s, struct err *e)
{
	/* Not forwarded: faults of hvrun's own, and what the terminal or the kernel tell it alone.
	 */
	static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS,
		SIGPIPE, SIGURG, SIGTTIN, SIGTTOU, SIGXCPU, SIGXFSZ, SIGPROF, SIGVTALRM};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t mask;

	supervise_clear(s);
	s->ready = true;
	s->signals.ready = signals_ready;
	s->control.ready = control_ready;
	s->code = EXIT_VM;
	sigfillset(&mask);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		sigdelset(&mask, own[i]);
	sigprocmask(SIG_SETMASK, &mask, &s->old_mask);
	/* Writing to, or asking a terminal in the background must neither stop nor kill us. */
	sigaction(SIGTTIN, &ignore, NULL);
	sigaction(SIGTTOU, &ignore, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	/* A caller that ignores it would have the kernel reap for us, and no exit code left. */
	sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	int ret = loop_init(&s->loop);
	if (ret < 0)
		return err_sys(e, -ret, "event loop");
	s->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		return err_sys(e, errno, "signals");
	ret = loop_add(&s->loop, &s->signals, s->signal_fd, EPOLLIN);
	if (ret == 0)
		ret = loop_timer_init(&s->loop, &s->timer, supervise_timer);
	return ret < 0 ? err_sys(e, -ret, "event loop") : 0;
}

int supervise_run(struct supervise *s, int control, int fs_control, struct err *e)
{
	s->control_fd = control;
	s->fs_control_fd = fs_control;
	int ret = fd_set_nonblock(control, true);
	if (ret == 0)
		ret = loop_add(&s->loop, &s->control, control, EPOLLIN);
	if (ret == 0)
		ret = loop_run(&s->loop);
	return ret < 0 ? err_sys(e, -ret, "event loop") : 0;
}

void supervise_end(struct supervise *s, int code, const char *text)
{
	supervise_fail(s, code, text);
	if (s->grace == 0)
		supervise_stop(s);
}

void supervise_detach(struct supervise *s)
{
	supervise_send(s, json_pack("{s:s}", "op", "detach"));
	s->vmm = s->fs = 0;
}

/* A child, which gets so long to end by itself. */
static void end_child(pid_t pid, int patience_ms)
{
	cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct pollfd poller = {.fd = pidfd, .events = POLLIN};

	if (pidfd >= 0 && patience_ms)
		(void)!poll(&poller, 1, patience_ms);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void supervise_fini(struct supervise *s)
{
	/* The monitor first: it ends with its socket, and restores the terminal if let. */
	fd_closep(&s->control_fd);
	fd_closep(&s->fs_control_fd);
	if (s->vmm)
		end_child(s->vmm, FINI_MS);
	if (s->fs)
		end_child(s->fs, 0);
	s->vmm = s->fs = 0;
	json_decref(s->console);
	s->console = NULL;
	loop_timer_fini(&s->timer);
	fd_closep(&s->signal_fd);
	loop_fini(&s->loop);
	if (s->ready)
		sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
	s->ready = false;
}
