/* SPDX-License-Identifier: Apache-2.0 */
/* Attending a process in a container; see attend.h. */
#include "runtime/attend.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "runtime/monitor.h"
#include "runtime/supervise.h"

#define EXIT_KILLED (128 + SIGKILL) /* how a process ends when its container does */
#define EXIT_FAILED 255		    /* as runc: it did not even start */

void attend_init(struct attend *a)
{
	memset(a, 0, offsetof(struct attend, err));
	a->err.code = 0;
	a->signal_fd = a->sock = a->terminal = -1;
}

static void attend_send(struct attend *a, json_t *packet)
{
	struct err e;

	/* A monitor that is going ends the connection; there is nothing more to tell it. */
	if (monitor_send(a->sock, packet, NULL, 0, &e) < 0)
		log_debug("%s", e.text);
}

static void attend_end(struct attend *a, int code)
{
	a->over = true;
	a->code = code;
}

static void attend_fail(struct attend *a, int code, const char *text)
{
	a->failed = true;
	err_set(&a->err, ECANCELED, "%s", text);
	attend_end(a, code);
}

void attend_resize(struct attend *a)
{
	struct winsize size;

	if (a->terminal < 0 || ioctl(a->terminal, TIOCGWINSZ, &size) < 0 || !size.ws_row ||
		!size.ws_col || (size.ws_row == a->rows && size.ws_col == a->columns))
		return;
	a->rows = size.ws_row;
	a->columns = size.ws_col;
	attend_send(a,
		json_pack("{s:s, s:i, s:i}", "op", "resize", "rows", (int)a->rows, "columns",
			(int)a->columns));
}

/* Until there is a process to take them, the signals that end a program end the wait for it. */
static void take_signal(struct attend *a, int signal)
{
	char text[96];

	if (signal == SIGCHLD)
		return;
	if (signal == SIGWINCH && a->terminal >= 0) {
		if (a->started)
			attend_resize(a);
	} else if (a->started) {
		attend_send(a, json_pack("{s:s, s:i}", "op", "kill", "signal", signal));
	} else if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT) {
		snprintf(text, sizeof(text), "ended by signal %d (%s) before it had started",
			signal, strsignal(signal));
		attend_fail(a, 128 + signal, text);
	}
}

static void take_signals(struct attend *a)
{
	struct signalfd_siginfo info[8];

	ssize_t n = read(a->signal_fd, info, sizeof(info));
	for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(info[0]); i++)
		take_signal(a, (int)info[i].ssi_signo);
}

static void take_event(struct attend *a, const json_t *event)
{
	const char *name = json_string_value(json_object_get(event, "event"));
	const char *message = json_string_value(json_object_get(event, "message"));
	json_int_t code = json_integer_value(json_object_get(event, "code"));
	char text[ERR_TEXT_BYTES - 64];

	if (!name) {
		/* The request was refused; an "ok" would say nothing new. */
		if (json_is_false(json_object_get(event, "ok")))
			attend_fail(a, EXIT_FAILED, message ? message : "the monitor refused");
	} else if (strcmp(name, "started") == 0) {
		a->started = true;
		attend_resize(a);
	} else if (strcmp(name, "lost") == 0) {
		supervise_lost(event);
	} else if (strcmp(name, "exited") == 0) {
		attend_end(a, code < 0 || code > 255 ? EXIT_FAILED : (int)code);
	} else if (strcmp(name, "failed") == 0) {
		snprintf(text, sizeof(text), "%s%s",
			a->started ? "" : "unable to start container process: ",
			message ? message : "no reason is given");
		attend_fail(a, EXIT_FAILED, text);
	}
}

static void take_packet(struct attend *a)
{
	struct err e;

	cleanup_json json_t *event = monitor_receive(a->sock, 0, &e);
	if (event)
		take_event(a, event);
	else if (e.code == ETIMEDOUT)
		return;
	else if (a->started)
		attend_end(a, EXIT_KILLED);
	else
		attend_fail(a, EXIT_FAILED, e.text);
}

static int block_signals(void)
{
	/* Not passed on: faults of hvrun's own, and what the terminal or the kernel tell it alone.
	 */
	static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS,
		SIGPIPE, SIGURG, SIGTTIN, SIGTTOU, SIGXCPU, SIGXFSZ, SIGPROF, SIGVTALRM};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t mask;

	sigfillset(&mask);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		sigdelset(&mask, own[i]);
	if (sigprocmask(SIG_SETMASK, &mask, NULL) < 0 || sigaction(SIGTTIN, &ignore, NULL) < 0 ||
		sigaction(SIGTTOU, &ignore, NULL) < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0)
		return -errno;
	int fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

int attend_open(struct attend *a, int sock, struct err *e)
{
	a->sock = sock;
	a->signal_fd = block_signals();
	return a->signal_fd < 0 ? err_sys(e, -a->signal_fd, "signals") : 0;
}

static int attend_once(struct attend *a, struct err *e)
{
	struct pollfd fds[] = {
		{.fd = a->sock, .events = POLLIN},
		{.fd = a->signal_fd, .events = POLLIN},
	};

	if (poll(fds, 2, -1) < 0)
		return errno == EINTR ? 0 : err_sys(e, errno, "waiting for the monitor");
	/* The monitor first: a signal that follows "started" is the process's. */
	if (fds[0].revents)
		take_packet(a);
	if (fds[1].revents && !a->over)
		take_signals(a);
	return 0;
}

int attend_start(struct attend *a, struct err *e)
{
	int ret = 0;

	while (!a->started && !a->over && ret == 0)
		ret = attend_once(a, e);
	return ret;
}

int attend_run(struct attend *a, struct err *e)
{
	int ret = 0;

	while (!a->over && ret == 0)
		ret = attend_once(a, e);
	return ret;
}

void attend_fini(struct attend *a)
{
	fd_closep(&a->sock);
	fd_closep(&a->signal_fd);
}
