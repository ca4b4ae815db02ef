/* SPDX-License-Identifier: Apache-2.0 */
/* Standard streams; see streams.h. */
#include "guestinit/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/create.h"
#include "guestinit/pty.h"

#define STREAMS_ALL ((int)(sizeof(((struct streams *)NULL)->v) / sizeof(struct stream)))

void guest_streams_init(struct streams *streams)
{
	*streams = (struct streams){.master_fd = -1};
	for (int i = 0; i < STREAMS_ALL; i++) {
		struct stream *s = &streams->v[i];
		s->streams = streams;
		s->pipe_fd = s->socket_fd = -1;
		s->over = i >= STREAM_COUNT; /* until it is wanted */
		s->in = i == STREAM_IN || (i >= STREAM_COUNT && (i - STREAM_COUNT) % 2 == 0);
		relay_init(&s->relay);
	}
}

void guest_streams_close(struct streams *streams)
{
	for (int i = 0; i < STREAMS_ALL; i++) {
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
	for (int i = 0; i < STREAMS_ALL; i++)
		if (!streams->v[i].in && !streams->v[i].over)
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
	for (int i = 0; i < STREAMS_ALL; i++)
		if (!streams->v[i].in && relay_running(&streams->v[i].relay))
			relay_drain(&streams->v[i].relay);
	streams->held = false;
	streams_check_drained(streams);
}

/* Starts the relay once both sides are there. */
static int stream_try_start(struct stream *s)
{
	if (s->pipe_fd < 0 || s->socket_fd < 0)
		return 0;
	int pipe = steal_fd(&s->pipe_fd), sock = steal_fd(&s->socket_fd);
	int ret = relay_start(
		&s->relay, s->streams->loop, s->in ? sock : pipe, s->in ? pipe : sock, stream_done);
	if (ret < 0)
		s->over = true;
	return ret;
}

static int stream_make_pipe(struct stream *s, uid_t uid, int *child_fd)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	s->pipe_fd = ends[s->in ? 1 : 0];
	*child_fd = ends[s->in ? 0 : 1];
	/* The container's user may open /dev/stdout anew. */
	if (uid && fchown(ends[0], uid, (gid_t)-1) < 0)
		return -errno;
	return fd_set_nonblock(s->pipe_fd, true);
}

/* One socket, and a relay for each of its directions. */
static int streams_make_socket(struct stream *in, struct stream *out, int *child_fd)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	*child_fd = ends[1];
	in->pipe_fd = ends[0];
	out->pipe_fd = fcntl(ends[0], F_DUPFD_CLOEXEC, 3);
	return out->pipe_fd < 0 ? -errno : fd_set_nonblock(in->pipe_fd, true);
}

static int streams_preserve(struct streams *streams, const struct cfg_stdio *config, uid_t uid,
	int child_fds[STREAM_FDS_MAX], struct err *e)
{
	for (size_t i = 0; i < config->preserved.n; i++) {
		const struct cfg_preserved *p = &config->preserved.v[i];
		struct stream *in = &streams->v[STREAM_COUNT + 2 * i], *out = in + 1;
		int *child_fd = &child_fds[STREAM_COUNT + i];

		in->over = !p->in;
		out->over = !p->out;
		in->port = p->in ? p->port : 0;
		out->port = p->out ? p->port : 0;
		int ret = p->in && p->out ? streams_make_socket(in, out, child_fd)
					  : stream_make_pipe(p->in ? in : out, uid, child_fd);
		if (ret < 0)
			return err_sys(e, -ret, "stdio: descriptor %zu", STREAM_COUNT + i);
	}
	return 0;
}

int guest_streams_prepare(struct streams *streams, struct loop *loop,
	const struct cfg_stdio *config, uid_t uid, const char *null_path,
	int child_fds[STREAM_FDS_MAX], struct err *e)
{
	const uint32_t ports[STREAM_COUNT] = {config->in, config->out, config->err};

	streams->loop = loop;
	streams->terminal = config->terminal;
	streams->rows = config->rows;
	streams->columns = config->columns;
	for (unsigned i = 0; i < STREAM_FDS_MAX; i++)
		child_fds[i] = -1;
	if (config->terminal) {
		streams->v[STREAM_IN].port = streams->v[STREAM_OUT].port = config->in;
		streams->v[STREAM_ERR].over = true;
		return streams_preserve(streams, config, uid, child_fds, e);
	}
	for (int i = 0; i < STREAM_COUNT; i++) {
		struct stream *s = &streams->v[i];
		int ret = 0;

		s->port = ports[i];
		if (ports[i]) {
			ret = stream_make_pipe(s, uid, &child_fds[i]);
		} else {
			s->over = true;
			child_fds[i] = open(null_path, O_RDWR | O_CLOEXEC);
			if (child_fds[i] < 0)
				ret = -errno;
		}
		if (ret < 0)
			return err_sys(e, -ret, "stdio: stream %d", i);
	}
	return streams_preserve(streams, config, uid, child_fds, e);
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
	struct stream *both[2];
	int taken = 0, ret = 0;

	for (int i = 0; i < STREAMS_ALL && taken < 2; i++) {
		struct stream *s = &streams->v[i];
		if (s->port != port || s->socket_fd >= 0 || relay_running(&s->relay) || s->over)
			continue;
		/* Each relay closes its own descriptor. */
		s->socket_fd = taken ? fcntl(socket_fd, F_DUPFD_CLOEXEC, 3) : socket_fd;
		if (s->socket_fd < 0)
			return -errno;
		both[taken++] = s;
	}
	if (taken)
		ret = fd_set_nonblock(socket_fd, true);
	/* The second must have its copy before the first can end. */
	for (int i = 0; i < taken && ret == 0; i++)
		ret = stream_try_start(both[i]);
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
	for (int i = 0; i < STREAMS_ALL; i++) {
		struct stream *s = &streams->v[i];
		if (!s->in)
			continue;
		relay_stop(&s->relay);
		fd_closep(&s->pipe_fd);
		fd_closep(&s->socket_fd);
	}
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
