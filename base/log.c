/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics; see log.h. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOG_LINE_BYTES 4096

static const char *log_program = "hvrun";
static int log_fd = STDERR_FILENO;
static enum log_level log_limit = LOG_LEVEL_WARNING;

void log_init(const char *program, int fd, enum log_level level)
{
	log_program = program;
	log_fd = fd;
	log_limit = level;
}

enum log_level log_level(void)
{
	return log_limit;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const words[] = {"", "warning: ", "", "debug: "};
	int saved = errno;
	char line[LOG_LINE_BYTES];
	va_list ap;

	if (level > log_limit)
		return;
	int head = snprintf(line, sizeof(line), "%s: %s", log_program, words[level]);
	va_start(ap, fmt);
	vsnprintf(line + head, sizeof(line) - (size_t)head, fmt, ap);
	va_end(ap);
	/* Text may quote a hostile guest or image: no control character reaches the terminal. */
	size_t len = strnlen(line, sizeof(line) - 2);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = line[i] == '\t' ? '\t' : '?';
	line[len] = '\n';
	ssize_t ignored = write(log_fd, line, len + 1);
	(void)ignored;
	errno = saved;
}
