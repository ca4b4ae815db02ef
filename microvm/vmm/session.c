/* SPDX-License-Identifier: Apache-2.0 */
/* The session of a VM; see session.h. Its reading of the guest's messages is in events.c. */
#include "microvm/vmm/session.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "microvm/vmm/clients.h"
#include "microvm/vmm/events.h"
#include "microvm/vmm/exec.h"
#include "microvm/vmm/session_stream.h"

#define NS_PER_S    UINT64_C(1000000000)
#define SHUTDOWN_NS (15 * NS_PER_S) /* file systems of disks are unmounted in it */
#define GONE_NS	    (3 * NS_PER_S)  /* after guestinit has vanished: a kernel may be panicking */
#define SETTLE_NS   (NS_PER_S / 20)

#define HELLO_WARN_S 60u

/* For readers who may be stuck: of other processes' output, of sockets, of those after a SIGKILL.
 */
#define CLIENTS_S	10u
#define RELAYS_S	10u
#define RELAYS_KILLED_S 1u

/* What makes a guest never say a word is mostly this. */
#define HINT                                                                                       \
	"; its kernel said nothing: it may lack virtio's drivers (mmio, console, vsock, fs; see "  \
	"--modules), not find its devices (--discovery), or have too little memory (--memory)"

#define GONE_WORDS   "guestinit closed its connection before the container had ended"
#define SIGKILL_CODE 137

static void emit_end(struct session *s)
{
	cleanup_json json_t *event = NULL;

	if (s->outcome == SESSION_EXITED)
		event = json_pack(
			"{s:s, s:i, s:b}", "event", "exited", "code", s->code, "oom", (int)s->oom);
	else
		event = json_pack("{s:s, s:i, s:s%}", "event", "failed", "code", s->code, "message",
			s->message, strnlen(s->message, sizeof(s->message)));
	if (!event)
		event = json_pack("{s:s, s:i, s:s}", "event", "failed", "code", s->code, "message",
			"the VM failed, and its message can't be shown");
	if (event && s->console)
		(void)!json_object_set(event, "console", s->console);
	if (event)
		s->config.ops->emit(s->config.arg, event);
}

static void end_session(struct session *s)
{
	if (s->finished)
		return;
	s->finished = true;
	terminal_restore(&s->terminal);
	(void)!loop_timer_set(&s->timer, 0, 0);
	emit_end(s);
	clients_close_all(s->clients);
	s->config.ops->finish(s->config.arg, s->code);
}

static void take_vm_down(struct session *s);

/*
 * Somebody may still get what the container, or an exec, had written. (Connections to sockets count
 * when the guest has told the end: it has closed its side of them all, so that what is left is what
 * the host has yet to read.)
 */
static bool readers_pending(const struct session *s)
{
	const struct session_ops *ops = s->config.ops;

	if (s->late_s < CLIENTS_S && !clients_output_done(s->clients, s->settled))
		return true;
	return s->over && s->late_s < (s->killed ? RELAYS_KILLED_S : RELAYS_S) &&
		ops->relays_open && ops->relays_open(s->config.arg);
}

static void maybe_end(struct session *s)
{
	if (s->finished || s->outcome == SESSION_RUNNING || s->oom_telling ||
		!session_streams_done(s) || readers_pending(s))
		return;
	if (s->vm_ended)
		end_session(s);
	else if (s->over && !s->config.disks)
		take_vm_down(s);
}

void session_output_done(struct session *session)
{
	maybe_end(session);
}

/* The VM is gone, or shall be: everything that was in flight is now in the host's hands. */
static void take_vm_down(struct session *s)
{
	s->vm_ended = true;
	agent_close(&s->agent);
	s->config.ops->stop_vm(s->config.arg);
	if (loop_timer_set(&s->timer, SETTLE_NS, NS_PER_S) < 0) {
		s->settled = true;
		s->late_s = UINT_MAX;
	}
	maybe_end(s);
}

static void set_failed(struct session *s, int code, const char *why)
{
	if (s->outcome != SESSION_RUNNING)
		return;
	s->outcome = SESSION_FAILED;
	s->code = code;
	snprintf(s->message, sizeof(s->message), "%s", why);
	clients_container_over(s->clients, code, why);
}

