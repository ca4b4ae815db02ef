/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One vsock connection. Each direction ends by itself: rd_fd's end becomes SHUTDOWN(SEND), the
 * guest's SHUTDOWN(SEND) closes wr_fd once the buffer has drained. An output that breaks (its
 * reader went away) becomes SHUTDOWN(RCV), so that the guest's writer gets its EPIPE.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "microvm/devices/vsock_internal.h"

/* A quarter: well before a sender that fills the window would have to stop. */
#define CREDIT_TOLD_BYTES (VSOCK_BUFFER_BYTES / 4)

static struct vsock_conn *conn_of_rd(struct loop_source *source)
{
	return (struct vsock_conn *)(void *)((char *)source -
		offsetof(struct vsock_conn, rd.source));
}

static struct vsock_conn *conn_of_wr(struct loop_source *source)
{
	return (struct vsock_conn *)(void *)((char *)source -
		offsetof(struct vsock_conn, wr.source));
}

static void rd_ready(struct loop_source *source, uint32_t events)
{
	struct vsock_conn *c = conn_of_rd(source);
	struct vsock *v = c->vsock;

	(void)events; /* errors and hang-ups show in the transfer */
	pthread_mutex_lock(&v->dev.lock);
	vsock_conn_pump(c);
	vsock_settle(v);
	pthread_mutex_unlock(&v->dev.lock);
}

static void wr_ready(struct loop_source *source, uint32_t events)
{
	struct vsock_conn *c = conn_of_wr(source);
	struct vsock *v = c->vsock;

	(void)events;
	pthread_mutex_lock(&v->dev.lock);
	vsock_conn_drain(c);
	vsock_settle(v);
	pthread_mutex_unlock(&v->dev.lock);
}

struct vsock_conn *vsock_conn_find(struct vsock *v, uint32_t host_port, uint32_t guest_port)
{
	for (unsigned i = 0; i < v->n_conns; i++) {
		struct vsock_conn *c = v->conns[i];
		if (c->host_port == host_port && c->guest_port == guest_port)
			return c;
	}
	return NULL;
}

struct vsock_conn *vsock_conn_new(struct vsock *v, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_conn *c;

	if (v->n_conns == VSOCK_CONNS_MAX)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->vsock = v;
	c->host_port = host_port;
	c->guest_port = guest_port;
	c->batch = 2;
	vsock_conn_set_fds(c, -1, -1);
	v->conns[v->n_conns++] = c;
	return c;
}

void vsock_conn_set_fds(struct vsock_conn *c, int rd_fd, int wr_fd)
{
	stream_fd_init(&c->rd, rd_fd, rd_ready);
	stream_fd_init(&c->wr, wr_fd, wr_ready);
}

void vsock_conn_free(struct vsock_conn *c)
{
	struct vsock *v = c->vsock;

	for (unsigned i = 0; i < v->n_conns; i++) {
		if (v->conns[i] == c) {
			v->conns[i] = v->conns[--v->n_conns];
			break;
		}
	}
	stream_fd_close(&c->rd, v->dev.loop, SHUT_RD);
	stream_fd_close(&c->wr, v->dev.loop, SHUT_WR);
	free(c->buf);
	free(c);
}

void vsock_conn_open(struct vsock_conn *c)
{
	c->state = VSOCK_OPEN;
	c->calls |= VSOCK_CALL_CONNECTED;
	/* A direction without a descriptor is over before it begins. */
	if (c->rd.fd < 0)
		c->shut_host |= VIRTIO_VSOCK_SHUTDOWN_SEND;
	if (c->wr.fd < 0)
		c->shut_host |= VIRTIO_VSOCK_SHUTDOWN_RCV;
	if (c->shut_host)
		c->owed |= VSOCK_OWE_SHUTDOWN;
}

void vsock_conn_kill(struct vsock_conn *c, int reason, bool reset)
{
	bool can_tell = reset && vsock_running(c->vsock);

	if (c->state == VSOCK_DEAD) {
		c->owed = can_tell ? VSOCK_OWE_RST : 0;
		return;
	}
	c->state = VSOCK_DEAD;
	c->reason = reason;
	c->owed = can_tell ? VSOCK_OWE_RST : 0;
	c->calls &= ~(unsigned)VSOCK_CALL_ACCEPT;
}

