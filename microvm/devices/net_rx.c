/* SPDX-License-Identifier: Apache-2.0 */
/* Frames to the guest (virtio 1.2, 5.1.6.3); see struct net_rx. */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "microvm/devices/net_internal.h"

/* Room for a frame of the common kind; a longer one asks for all that a frame can take. */
#define WANT_SMALL_BYTES 4096u

static bool mergeable(const struct net_pair *pair)
{
	return pair->net->features & NET_FEATURE(VIRTIO_NET_F_MRG_RXBUF);
}

size_t net_rx_want(const struct net *net)
{
	const uint64_t large = NET_GUEST_OFFLOADS & ~NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM);
	size_t frame = net->config.mtu + NET_ETH_BYTES + 4u;

	if (net->features & large)
		frame = NET_FRAME_MAX;
	return NET_HEADER_BYTES + frame;
}

/* Puts the popped chain behind the others; false when the list of parts is full. */
static bool add_slot(struct net_rx *rx, struct virtq_chain *chain)
{
	unsigned n = chain->n_writable;

	if (rx->n_iov + n > NET_SEGMENTS_MAX) {
		if (rx->n_slots)
			return false;
		/* A buffer in more parts than a system call takes: the last are not used. */
		for (; n > NET_SEGMENTS_MAX; n--)
			chain->writable_bytes -= chain->iov[chain->n_readable + n - 1].iov_len;
	}
	memcpy(&rx->iov[rx->n_iov], &chain->iov[chain->n_readable], n * sizeof(rx->iov[0]));
	rx->slots[rx->n_slots++] = (struct net_slot){
		.head = chain->head,
		.n_iov = (uint16_t)n,
		.len_bytes = (uint32_t)chain->writable_bytes,
	};
	rx->n_iov += n;
	rx->room_bytes += chain->writable_bytes;
	return true;
}

/* Pops buffers until there is room for want_bytes, as far as there are any. -EPROTO: broken. */
static int gather(struct net_pair *pair, size_t want_bytes)
{
	struct net_rx *rx = &pair->rx;
	struct virtq *q = net_rx_queue(pair);
	unsigned slots_max = mergeable(pair) ? NET_QUEUE_SIZE : 1;

	while (rx->room_bytes < want_bytes && rx->n_slots < slots_max) {
		int ret = virtq_pop(q, &pair->chain);
		if (ret <= 0)
			return ret;
		if (!pair->chain.n_writable)
			return -EPROTO;
		if (!add_slot(rx, &pair->chain)) {
			virtq_unpop(q);
			return 0;
		}
	}
	return 0;
}

static void write_at(struct net_rx *rx, size_t offset, const void *src, size_t len_bytes)
{
	const uint8_t *from = src;

	for (unsigned i = 0; i < rx->n_iov && len_bytes; i++) {
		size_t have = rx->iov[i].iov_len;
		if (offset >= have) {
			offset -= have;
			continue;
		}
		size_t n = have - offset < len_bytes ? have - offset : len_bytes;
		memcpy((uint8_t *)rx->iov[i].iov_base + offset, from, n);
		from += n;
		len_bytes -= n;
		offset = 0;
	}
}

/* The frame of pending_bytes lies in the first slots: to the guest with them, all at once. */
static void push_frame(struct net_pair *pair)
{
	struct net_rx *rx = &pair->rx;
	struct virtq *q = net_rx_queue(pair);
	size_t left = rx->pending_bytes, covered = 0;
	unsigned n = 0, n_iov = 0;

	while (covered < left)
		covered += rx->slots[n++].len_bytes;
	/* 5.1.6.4: 1 without MRG_RXBUF. The kernel leaves this field as it was. */
	uint16_t num_buffers = htole16((uint16_t)n);
	write_at(rx, offsetof(struct virtio_net_hdr_v1, num_buffers), &num_buffers,
		sizeof(num_buffers));
	for (unsigned i = 0; i < n; i++) {
		uint32_t used =
			rx->slots[i].len_bytes < left ? rx->slots[i].len_bytes : (uint32_t)left;
		virtq_fill(q, rx->slots[i].head, used);
		left -= used;
		n_iov += rx->slots[i].n_iov;
	}
	virtq_publish(q);
	pair->counts.rx_frames++;
	pair->counts.rx_bytes += rx->pending_bytes - NET_HEADER_BYTES;
	net_rate_pay(&pair->rx_rate, rx->pending_bytes - NET_HEADER_BYTES);
	rx->n_slots -= n;
	rx->n_iov -= n_iov;
	rx->room_bytes -= covered;
	memmove(rx->slots, rx->slots + n, rx->n_slots * sizeof(rx->slots[0]));
	memmove(rx->iov, rx->iov + n_iov, rx->n_iov * sizeof(rx->iov[0]));
}