/* The VM failed: its console may say why. */
static void set_vm_failed(struct session *s, const char *why)
{
	char panic[SESSION_PANIC_BYTES], text[SESSION_MESSAGE_BYTES];
	const struct session_ops *ops = s->config.ops;
	bool panicked = ops->panic(s->config.arg, panic, sizeof(panic));

	if (s->outcome != SESSION_RUNNING)
		return;
	s->console = ops->console(s->config.arg);
	snprintf(text, sizeof(text), "%s%s%s", why, panicked ? ": the guest's kernel: " : "",
		panicked ? panic : "");
	set_failed(s, SESSION_EXIT_VM, text);
}

/* The same before the guest has reported, for no fault of the engine's, of which detail tells. */
static void set_never_up(struct session *s, const char *why, const char *detail)
{
	cleanup_json json_t *console = s->config.ops->console(s->config.arg);
	char text[SESSION_MESSAGE_BYTES];

	if (json_array_size(console))
		snprintf(text, sizeof(text), "%s", why);
	else
		snprintf(text, sizeof(text), "%s%s%s%s" HINT, why, *detail ? " (" : "", detail,
			*detail ? ")" : "");
	set_vm_failed(s, text);
}

void session_fail(struct session *session, const char *why)
{
	set_failed(session, SESSION_EXIT_VM, why);
	take_vm_down(session);
}

void session_vm_ended(struct session *session, enum engine_end how, const char *message)
{
	char why[SESSION_MESSAGE_BYTES];

	snprintf(why, sizeof(why), "the VM ended before the container did%s%s",
		*message ? ": " : "", message);
	if (how == ENGINE_END_FAILED)
		set_vm_failed(session, message);
	else if (!session->hello)
		set_never_up(session, "the VM ended before its guest was up", message);
	else
		set_vm_failed(session, why);
	take_vm_down(session);
}

void session_stop(struct session *session)
{
	terminal_restore(&session->terminal); /* first: whoever asks may not wait for the rest */
	if (session->outcome == SESSION_RUNNING) {
		session->outcome = SESSION_EXITED;
		session->code = SIGKILL_CODE;
		clients_container_over(session->clients, 0, NULL);
	}
	take_vm_down(session);
	end_session(session); /* whatever output is still on its way */
}

static int send_create(struct session *s, struct err *e)
{
	cleanup_free char *bytes = NULL;
	size_t len;
	int ret = fd_slurp(s->config.container_fd, MSG_MAX_BYTES + MSG_HEADER_BYTES, &bytes, &len);

	if (!ret)
		ret = agent_send_bytes(&s->agent, bytes, len);
	fd_closep(&s->config.container_fd);
	s->set_up = true;
	return ret < 0 ? err_sys(e, -ret, "create message") : 0;
}

int session_send(struct session *session, json_t *message)
{
	cleanup_json json_t *owned = message;

	return owned ? agent_send(&session->agent, owned) : -ENOMEM;
}

static void send_to_guest(struct session *s, json_t *message)
{
	int ret = session_send(s, message);

	if (ret < 0 && agent_is_open(&s->agent))
		log_warn("a message to the guest is lost: %s", strerror(-ret));
}

static void send_signal(struct session *s, const struct session_signal *signal)
{
	json_t *message = json_pack(
		"{s:s, s:s, s:i}", "type", "kill", "id", s->config.id, "signal", signal->number);

	if (message && signal->all && json_object_set_new(message, "all", json_true()) < 0) {
		json_decref(message);
		message = NULL;
	}
	send_to_guest(s, message);
}

static void send_resize(struct session *s)
{
	if (s->rows && s->columns)
		send_to_guest(s,
			json_pack("{s:s, s:s, s:i, s:i}", "type", "resize", "id", s->config.id,
				"rows", (int)s->rows, "columns", (int)s->columns));
	s->rows = s->columns = 0;
}

void session_kill(struct session *session, int signal, bool all)
{
	const struct session_signal wanted = {.number = signal, .all = all};

	if (session->outcome != SESSION_RUNNING)
		return;
	session->killed |= signal == SIGKILL;
	if (session->paused && signal == SIGKILL)
		session_stop(session); /* a guest that stands still can't do it */
	else if (session->set_up)
		send_signal(session, &wanted);
	else if (session->n_pending < SESSION_PENDING_MAX)
		session->pending_signals[session->n_pending++] = wanted;
	else
		log_warn("signal %d is lost: the guest is not up yet", signal);
}

void session_resize(struct session *session, unsigned rows, unsigned columns)
{
	session->rows = rows;
	session->columns = columns;
	if (session->set_up && session->outcome == SESSION_RUNNING)
		send_resize(session);
}