void vsock_conn_shutdown(struct vsock_conn *c, uint32_t flags)
{
	c->shut_guest |= flags & (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND);
}

uint32_t vsock_conn_credit(const struct vsock_conn *c)
{
	/* Both words are the guest's: nonsense in them must only ever mean less credit. */
	uint32_t in_flight = c->tx_bytes - c->guest_fwd_cnt;

	return in_flight < c->guest_buf_alloc ? c->guest_buf_alloc - in_flight : 0;
}

/* Bytes from the guest have left us: that is new credit for it. */
static void conn_forwarded(struct vsock_conn *c, uint32_t len_bytes)
{
	c->fwd_cnt += len_bytes;
	if (c->state == VSOCK_OPEN && c->fwd_cnt - c->fwd_cnt_told >= CREDIT_TOLD_BYTES)
		c->owed |= VSOCK_OWE_CREDIT_UPDATE;
}

/* wr_fd takes no more: what waits for it is thrown away, and so will be what still comes. */
static void output_broken(struct vsock_conn *c, int code)
{
	c->broken = code;
	c->calls |= VSOCK_CALL_BROKEN;
	stream_fd_close(&c->wr, c->vsock->dev.loop, SHUT_WR);
	conn_forwarded(c, c->buf_used);
	c->buf_used = 0;
	if (c->state == VSOCK_OPEN) {
		c->shut_host |= VIRTIO_VSOCK_SHUTDOWN_RCV;
		c->owed |= VSOCK_OWE_SHUTDOWN;
	}
}

static void buffer_take(struct vsock_conn *c, uint32_t len_bytes)
{
	c->buf_start = (c->buf_start + len_bytes) % VSOCK_BUFFER_BYTES;
	c->buf_used -= len_bytes;
}

void vsock_conn_drain(struct vsock_conn *c)
{
	while (c->buf_used && c->wr.fd >= 0) {
		uint32_t to_end = VSOCK_BUFFER_BYTES - c->buf_start;
		uint32_t first = c->buf_used < to_end ? c->buf_used : to_end;
		struct iovec iov[2] = {
			{.iov_base = c->buf + c->buf_start, .iov_len = first},
			{.iov_base = c->buf, .iov_len = c->buf_used - first},
		};
		ssize_t n = stream_fd_write(&c->wr, iov, iov[1].iov_len ? 2 : 1);

		if (n == -EAGAIN || n == 0)
			return;
		if (n < 0) {
			output_broken(c, (int)-n);
			return;
		}
		buffer_take(c, (uint32_t)n);
		conn_forwarded(c, (uint32_t)n);
	}
}

/* Appends len_bytes of v->chain from offset on; the caller has checked the room. */
static void buffer_append(struct vsock_conn *c, size_t offset, uint32_t len_bytes)
{
	const struct virtq_chain *chain = &c->vsock->chain;
	uint32_t end = (c->buf_start + c->buf_used) % VSOCK_BUFFER_BYTES;
	uint32_t to_end = VSOCK_BUFFER_BYTES - end;
	uint32_t first = len_bytes < to_end ? len_bytes : to_end;

	(void)virtq_chain_read(chain, offset, c->buf + end, first);
	(void)virtq_chain_read(chain, offset + first, c->buf, len_bytes - first);
	c->buf_used += len_bytes;
}

/* Writes as much of the payload as wr_fd takes now: the bytes written. */
static uint32_t write_through(struct vsock_conn *c, uint32_t len_bytes)
{
	struct iovec pieces[VIRTQ_SEGMENTS_MAX], *iov = pieces;
	const struct virtq_chain *chain = &c->vsock->chain;
	uint32_t done = 0;
	unsigned n_iov;

	memcpy(pieces, chain->iov, chain->n_readable * sizeof(pieces[0]));
	n_iov = virtq_iov_cut(&iov, chain->n_readable, VSOCK_HEADER_BYTES, len_bytes);
	while (done < len_bytes) {
		ssize_t n = stream_fd_write(&c->wr, iov, n_iov);
		if (n == -EAGAIN || n == 0)
			break;
		if (n < 0) {
			output_broken(c, (int)-n);
			break;
		}
		done += (uint32_t)n;
		n_iov = virtq_iov_cut(&iov, n_iov, (size_t)n, SIZE_MAX);
	}
	return done;
}

