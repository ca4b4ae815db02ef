/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of hvrun-fs; see fs_log.h. */
#include "microvm/vmm/fs_log.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

static const char program[] = "hvrun-fs: ";

static void fs_log_close(struct fs_log *log)
{
	int fd = log->source.fd;

	if (fd < 0)
		return;
	loop_del(log->loop, &log->source);
	fd_closep(&fd);
}

static void say_line(struct fs_log *log)
{
	bool marked = log->line_bytes >= sizeof(program) - 1 &&
		!memcmp(log->line, program, sizeof(program) - 1);
	size_t bytes = log->line_bytes + 1;

	if (bytes > log->left_bytes) {
		log_warn("hvrun-fs says too much: no more of it is logged");
		log->left_bytes = 0;
		return;
	}
	log->left_bytes -= bytes;
	log_foreign(marked ? "" : program, log->line, log->line_bytes);
	log->line_bytes = 0;
}

/* A line that is too long goes in pieces. */
static void take(struct fs_log *log, const char *text, size_t len_bytes)
{
	for (size_t i = 0; i < len_bytes && log->left_bytes; i++) {
		if (text[i] != '\n')
			log->line[log->line_bytes++] = text[i];
		if (text[i] == '\n' || log->line_bytes == sizeof(log->line))
			say_line(log);
	}
}

/* False when there is nothing to be read, or will never be. */
static bool read_some(struct fs_log *log)
{
	char text[FS_LOG_LINE_BYTES];

	ssize_t n = read(log->source.fd, text, sizeof(text));
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n > 0)
		take(log, text, (size_t)n);
	if (n <= 0 || !log->left_bytes)
		fs_log_close(log);
	return log->source.fd >= 0;
}

static void fs_log_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	read_some((struct fs_log *)(void *)((char *)source - offsetof(struct fs_log, source)));
}

int fs_log_init(struct fs_log *log, struct loop *loop, int fd, size_t left_bytes, struct err *e)
{
	cleanup_close int own = fd;

	*log = (struct fs_log){.loop = loop, .left_bytes = left_bytes};
	log->source = (struct loop_source){.fd = -1, .ready = fs_log_ready};
	if (own < 0)
		return 0;
	int ret = fd_set_nonblock(own, true);
	if (ret == 0)
		ret = loop_add(loop, &log->source, own, EPOLLIN);
	if (ret < 0)
		return err_sys(e, -ret, "plan: fs.log");
	(void)steal_fd(&own);
	return 0;
}

void fs_log_fini(struct fs_log *log)
{
	if (!log->loop)
		return;
	/* As much as a pipe holds, should its writer not stop. */
	for (size_t i = 0; i < FS_LOG_BYTES / FS_LOG_LINE_BYTES && log->source.fd >= 0; i++)
		if (!read_some(log))
			break;
	if (log->line_bytes && log->left_bytes)
		say_line(log);
	fs_log_close(log);
	log->loop = NULL;
}
