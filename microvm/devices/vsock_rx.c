/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock packets to the guest. Data goes from the host's descriptor into guest buffers with one
 * readv over as many of them as the connection has lately filled: guest drivers post buffers of
 * one page, and a system call for each would be most of the work.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "microvm/devices/vsock_internal.h"

static void fill_header(const struct vsock *v, struct virtio_vsock_hdr *h, uint32_t host_port,
	uint32_t guest_port, uint16_t type, uint16_t op)
{
	*h = (struct virtio_vsock_hdr){
		.src_cid = htole64(VSOCK_HOST_CID),
		.dst_cid = htole64(v->guest_cid),
		.src_port = htole32(host_port),
		.dst_port = htole32(guest_port),
		.type = htole16(type),
		.op = htole16(op),
	};
}

/* A header of connection c; from here on the guest knows our credit as it is now. */
static void fill_conn_header(struct vsock_conn *c, struct virtio_vsock_hdr *h, uint16_t op)
{
	fill_header(c->vsock, h, c->host_port, c->guest_port, VIRTIO_VSOCK_TYPE_STREAM, op);
	h->buf_alloc = htole32(VSOCK_BUFFER_BYTES);
	h->fwd_cnt = htole32(c->fwd_cnt);
	c->fwd_cnt_told = c->fwd_cnt;
	c->owed &= ~(unsigned)VSOCK_OWE_CREDIT_UPDATE;
}

/*
 * Pops a guest buffer into v->chain: 1, or 0 without one (the queue will kick), or -EPROTO. A
 * buffer must have room for a header and something behind it, as every driver's has.
 */
static int rx_pop(struct vsock *v)
{
	int ret = virtq_pop(&v->dev.queues[VSOCK_QUEUE_RX], &v->chain);

	if (ret < 0) {
		vsock_break(v, "the guest broke the receive queue");
		return ret;
	}
	if (ret > 0 && v->chain.writable_bytes <= VSOCK_HEADER_BYTES) {
		vsock_break(v, "the guest offers receive buffers without room");
		return -EPROTO;
	}
	v->rx_stalled = !ret;
	return ret;
}

static int send_header(struct vsock *v, const struct virtio_vsock_hdr *h)
{
	int ret = rx_pop(v);

	if (ret <= 0)
		return ret ? ret : -EAGAIN;
	(void)virtq_chain_write(&v->chain, 0, h, sizeof(*h));
	virtq_push(&v->dev.queues[VSOCK_QUEUE_RX], v->chain.head, sizeof(*h));
	return 0;
}

int vsock_rx_resets(struct vsock *v)
{
	unsigned sent = 0;
	int ret = 0;

	while (sent < v->n_resets) {
		const struct vsock_reset *r = &v->resets[sent];
		struct virtio_vsock_hdr h;
		fill_header(v, &h, r->host_port, r->guest_port, r->type, VIRTIO_VSOCK_OP_RST);
		ret = send_header(v, &h);
		if (ret == -EPROTO)
			return ret; /* the table has been wiped with everything else */
		if (ret < 0)
			break;
		sent++;
	}
	if (sent) {
		v->n_resets -= sent;
		memmove(v->resets, v->resets + sent, v->n_resets * sizeof(v->resets[0]));
	}
	return ret;
}

static uint16_t owed_op(unsigned owed)
{
	switch (owed) {
	case VSOCK_OWE_REQUEST:
		return VIRTIO_VSOCK_OP_REQUEST;
	case VSOCK_OWE_RESPONSE:
		return VIRTIO_VSOCK_OP_RESPONSE;
	case VSOCK_OWE_SHUTDOWN:
		return VIRTIO_VSOCK_OP_SHUTDOWN;
	case VSOCK_OWE_CREDIT_UPDATE:
		return VIRTIO_VSOCK_OP_CREDIT_UPDATE;
	case VSOCK_OWE_CREDIT_REQUEST:
		return VIRTIO_VSOCK_OP_CREDIT_REQUEST;
	default:
		return VIRTIO_VSOCK_OP_RST;
	}
}

int vsock_rx_owed(struct vsock_conn *c)
{
	while (c->owed) {
		unsigned lowest = c->owed & -c->owed;
		struct virtio_vsock_hdr h;
		uint32_t told = c->fwd_cnt_told;
		unsigned owed = c->owed;

		fill_conn_header(c, &h, owed_op(lowest));
		if (lowest == VSOCK_OWE_SHUTDOWN)
			h.flags = htole32(c->shut_host);
		int ret = send_header(c->vsock, &h);
		if (ret < 0) {
			/* Not told after all (a broken device has wiped owed, which stays so). */
			if (ret == -EAGAIN) {
				c->fwd_cnt_told = told;
				c->owed = owed;
			}
			return ret;
		}
		c->owed &= ~lowest;
	}
	return 0;
}