/* 1: the pending frame is the guest's, or dropped; 0: it waits for buffers; -EPROTO: broken. */
static int deliver(struct net_pair *pair)
{
	struct net_rx *rx = &pair->rx;
	size_t total = rx->pending_bytes;

	if (total > rx->room_bytes) {
		int ret = gather(pair, total);
		if (ret < 0)
			return ret;
	}
	if (total > rx->room_bytes) {
		/* Nothing more can come than the whole queue, or, unmerged, one buffer. */
		bool hopeless = !mergeable(pair) || rx->n_iov >= NET_SEGMENTS_MAX ||
			rx->n_slots >= net_rx_queue(pair)->layout.size;
		if (!hopeless)
			return 0;
		pair->counts.rx_dropped++;
		rx->pending_bytes = 0;
		return 1;
	}
	if (total > rx->spill_at)
		write_at(rx, rx->spill_at, rx->spill, total - rx->spill_at);
	push_frame(pair);
	rx->pending_bytes = 0;
	return 1;
}

/* Reads one frame; 1 when it is pending, 0 when there is none, or no buffer. */
static int receive(struct net_pair *pair)
{
	struct net_rx *rx = &pair->rx;
	int ret = gather(pair, rx->want_bytes);

	if (ret < 0)
		return ret;
	if (!rx->n_slots) {
		pair->stalled = true;
		return 0;
	}
	rx->iov[rx->n_iov] = (struct iovec){.iov_base = rx->spill, .iov_len = sizeof(rx->spill)};
	ssize_t n = pair->net->ops->receive(pair, rx->iov, rx->n_iov + 1);
	if (n == -EAGAIN) {
		pair->readable = false;
		return 0;
	}
	if (n < 0) {
		net_pair_down(pair, true);
		return 0;
	}
	size_t total = (size_t)n, most = net_rx_want(pair->net);
	rx->want_bytes =
		total <= WANT_SMALL_BYTES && most > WANT_SMALL_BYTES ? WANT_SMALL_BYTES : most;
	if (total <= NET_HEADER_BYTES || total >= rx->room_bytes + sizeof(rx->spill)) {
		pair->counts.rx_dropped++;
		return 1;
	}
	rx->pending_bytes = total;
	rx->spill_at = rx->room_bytes;
	return 1;
}

bool net_rx_turn(struct net_pair *pair)
{
	struct net_rx *rx = &pair->rx;

	pair->stalled = false;
	for (unsigned i = 0; i < NET_TURN_FRAMES; i++) {
		int ret = 1;
		if (!rx->pending_bytes) {
			if (!pair->readable || !net_pair_may(pair, &pair->rx_rate))
				return false;
			ret = receive(pair);
		}
		if (ret > 0 && rx->pending_bytes) {
			ret = deliver(pair);
			pair->stalled = ret == 0;
		}
		if (ret < 0)
			pair->why = "the guest broke the receive queue";
		if (ret <= 0)
			return false;
	}
	return pair->readable;
}

void net_rx_give_up(struct net_pair *pair)
{
	struct net_rx *rx = &pair->rx;

	for (unsigned i = 0; i < rx->n_slots; i++)
		virtq_unpop(net_rx_queue(pair));
	rx->n_slots = rx->n_iov = 0;
	rx->room_bytes = rx->pending_bytes = 0;
}
