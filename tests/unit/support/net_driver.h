/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's network driver on the fake transport, and the device run in the caller's thread:
 * receive buffers posted, frames in, frames out, commands.
 */
#ifndef TESTS_UNIT_SUPPORT_NET_DRIVER_H
#define TESTS_UNIT_SUPPORT_NET_DRIVER_H

#include "microvm/devices/net_internal.h"
#include "tests/unit/support/fake_transport.h"

#define NET_DRIVER_QUEUE_SIZE 64u
#define NET_DRIVER_MAC                                                                             \
	{                                                                                          \
		0x02, 0xaa, 0, 0, 0, 1                                                             \
	}

struct net_driver {
	struct net *net;
	struct virtio_device *dev;
	struct fake_transport fake;
	int peer; /* of a stream: what passt has */
	/* Receive buffers by head, of each pair. */
	struct {
		uint8_t *host;
		uint32_t len_bytes;
	} rx[NET_PAIRS_MAX][NET_DRIVER_QUEUE_SIZE];
	/* The frame received last, with its header. */
	struct virtio_net_hdr_v1 header;
	uint8_t frame[NET_FRAME_MAX + 1u];
	uint8_t *tx; /* NET_HEADER_BYTES + NET_FRAME_MAX + 1 of guest memory */
};

/* A device over a stream, or over the queues of a tap; started with those of features it has. */
int net_driver_stream(struct net_driver *d, uint64_t features) must_check;
int net_driver_taps(
	struct net_driver *d, const int *fds, unsigned n_fds, uint64_t features) must_check;
void net_driver_fini(struct net_driver *d);

/* Lets all pairs work until nothing is ready. The turns that it took, up to 1000. */
unsigned net_driver_run(struct net_driver *d);

/* Posts n receive buffers of len_bytes each for a pair, and kicks. */
void net_driver_post(struct net_driver *d, unsigned pair, unsigned n, uint32_t len_bytes);
/* The next frame of a pair into d->frame: its bytes, without header; -1: none. */
ssize_t net_driver_receive(struct net_driver *d, unsigned pair);

/* A frame with this header, the first segment of first_bytes (0: all in one); false: queue full. */
bool net_driver_send(struct net_driver *d, unsigned pair, const struct virtio_net_hdr_v1 *header,
	const void *frame, size_t frame_bytes, uint32_t first_bytes);
/* How many frames the device has given back since the last call. */
unsigned net_driver_sent(struct net_driver *d, unsigned pair);

/* A command and its answer: VIRTIO_NET_OK, VIRTIO_NET_ERR, or -1 for none. */
int net_driver_command(
	struct net_driver *d, uint8_t class, uint8_t cmd, const void *data, size_t len_bytes);

bool net_driver_link(struct net_driver *d);
struct net_counts net_driver_counts(const struct net_driver *d, unsigned pair);

#endif
