/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock packets from the guest. The header is copied once and checked; what does not fit the state
 * of its connection resets it (virtio 1.2, 5.10.6), what is not addressed to us is dropped.
 */
#include <endian.h>
#include <errno.h>

#include "microvm/devices/vsock_internal.h"

/* The header in host byte order. */
struct packet {
	uint32_t guest_port, host_port, len_bytes, flags, buf_alloc, fwd_cnt;
	uint16_t type, op;
	bool for_us;
};

static bool packet_read(const struct vsock *v, struct packet *p)
{
	struct virtio_vsock_hdr h;

	if (virtq_chain_read(&v->chain, 0, &h, sizeof(h)) < sizeof(h))
		return false;
	*p = (struct packet){
		.guest_port = le32toh(h.src_port),
		.host_port = le32toh(h.dst_port),
		.len_bytes = le32toh(h.len),
		.flags = le32toh(h.flags),
		.buf_alloc = le32toh(h.buf_alloc),
		.fwd_cnt = le32toh(h.fwd_cnt),
		.type = le16toh(h.type),
		.op = le16toh(h.op),
	};
	return le64toh(h.src_cid) == v->guest_cid && le64toh(h.dst_cid) == VSOCK_HOST_CID;
}

/* Answers a packet that belongs to no connection; there is room (see vsock_tx_drain). */
static void reply_reset(struct vsock *v, const struct packet *p)
{
	v->resets[v->n_resets++] = (struct vsock_reset){
		.host_port = p->host_port,
		.guest_port = p->guest_port,
		.type = p->type,
	};
}

static const struct vsock_listener *find_listener(const struct vsock *v, uint32_t host_port)
{
	for (unsigned i = 0; i < v->n_listeners; i++)
		if (v->listeners[i].host_port == host_port)
			return &v->listeners[i];
	return NULL;
}

/* A request: the callback is asked by the work, without the lock, and the answer follows. */
static void handle_request(struct vsock *v, const struct packet *p)
{
	const struct vsock_listener *listener = find_listener(v, p->host_port);
	struct vsock_conn *c = listener ? vsock_conn_new(v, p->host_port, p->guest_port) : NULL;

	if (!c) {
		reply_reset(v, p);
		return;
	}
	c->state = VSOCK_ACCEPTING;
	c->listener = listener;
	c->guest_buf_alloc = p->buf_alloc;
	c->guest_fwd_cnt = p->fwd_cnt;
	c->calls |= VSOCK_CALL_ACCEPT;
}

static void handle_data(struct vsock_conn *c, const struct packet *p)
{
	size_t there_bytes = c->vsock->chain.readable_bytes - VSOCK_HEADER_BYTES;

	if ((c->shut_guest & VIRTIO_VSOCK_SHUTDOWN_SEND) || p->len_bytes > there_bytes ||
		p->len_bytes > VSOCK_BUFFER_BYTES - c->buf_used) {
		vsock_conn_kill(c, -EPROTO, true);
		return;
	}
	if (p->len_bytes)
		vsock_conn_receive(c, p->len_bytes);
}

static void handle_open(struct vsock_conn *c, const struct packet *p)
{
	switch (p->op) {
	case VIRTIO_VSOCK_OP_RW:
		handle_data(c, p);
		break;
	case VIRTIO_VSOCK_OP_SHUTDOWN:
		vsock_conn_shutdown(c, p->flags);
		break;
	case VIRTIO_VSOCK_OP_CREDIT_UPDATE:
		break; /* every packet is one */
	case VIRTIO_VSOCK_OP_CREDIT_REQUEST:
		c->owed |= VSOCK_OWE_CREDIT_UPDATE;
		break;
	default:
		vsock_conn_kill(c, -EPROTO, true);
	}
}

/* The reason for closed when the guest sends a reset: it may just confirm an orderly end. */
static int reset_reason(const struct vsock_conn *c)
{
	const uint32_t both = VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND;

	if (c->state == VSOCK_CONNECTING)
		return -ECONNREFUSED;
	if ((c->shut_guest & VIRTIO_VSOCK_SHUTDOWN_SEND) || c->shut_host == both)
		return 0;
	return -ECONNRESET;
}

static void handle_conn(struct vsock_conn *c, const struct packet *p)
{
	c->guest_buf_alloc = p->buf_alloc;
	c->guest_fwd_cnt = p->fwd_cnt;
	if (p->op == VIRTIO_VSOCK_OP_RST)
		vsock_conn_kill(c, reset_reason(c), false);
	else if (p->type != VIRTIO_VSOCK_TYPE_STREAM)
		vsock_conn_kill(c, -EPROTO, true);
	else if (c->state == VSOCK_OPEN)
		handle_open(c, p);
	else if (c->state == VSOCK_CONNECTING && p->op == VIRTIO_VSOCK_OP_RESPONSE &&
		!(c->owed & VSOCK_OWE_REQUEST))
		vsock_conn_open(c);
	else
		vsock_conn_kill(c, -EPROTO, true);
}

static void handle_packet(struct vsock *v)
{
	struct packet p;
	struct vsock_conn *c;

	/* Not from the guest's own address or not to the host: nobody could have sent it. */
	if (!packet_read(v, &p))
		return;
	c = vsock_conn_find(v, p.host_port, p.guest_port);
	if (c)
		handle_conn(c, &p);
	else if (p.op == VIRTIO_VSOCK_OP_REQUEST && p.type == VIRTIO_VSOCK_TYPE_STREAM)
		handle_request(v, &p);
	else if (p.op != VIRTIO_VSOCK_OP_RST)
		reply_reset(v, &p);
}

void vsock_tx_drain(struct vsock *v)
{
	struct virtq *q = &v->dev.queues[VSOCK_QUEUE_TX];
	unsigned served = 0;
	int ret = 0;

	v->tx_blocked = false;
	while (served < VSOCK_SHARE_CHAINS) {
		/* A packet makes at most one reply; without room for it the guest must wait. */
		if (v->n_resets == VSOCK_RESETS_MAX) {
			v->tx_blocked = true;
			return;
		}
		ret = virtq_pop(q, &v->chain);
		if (ret <= 0)
			break;
		handle_packet(v);
		virtq_push(q, v->chain.head, 0);
		served++;
	}
	if (ret < 0)
		vsock_break(v, "the guest broke the transmit queue");
	else if (served == VSOCK_SHARE_CHAINS)
		v->work_wanted = true; /* perhaps there is more */
}
