/* SPDX-License-Identifier: Apache-2.0 */
/* Further processes in a container; see exec.h. */
#include "microvm/vmm/exec.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "microvm/vmm/clients_internal.h"
#include "microvm/vmm/control.h"
#include "microvm/vmm/events.h"
#include "microvm/vmm/session.h"

#define NUMBER_MAX    (UINT32_C(1) << 26) /* then the ports would run out */
#define SIGKILL_CODE  137
#define MESSAGE_MAX   1024
#define BACKLOG_BYTES (64u << 10)

static void exec_name(const struct exec *exec, char name[16])
{
	snprintf(name, 16, "e%u", exec->number);
}

/* A message about the process, of which it takes the reference. */
static int tell_guest(struct exec *exec, json_t *message)
{
	struct session *s = exec->clients->session;
	cleanup_json json_t *owned = message;
	char name[16];

	exec_name(exec, name);
	if (!owned || json_object_set_new(owned, "id", json_string(s->config.id)) < 0 ||
		json_object_set_new(owned, "exec", json_string(name)) < 0)
		return -ENOMEM;
	return session_send(s, steal_ptr(&owned));
}

static void kill_process(struct exec *exec, int signal)
{
	int ret = tell_guest(exec, json_pack("{s:s, s:i}", "type", "kill", "signal", signal));

	if (ret < 0)
		log_debug("signal %d for process e%u is lost", signal, exec->number);
}

/* Nobody waits for it, or for its output. */
static void drop_process(struct exec *exec)
{
	int ret = tell_guest(
		exec, json_pack("{s:s, s:i, s:b}", "type", "kill", "signal", SIGKILL, "drop", 1));

	if (ret < 0)
		log_debug("process e%u is not told that nobody waits for it", exec->number);
}

/* The last packet for the client, of which it takes the reference. */
static void tell_end(struct exec *exec, json_t *event)
{
	struct client *client = exec->client;
	cleanup_json json_t *owned = event;

	if (!client)
		return;
	exec->client = NULL;
	client->exec = NULL;
	client_send(client, owned);
	client_close(client);
}

static json_t *exited_event(int code)
{
	return json_pack("{s:s, s:i}", "event", "exited", "code", code);
}

static json_t *failed_event(int code, const char *message)
{
	return json_pack("{s:s, s:i, s:s}", "event", "failed", "code", code, "message", message);
}

static void drop_waiting(struct exec *exec)
{
	json_decref(exec->message);
	exec->message = NULL;
	for (unsigned i = 0; i < EXEC_STREAMS; i++)
		fd_closep(&exec->fds[i]);
}

static bool output_pending(const struct exec *exec)
{
	for (unsigned i = 0; i < EXEC_STREAMS && exec->client; i++)
		if (exec->streams[i].open && exec->streams[i].output && !exec->streams[i].done)
			return true;
	return false;
}

/* The guest is done with the process: the client hears of it when all output is delivered. */
static void settle(struct exec *exec)
{
	struct session *s = exec->clients->session;
	bool open = false;

	if (!exec->over || output_pending(exec))
		return;
	tell_end(exec, exited_event(exec->code));
	/* What is left is input that nobody reads, and output that nobody waits for. */
	for (unsigned i = 0; i < EXEC_STREAMS; i++) {
		if (!exec->streams[i].open)
			continue;
		open = true;
		s->config.ops->disconnect(s->config.arg, exec->streams[i].host_port);
	}
	if (!open)
		exec->number = 0;
}

static void start_waiting(struct clients *clients);

static void stream_connected(void *arg)
{
	struct exec_stream *stream = arg;

	stream->connected = true;
	start_waiting(stream->exec->clients);
}

static void stream_drained(void *arg)
{
	struct exec_stream *stream = arg;

	stream->done = true;
	settle(stream->exec);
	session_output_done(stream->exec->clients->session);
}

