/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's vsock driver on the fake transport: packets in, packets out, receive buffers posted. */
#ifndef TESTS_UNIT_SUPPORT_VSOCK_DRIVER_H
#define TESTS_UNIT_SUPPORT_VSOCK_DRIVER_H

#include <linux/virtio_vsock.h>

#include "microvm/devices/vsock.h"
#include "tests/unit/support/fake_transport.h"

#define DRIVER_CID	   3u
#define DRIVER_QUEUE_SIZE  64u
#define DRIVER_RX_BYTES	   3776u /* what Linux posts */
#define DRIVER_TX_BYTES	   (64u << 10)
#define DRIVER_RX_SEGMENTS 4u

struct vsock_driver {
	struct loop loop;
	struct virtio_device *dev;
	struct fake_transport fake;
	uint64_t features;
	/* Receive buffers, by head of their chain (direct or indirect). */
	struct {
		uint8_t *host;
		uint32_t len_bytes;
	} rx[DRIVER_QUEUE_SIZE];
	uint32_t rx_segment_bytes;   /* 0: one segment; else the first ones are so short */
	bool rx_repost;		     /* driver_recv posts the buffer again */
	uint8_t *tx;		     /* for one packet */
	uint32_t buf_alloc, fwd_cnt; /* sent with every packet */
	uint32_t host_port, guest_port;
};

struct vsock_packet {
	struct virtio_vsock_hdr hdr; /* little endian is the host's too */
	uint32_t data_bytes;
	uint8_t data[DRIVER_RX_BYTES];
};

/* A device in a loop, not yet started. */
int driver_init(struct vsock_driver *d, uint64_t features) must_check;
int driver_start(struct vsock_driver *d, unsigned n_rx) must_check; /* and posts n_rx buffers */
void driver_fini(struct vsock_driver *d);

/* Posts one receive buffer of len_bytes, without a kick. */
void driver_post(struct vsock_driver *d, uint32_t len_bytes);

/* Sends a packet between d->host_port and d->guest_port and lets the device work. */
void driver_send(
	struct vsock_driver *d, uint16_t op, uint32_t flags, const void *data, uint32_t len_bytes);
/* Any header, any bytes behind it. False when the queue is full. */
bool driver_send_raw(struct vsock_driver *d, const struct virtio_vsock_hdr *h, const void *data,
	uint32_t len_bytes);

/* The next packet from the device, after it has worked; false when there is none. */
bool driver_recv(struct vsock_driver *d, struct vsock_packet *p);

void driver_run(struct vsock_driver *d); /* lets the device work until nothing is ready */

#endif
