/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics; see log.h. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define LOG_LINE_BYTES 4096
#define FULL	       "the log has its full size: no more of "

static const char *log_program = "hvrun";
static int log_fd = STDERR_FILENO;
static enum log_level log_limit = LOG_LEVEL_WARNING;
/* Bytes that are left; 0: none, and that was said. */
static atomic_size_t log_own_room = LOG_BYTES_MAX, log_guest_room = LOG_BYTES_MAX;

void log_init(const char *program, int fd, enum log_level level)
{
	log_program = program;
	log_fd = fd;
	log_limit = level;
	atomic_store(&log_own_room, LOG_BYTES_MAX);
	atomic_store(&log_guest_room, LOG_BYTES_MAX);
}

enum log_level log_level(void)
{
	return log_limit;
}

/* Ends the line, of len bytes until now; its length. */
static size_t finish(char line[LOG_LINE_BYTES], size_t len)
{
	/* Text may quote a hostile guest or image. */
	text_clean(line, len);
	line[len] = '\n';
	return len + 1;
}

/* Its length. */
static size_t compose(char line[LOG_LINE_BYTES], enum log_level level, const char *text)
{
	static const char *const words[] = {"", "warning: ", "", "debug: "};

	snprintf(line, LOG_LINE_BYTES, "%s: %s%s", log_program, words[level], text);
	return finish(line, strnlen(line, LOG_LINE_BYTES - 2));
}

static bool take(atomic_size_t *room, size_t len_bytes)
{
	size_t left = atomic_load(room);

	do {
		if (left <= len_bytes)
			return false;
	} while (!atomic_compare_exchange_weak(room, &left, left - len_bytes));
	return true;
}

static __attribute__((format(printf, 3, 0))) void say(
	enum log_level level, atomic_size_t *room, const char *fmt, va_list ap)
{
	int saved = errno;
	char text[LOG_LINE_BYTES], line[LOG_LINE_BYTES];

	if (level > log_limit)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	size_t len = compose(line, level, text);
	if (room && !take(room, len)) {
		if (!atomic_exchange(room, 0))
			return;
		len = compose(line, LOG_LEVEL_WARNING,
			room == &log_guest_room ? FULL "what the guest says is logged"
						: FULL "this is logged, but for errors");
	}
	ssize_t ignored = write(log_fd, line, len);
	(void)ignored;
	errno = saved;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(level, level == LOG_LEVEL_ERROR ? NULL : &log_own_room, fmt, ap);
	va_end(ap);
}

void log_guest_line(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(level, &log_guest_room, fmt, ap);
	va_end(ap);
}

void log_foreign(const char *head, const char *text, size_t len_bytes)
{
	char line[LOG_LINE_BYTES];
	size_t used = strnlen(head, sizeof(line) - 1);
	int saved = errno;

	memcpy(line, head, used);
	if (len_bytes > sizeof(line) - 1 - used)
		len_bytes = sizeof(line) - 1 - used;
	memcpy(line + used, text, len_bytes);
	ssize_t ignored = write(log_fd, line, finish(line, used + len_bytes));
	(void)ignored;
	errno = saved;
}