/*
 * Adds the popped v->chain to the batch. The header's place is kept as a pointer when the first
 * segment holds it, as with every driver known; a header in pieces is legal too, but such a chain
 * must be the only one, since it is written through v->chain. False: does not fit.
 */
static bool batch_add(struct vsock *v)
{
	struct vsock_batch *b = &v->batch;
	struct iovec *iov = &v->chain.iov[v->chain.n_readable];
	bool whole = iov->iov_len >= VSOCK_HEADER_BYTES;

	if (b->n_slots && (!whole || v->chain.n_writable > VIRTQ_SEGMENTS_MAX - b->n_iov))
		return false;
	uint8_t *header = whole ? iov->iov_base : NULL;
	if (!whole) {
		/* virtq_iov_cut would spoil the chain for virtq_chain_write: cut a copy. */
		memcpy(b->iov, iov, v->chain.n_writable * sizeof(*iov));
		iov = b->iov;
	}
	unsigned n = virtq_iov_cut(&iov, v->chain.n_writable, VSOCK_HEADER_BYTES, SIZE_MAX);
	memmove(&b->iov[b->n_iov], iov, n * sizeof(*iov));
	size_t room_bytes = v->chain.writable_bytes - VSOCK_HEADER_BYTES;
	b->slots[b->n_slots].head = v->chain.head;
	b->slots[b->n_slots].header = header;
	b->slots[b->n_slots].room_bytes = room_bytes;
	b->n_slots++;
	b->n_iov += n;
	b->room_bytes += room_bytes;
	return true;
}

/* Pops up to wanted guest buffers, no more than max_bytes need. 0, -EAGAIN or -EPROTO. */
static int batch_gather(struct vsock *v, unsigned wanted, size_t max_bytes)
{
	struct vsock_batch *b = &v->batch;

	b->n_slots = b->n_iov = 0;
	b->room_bytes = 0;
	while (b->n_slots < wanted && b->room_bytes < max_bytes) {
		int ret = rx_pop(v);
		if (ret < 0)
			return ret;
		if (!ret)
			break;
		if (!batch_add(v)) {
			virtq_unpop(&v->dev.queues[VSOCK_QUEUE_RX]);
			break;
		}
		if (!b->slots[b->n_slots - 1].header)
			break;
	}
	if (!b->n_slots)
		return -EAGAIN;
	/* An empty queue may have ended the loop, but what is not used goes back. */
	v->rx_stalled = false;
	return 0;
}

/* Returns n_bytes in the batch's buffers to the guest as packets, and the empty buffers unused. */
static void batch_send(struct vsock_conn *c, size_t n_bytes)
{
	struct vsock *v = c->vsock;
	struct virtq *q = &v->dev.queues[VSOCK_QUEUE_RX];
	unsigned used = 0;

	for (; n_bytes && used < v->batch.n_slots; used++) {
		size_t len = v->batch.slots[used].room_bytes;
		struct virtio_vsock_hdr h;

		if (len > n_bytes)
			len = n_bytes;
		fill_conn_header(c, &h, VIRTIO_VSOCK_OP_RW);
		h.len = htole32((uint32_t)len);
		if (v->batch.slots[used].header)
			memcpy(v->batch.slots[used].header, &h, sizeof(h));
		else
			(void)virtq_chain_write(&v->chain, 0, &h, sizeof(h));
		virtq_push(q, v->batch.slots[used].head, (uint32_t)(sizeof(h) + len));
		c->tx_bytes += (uint32_t)len;
		n_bytes -= len;
	}
	for (unsigned i = used; i < v->batch.n_slots; i++)
		virtq_unpop(q);
}

int vsock_rx_data(struct vsock_conn *c, size_t max_bytes, ssize_t *moved, bool *full)
{
	struct vsock *v = c->vsock;
	struct vsock_batch *b = &v->batch;
	struct iovec *iov = b->iov;
	int ret = batch_gather(v, c->batch, max_bytes);

	if (ret < 0)
		return ret;
	size_t offered_bytes = b->room_bytes < max_bytes ? b->room_bytes : max_bytes;
	unsigned n_iov = virtq_iov_cut(&iov, b->n_iov, 0, offered_bytes);
	ssize_t n = stream_fd_read(&c->rd, iov, n_iov);
	batch_send(c, n > 0 ? (size_t)n : 0);
	*moved = n;
	*full = n > 0 && (size_t)n == offered_bytes;
	/* A full batch asks for a larger one; a read that left most of it empty, for less. */
	if (*full)
		c->batch = c->batch * 2 < VSOCK_BATCH_MAX ? c->batch * 2 : VSOCK_BATCH_MAX;
	else if (n > 0 && (size_t)n < offered_bytes / 4 && c->batch > 2)
		c->batch /= 2;
	return 0;
}
