/* SPDX-License-Identifier: Apache-2.0 */
/* Ends of byte streams; see stream_fd.h. */
#include "microvm/devices/stream_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static const struct call calls[] = {
	CALL(newfstatat), /* of fstat, as the C library makes it */
	CALL_RARELY(fstat),
	CALL_IF_EQUAL(fcntl, 1, F_GETFL),
	CALL(readv),
	CALL(writev),
	CALL(recvmsg),
	CALL(sendmsg),
	CALL(poll),
	CALL(write),
	CALL(shutdown),
	CALL(epoll_ctl),
	CALL(close),
};
const struct calls stream_fd_calls = CALLS(calls);

static enum stream_kind kind_of(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return STREAM_POLLED;
	if (S_ISSOCK(st.st_mode))
		return STREAM_SOCKET;
	if (S_ISREG(st.st_mode) || (flags >= 0 && (flags & O_NONBLOCK)))
		return STREAM_NONBLOCKING;
	return STREAM_POLLED;
}

void stream_fd_init(
	struct stream_fd *s, int fd, void (*ready)(struct loop_source *source, uint32_t events))
{
	s->fd = fd;
	s->kind = fd >= 0 ? kind_of(fd) : STREAM_POLLED;
	s->always_ready = false;
	s->armed = 0;
	s->source = (struct loop_source){.fd = -1, .ready = ready};
}

bool stream_fd_arm(struct stream_fd *s, struct loop *loop, uint32_t events)
{
	if (s->fd < 0)
		return false;
	if (s->always_ready)
		return events;
	if (events == s->armed)
		return false;
	/* Out of the loop rather than in it with no events: hang-ups are reported for those too. */
	if (!events) {
		loop_del(loop, &s->source);
		s->armed = 0;
		return false;
	}
	int ret = s->armed ? loop_mod(loop, &s->source, events)
			   : loop_add(loop, &s->source, s->fd, events);
	if (!ret) {
		s->armed = events;
		return false;
	}
	/*
	 * -EPERM: no such thing as readiness (regular files, /dev/null), nothing to poll for. After
	 * any other failure the caller has to come back often, which is slow but goes on.
	 */
	if (ret == -EPERM && s->kind == STREAM_POLLED)
		s->kind = STREAM_NONBLOCKING;
	s->always_ready = true;
	return true;
}

/* Whether a blocking descriptor can be served now. Hang-ups count: the transfer tells. */
static bool poll_now(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, 0) == 1;
}

ssize_t stream_fd_read(struct stream_fd *s, struct iovec *iov, unsigned n_iov)
{
	ssize_t n;

	if (s->kind == STREAM_POLLED && !poll_now(s->fd, POLLIN))
		return -EAGAIN;
	do {
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n_iov};
		n = s->kind == STREAM_SOCKET ? recvmsg(s->fd, &msg, MSG_DONTWAIT)
					     : readv(s->fd, iov, (int)n_iov);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* The first PIPE_BUF bytes of iov; a copy of one element suffices, the caller comes back. */
static ssize_t write_polled(int fd, const struct iovec *iov)
{
	size_t len = iov->iov_len < PIPE_BUF ? iov->iov_len : PIPE_BUF;

	if (!poll_now(fd, POLLOUT)) {
		errno = EAGAIN;
		return -1;
	}
	return write(fd, iov->iov_base, len);
}

ssize_t stream_fd_write(struct stream_fd *s, struct iovec *iov, unsigned n_iov)
{
	ssize_t n;

	do {
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n_iov};
		if (s->kind == STREAM_SOCKET)
			n = sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		else if (s->kind == STREAM_POLLED)
			n = write_polled(s->fd, iov);
		else
			n = writev(s->fd, iov, (int)n_iov);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void stream_fd_close(struct stream_fd *s, struct loop *loop, int how)
{
	if (s->fd < 0)
		return;
	loop_del(loop, &s->source);
	s->armed = 0;
	if (s->kind == STREAM_SOCKET)
		(void)shutdown(s->fd, how);
	fd_closep(&s->fd);
}