void vsock_conn_receive(struct vsock_conn *c, uint32_t len_bytes)
{
	uint32_t written = 0;

	if (c->wr.fd >= 0 && !c->buf_used)
		written = write_through(c, len_bytes);
	conn_forwarded(c, written);
	uint32_t rest = len_bytes - written;
	if (!rest)
		return;
	if (c->wr.fd < 0) {
		conn_forwarded(c, rest); /* nobody listens, and the guest has been told */
		return;
	}
	if (!c->buf)
		c->buf = malloc(VSOCK_BUFFER_BYTES);
	if (!c->buf) {
		vsock_conn_kill(c, -ENOMEM, true);
		return;
	}
	buffer_append(c, VSOCK_HEADER_BYTES + written, rest);
}

/* Whether rd_fd's bytes are wanted at all, credit and guest buffers aside. */
static bool input_alive(const struct vsock_conn *c)
{
	return c->state == VSOCK_OPEN && c->rd.fd >= 0 &&
		!(c->shut_guest & VIRTIO_VSOCK_SHUTDOWN_RCV);
}

bool vsock_conn_wants_input(const struct vsock_conn *c)
{
	return input_alive(c) && vsock_running(c->vsock) && !c->vsock->rx_stalled &&
		vsock_conn_credit(c);
}

static void input_ended(struct vsock_conn *c)
{
	stream_fd_close(&c->rd, c->vsock->dev.loop, SHUT_RD);
	c->shut_host |= VIRTIO_VSOCK_SHUTDOWN_SEND;
	c->owed |= VSOCK_OWE_SHUTDOWN;
}

void vsock_conn_pump(struct vsock_conn *c)
{
	size_t left_bytes = VSOCK_SHARE_BYTES;
	bool full = true;

	while (full && left_bytes && vsock_conn_wants_input(c)) {
		uint32_t credit = vsock_conn_credit(c);
		ssize_t n = 0;

		/* What is owed comes first: no data before the RESPONSE. */
		if (vsock_rx_owed(c) < 0)
			return;
		if (vsock_rx_data(c, credit < left_bytes ? credit : left_bytes, &n, &full) < 0)
			return;
		if (n == -EAGAIN)
			return;
		/* A terminal that hung up says EIO; any error is the end of what can be had. */
		if (n <= 0) {
			input_ended(c);
			return;
		}
		left_bytes -= (size_t)n;
	}
}

/* Ends of directions and of the whole, once what was received is out. */
static void sync_ends(struct vsock_conn *c)
{
	struct loop *loop = c->vsock->dev.loop;
	const uint32_t both = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;

	if (!input_alive(c) && (c->state == VSOCK_OPEN || c->state == VSOCK_DEAD))
		stream_fd_close(&c->rd, loop, SHUT_RD);
	if (c->buf_used)
		return;
	if ((c->shut_guest & VIRTIO_VSOCK_SHUTDOWN_SEND) && !c->drained) {
		stream_fd_close(&c->wr, loop, SHUT_WR);
		c->drained = true;
		c->calls |= VSOCK_CALL_DRAINED;
	}
	/* 5.10.6.5: the reset confirms that the connection is gone on both sides. */
	if (c->state == VSOCK_OPEN && c->shut_guest == both)
		vsock_conn_kill(c, 0, true);
	if (c->state == VSOCK_DEAD && !c->closed && !c->busy) {
		stream_fd_close(&c->wr, loop, SHUT_WR);
		c->closed = true;
		c->calls |= VSOCK_CALL_CLOSED;
	}
}

void vsock_conn_sync(struct vsock_conn *c)
{
	struct vsock *v = c->vsock;
	bool busy;

	sync_ends(c);
	if (vsock_conn_credit(c)) {
		c->credit_asked = false;
	} else if (input_alive(c) && !c->credit_asked) {
		/* Once per standstill: guests report progress by themselves, mostly. */
		c->credit_asked = true;
		c->owed |= VSOCK_OWE_CREDIT_REQUEST;
	}
	busy = stream_fd_arm(&c->rd, v->dev.loop, vsock_conn_wants_input(c) ? EPOLLIN : 0);
	busy |= stream_fd_arm(&c->wr, v->dev.loop, c->buf_used ? EPOLLOUT : 0);
	if (busy)
		v->work_wanted = true;
}

bool vsock_conn_over(const struct vsock_conn *c)
{
	return c->state == VSOCK_DEAD && c->closed && !c->calls && !c->busy && !c->owed;
}
