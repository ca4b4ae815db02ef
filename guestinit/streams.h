/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The standard streams of a container: pipes (programs open /dev/stdout, which sockets don't
 * allow) or a terminal on its side, connections from the host on ours. A stream is relayed as
 * soon as both of its sides are there, in whatever order they come. What the caller of hvrun
 * preserves from descriptor 3 on is carried in the same way, pipes as pipes and sockets as sockets.
 */
#ifndef GUESTINIT_STREAMS_H
#define GUESTINIT_STREAMS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/msg.h"
#include "guestinit/relay.h"

struct cfg_stdio;

enum { STREAM_IN, STREAM_OUT, STREAM_ERR, STREAM_COUNT };

#define STREAM_FDS_MAX (STREAM_COUNT + MSG_PRESERVED_MAX) /* of a process */

/*
 * A direction of one. STREAM_IN and STREAM_OUT of a terminal share its connection, and so do the
 * two of a preserved socket.
 */
struct stream {
	struct streams *streams;
	struct relay relay;
	uint32_t port; /* of the host; 0: not wanted */
	int pipe_fd;   /* our end, -1 while it is not there */
	int socket_fd; /* -1 while it is not there */
	bool in, over;
};

struct streams {
	struct loop *loop;
	struct stream v[STREAM_COUNT + 2 * MSG_PRESERVED_MAX];
	int master_fd; /* of the terminal, for its size; -1 without */
	bool terminal;
	uint32_t rows, columns;
	void (*drained)(struct streams *streams); /* all output went out; called once */
	bool drained_called;
	bool finishing; /* the output ends where it is empty */
	bool held;	/* `drained` has to wait */
};

/*
 * Makes pipes and sockets; child_fds get the container's ends, which become its descriptors of
 * those numbers (-1 for a terminal, and behind the last), owned by uid. A standard stream that
 * nobody wants gets null_path.
 */
int guest_streams_prepare(struct streams *streams, struct loop *loop,
	const struct cfg_stdio *config, uid_t uid, const char *null_path,
	int child_fds[STREAM_FDS_MAX], struct err *e) must_check;

/* Takes the terminal's master. */
int guest_streams_set_terminal(struct streams *streams, int master_fd) must_check;

/* Takes *master_fd, and gives it the size that may have changed while it was being made. */
int guest_streams_take_terminal(struct streams *streams, int *master_fd) must_check;

/*
 * Takes a connection from the host's port if it is one of these: 1, 0 when it is not, -errno.
 * `drained` may be called, and the streams be gone afterwards.
 */
int guest_streams_attach(struct streams *streams, uint32_t port, int socket_fd) must_check;

int guest_streams_resize(struct streams *streams, uint32_t rows, uint32_t columns) must_check;

/* The container ended: input stops, `drained` is called when the output is through. */
void guest_streams_end(struct streams *streams, void (*drained)(struct streams *streams));

/*
 * The same where others may go on that have the streams' ends: the output is through when all
 * that is written by now is.
 */
void guest_streams_finish(struct streams *streams, void (*drained)(struct streams *streams));

void guest_streams_init(struct streams *streams);
void guest_streams_close(struct streams *streams);

#endif
