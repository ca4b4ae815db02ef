/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors for the container's process; see preserve.h. */
#include "runtime/preserve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/streams.h"

#define INHERITED_MAX 1024u /* as many as can be asked for */

unsigned preserve_inherited(void)
{
	unsigned n = 0;

	while (n < INHERITED_MAX && fcntl((int)(PRESERVE_FIRST + n), F_GETFD) >= 0)
		n++;
	return n;
}

/* A whole number in the environment; -1: not there, or something else. */
static long number(const char *name)
{
	const char *text = getenv(name);
	char *end;

	if (!text || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	long n = strtol(text, &end, 10);
	return *end || errno ? -1 : n;
}

unsigned preserve_listen_fds(void)
{
	long n = number("LISTEN_FDS");

	if (n <= 0 || number("LISTEN_PID") != (long)getpid())
		return 0;
	return n > (long)INHERITED_MAX ? INHERITED_MAX : (unsigned)n;
}

static bool socket_option(int fd, int option, int want)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == want;
}

static const char *socket_kind(int fd, struct preserve_stream *stream, const char **instead)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	*instead = "a connected stream socket";
	if (!socket_option(fd, SO_TYPE, SOCK_STREAM))
		return "a socket for packets";
	if (socket_option(fd, SO_ACCEPTCONN, 1)) {
		*instead = "a socket that listens in the container, with a published port,";
		return "a listening socket";
	}
	if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
		return "a socket that is not connected";
	stream->in = stream->out = true;
	return NULL;
}

static const char *pipe_kind(int fd, struct preserve_stream *stream, const char **instead)
{
	int mode = fcntl(fd, F_GETFL) & (O_ACCMODE | O_PATH);

	*instead = "one end of it";
	if (mode != O_RDONLY && mode != O_WRONLY)
		return "both ends of a pipe";
	stream->in = mode == O_RDONLY;
	stream->out = mode == O_WRONLY;
	return NULL;
}

/* NULL, and the stream's directions; else what the descriptor is, and what can take its place. */
static const char *kind_of(int fd, struct preserve_stream *stream, const char **instead)
{
	struct stat st;

	*instead = "a bind mount of it";
	if (fstat(fd, &st) < 0)
		return "unknown";
	if (S_ISFIFO(st.st_mode))
		return pipe_kind(fd, stream, instead);
	if (S_ISSOCK(st.st_mode))
		return socket_kind(fd, stream, instead);
	if (S_ISREG(st.st_mode))
		return "a file";
	if (S_ISDIR(st.st_mode))
		return "a directory";
	*instead = "linux.devices";
	if (S_ISBLK(st.st_mode))
		return "a block device";
	*instead = "process.terminal";
	if (S_ISCHR(st.st_mode))
		return isatty(fd) ? "a terminal" : "a character device";
	*instead = "a pipe";
	return "an object of the kernel"; /* eventfd, memfd of old, pidfd and the like */
}

/* Makes a descriptor of our own of the caller's, which is closed: ends of file are to pass. */
static int take_one(struct preserve *p, int fd, const char *option, unsigned n, struct err *e)
{
	struct preserve_stream *stream = &p->v[p->n];
	const char *instead, *kind = kind_of(fd, stream, &instead);

	if (kind)
		return err_set(e, ENOTSUP,
			"%s %u: descriptor %d is %s: of the host's open files, only pipes and "
			"connected stream sockets can be passed into a virtual machine; %s can "
			"take its place",
			option, n, fd, kind, instead);
	stream->fd = streams_reopen(fd, stream->in ? O_RDONLY : O_WRONLY);
	if (stream->fd < 0)
		return err_sys(e, errno, "%s %u: descriptor %d", option, n, fd);
	p->n++;
	close(fd);
	return 0;
}

int preserve_take(struct preserve *p, unsigned inherited, unsigned listen_fds,
	unsigned preserve_fds, struct err *e)
{
	unsigned all = listen_fds + preserve_fds;

	p->n = 0;
	if (inherited < all && inherited < listen_fds)
		return err_set(e, EBADF, "LISTEN_FDS %u: descriptor %u is not open", listen_fds,
			PRESERVE_FIRST + inherited);
	if (inherited < all)
		return err_set(e, EBADF,
			"--preserve-fds %u: unable to stat preserved-fd %u (of %u): descriptor %u "
			"is not open",
			preserve_fds, inherited - listen_fds, preserve_fds,
			PRESERVE_FIRST + inherited);
	/* What can't be passed is the better reason, so all that there is room for come first. */
	for (unsigned i = 0; i < all && i < MSG_PRESERVED_MAX; i++) {
		bool listen = i < listen_fds;
		int ret = take_one(p, (int)(PRESERVE_FIRST + i),
			listen ? "LISTEN_FDS" : "--preserve-fds",
			listen ? listen_fds : preserve_fds, e);
		if (ret < 0)
			return ret;
	}
	return all > MSG_PRESERVED_MAX
		? err_set(e, ENOTSUP, "--preserve-fds %u: more than %u descriptors%s", preserve_fds,
			  MSG_PRESERVED_MAX, listen_fds ? ", with those of LISTEN_FDS" : "")
		: 0;
}

json_t *preserve_json(const struct preserve *p, const char *key, int first)
{
	cleanup_json json_t *list = json_array();

	for (unsigned i = 0; i < p->n; i++) {
		const struct preserve_stream *stream = &p->v[i];
		int value = first < 0 ? stream->fd : first + (int)i;
		json_t *entry =
			json_pack("{s:b, s:b}", "in", (int)stream->in, "out", (int)stream->out);
		if (json_array_append_new(list, entry) < 0 ||
			(key && json_object_set_new(entry, key, json_integer(value)) < 0))
			return NULL;
	}
	return steal_ptr(&list);
}

void preserve_close(struct preserve *p)
{
	for (unsigned i = 0; i < p->n; i++)
		fd_closep(&p->v[i].fd);
	p->n = 0;
}
