/* SPDX-License-Identifier: Apache-2.0 */
/* A network driver for tests; see net_driver.h. */
#include "tests/unit/support/net_driver.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

#define TURNS_MAX 1000u

static int start(struct net_driver *d, const struct net_config *config, uint64_t features)
{
	struct err e;
	int ret = net_new(config, &d->net, &e);

	if (ret < 0)
		return ret;
	d->dev = &d->net->dev;
	ret = fake_transport_init(
		&d->fake, d->dev, NET_DRIVER_QUEUE_SIZE, features & d->dev->offered);
	if (ret < 0)
		return ret;
	d->tx = fake_alloc(&d->fake, NET_HEADER_BYTES + NET_FRAME_MAX + 1);
	(void)net_driver_run(d);
	return 0;
}

int net_driver_stream(struct net_driver *d, uint64_t features)
{
	struct net_config config = {
		.n_fds = 1, .stream = true, .mac = NET_DRIVER_MAC, .mtu = 65535};
	int pair[2];

	memset(d, 0, sizeof(*d));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	config.fds[0] = pair[0];
	d->peer = pair[1];
	return start(d, &config, features);
}

int net_driver_taps(struct net_driver *d, const int *fds, unsigned n_fds, uint64_t features)
{
	struct net_config config = {.n_fds = n_fds, .mac = NET_DRIVER_MAC, .mtu = 1500};

	memset(d, 0, sizeof(*d));
	d->peer = -1;
	memcpy(config.fds, fds, n_fds * sizeof(fds[0]));
	return start(d, &config, features);
}

void net_driver_fini(struct net_driver *d)
{
	if (d->dev)
		fake_transport_fini(&d->fake);
	net_free(d->dev);
	fd_closep(&d->peer);
}

unsigned net_driver_run(struct net_driver *d)
{
	unsigned turns = 0;
	bool more = true;

	while (more && turns < TURNS_MAX) {
		more = false;
		for (unsigned i = 0; i < d->net->n_pairs; i++) {
			struct net_pair *pair = d->net->pairs[i];
			struct pollfd p = {.fd = pair->loop.epoll_fd, .events = POLLIN};
			more |= net_pair_run(pair);
			if (poll(&p, 1, 0) != 1)
				continue;
			more = true;
			if (loop_run_once(&pair->loop, 0) < 0)
				return TURNS_MAX;
		}
		turns++;
	}
	return turns;
}

void net_driver_post(struct net_driver *d, unsigned pair, unsigned n, uint32_t len_bytes)
{
	while (n--) {
		uint8_t *host = fake_alloc(&d->fake, len_bytes);
		const struct fake_segment s = {host, len_bytes, true};
		int head = host ? fake_add(&d->fake, 2 * pair, &s, 1) : -1;
		if (head < 0)
			break;
		d->rx[pair][head].host = host;
		d->rx[pair][head].len_bytes = len_bytes;
	}
	fake_kick(&d->fake, 2 * pair);
}

static size_t take_buffer(struct net_driver *d, unsigned pair, uint8_t *dst, size_t cap_bytes)
{
	uint32_t len = 0;
	int head = fake_used(&d->fake, 2 * pair, &len);

	if (head < 0 || len > d->rx[pair][head].len_bytes || len > cap_bytes)
		return 0;
	memcpy(dst, d->rx[pair][head].host, len);
	return len;
}

ssize_t net_driver_receive(struct net_driver *d, unsigned pair)
{
	static uint8_t bytes[NET_HEADER_BYTES + NET_FRAME_MAX];

	(void)net_driver_run(d);
	size_t have = take_buffer(d, pair, bytes, sizeof(bytes));
	if (have < NET_HEADER_BYTES)
		return -1;
	memcpy(&d->header, bytes, sizeof(d->header));
	/* All of a frame's buffers are there, or none. */
	for (unsigned i = 1; i < d->header.num_buffers; i++) {
		size_t more = take_buffer(d, pair, bytes + have, sizeof(bytes) - have);
		if (!more)
			return -1;
		have += more;
	}
	memcpy(d->frame, bytes + NET_HEADER_BYTES, have - NET_HEADER_BYTES);
	return (ssize_t)(have - NET_HEADER_BYTES);
}

bool net_driver_send(struct net_driver *d, unsigned pair, const struct virtio_net_hdr_v1 *header,
	const void *frame, size_t frame_bytes, uint32_t first_bytes)
{
	uint32_t total = (uint32_t)(sizeof(*header) + frame_bytes);

	if (!first_bytes)
		first_bytes = total;
	const struct fake_segment s[] = {
		{d->tx, first_bytes, false}, {d->tx + first_bytes, total - first_bytes, false}};
	memcpy(d->tx, header, sizeof(*header));
	memcpy(d->tx + sizeof(*header), frame, frame_bytes);
	if (fake_add(&d->fake, 2 * pair + 1, s, first_bytes == total ? 1 : 2) < 0)
		return false;
	fake_kick(&d->fake, 2 * pair + 1);
	(void)net_driver_run(d);
	return true;
}

unsigned net_driver_sent(struct net_driver *d, unsigned pair)
{
	unsigned n = 0;

	while (fake_used(&d->fake, 2 * pair + 1, NULL) >= 0)
		n++;
	return n;
}

int net_driver_command(
	struct net_driver *d, uint8_t class, uint8_t cmd, const void *data, size_t len_bytes)
{
	unsigned queue = net_ctrl_queue(d->net);
	uint8_t *bytes = fake_alloc(&d->fake, 2 + len_bytes), *ack = fake_alloc(&d->fake, 1);
	const struct fake_segment s[] = {{bytes, (uint32_t)(2 + len_bytes), false}, {ack, 1, true}};

	bytes[0] = class;
	bytes[1] = cmd;
	if (len_bytes)
		memcpy(bytes + 2, data, len_bytes);
	*ack = 0xee;
	if (fake_add(&d->fake, queue, s, 2) < 0)
		return -1;
	fake_kick(&d->fake, queue);
	(void)net_driver_run(d);
	return fake_used(&d->fake, queue, NULL) >= 0 ? *ack : -1;
}

bool net_driver_link(struct net_driver *d)
{
	uint16_t status = 0;

	d->dev->ops->config_read(d->dev, NET_MAC_BYTES, &status, sizeof(status));
	return status & VIRTIO_NET_S_LINK_UP;
}

struct net_counts net_driver_counts(const struct net_driver *d, unsigned pair)
{
	return d->net->pairs[pair]->counts;
}
