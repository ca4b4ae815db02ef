/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows of bytes; see relay.h. At any time the relay waits for one of its ends: for input while
 * the buffer is empty, else for room in the output.
 */
#include "guestinit/relay.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

#define RELAY_ROUNDS 16 /* per wake-up, so that one busy stream does not starve the others */

static void relay_pump(struct relay *relay);

static void relay_from_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	relay_pump((struct relay *)(void *)((char *)source - offsetof(struct relay, from)));
}

static void relay_to_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	relay_pump((struct relay *)(void *)((char *)source - offsetof(struct relay, to)));
}

void relay_init(struct relay *relay)
{
	*relay = (struct relay){
		.from = {.fd = -1, .ready = relay_from_ready},
		.to = {.fd = -1, .ready = relay_to_ready},
		.from_fd = -1,
		.to_fd = -1,
	};
}

bool relay_running(const struct relay *relay)
{
	return relay->from_fd >= 0;
}

void relay_stop(struct relay *relay)
{
	if (!relay_running(relay))
		return;
	loop_del(relay->loop, &relay->from);
	loop_del(relay->loop, &relay->to);
	fd_closep(&relay->from_fd);
	fd_closep(&relay->to_fd);
	free(relay->buf);
	relay->buf = NULL;
	relay->start = relay->used = 0;
}

static void relay_finish(struct relay *relay)
{
	/* A socket's other direction may belong to another relay. ENOTSOCK is fine. */
	shutdown(relay->to_fd, SHUT_WR);
	relay_stop(relay);
	relay->done(relay);
}

static int relay_wait(struct relay *relay, bool output)
{
	struct loop_source *want = output ? &relay->to : &relay->from;

	if (want->fd >= 0)
		return 0;
	loop_del(relay->loop, output ? &relay->from : &relay->to);
	return loop_add(relay->loop, want, output ? relay->to_fd : relay->from_fd,
		output ? EPOLLOUT : EPOLLIN);
}

/* One read or write. 1: go on, 0: wait, negative: this flow is over. */
static int relay_step(struct relay *relay)
{
	ssize_t n;

	if (relay->used) {
		n = write(relay->to_fd, relay->buf + relay->start, relay->used);
		if (n < 0)
			return errno == EAGAIN ? 0 : errno == EINTR ? 1 : -errno;
		relay->start += (size_t)n;
		relay->used -= (size_t)n;
		return 1;
	}
	if (relay->eof)
		return -ENODATA;
	size_t cap = relay->draining && relay->drain_left < RELAY_BUFFER_BYTES ? relay->drain_left
									       : RELAY_BUFFER_BYTES;
	n = read(relay->from_fd, relay->buf, cap);
	if (n < 0 && (errno == EINTR || (errno == EAGAIN && !relay->draining)))
		return errno == EINTR;
	/* EIO is how a terminal ends; a reset connection has nothing more to say either. */
	if (n <= 0)
		relay->eof = true;
	relay->start = 0;
	relay->used = n > 0 ? (size_t)n : 0;
	relay->drain_left -= relay->draining ? relay->used : 0;
	return 1;
}

static void relay_pump(struct relay *relay)
{
	int ret = 1;

	for (int i = 0; (i < RELAY_ROUNDS || relay->draining) && ret > 0; i++)
		ret = relay_step(relay);
	if (ret >= 0)
		ret = relay_wait(relay, relay->used > 0);
	if (ret < 0)
		relay_finish(relay);
}

void relay_drain(struct relay *relay)
{
	int bytes = 0, number;

	/* Of a terminal not all shows in the number; it ends by itself, as its session has. */
	bool terminal = ioctl(relay->from_fd, TIOCGPTN, &number) == 0;
	relay->drain_left = SIZE_MAX;
	if (!terminal && ioctl(relay->from_fd, FIONREAD, &bytes) == 0)
		relay->drain_left = (size_t)bytes;
	relay->draining = true;
	relay_pump(relay);
}

int relay_start(struct relay *relay, struct loop *loop, int from_fd, int to_fd,
	void (*done)(struct relay *relay))
{
	relay->loop = loop;
	relay->from_fd = from_fd;
	relay->to_fd = to_fd;
	relay->done = done;
	relay->eof = relay->draining = false;
	relay->buf = malloc(RELAY_BUFFER_BYTES);
	int ret = relay->buf ? relay_wait(relay, false) : -ENOMEM;
	if (ret < 0)
		relay_stop(relay);
	return ret;
}
