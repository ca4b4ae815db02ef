/* SPDX-License-Identifier: Apache-2.0 */
/* The guest kernel's console; see console_log.h. */
#include "microvm/vmm/console_log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"

#define PANIC_WORDS "Kernel panic - not syncing"

int console_log_init(struct console_log *log)
{
	memset(log, 0, sizeof(*log));
	return -pthread_mutex_init(&log->lock, NULL);
}

void console_log_fini(struct console_log *log)
{
	pthread_mutex_destroy(&log->lock);
}

/* To the debug log, unless this second has had its share. */
static void forward(struct console_log *log, const char *line)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if ((uint64_t)now.tv_sec != log->second) {
		if (log->dropped)
			log_guest_line(LOG_LEVEL_DEBUG, "guest: (%u lines dropped)", log->dropped);
		log->second = (uint64_t)now.tv_sec;
		log->logged = log->dropped = 0;
	}
	if (log->logged++ < CONSOLE_LOG_LINES_PER_S)
		log_guest_line(LOG_LEVEL_DEBUG, "guest: %s", line);
	else
		log->dropped++;
}

static void end_line(struct console_log *log)
{
	const char *panic;

	if (!log->line_bytes)
		return;
	log->line[log->line_bytes] = '\0';
	log->line_bytes = 0;
	memcpy(log->lines[log->next], log->line, sizeof(log->line));
	log->next = (log->next + 1) % CONSOLE_LOG_LINES;
	if (log->n_lines < CONSOLE_LOG_LINES)
		log->n_lines++;
	panic = strstr(log->line, PANIC_WORDS);
	if (panic && !log->panic[0])
		snprintf(log->panic, sizeof(log->panic), "%s", panic);
	if (log_level() >= LOG_LEVEL_DEBUG)
		forward(log, log->line);
}

static void add_byte(struct console_log *log, unsigned char byte)
{
	char escaped[5];
	size_t n = 1;

	if (byte == '\n') {
		end_line(log);
		return;
	}
	if (byte == '\r')
		return;
	if (byte == '\t')
		byte = ' ';
	if (byte >= ' ' && byte <= '~')
		escaped[0] = (char)byte;
	else
		n = (size_t)snprintf(escaped, sizeof(escaped), "\\x%02x", byte);
	if (log->line_bytes + n >= sizeof(log->line))
		end_line(log);
	memcpy(log->line + log->line_bytes, escaped, n);
	log->line_bytes += n;
}

void console_log_write(struct console_log *log, const void *bytes, size_t len_bytes)
{
	const unsigned char *p = bytes;

	pthread_mutex_lock(&log->lock);
	for (size_t i = 0; i < len_bytes; i++)
		add_byte(log, p[i]);
	pthread_mutex_unlock(&log->lock);
}

json_t *console_log_tail(struct console_log *log)
{
	cleanup_json json_t *tail = json_array();
	int ret = tail ? 0 : -1;

	pthread_mutex_lock(&log->lock);
	end_line(log);
	for (unsigned i = 0; i < log->n_lines && ret == 0; i++) {
		unsigned at =
			(log->next + CONSOLE_LOG_LINES - log->n_lines + i) % CONSOLE_LOG_LINES;
		ret = json_array_append_new(tail, json_string(log->lines[at]));
	}
	pthread_mutex_unlock(&log->lock);
	return ret < 0 ? NULL : steal_ptr(&tail);
}

bool console_log_panic(struct console_log *log, char *text, size_t cap_bytes)
{
	pthread_mutex_lock(&log->lock);
	snprintf(text, cap_bytes, "%s", log->panic);
	pthread_mutex_unlock(&log->lock);
	return text[0];
}
