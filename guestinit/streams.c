/* SPDX-License-Identifier: Apache-2.0 */
/* Standard streams; see streams.h. */
#include "guestinit/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/create.h"
#include "guestinit/pty.h"

void guest_streams_init(struct streams *streams)
{
	*streams = (struct streams){.master_fd = -1};
	for (int i = 0; i < STREAM_COUNT; i++) {
		struct stream *s = &streams->v[i];
		s->streams = streams;
		s->pipe_fd = s->socket_fd = -1;
		relay_init(&s->relay);
	}
}

void guest_streams_close(struct streams *streams)
{
	for (int i = 0; i < STREAM_COUNT; i++) {
		struct stream *s = &streams->v[i];
		relay_stop(&s->relay);
		fd_closep(&s->pipe_fd);
		fd_closep(&s->socket_fd);
	}
	fd_closep(&streams->master_fd);
}

static void streams_check_drained(struct streams *streams)
{
	if (!streams->drained || streams->drained_called || streams->held)
		return;
	if (!streams->v[STREAM_OUT].over || !streams->v[STREAM_ERR].over)
		return;
	streams->drained_called = true;
	streams->drained(streams);
}

static void stream_done(struct relay *relay)
{
	struct stream *s =
		(struct stream *)(void *)((char *)relay - offsetof(struct stream, relay));

	s->over = true;
	streams_check_drained(s->streams);
}

/* Ends the output where it is empty. Last of all, because the streams may be gone afterwards. */
static void streams_drain(struct streams *streams)
{
	streams->held = true;
	for (int i = STREAM_OUT; i < STREAM_COUNT; i++)
		if (relay_running(&streams->v[i].relay))
			relay_drain(&streams->v[i].relay);
	streams->held = false;
	streams_check_drained(streams);
}

/* Starts the relay once both sides are there. */
static int stream_try_start(struct stream *s)
{
	bool in = s == &s->streams->v[STREAM_IN];

	if (s->pipe_fd < 0 || s->socket_fd < 0)
		return 0;
	int pipe = steal_fd(&s->pipe_fd), sock = steal_fd(&s->socket_fd);
	int ret = relay_start(
		&s->relay, s->streams->loop, in ? sock : pipe, in ? pipe : sock, stream_done);
	if (ret < 0)
		s->over = true;
	return ret;
}

static int stream_make_pipe(struct stream *s, bool in, uid_t uid, int *child_fd)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	s->pipe_fd = ends[in ? 1 : 0];
	*child_fd = ends[in ? 0 : 1];
	/* The container's user may open /dev/stdout anew. */
	if (uid && fchown(ends[0], uid, (gid_t)-1) < 0)
		return -errno;
	return fd_set_nonblock(s->pipe_fd, true);
}

int guest_streams_prepare(struct streams *streams, struct loop *loop,
	const struct cfg_stdio *config, uid_t uid, const char *null_path,
	int child_fds[STREAM_COUNT], struct err *e)
{
	const uint32_t ports[STREAM_COUNT] = {config->in, config->out, config->err};

	streams->loop = loop;
	streams->terminal = config->terminal;
	streams->rows = config->rows;
	streams->columns = config->columns;
	for (int i = 0; i < STREAM_COUNT; i++)
		child_fds[i] = -1;
	if (config->terminal) {
		streams->v[STREAM_IN].port = streams->v[STREAM_OUT].port = config->in;
		streams->v[STREAM_ERR].over = true;
		return 0;
	}
	for (int i = 0; i < STREAM_COUNT; i++) {
		struct stream *s = &streams->v[i];
		int ret = 0;

		s->port = ports[i];
		if (ports[i]) {
			ret = stream_make_pipe(s, i == STREAM_IN, uid, &child_fds[i]);
		} else {
			s->over = true;
			child_fds[i] = open(null_path, O_RDWR | O_CLOEXEC);
			if (child_fds[i] < 0)
				ret = -errno;
		}
		if (ret < 0)
			return err_sys(e, -ret, "stdio: stream %d", i);
	}
	return 0;
}

int guest_streams_set_terminal(struct streams *streams, int master_fd)
{
	struct stream *in = &streams->v[STREAM_IN], *out = &streams->v[STREAM_OUT];
	int ret = fd_set_nonblock(master_fd, true);

	streams->master_fd = master_fd;
	if (ret < 0)
		return ret;
	in->pipe_fd = fcntl(master_fd, F_DUPFD_CLOEXEC, 3);
	out->pipe_fd = fcntl(master_fd, F_DUPFD_CLOEXEC, 3);
	if (in->pipe_fd < 0 || out->pipe_fd < 0)
		return -errno;
	ret = stream_try_start(in);
	return ret < 0 ? ret : stream_try_start(out);
}

int guest_streams_take_terminal(struct streams *streams, int *master_fd)
{
	int ret =
		*master_fd < 0 ? -EBADF : guest_streams_set_terminal(streams, steal_fd(master_fd));

	return ret < 0 ? ret : guest_streams_resize(streams, streams->rows, streams->columns);
}

int guest_streams_attach(struct streams *streams, uint32_t port, int socket_fd)
{
	int taken = 0, ret = 0;

	for (int i = 0; i < STREAM_COUNT && ret == 0; i++) {
		struct stream *s = &streams->v[i];
		if (s->port != port || s->socket_fd >= 0 || relay_running(&s->relay) || s->over)
			continue;
		/* Each relay closes its own descriptor. */
		s->socket_fd = taken ? fcntl(socket_fd, F_DUPFD_CLOEXEC, 3) : socket_fd;
		if (s->socket_fd < 0)
			return -errno;
		if (taken++ == 0)
			ret = fd_set_nonblock(socket_fd, true);
		/* The second of a terminal's streams must have its copy before this one can end. */
		if (ret == 0 && !streams->terminal)
			ret = stream_try_start(s);
	}
	if (ret == 0 && streams->terminal && taken) {
		ret = stream_try_start(&streams->v[STREAM_IN]);
		if (ret == 0)
			ret = stream_try_start(&streams->v[STREAM_OUT]);
	}
	if (ret == 0 && taken && streams->finishing)
		streams_drain(streams);
	return ret < 0 ? ret : taken > 0;
}

int guest_streams_resize(struct streams *streams, uint32_t rows, uint32_t columns)
{
	streams->rows = rows;
	streams->columns = columns;
	return streams->master_fd < 0 ? 0 : pty_resize(streams->master_fd, rows, columns);
}

void guest_streams_end(struct streams *streams, void (*drained)(struct streams *streams))
{
	struct stream *in = &streams->v[STREAM_IN];

	relay_stop(&in->relay);
	fd_closep(&in->pipe_fd);
	fd_closep(&in->socket_fd);
	fd_closep(&streams->master_fd);
	streams->drained = drained;
	streams_check_drained(streams);
}

void guest_streams_finish(struct streams *streams, void (*drained)(struct streams *streams))
{
	streams->finishing = streams->held = true;
	guest_streams_end(streams, drained);
	streams_drain(streams);
}