/* The guest is up and nothing is held back: container and streams. */
static int set_up(struct session *s, struct err *e)
{
	int ret = send_create(s, e);

	for (unsigned i = 0; i < SESSION_STREAMS && !ret; i++) {
		struct session_stream *stream = &s->streams[i];
		if (i == 0 && stream->rd_fd >= 0 && stream->rd_fd == stream->wr_fd) {
			ret = terminal_make_raw(&s->terminal, stream->rd_fd);
			if (ret < 0)
				return err_sys(e, -ret, "terminal");
		}
		ret = session_stream_open(s, i, e);
	}
	for (unsigned i = 0; i < s->n_pending && !ret; i++)
		send_signal(s, &s->pending_signals[i]);
	if (!ret)
		send_resize(s);
	s->n_pending = 0;
	return ret;
}

void session_guest_hello(struct session *s, uint64_t tsc)
{
	struct err e;
	cleanup_json json_t *event =
		json_pack("{s:s, s:I}", "event", "booted", "tsc", (json_int_t)tsc);

	s->hello = true;
	(void)!loop_timer_set(&s->timer, 0, 0);
	if (event)
		s->config.ops->emit(s->config.arg, event);
	if (!s->held && set_up(s, &e) < 0)
		session_fail(s, e.text);
}

void session_release(struct session *session)
{
	struct err e;

	if (!session->held)
		return;
	session->held = false;
	if (session->hello && session->outcome == SESSION_RUNNING && set_up(session, &e) < 0)
		session_fail(session, e.text);
}

void session_guest_created(struct session *s)
{
	cleanup_json json_t *event = json_pack("{s:s}", "event", "created");

	s->created = true;
	if (event)
		s->config.ops->emit(s->config.arg, event);
}

void session_guest_started(struct session *s)
{
	cleanup_json json_t *event = json_pack("{s:s}", "event", "started");

	s->started = true;
	if (event)
		s->config.ops->emit(s->config.arg, event);
	clients_container_started(s->clients);
}

const char *session_status(const struct session *session)
{
	if (session->outcome != SESSION_RUNNING)
		return "stopped";
	if (session->paused)
		return "paused";
	if (session->started)
		return "running";
	return session->created ? "created" : "creating";
}

bool session_answers(const struct session *session)
{
	return session->outcome == SESSION_RUNNING && !session->paused &&
		(session->created || session->started);
}

int session_start(struct session *session, struct err *e)
{
	if (session->outcome != SESSION_RUNNING)
		return err_set(e, EINVAL, "cannot start a container that has stopped");
	if (session->paused)
		return err_set(e, EINVAL, "cannot start a paused container");
	if (session->started || session->start_sent)
		return err_set(e, EINVAL, "cannot start an already running container");
	if (!session->created)
		return err_set(e, EINVAL, "cannot start a container that is being created");
	int ret = session_send(
		session, json_pack("{s:s, s:s}", "type", "start", "id", session->config.id));
	if (ret < 0)
		return err_sys(e, -ret, "a message to the guest");
	session->start_sent = true;
	return 0;
}

/* A guest's clock may have stood still with it. */
static void send_time(struct session *s)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	send_to_guest(s,
		json_pack("{s:s, s:I}", "type", "time", "realtimeNs",
			(json_int_t)now.tv_sec * (json_int_t)NS_PER_S + now.tv_nsec));
}

int session_pause(struct session *session, bool pause, struct err *e)
{
	if (session->outcome != SESSION_RUNNING || !(session->created || session->started))
		return err_set(e, EINVAL, "container not running");
	if (session->paused == pause)
		return err_set(
			e, EINVAL, "container is %s", pause ? "paused already" : "not paused");
	int ret = session->config.ops->pause_vm(session->config.arg, pause, e);
	if (ret < 0)
		return ret;
	session->paused = pause;
	if (!pause)
		send_time(session);
	return 0;
}

/*
 * The container is over. What it wrote to files of the host is there: the guest's kernel holds no
 * written data back, and when the last process has ended, virtio-fs has been unmounted with its
 * mount namespace, which waits for what mappings still had to write. So with all
 * output delivered nobody needs the VM any more, unless there are disks: then the guest puts their
 * file systems in order and ends the VM. (Output of an exec gets as long as that takes, no more:
 * its reader may be stuck.)
 */
static void shut_down(struct session *s)
{
	s->over = true;
	maybe_end(s);
	if (s->vm_ended)
		return;
	send_to_guest(s, json_pack("{s:s}", "type", "shutdown"));
	if (loop_timer_set(&s->timer, SHUTDOWN_NS, 0) < 0)
		take_vm_down(s);
}

