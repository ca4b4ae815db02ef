/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a byte stream: a descriptor of any kind (pipe, terminal, socket, file), read or
 * written without ever waiting, and its place in an event loop. The kinds differ in what "without
 * waiting" takes:
 *  - a socket has MSG_DONTWAIT,
 *  - a non-blocking description answers EAGAIN by itself,
 *  - a regular file, /dev/null and the like are always ready, and epoll does not take them,
 *  - a blocking pipe or terminal is asked by poll(2) first and then gets at most PIPE_BUF bytes,
 *    which poll has promised room for.
 */
#ifndef MICROVM_DEVICES_STREAM_FD_H
#define MICROVM_DEVICES_STREAM_FD_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/loop.h"
#include "microvm/confine/filter.h"

enum stream_kind { STREAM_NONBLOCKING, STREAM_SOCKET, STREAM_POLLED };

struct stream_fd {
	int fd; /* owned; -1 is none */
	enum stream_kind kind;
	bool always_ready;
	uint32_t armed; /* events waited for in the loop; 0 is not in it */
	struct loop_source source;
};

/* Takes fd over. */
void stream_fd_init(
	struct stream_fd *s, int fd, void (*ready)(struct loop_source *source, uint32_t events));

/*
 * Waits for events (0: for none, and then errors don't call back either). Returns true when the
 * descriptor needs no waiting: it is always ready, and the caller comes back on its own.
 */
bool stream_fd_arm(struct stream_fd *s, struct loop *loop, uint32_t events);

/* The bytes moved, 0 at the end of the stream (read), -EAGAIN, or another -errno. */
ssize_t stream_fd_read(struct stream_fd *s, struct iovec *iov, unsigned n_iov);
ssize_t stream_fd_write(struct stream_fd *s, struct iovec *iov, unsigned n_iov);

/* Leaves the loop and closes; a socket is shut down in direction how (SHUT_RD, SHUT_WR) first. */
void stream_fd_close(struct stream_fd *s, struct loop *loop, int how);

extern const struct calls stream_fd_calls; /* what all of these call */

#endif