/* As with the container's own, see session.c. */
static void stream_broken(void *arg, int code)
{
	struct exec_stream *stream = arg;
	const struct exec *exec = stream->exec;
	char reason[ERR_REASON_BYTES], name[24];
	unsigned i = (unsigned)(stream - exec->streams);

	if (code == EPIPE || code == ECONNRESET || i == 0 || !exec->client)
		return;
	if (i < EXEC_PRESERVED)
		snprintf(name, sizeof(name), "%s", i == 1 ? "stdout" : "stderr");
	else
		snprintf(name, sizeof(name), "descriptor %u", i);
	cleanup_json json_t *event = json_pack("{s:s, s:s, s:s}", "event", "lost", "stream", name,
		"message", err_reason(code, reason));
	if (event)
		client_send(exec->client, event);
}

static void stream_closed(void *arg, int reason)
{
	struct exec_stream *stream = arg;
	struct exec *exec = stream->exec;
	struct clients *clients = exec->clients;

	stream->open = false;
	if (reason && reason != -ECONNRESET)
		log_debug("stream %u: %s", stream->host_port, strerror(-reason));
	if (reason == -ECONNREFUSED && exec->client && !exec->over) {
		drop_process(exec);
		tell_end(exec, failed_event(1, "the guest refused a stream of the process"));
	}
	settle(exec);
	start_waiting(clients);
	session_output_done(clients->session);
}

static const struct vsock_conn_events stream_events = {
	.connected = stream_connected,
	.broken = stream_broken,
	.drained = stream_drained,
	.closed = stream_closed,
};

/* Takes fd over; -1 for none. */
static int open_stream(struct exec *exec, unsigned i, int rd_fd, int wr_fd)
{
	struct session *s = exec->clients->session;
	struct exec_stream *stream = &exec->streams[i];

	stream->output = wr_fd >= 0;
	stream->open = true;
	int ret = s->config.ops->connect(
		s->config.arg, stream->host_port, rd_fd, wr_fd, &stream_events, stream);
	if (ret < 0)
		stream->open = false;
	return ret;
}

static int open_streams(struct exec *exec)
{
	int *fds = exec->fds, fd = steal_fd(&fds[0]);
	int ret = open_stream(exec, 0, fd, exec->terminal ? fd : -1);

	for (unsigned i = 1; i < EXEC_PRESERVED && !exec->terminal && !ret; i++)
		ret = open_stream(exec, i, -1, steal_fd(&fds[i]));
	for (unsigned i = EXEC_PRESERVED; i < EXEC_PRESERVED + exec->n_preserved && !ret; i++) {
		const struct exec_stream *stream = &exec->streams[i];
		fd = steal_fd(&fds[i]);
		ret = open_stream(exec, i, stream->input ? fd : -1, stream->output ? fd : -1);
	}
	return ret;
}

static unsigned streams_of(const struct exec *exec)
{
	return (exec->terminal ? 1 : EXEC_PRESERVED) + exec->n_preserved;
}

static bool is_starting(const struct exec *exec)
{
	if (!exec->number || exec->message || exec->over)
		return false;
	for (unsigned i = 0; i < EXEC_STREAMS; i++)
		if (exec->streams[i].open && !exec->streams[i].connected)
			return true;
	return !exec->started;
}

static void launch(struct exec *exec)
{
	if (tell_guest(exec, steal_ptr(&exec->message)) < 0) {
		drop_waiting(exec);
		tell_end(exec, failed_event(1, "a message to the guest could not be sent"));
		exec->number = 0;
		return;
	}
	if (open_streams(exec) < 0) {
		drop_process(exec);
		tell_end(exec, failed_event(1, "the process's streams can't be connected"));
	}
	drop_waiting(exec);
}