void session_guest_exited(struct session *s, int code, bool oom)
{
	if (s->outcome != SESSION_RUNNING)
		return;
	s->outcome = SESSION_EXITED;
	s->code = code;
	s->oom |= oom;
	if (s->oom && s->config.ops->tell_oom)
		s->oom_telling = s->config.ops->tell_oom(s->config.arg);
	clients_container_over(s->clients, 0, NULL);
	shut_down(s);
}

void session_oom_told(struct session *session)
{
	session->oom_telling = false;
	maybe_end(session);
}

void session_guest_failed(struct session *s, int code, const char *message)
{
	if (s->outcome != SESSION_RUNNING)
		return;
	set_failed(s, code, message);
	shut_down(s);
}

static void agent_message(void *arg, const json_t *message)
{
	struct session *s = arg;
	char why[256];

	if (events_handle(s, message, why, sizeof(why)) < 0)
		session_fail(s, why);
}

static void agent_closed(void *arg, const char *why)
{
	struct session *s = arg;
	char text[512];

	if (*why) {
		snprintf(text, sizeof(text), "guestinit's connection: %s", why);
		session_fail(s, text);
	} else if (s->outcome == SESSION_RUNNING) {
		/* Its end, or its kernel's: the console's last words may still be coming. */
		if (loop_timer_set(&s->timer, GONE_NS, 0) < 0)
			session_fail(s, GONE_WORDS);
	}
}

/* Towards the next warning, or the end of all patience. */
static int set_hello_timer(struct session *s)
{
	unsigned limit = s->config.boot_timeout_s, left = limit - s->waited_s;

	s->wait_s = limit && left < HELLO_WARN_S ? left : HELLO_WARN_S;
	return loop_timer_set(&s->timer, s->wait_s * NS_PER_S, 0);
}

/* No word of guestinit. */
static void hello_late(struct session *s)
{
	char text[256];

	s->waited_s += s->wait_s;
	if (s->config.boot_timeout_s && s->waited_s >= s->config.boot_timeout_s) {
		snprintf(text, sizeof(text),
			"the guest has not reported for %u seconds (\"bootTimeoutSeconds\" of the "
			"host's configuration)",
			s->waited_s);
		set_never_up(s, text, "");
		take_vm_down(s);
		return;
	}
	log_warn("the guest has not reported for %u seconds; still waiting", s->waited_s);
	if (set_hello_timer(s) < 0)
		log_warn("the wait for the guest has no end: no timer");
}

static void timer_expired(struct loop_timer *timer)
{
	struct session *s =
		(struct session *)(void *)((char *)timer - offsetof(struct session, timer));

	if (s->vm_ended) {
		s->late_s += s->settled;
		s->settled = true;
		maybe_end(s);
	} else if (s->outcome != SESSION_RUNNING) {
		log_warn("the guest did not shut down within %llu seconds: stopped",
			(unsigned long long)(SHUTDOWN_NS / NS_PER_S));
		take_vm_down(s);
	} else if (s->accepted && !agent_is_open(&s->agent)) {
		set_vm_failed(s, GONE_WORDS);
		take_vm_down(s);
	} else {
		hello_late(s);
	}
}

int session_accept(struct session *session)
{
	if (session->accepted || session->finished)
		return -ECONNREFUSED;
	int fd = agent_open(&session->agent);
	session->accepted = fd >= 0;
	return fd;
}

int session_init(struct session *session, const struct session_config *config, struct err *e)
{
	memset(session, 0, sizeof(*session));
	session->config = *config;
	session->terminal.fd = session->timer.source.fd = -1;
	session->held = config->hold;
	session->code = SESSION_EXIT_VM;
	int ret = agent_init(&session->agent, config->loop, agent_message, agent_closed, session);
	session_streams_init(session);
	if (ret < 0)
		return err_sys(e, -ret, "the agent's connection");
	ret = loop_timer_init(config->loop, &session->timer, timer_expired);
	if (!ret)
		ret = set_hello_timer(session);
	return ret < 0 ? err_sys(e, -ret, "timer") : 0;
}

void session_fini(struct session *session)
{
	terminal_restore(&session->terminal);
	agent_close(&session->agent);
	loop_timer_fini(&session->timer);
	json_decref(session->console);
	session->console = NULL;
	fd_closep(&session->config.container_fd);
	session_streams_fini(session);
}
