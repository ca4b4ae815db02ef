/* SPDX-License-Identifier: Apache-2.0 */
/* What clients ask for; see clients.h. Requests come from hvrun, answers from a hostile guest. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "microvm/vmm/clients_internal.h"
#include "microvm/vmm/control.h"
#include "microvm/vmm/events.h"
#include "microvm/vmm/session.h"

#define NOT_RUNNING	  "container not running"
#define ANSWER_DEPTH_MAX  6
#define ANSWER_TEXT_BYTES 4096

static void do_state(struct client *client, const json_t *request)
{
	const struct session *s = client->clients->session;

	(void)request;
	client_reply(client, "state",
		json_pack("{s:s, s:b}", "status", session_status(s), "oom", (int)s->oom));
}

static void do_start(struct client *client, const json_t *request)
{
	struct err e = {0};

	(void)request;
	if (session_start(client->clients->session, &e) < 0)
		client_refuse(client, "start", 1, e.text);
	else
		client_wait(client, "start", 0);
}

static void do_kill(struct client *client, const json_t *request)
{
	struct session *s = client->clients->session;
	const json_t *all = json_object_get(request, "all");
	int signal;

	if (!control_integer(request, "signal", 0, SIGRTMAX, &signal) ||
		(all && !json_is_boolean(all))) {
		client_refuse(client, "kill", 1, "not a signal");
	} else if (s->outcome != SESSION_RUNNING) {
		client_refuse(client, "kill", 1, NOT_RUNNING);
	} else {
		/* First: this may be the end of everything. */
		client_reply(client, "kill", NULL);
		if (signal) /* 0 asks whether there is anything that could have one */
			session_kill(s, signal, json_is_true(all));
	}
}

static void do_resize(struct client *client, const json_t *request)
{
	struct session *s = client->clients->session;
	int rows, columns;

	if (!control_integer(request, "rows", 1, CONTROL_SIZE_MAX, &rows) ||
		!control_integer(request, "columns", 1, CONTROL_SIZE_MAX, &columns)) {
		client_refuse(client, "resize", 1, "not the size of a terminal");
	} else if (s->outcome != SESSION_RUNNING) {
		client_refuse(client, "resize", 1, NOT_RUNNING);
	} else {
		session_resize(s, (unsigned)rows, (unsigned)columns);
		client_reply(client, "resize", NULL);
	}
}

static void set_paused(struct client *client, const char *op, bool pause)
{
	struct err e = {0};

	if (session_pause(client->clients->session, pause, &e) < 0)
		client_refuse(client, op, 1, e.text);
	else
		client_reply(client, op, NULL);
}

static void do_pause(struct client *client, const json_t *request)
{
	(void)request;
	set_paused(client, "pause", true);
}

static void do_resume(struct client *client, const json_t *request)
{
	(void)request;
	set_paused(client, "resume", false);
}

static void do_stop(struct client *client, const json_t *request)
{
	(void)request;
	session_stop(client->clients->session);
}

static void do_subscribe(struct client *client, const json_t *request)
{
	(void)request;
	if (client->clients->session->outcome != SESSION_RUNNING) {
		client_refuse(client, "subscribe", 1, NOT_RUNNING);
		return;
	}
	client->subscribed = true;
	client_reply(client, "subscribe", NULL);
}

/* Sends the guest a question, of which it takes the reference; the answer will be the reply. */
static void ask(struct client *client, const char *op, json_t *question)
{
	struct clients *clients = client->clients;
	struct session *s = clients->session;
	cleanup_json json_t *owned = question;
	const char *why = NULL;

	if (s->paused)
		why = "container is paused";
	else if (!session_answers(s))
		why = NOT_RUNNING;
	else if (!owned || json_object_set_new(owned, "id", json_string(s->config.id)) < 0 ||
		json_object_set_new(
			owned, "seq", json_integer((json_int_t)clients->last_seq + 1)) < 0 ||
		session_send(s, json_incref(owned)) < 0)
		why = "a question to the guest could not be sent";
	if (why) {
		client_refuse(client, op, 1, why);
		return;
	}
	client_wait(client, op, ++clients->last_seq);
}

static void do_stats(struct client *client, const json_t *request)
{
	(void)request;
	ask(client, "stats", json_pack("{s:s, s:s}", "type", "query", "what", "stats"));
}

static void do_ps(struct client *client, const json_t *request)
{
	(void)request;
	ask(client, "ps", json_pack("{s:s, s:s}", "type", "query", "what", "ps"));
}

