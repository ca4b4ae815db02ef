/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's messages; see events.h. */
#include "microvm/vmm/events.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "base/log.h"
#include "base/msg.h"
#include "base/text.h"
#include "microvm/vmm/clients.h"
#include "microvm/vmm/session.h"

#define LOG_LINES_PER_S 50

void events_clean_text(const char *text, char *out, size_t cap_bytes)
{
	size_t left = strlen(text), used = 0, n;

	for (; left; text += n, left -= n) {
		char escaped[5];
		int32_t character = text_character(text, left, &n);
		const char *piece = text;
		size_t piece_bytes = n;
		/* It is UTF-8, which the JSON parser has checked: the code has two digits. */
		if (text_is_control(character)) {
			piece_bytes = (size_t)snprintf(
				escaped, sizeof(escaped), "\\x%02x", (uint8_t)character);
			piece = escaped;
		}
		if (used + piece_bytes >= cap_bytes)
			break;
		memcpy(out + used, piece, piece_bytes);
		used += piece_bytes;
	}
	out[used] = '\0';
}

void events_name_place(const char *text, const char *file, char *out, size_t cap_bytes)
{
	static const char member[] = "config.";
	bool inside = !strncmp(text, member, sizeof(member) - 1);
	size_t used = strnlen(file, cap_bytes - 1);

	used = inside ? used : 0;
	memcpy(out, file, used);
	events_clean_text(inside ? text + sizeof(member) - 1 : text, out + used, cap_bytes - used);
}

static bool id_is_ours(const struct session *s, const json_t *message)
{
	const char *id = json_string_value(json_object_get(message, "id"));

	return id && !strcmp(id, s->config.id);
}

static int handle_hello(struct session *s, const json_t *message)
{
	json_int_t protocol, tsc;

	if (s->hello ||
		!json_integer_in(message, "protocol", MSG_PROTOCOL, MSG_PROTOCOL, &protocol) ||
		!json_integer_in(message, "tsc", 0, INT64_MAX, &tsc))
		return -EPROTO;
	session_guest_hello(s, (uint64_t)tsc);
	return 0;
}

static int handle_created(struct session *s, const json_t *message)
{
	if (!s->set_up || s->created || s->started || !id_is_ours(s, message))
		return -EPROTO;
	session_guest_created(s);
	return 0;
}

static int handle_started(struct session *s, const json_t *message)
{
	if (!s->set_up || s->started || (s->created && !s->start_sent) || !id_is_ours(s, message))
		return -EPROTO;
	session_guest_started(s);
	return 0;
}

static int handle_exited(struct session *s, const json_t *message)
{
	const json_t *oom = json_object_get(message, "oom");
	json_int_t code;

	if (!(s->created || s->started) || !id_is_ours(s, message) ||
		!json_integer_in(message, "code", 0, 255, &code) || (oom && !json_is_boolean(oom)))
		return -EPROTO;
	session_guest_exited(s, (int)code, json_is_true(oom));
	return 0;
}

static int handle_failed(struct session *s, const json_t *message)
{
	const char *text = json_string_value(json_object_get(message, "message"));
	char cleaned[EVENTS_TEXT_BYTES + 16];
	json_int_t code;

	if (!text || !id_is_ours(s, message) || !json_integer_in(message, "code", 1, 255, &code))
		return -EPROTO;
	events_name_place(text, "config.json: ", cleaned, sizeof(cleaned));
	session_guest_failed(s, (int)code, cleaned);
	return 0;
}

/* True while this second's share of log lines lasts. */
static bool log_allowed(struct session *s)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if ((uint64_t)now.tv_sec != s->log_second) {
		if (s->log_dropped)
			log_guest_line(
				LOG_LEVEL_WARNING, "guestinit: (%u lines dropped)", s->log_dropped);
		s->log_second = (uint64_t)now.tv_sec;
		s->log_lines = s->log_dropped = 0;
	}
	if (s->log_lines++ < LOG_LINES_PER_S)
		return true;
	s->log_dropped++;
	return false;
}

static int handle_oom(struct session *s, const json_t *message)
{
	if (!id_is_ours(s, message))
		return -EPROTO;
	s->oom = true;
	clients_oom(s->clients);
	return 0;
}

static int handle_answer(struct session *s, const json_t *message)
{
	return clients_answer(s->clients, message);
}

static int handle_exec_started(struct session *s, const json_t *message)
{
	return id_is_ours(s, message) ? clients_exec_started(s->clients, message) : -EPROTO;
}

static int handle_exec_exited(struct session *s, const json_t *message)
{
	return id_is_ours(s, message) ? clients_exec_exited(s->clients, message) : -EPROTO;
}

static int handle_exec_failed(struct session *s, const json_t *message)
{
	return id_is_ours(s, message) ? clients_exec_failed(s->clients, message) : -EPROTO;
}

static int handle_log(struct session *s, const json_t *message)
{
	static const char *const levels[] = {"error", "warning", "info", "debug"};
	const char *text = json_string_value(json_object_get(message, "message"));
	const char *level = json_string_value(json_object_get(message, "level"));
	char cleaned[EVENTS_TEXT_BYTES + 16];

	if (!text || !level)
		return -EPROTO;
	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++) {
		if (strcmp(level, levels[i]) != 0)
			continue;
		if ((int)log_level() < i || !log_allowed(s))
			return 0;
		events_name_place(text, "config.json: ", cleaned, sizeof(cleaned));
		log_guest_line((enum log_level)i, "guestinit: %s", cleaned);
		return 0;
	}
	return -EPROTO;
}

int events_handle(struct session *session, const json_t *message, char *why, size_t cap_bytes)
{
	static const struct {
		const char *type;
		int (*handle)(struct session *s, const json_t *message);
	} kinds[] = {
		{"hello", handle_hello},
		{"created", handle_created},
		{"started", handle_started},
		{"exited", handle_exited},
		{"failed", handle_failed},
		{"log", handle_log},
		{"oom", handle_oom},
		{"answer", handle_answer},
		{"exec-started", handle_exec_started},
		{"exec-exited", handle_exec_exited},
		{"exec-failed", handle_exec_failed},
	};
	const char *type = json_string_value(json_object_get(message, "type"));
	char cleaned[64];

	for (size_t i = 0; type && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(type, kinds[i].type) != 0)
			continue;
		if (!session->hello && i > 0 && kinds[i].handle != handle_log)
			break; /* nothing is said before the greeting */
		int ret = kinds[i].handle(session, message);
		if (ret < 0)
			snprintf(why, cap_bytes,
				"the guest broke the agent's protocol: a wrong \"%s\"", type);
		return ret;
	}
	events_clean_text(type ? type : "?", cleaned, sizeof(cleaned));
	snprintf(
		why, cap_bytes, "the guest broke the agent's protocol: unexpected \"%s\"", cleaned);
	return -EPROTO;
}