/* Begins those whose turn it is, the oldest first. */
static void start_waiting(struct clients *clients)
{
	while (clients->session->outcome == SESSION_RUNNING) {
		struct exec *next = NULL;
		unsigned starting = 0, streams = 0;

		for (unsigned i = 0; i < EXECS_MAX; i++) {
			struct exec *exec = &clients->execs[i];
			starting += is_starting(exec);
			streams += is_starting(exec) ? streams_of(exec) : 0;
			if (exec->number && exec->message && (!next || exec->number < next->number))
				next = exec;
		}
		/* With a large one on its way, others' messages must have room beside it; it will
		 * be heard of. */
		if (!next || starting >= EXECS_STARTING ||
			(starting && streams + streams_of(next) > EXEC_CONNECTING) ||
			(starting && agent_backlog_bytes(&clients->session->agent) > BACKLOG_BYTES))
			return;
		launch(next);
	}
}

static json_t *preserved_of(const struct exec *exec)
{
	json_t *list = json_array();

	for (unsigned i = EXEC_PRESERVED; i < EXEC_PRESERVED + exec->n_preserved; i++) {
		const struct exec_stream *stream = &exec->streams[i];
		if (json_array_append_new(list,
			    json_pack("{s:i, s:b, s:b}", "port", (int)stream->host_port, "in",
				    (int)stream->input, "out", (int)stream->output)) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* A new reference, or NULL. */
static json_t *stdio_of(const struct exec *exec, const json_t *request)
{
	int rows = 0, columns = 0, port = (int)exec->streams[0].host_port;

	if (!exec->terminal)
		return json_pack("{s:i, s:i, s:i, s:o}", "stdin", port, "stdout",
			(int)exec->streams[1].host_port, "stderr", (int)exec->streams[2].host_port,
			"preserved", preserved_of(exec));
	if (!control_integer(request, "rows", 1, CONTROL_SIZE_MAX, &rows) ||
		!control_integer(request, "columns", 1, CONTROL_SIZE_MAX, &columns))
		rows = columns = 0; /* not known */
	return json_pack("{s:i, s:i, s:i, s:o}", "terminal", port, "rows", rows, "columns", columns,
		"preserved", preserved_of(exec));
}

/* Of stream k of the process that has had n before it. */
static uint32_t port_of(uint32_t n, unsigned k)
{
	return k < EXEC_PRESERVED
		? EXEC_PORT_FIRST + n * EXEC_PRESERVED + k
		: EXEC_PORT_PRESERVED + n * MSG_PRESERVED_MAX + k - EXEC_PRESERVED;
}

/* A free place, with the next name and ports; NULL when there is none. */
static struct exec *take_place(struct clients *clients)
{
	for (unsigned i = 0; i < EXECS_MAX; i++) {
		struct exec *exec = &clients->execs[i];
		if (exec->number)
			continue;
		clients->last_exec = clients->last_exec % NUMBER_MAX + 1;
		*exec = (struct exec){.clients = clients, .number = clients->last_exec};
		for (unsigned k = 0; k < EXEC_STREAMS; k++) {
			exec->fds[k] = -1;
			exec->streams[k].exec = exec;
			exec->streams[k].host_port = port_of(exec->number - 1, k);
		}
		return exec;
	}
	return NULL;
}

/* What the client's first descriptor holds. A new reference; NULL with e. */
static json_t *read_process(int fd, struct err *e)
{
	cleanup_free char *text = NULL;
	size_t len;

	if (!fd_is_sealed(fd)) {
		err_set(e, EINVAL, "the process: not a sealed file in memory");
		return NULL;
	}
	int ret = fd_slurp(fd, MSG_MAX_PROCESS_BYTES, &text, &len);
	cleanup_json json_t *json = NULL;
	if (ret < 0)
		err_sys(e, -ret, "the process");
	else
		json = json_parse(text, len, CLIENT_DEPTH_MAX, e);
	if (json && !json_is_object(json)) {
		err_set(e, EINVAL, "the process: not an object");
		return NULL;
	}
	return steal_ptr(&json);
}

static const char *why_not(const struct session *s, const json_t *request, unsigned n_fds)
{
	const json_t *preserved = json_object_get(request, "preserved");
	size_t n_preserved = json_array_size(preserved);
	bool terminal = json_is_true(json_object_get(request, "terminal"));

	if (s->outcome != SESSION_RUNNING)
		return "cannot exec a container that has stopped";
	if (s->paused)
		return "cannot exec in a paused container";
	if (!session_answers(s))
		return "cannot exec in a container that is being created";
	for (size_t i = 0; i < n_preserved; i++) {
		const json_t *entry = json_array_get(preserved, i);
		if (!json_is_true(json_object_get(entry, "in")) &&
			!json_is_true(json_object_get(entry, "out")))
			return "a preserved descriptor that is for nothing";
	}
	if (n_preserved > MSG_PRESERVED_MAX ||
		n_fds != 1 + (terminal ? 1 : EXEC_PRESERVED) + n_preserved)
		return "not the descriptors of a process and its streams";
	return NULL;
}

/* What the client has sent along; why_not has counted it. */
static void take_streams(struct exec *exec, const json_t *request, int *fds)
{
	const json_t *preserved = json_object_get(request, "preserved");
	unsigned n = exec->terminal ? 1 : EXEC_PRESERVED;

	for (unsigned i = 0; i < n; i++)
		exec->fds[i] = steal_fd(&fds[i]);
	exec->n_preserved = (unsigned)json_array_size(preserved);
	for (unsigned i = 0; i < exec->n_preserved; i++) {
		const json_t *entry = json_array_get(preserved, i);
		struct exec_stream *stream = &exec->streams[EXEC_PRESERVED + i];
		stream->input = json_is_true(json_object_get(entry, "in"));
		stream->output = json_is_true(json_object_get(entry, "out"));
		exec->fds[EXEC_PRESERVED + i] = steal_fd(&fds[n + i]);
	}
}

void exec_start(struct client *client, const json_t *request, int *fds, unsigned n_fds)
{
	struct clients *clients = client->clients;
	const char *why = why_not(clients->session, request, n_fds);
	struct err e = {.text = "too many processes were added to this container"};
	cleanup_json json_t *process = why ? NULL : read_process(fds[0], &e);
	struct exec *exec = process ? take_place(clients) : NULL;

	if (!exec) {
		client_refuse(client, "exec", 1, why ? why : e.text);
		return;
	}
	exec->terminal = json_is_true(json_object_get(request, "terminal"));
	take_streams(exec, request, fds + 1);
	json_t *stdio = stdio_of(exec, request);
	exec->message =
		json_pack("{s:s, s:O, s:o}", "type", "exec", "process", process, "stdio", stdio);
	if (!exec->message) {
		drop_waiting(exec);
		exec->number = 0;
		client_refuse(client, "exec", 1, "out of memory");
		return;
	}
	exec->client = client;
	client->exec = exec;
	client_reply(client, "exec", NULL);
	start_waiting(clients);
}

/* Nobody has told the guest of the process, and nobody will. */
static void forget(struct exec *exec, const char *message)
{
	drop_waiting(exec);
	tell_end(exec, failed_event(1, message));
	exec->number = 0;
}

/* Before its turn there is nothing to say to a process, but it may be called off. */
static void request_waiting(struct exec *exec, const char *op)
{
	if (op && !strcmp(op, "kill"))
		forget(exec, "ended by a signal before it was started");
}

void exec_request(struct exec *exec, const json_t *request)
{
	const char *op = json_string_value(json_object_get(request, "op"));
	int a, b, ret = 0;

	if (exec->over)
		return;
	if (exec->message)
		request_waiting(exec, op);
	else if (op && !strcmp(op, "kill") && control_integer(request, "signal", 1, SIGRTMAX, &a))
		kill_process(exec, a);
	else if (op && !strcmp(op, "resize") &&
		control_integer(request, "rows", 1, CONTROL_SIZE_MAX, &a) &&
		control_integer(request, "columns", 1, CONTROL_SIZE_MAX, &b))
		ret = tell_guest(exec,
			json_pack("{s:s, s:i, s:i}", "type", "resize", "rows", a, "columns", b));
	else
		log_warn("a client of a process: not a command: %.64s", op ? op : "no \"op\"");
	if (ret < 0)
		log_debug("a resize for process e%u is lost", exec->number);
}

void exec_client_gone(struct exec *exec)
{
	exec->client = NULL;
	if (exec->message) {
		forget(exec, "");
		return;
	}
	if (!exec->over)
		drop_process(exec);
	settle(exec);
}

/* The guest's names are taken at their word only when they are in the table. */
static struct exec *find(struct clients *clients, const json_t *message)
{
	const char *name = json_string_value(json_object_get(message, "exec"));
	char own[16];

	for (unsigned i = 0; name && i < EXECS_MAX; i++) {
		struct exec *exec = &clients->execs[i];
		exec_name(exec, own);
		if (exec->number && !exec->message && !strcmp(name, own))
			return exec;
	}
	return NULL;
}

int clients_exec_started(struct clients *clients, const json_t *message)
{
	struct exec *exec = clients ? find(clients, message) : NULL;
	int pid;

	if (!exec || exec->started || exec->over ||
		!control_integer(message, "pid", 1, INT32_MAX, &pid))
		return -EPROTO;
	exec->started = true;
	if (!exec->client) {
		drop_process(exec); /* the one before may have come too early */
		start_waiting(clients);
		return 0;
	}
	cleanup_json json_t *event = json_pack("{s:s, s:i}", "event", "started", "pid", pid);
	client_send(exec->client, event);
	start_waiting(clients);
	return 0;
}

int clients_exec_exited(struct clients *clients, const json_t *message)
{
	struct exec *exec = clients ? find(clients, message) : NULL;

	if (!exec || !exec->started || exec->over ||
		!control_integer(message, "code", 0, 255, &exec->code))
		return -EPROTO;
	exec->over = true;
	settle(exec);
	start_waiting(clients);
	return 0;
}

int clients_exec_failed(struct clients *clients, const json_t *message)
{
	struct exec *exec = clients ? find(clients, message) : NULL;
	const char *text = json_string_value(json_object_get(message, "message"));
	char cleaned[MESSAGE_MAX];

	if (!exec || exec->started || exec->over || !text ||
		!control_integer(message, "code", 1, 255, &exec->code))
		return -EPROTO;
	events_name_place(text, "", cleaned, sizeof(cleaned));
	exec->over = true;
	tell_end(exec, failed_event(exec->code, cleaned));
	settle(exec);
	start_waiting(clients);
	return 0;
}

bool clients_output_done(const struct clients *clients, bool settled)
{
	for (unsigned i = 0; clients && i < EXECS_MAX; i++) {
		const struct exec *exec = &clients->execs[i];
		for (unsigned k = 0; exec->number && exec->client && k < EXEC_STREAMS; k++) {
			const struct exec_stream *stream = &exec->streams[k];
			if (stream->open && stream->output && !stream->done &&
				(stream->connected || !settled))
				return false;
		}
	}
	return true;
}

void exec_close_all(struct clients *clients)
{
	for (unsigned i = 0; i < EXECS_MAX; i++) {
		struct exec *exec = &clients->execs[i];
		if (exec->number && exec->message)
			forget(exec, "container not running");
		if (!exec->number || !exec->client)
			continue;
		if (exec->over)
			tell_end(exec, exited_event(exec->code));
		else if (exec->started)
			tell_end(exec, exited_event(SIGKILL_CODE));
		else
			tell_end(exec, failed_event(1, "container not running"));
	}
}