static void do_update(struct client *client, const json_t *request)
{
	json_t *resources = json_object_get(request, "resources");

	if (json_is_true(json_object_get(request, "undo")))
		ask(client, "update", json_pack("{s:s, s:b}", "type", "update", "undo", 1));
	else if (!json_is_object(resources))
		client_refuse(client, "update", 1, "no resources");
	else
		ask(client, "update",
			json_pack("{s:s, s:O}", "type", "update", "resources", resources));
}

/*
 * A copy of what a guest said in which no text can do harm where it is shown. NULL for what is
 * deeper than any answer, or without memory.
 */
static json_t *clean_copy(const json_t *value, unsigned depth)
{
	char text[ANSWER_TEXT_BYTES];
	json_t *copy, *child;
	const char *key;
	size_t i;

	if (!value || !depth)
		return NULL;
	switch (json_typeof(value)) {
	case JSON_STRING:
		events_clean_text(json_string_value(value), text, sizeof(text));
		return json_string(text);
	case JSON_ARRAY:
		copy = json_array();
		json_array_foreach (value, i, child)
			if (!copy || json_array_append_new(copy, clean_copy(child, depth - 1)) < 0)
				goto failed;
		return copy;
	case JSON_OBJECT:
		copy = json_object();
		json_object_foreach ((json_t *)(uintptr_t)value, key, child) {
			events_clean_text(key, text, 64);
			if (!copy ||
				json_object_set_new(copy, text, clean_copy(child, depth - 1)) < 0)
				goto failed;
		}
		return copy;
	default:
		return json_incref((json_t *)(uintptr_t)value);
	}
failed:
	json_decref(copy);
	return NULL;
}

void client_handle_answer(struct client *client, const char *op, const json_t *answer)
{
	const char *message = json_string_value(json_object_get(answer, "message"));
	const char *key = !strcmp(op, "stats") ? "stats" : "processes";
	const json_t *content = json_object_get(answer, key);
	char text[ERR_TEXT_BYTES] = "the guest gave no reason";

	if (!json_is_true(json_object_get(answer, "ok"))) {
		if (message)
			events_clean_text(message, text, sizeof(text));
		client_refuse(client, op, 1, text);
		return;
	}
	if (!strcmp(op, "update")) {
		client_reply(client, op, NULL);
		return;
	}
	bool fits = !strcmp(op, "stats") ? json_is_object(content) : json_is_array(content);
	json_t *copy = fits ? clean_copy(content, ANSWER_DEPTH_MAX) : NULL;
	cleanup_json json_t *fields = copy ? json_pack("{s:o}", key, copy) : NULL;
	/* Escaped characters take more room than they came in; hvrun's packets are bounded. */
	if (!fields)
		client_refuse(client, op, 1, "the guest's answer makes no sense");
	else if (json_dumpb(fields, NULL, 0, JSON_COMPACT) > CONTROL_PACKET_BYTES - 64)
		client_refuse(client, op, 1, "the guest's answer is too large");
	else
		client_reply(client, op, steal_ptr(&fields));
}

static const struct {
	const char *op;
	void (*handle)(struct client *client, const json_t *request);
} requests[] = {
	{"state", do_state},
	{"start", do_start},
	{"kill", do_kill},
	{"resize", do_resize},
	{"pause", do_pause},
	{"resume", do_resume},
	{"stats", do_stats},
	{"ps", do_ps},
	{"update", do_update},
	{"subscribe", do_subscribe},
	{"stop", do_stop},
};

static void dispatch(struct client *client, const json_t *request, int *fds, unsigned n_fds)
{
	const char *op = json_string_value(json_object_get(request, "op"));

	if (client->exec) {
		exec_request(client->exec, request);
		return;
	}
	if (client->op) {
		/* Not a reply to the first one: that one still comes. */
		cleanup_json json_t *refusal = json_pack("{s:s, s:b, s:i, s:s}", "reply",
			op ? op : "", "ok", 0, "code", 1, "message",
			"another request on this connection is not answered yet");
		client_send(client, refusal);
		return;
	}
	if (op && !strcmp(op, "exec")) {
		exec_start(client, request, fds, n_fds);
		return;
	}
	for (size_t i = 0; op && i < sizeof(requests) / sizeof(requests[0]); i++) {
		if (!strcmp(op, requests[i].op)) {
			requests[i].handle(client, request);
			return;
		}
	}
	client_refuse(client, op ? op : "", 1, "not a request");
}

void client_handle(struct client *client, const json_t *request, int *fds, unsigned n_fds)
{
	dispatch(client, request, fds, n_fds);
	for (unsigned i = 0; i < n_fds; i++)
		fd_closep(&fds[i]);
}
