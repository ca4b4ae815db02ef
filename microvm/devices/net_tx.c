/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames from the guest (virtio 1.2, 5.1.6.2). The header is copied once, checked and made plain:
 * what goes to the tap is our copy of it, and the payload straight from guest memory. The kernel
 * looks at all of it again; the checks here see that a guest gets no more than it negotiated. To a
 * stream go the length, a copy of the frame's own headers, and the rest of it.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "microvm/devices/net_internal.h"

/* The offload that the driver had to negotiate for frames of this kind; 0: no such kind. */
static uint64_t feature_of_gso(uint8_t gso_type)
{
	switch (gso_type) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return NET_FEATURE(VIRTIO_NET_F_HOST_TSO4);
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return NET_FEATURE(VIRTIO_NET_F_HOST_TSO6);
	case NET_HDR_GSO_UDP_L4:
		return NET_FEATURE(NET_F_HOST_USO);
	default:
		return 0;
	}
}

static bool check_gso(const struct virtio_net_hdr_v1 *h, uint64_t features, size_t frame_bytes)
{
	uint8_t ecn = h->gso_type & VIRTIO_NET_HDR_GSO_ECN;
	uint8_t type = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	return (features & feature_of_gso(type)) &&
		(!ecn || (features & NET_FEATURE(VIRTIO_NET_F_HOST_ECN))) && h->gso_size &&
		le16toh(h->hdr_len) <= frame_bytes;
}

/* Whether a driver may ask for this; what it does not ask for becomes zero. */
static bool check_header(struct virtio_net_hdr_v1 *h, uint64_t features, size_t frame_bytes)
{
	h->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h->num_buffers = 0;
	if (h->flags) {
		size_t at = (size_t)le16toh(h->csum_start) + le16toh(h->csum_offset);
		if (!(features & NET_FEATURE(VIRTIO_NET_F_CSUM)) || at + 2 > frame_bytes)
			return false;
	} else {
		h->csum_start = h->csum_offset = 0;
	}
	if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		return check_gso(h, features, frame_bytes);
	h->hdr_len = h->gso_size = 0;
	return true;
}

/* Makes the popped chain the frame to send; false when it is none. */
static bool prepare(struct net_pair *pair)
{
	struct net_tx *tx = &pair->tx;
	struct virtq_chain *chain = &pair->chain;
	struct iovec *payload = chain->iov;
	size_t total = chain->readable_bytes;

	if (total < NET_HEADER_BYTES + NET_ETH_BYTES || total > NET_HEADER_BYTES + NET_FRAME_MAX)
		return false;
	size_t frame_bytes = total - NET_HEADER_BYTES;
	if (virtq_chain_read(chain, 0, &tx->header, sizeof(tx->header)) != sizeof(tx->header) ||
		!check_header(&tx->header, pair->net->features, frame_bytes))
		return false;
	size_t copied = 0;
	if (pair->net->config.stream) {
		copied = virtq_chain_read(
			chain, NET_HEADER_BYTES, tx->begin.frame, NET_STREAM_HEAD_BYTES);
		if (!net_stream_takes(tx->begin.frame, copied))
			return false;
		tx->begin.length_be = htobe32((uint32_t)frame_bytes);
		tx->iov[0] = (struct iovec){
			&tx->begin, offsetof(struct net_stream_head, frame) + copied};
	} else {
		tx->iov[0] = (struct iovec){&tx->header, sizeof(tx->header)};
	}
	size_t rest = frame_bytes - copied;
	unsigned n = virtq_iov_cut(&payload, chain->n_readable, NET_HEADER_BYTES + copied, rest);
	if (n > NET_SEGMENTS_MAX)
		return false;
	memcpy(&tx->iov[1], payload, n * sizeof(payload[0]));
	tx->at = tx->iov;
	tx->n = n + 1;
	tx->total_bytes = tx->left_bytes = tx->iov[0].iov_len + rest;
	return true;
}

/* 1 with a frame in pair->tx, 0 when there is none, -EPROTO when the ring is broken. */
static int next_frame(struct net_pair *pair)
{
	struct net_tx *tx = &pair->tx;
	struct virtq *q = net_tx_queue(pair);

	if (tx->pending)
		return 1;
	int ret = virtq_pop(q, &pair->chain);
	if (ret <= 0)
		return ret;
	tx->head = pair->chain.head;
	if (prepare(pair)) {
		tx->pending = true;
		return 1;
	}
	pair->counts.tx_refused++;
	virtq_push(q, tx->head, 0);
	return 1;
}

static void done(struct net_pair *pair)
{
	pair->tx.pending = false;
	if (!pair->tx.orphan)
		virtq_push(net_tx_queue(pair), pair->tx.head, 0);
	pair->tx.orphan = false;
}

/* False when the frame has to wait. */
static bool transmit(struct net_pair *pair)
{
	int ret = pair->up ? pair->net->ops->transmit(pair) : -EINVAL;

	if (ret == -EAGAIN) {
		pair->blocked = true;
		return false;
	}
	if (ret == 0) {
		pair->counts.tx_frames++;
		pair->counts.tx_bytes += pair->tx.total_bytes;
		net_rate_pay(&pair->tx_rate, pair->tx.total_bytes);
	} else {
		pair->counts.tx_dropped++;
		if (ret != -EINVAL)
			net_pair_down(pair, ret != -ENETDOWN);
	}
	done(pair);
	return true;
}

bool net_tx_turn(struct net_pair *pair)
{
	for (unsigned i = 0; i < NET_TURN_FRAMES; i++) {
		if (pair->blocked || (!pair->tx.pending && !net_pair_may(pair, &pair->tx_rate)))
			return false;
		int ret = next_frame(pair);
		if (ret < 0)
			pair->why = "the guest broke the transmit queue";
		if (ret <= 0)
			return false;
		if (pair->tx.pending && !transmit(pair))
			return false;
	}
	return true;
}

void net_tx_give_up(struct net_pair *pair)
{
	struct net_tx *tx = &pair->tx;
	uint8_t *rest = pair->stream + NET_STREAM_BYTES;
	size_t len_bytes = 0;

	if (!tx->pending || tx->orphan)
		return;
	/* What is in the middle of a stream has to be completed, or nothing behind it is read. */
	tx->pending = tx->orphan = tx->left_bytes < tx->total_bytes;
	for (unsigned i = 0; tx->orphan && i < tx->n; i++) {
		memcpy(rest + len_bytes, tx->at[i].iov_base, tx->at[i].iov_len);
		len_bytes += tx->at[i].iov_len;
	}
	tx->iov[0] = (struct iovec){rest, len_bytes};
	tx->at = tx->iov;
	tx->n = 1;
}
