/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's vsock driver; see vsock_driver.h. */
#include "tests/unit/support/vsock_driver.h"

#include <stdlib.h>
#include <string.h>

int driver_init(struct vsock_driver *d, uint64_t features)
{
	memset(d, 0, sizeof(*d));
	d->features = features;
	d->buf_alloc = 256u << 10;
	d->host_port = 1025;
	d->guest_port = 1000;
	d->rx_repost = true;
	int ret = loop_init(&d->loop);
	if (ret < 0)
		return ret;
	const struct vsock_config config = {.loop = &d->loop, .guest_cid = DRIVER_CID};
	return vsock_create(&config, &d->dev, NULL);
}

int driver_start(struct vsock_driver *d, unsigned n_rx)
{
	int ret = fake_transport_init(&d->fake, d->dev, DRIVER_QUEUE_SIZE, d->features);

	if (ret < 0)
		return ret;
	d->tx = fake_alloc(&d->fake, sizeof(struct virtio_vsock_hdr) + DRIVER_TX_BYTES);
	while (n_rx--)
		driver_post(d, DRIVER_RX_BYTES);
	fake_kick(&d->fake, 0);
	driver_run(d);
	return 0;
}

void driver_fini(struct vsock_driver *d)
{
	if (d->fake.dev)
		fake_transport_fini(&d->fake);
	vsock_free(d->dev);
	loop_fini(&d->loop);
}

static void post(struct vsock_driver *d, uint8_t *host, uint32_t len_bytes)
{
	struct fake_segment s[DRIVER_RX_SEGMENTS];
	uint32_t done = 0;
	unsigned n = 0;

	while (d->rx_segment_bytes && n < DRIVER_RX_SEGMENTS - 1) {
		s[n++] = (struct fake_segment){host + done, d->rx_segment_bytes, true};
		done += d->rx_segment_bytes;
	}
	s[n++] = (struct fake_segment){host + done, len_bytes - done, true};
	int head = n > 1 ? fake_add_indirect(&d->fake, 0, s, n) : fake_add(&d->fake, 0, s, n);
	if (head < 0)
		abort();
	d->rx[head].host = host;
	d->rx[head].len_bytes = len_bytes;
}

void driver_post(struct vsock_driver *d, uint32_t len_bytes)
{
	uint8_t *host = fake_alloc(&d->fake, len_bytes);

	if (!host)
		abort();
	post(d, host, len_bytes);
}

bool driver_send_raw(struct vsock_driver *d, const struct virtio_vsock_hdr *h, const void *data,
	uint32_t len_bytes)
{
	const struct fake_segment s[] = {
		{d->tx, sizeof(*h), false}, {d->tx + sizeof(*h), len_bytes, false}};

	while (fake_used(&d->fake, 1, NULL) >= 0)
		;
	memcpy(d->tx, h, sizeof(*h));
	if (len_bytes)
		memcpy(d->tx + sizeof(*h), data, len_bytes);
	if (fake_add(&d->fake, 1, s, len_bytes ? 2 : 1) < 0)
		return false;
	fake_kick(&d->fake, 1);
	return true;
}

void driver_send(
	struct vsock_driver *d, uint16_t op, uint32_t flags, const void *data, uint32_t len_bytes)
{
	const struct virtio_vsock_hdr h = {
		.src_cid = DRIVER_CID,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = d->guest_port,
		.dst_port = d->host_port,
		.len = len_bytes,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.flags = flags,
		.buf_alloc = d->buf_alloc,
		.fwd_cnt = d->fwd_cnt,
	};

	if (!driver_send_raw(d, &h, data, len_bytes))
		abort();
	driver_run(d);
}

bool driver_recv(struct vsock_driver *d, struct vsock_packet *p)
{
	uint32_t len = 0;

	driver_run(d);
	int head = fake_used(&d->fake, 0, &len);
	if (head < 0)
		return false;
	const uint8_t *host = d->rx[head].host;
	if (len < sizeof(p->hdr) || len > d->rx[head].len_bytes)
		abort();
	memcpy(&p->hdr, host, sizeof(p->hdr));
	p->data_bytes = len - (uint32_t)sizeof(p->hdr);
	if (p->data_bytes != p->hdr.len || p->data_bytes > sizeof(p->data))
		abort();
	memcpy(p->data, host + sizeof(p->hdr), p->data_bytes);
	if (d->rx_repost) {
		post(d, d->rx[head].host, d->rx[head].len_bytes);
		fake_kick(&d->fake, 0);
	}
	return true;
}

void driver_run(struct vsock_driver *d)
{
	fake_loop_settle(&d->loop, 0);
}
