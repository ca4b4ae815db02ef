/* SPDX-License-Identifier: Apache-2.0 */
/* The network device over a stream: frames both ways, waiting both ways, and hostile drivers. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tests/unit/support/net_driver.h"

static const struct virtio_net_hdr_v1 plain;

static int setup_with(void **state, uint64_t features)
{
	struct net_driver *d = calloc(1, sizeof(*d));

	if (!d || net_driver_stream(d, features) < 0)
		return -1;
	*state = d;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, UINT64_MAX);
}

static int setup_unmerged(void **state)
{
	return setup_with(state, FAKE_F_VERSION_1);
}

static int teardown(void **state)
{
	struct net_driver *d = *state;

	net_driver_fini(d);
	free(d);
	return 0;
}

static void fill(uint8_t *frame, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		frame[i] = (uint8_t)(i * 7 + seed);
}

/* A frame from the network, as the wire has it. */
static void peer_send(struct net_driver *d, const void *frame, uint32_t len)
{
	uint8_t wire[4 + NET_FRAME_MAX + 1];
	uint32_t len_be = htobe32(len);

	memcpy(wire, &len_be, 4);
	memcpy(wire + 4, frame, len);
	assert_int_equal(send(d->peer, wire, 4 + len, MSG_DONTWAIT), 4 + len);
}

static size_t peer_receive(struct net_driver *d, uint8_t *frame)
{
	uint32_t len_be = 0;

	if (recv(d->peer, &len_be, 4, MSG_DONTWAIT | MSG_WAITALL) != 4)
		return 0;
	assert_in_range(be32toh(len_be), 14, NET_FRAME_MAX);
	assert_int_equal(
		recv(d->peer, frame, be32toh(len_be), MSG_DONTWAIT | MSG_WAITALL), be32toh(len_be));
	return be32toh(len_be);
}

static void test_config(void **state)
{
	struct net_driver *d = *state;
	struct virtio_net_config c;
	const uint8_t mac[] = NET_DRIVER_MAC;

	d->dev->ops->config_read(d->dev, 0, &c, d->dev->config_bytes);
	assert_memory_equal(c.mac, mac, 6);
	assert_int_equal(c.mtu, 65535);
	assert_int_equal(c.max_virtqueue_pairs, 1);
	assert_true(net_driver_link(d));
	/* The wire has no header: nothing that would need one. */
	assert_int_equal(d->dev->offered &
			(NET_GUEST_OFFLOADS | NET_FEATURE(VIRTIO_NET_F_CSUM) |
				NET_FEATURE(VIRTIO_NET_F_MQ)),
		0);
	assert_int_equal(d->dev->n_queues, 3);
}

static void test_send(void **state)
{
	struct net_driver *d = *state;
	uint8_t frame[1514], got[NET_FRAME_MAX];

	fill(frame, sizeof(frame), 1);
	/* Any layout (virtio 1.2, 2.7.4.1): the header cut, with it, and on its own. */
	const uint32_t cuts[] = {0, 5, NET_HEADER_BYTES, NET_HEADER_BYTES + 3};
	for (unsigned i = 0; i < 4; i++) {
		assert_true(net_driver_send(d, 0, &plain, frame, sizeof(frame) - i, cuts[i]));
		assert_int_equal(peer_receive(d, got), sizeof(frame) - i);
		assert_memory_equal(got, frame, sizeof(frame) - i);
	}
	assert_int_equal(net_driver_sent(d, 0), 4);
	assert_int_equal(net_driver_counts(d, 0).tx_frames, 4);
}

static void test_send_refused(void **state)
{
	struct net_driver *d = *state;
	uint8_t frame[NET_FRAME_MAX + 1] = {0};
	struct virtio_net_hdr_v1 csum = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM};
	struct virtio_net_hdr_v1 gso = {.gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1000};

	assert_true(net_driver_send(d, 0, &plain, frame, 0, 0));
	assert_true(net_driver_send(d, 0, &plain, frame, 13, 0));
	assert_true(net_driver_send(d, 0, &plain, frame, sizeof(frame), 0));
	assert_true(net_driver_send(d, 0, &csum, frame, 100, 0)); /* not negotiated */
	assert_true(net_driver_send(d, 0, &gso, frame, 100, 0));
	assert_int_equal(net_driver_counts(d, 0).tx_refused, 5);
	assert_int_equal(net_driver_sent(d, 0), 5);
	assert_int_equal(peer_receive(d, frame), 0);
	assert_false(d->dev->broken);
	assert_true(net_driver_send(d, 0, &plain, frame, NET_FRAME_MAX, 0));
	assert_int_equal(
		net_driver_counts(d, 0).tx_frames + (d->net->pairs[0]->blocked ? 1 : 0), 1);
}

/* A byte a second: for as long as this runs, nothing but the first frame is paid for. */
static void test_rates(void **state)
{
	struct net_driver *d = *state;
	struct net_pair *pair = d->net->pairs[0];
	uint8_t frame[1000], got[NET_FRAME_MAX];

	fill(frame, sizeof(frame), 1);
	pair->tx_rate.bytes_per_s = pair->rx_rate.bytes_per_s = 1;
	for (unsigned i = 0; i < 3; i++)
		assert_true(net_driver_send(d, 0, &plain, frame, sizeof(frame), 0));
	assert_int_equal(net_driver_sent(d, 0), 1);
	assert_int_equal(peer_receive(d, got), sizeof(frame));
	assert_int_equal(peer_receive(d, got), 0);
	/* It comes back of itself when that is paid for. */
	assert_in_range(pair->pause_ms, 1, 2 * sizeof(frame) * 1000);
	pair->tx_rate.paid_ns = 0;
	(void)net_driver_run(d);
	assert_int_equal(net_driver_sent(d, 0), 1);
	/* The other direction has a rate of its own. */
	net_driver_post(d, 0, 4, 2048);
	for (unsigned i = 0; i < 3; i++)
		peer_send(d, frame, sizeof(frame));
	assert_int_equal(net_driver_receive(d, 0), sizeof(frame));
	assert_int_equal(net_driver_receive(d, 0), -1);
	pair->rx_rate.paid_ns = 0;
	assert_int_equal(net_driver_receive(d, 0), sizeof(frame));
	assert_int_equal(net_driver_receive(d, 0), -1);
	pair->rx_rate.bytes_per_s = pair->tx_rate.bytes_per_s = 0;
	assert_int_equal(net_driver_receive(d, 0), sizeof(frame));
	assert_int_equal(net_driver_sent(d, 0), 1);
	assert_int_equal(pair->pause_ms, -1);
}

static void test_receive(void **state)
{
	struct net_driver *d = *state;
	uint8_t frame[1514];

	net_driver_post(d, 0, 4, 2048);
	for (unsigned i = 0; i < 3; i++) {
		fill(frame, sizeof(frame), i);
		peer_send(d, frame, sizeof(frame));
	}
	for (unsigned i = 0; i < 3; i++) {
		fill(frame, sizeof(frame), i);
		memset(&d->header, 0xff, sizeof(d->header));
		assert_int_equal(net_driver_receive(d, 0), sizeof(frame));
		assert_memory_equal(d->frame, frame, sizeof(frame));
		assert_int_equal(d->header.num_buffers, 1);
		assert_int_equal(d->header.flags | d->header.gso_type, 0);
	}
	assert_int_equal(net_driver_receive(d, 0), -1);
	assert_true(d->fake.n_interrupts[0] > 0);
}

static void test_receive_merged(void **state)
{
	struct net_driver *d = *state;
	uint8_t frame[9000];

	fill(frame, sizeof(frame), 3);
	net_driver_post(d, 0, 60, 500);
	for (unsigned i = 0; i < 3; i++) {
		peer_send(d, frame, sizeof(frame) - i);
		assert_int_equal(net_driver_receive(d, 0), sizeof(frame) - i);
		assert_memory_equal(d->frame, frame, sizeof(frame) - i);
		assert_int_equal(d->header.num_buffers, 19);
	}
}

/* A frame that the posted buffers can't hold waits for more, and nothing of it shows before. */
static void test_receive_waits(void **state)
{
	struct net_driver *d = *state;
	uint8_t frame[9000];

	fill(frame, sizeof(frame), 5);
	net_driver_post(d, 0, 3, 1024);
	peer_send(d, frame, sizeof(frame));
	peer_send(d, frame, 100);
	assert_int_equal(net_driver_receive(d, 0), -1);
	net_driver_post(d, 0, 5, 1024);
	assert_int_equal(net_driver_receive(d, 0), -1);
	/* Meanwhile nobody waits for the network: it could only say what is known. */
	assert_false(d->net->pairs[0]->waits_for & EPOLLIN);
	net_driver_post(d, 0, 4, 1024);
	assert_int_equal(net_driver_receive(d, 0), sizeof(frame));
	assert_memory_equal(d->frame, frame, sizeof(frame));
	assert_int_equal(net_driver_receive(d, 0), 100);
	assert_memory_equal(d->frame, frame, 100);
	assert_int_equal(net_driver_counts(d, 0).rx_dropped, 0);
	assert_true(net_driver_run(d) < 10);
}

static void test_receive_unmerged(void **state)
{
	struct net_driver *d = *state;
	uint8_t frame[3000];

	fill(frame, sizeof(frame), 6);
	net_driver_post(d, 0, 4, 1526);
	peer_send(d, frame, sizeof(frame)); /* fits nowhere */
	peer_send(d, frame, 1514);
	assert_int_equal(net_driver_receive(d, 0), 1514);
	assert_memory_equal(d->frame, frame, 1514);
	assert_int_equal(d->header.num_buffers, 1);
	assert_int_equal(net_driver_counts(d, 0).rx_dropped, 1);
}

/* The whole queue can't hold the frame: it is dropped, and does not stop those behind it. */
static void test_receive_hopeless(void **state)
{
	struct net_driver *d = *state;
	uint8_t frame[9000];

	fill(frame, sizeof(frame), 7);
	net_driver_post(d, 0, NET_DRIVER_QUEUE_SIZE, 128);
	peer_send(d, frame, sizeof(frame));
	peer_send(d, frame, 1000);
	assert_int_equal(net_driver_receive(d, 0), 1000);
	assert_memory_equal(d->frame, frame, 1000);
	assert_int_equal(net_driver_counts(d, 0).rx_dropped, 1);
}

/* An IP frame of 80 bytes for this address, of 4 bytes or 16; whether the peer has got it. */
static bool reaches(struct net_driver *d, const uint8_t *address, size_t len, uint32_t first_bytes)
{
	uint8_t frame[80], got[NET_FRAME_MAX];
	const uint8_t type[] = {len == 4 ? 0x08 : 0x86, len == 4 ? 0x00 : 0xdd};

	fill(frame, sizeof(frame), 9);
	memcpy(frame + 12, type, sizeof(type));
	memcpy(frame + (len == 4 ? 30 : 38), address, len);
	assert_true(net_driver_send(d, 0, &plain, frame, sizeof(frame), first_bytes));
	assert_int_equal(net_driver_sent(d, 0), 1);
	size_t n = peer_receive(d, got);
	if (n) {
		assert_int_equal(n, sizeof(frame));
		assert_memory_equal(got, frame, n);
	}
	return n > 0;
}

/* passt would take them to the loopback of hvrun's caller. */
static void test_send_loopback(void **state)
{
	static const struct {
		uint8_t address[16];
		size_t len;
		bool reaches;
	} cases[] = {
		{{127, 0, 0, 1}, 4, false},
		{{127, 255, 255, 255}, 4, false},
		{{0, 0, 0, 0}, 4, false},
		{{126, 255, 255, 255}, 4, true},
		{{128, 0, 0, 1}, 4, true},
		{{10, 0, 2, 2}, 4, true},
		{{255, 255, 255, 255}, 4, true},
		{{[15] = 0}, 16, false},
		{{[15] = 1}, 16, false},
		{{[15] = 2}, 16, true},
		{{[8] = 1, [15] = 1}, 16, true},
		{{[10] = 0xff, [11] = 0xff, [12] = 10}, 16, false},
		{{[10] = 0xff, [11] = 0xfe, [12] = 127}, 16, true},
		{{0xff, 2, [15] = 1}, 16, true},
		{{0xfd, [15] = 1}, 16, true},
	};
	const uint32_t cuts[] = {0, NET_HEADER_BYTES, NET_HEADER_BYTES + 32, NET_HEADER_BYTES + 54};
	struct net_driver *d = *state;
	unsigned refused = 0;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned k = 0; k < sizeof(cuts) / sizeof(cuts[0]); k++) {
			if (reaches(d, cases[i].address, cases[i].len, cuts[k]) != cases[i].reaches)
				fail_msg("case %u, cut %u", i, k);
			refused += !cases[i].reaches;
		}
	}
	assert_int_equal(net_driver_counts(d, 0).tx_refused, refused);
	/* A frame that ends before its address is nobody's. */
	const uint8_t shorter[33] = {[12] = 0x08};
	assert_true(net_driver_send(d, 0, &plain, shorter, sizeof(shorter), 0));
	uint8_t got[NET_FRAME_MAX];
	assert_int_equal(peer_receive(d, got), sizeof(shorter));
}

/* A full socket stops the guest's frames in the middle of one; all arrive whole and in order. */
static void test_send_blocked(void **state)
{
	struct net_driver *d = *state;
	static uint8_t frame[40000], got[NET_FRAME_MAX];
	unsigned queued = 0, n = 0;

	fill(frame, sizeof(frame), 8);
	while (!d->net->pairs[0]->blocked && queued < 60) {
		assert_true(net_driver_send(d, 0, &plain, frame, sizeof(frame), 0));
		queued++;
	}
	assert_true(d->net->pairs[0]->blocked);
	assert_true(net_driver_sent(d, 0) < queued);
	assert_true(net_driver_run(d) < 5);
	/* The last one waits in the device: reset, and what is left of it is still sent. */
	fake_transport_stop(&d->fake);
	memset(d->tx, 0, sizeof(frame));
	assert_int_equal(fake_transport_start(&d->fake, d->dev->offered), 0);
	for (unsigned i = 0; i < queued; i++) {
		uint32_t len_be = 0;
		(void)net_driver_run(d);
		if (recv(d->peer, &len_be, 4, MSG_DONTWAIT | MSG_PEEK) != 4)
			break;
		assert_int_equal(be32toh(len_be), sizeof(frame));
		size_t have = 0;
		assert_int_equal(recv(d->peer, &len_be, 4, MSG_DONTWAIT), 4);
		while (have < sizeof(frame)) {
			(void)net_driver_run(d);
			ssize_t part =
				recv(d->peer, got + have, sizeof(frame) - have, MSG_DONTWAIT);
			assert_true(part > 0);
			have += (size_t)part;
		}
		assert_memory_equal(got, frame, sizeof(frame));
		n++;
	}
	assert_int_equal(n, queued);
	assert_false(d->net->pairs[0]->blocked);
	assert_true(net_driver_send(d, 0, &plain, frame, 60, 0));
	assert_int_equal(peer_receive(d, got), 60);
}

static void test_stream_ends(void **state)
{
	struct net_driver *d = *state;
	uint8_t frame[60] = {0};

	net_driver_post(d, 0, 2, 2048);
	fd_closep(&d->peer);
	assert_true(net_driver_run(d) < 10);
	assert_false(net_driver_link(d));
	assert_int_equal(d->fake.n_config_changes, 1);
	assert_true(net_driver_send(d, 0, &plain, frame, sizeof(frame), 0));
	assert_int_equal(net_driver_sent(d, 0), 1);
	assert_int_equal(net_driver_counts(d, 0).tx_dropped, 1);
	assert_false(d->dev->broken);
	/* The guest may reset its device as often as it likes. */
	fake_transport_stop(&d->fake);
	assert_int_equal(fake_transport_start(&d->fake, d->dev->offered), 0);
	assert_true(net_driver_run(d) < 10);
	assert_false(net_driver_link(d));
}

static void test_stream_nonsense(void **state)
{
	struct net_driver *d = *state;

	net_driver_post(d, 0, 2, 2048);
	assert_int_equal(send(d->peer, "\xff\xff\xff\xff", 4, 0), 4);
	assert_int_equal(net_driver_receive(d, 0), -1);
	assert_false(net_driver_link(d));
}

static void test_pieces(void **state)
{
	struct net_driver *d = *state;
	static const uint8_t wire[] = {
		0, 0, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};

	net_driver_post(d, 0, 2, 2048);
	for (unsigned i = 0; i < sizeof(wire); i++) {
		assert_int_equal(net_driver_receive(d, 0), -1);
		assert_int_equal(send(d->peer, wire + i, 1, 0), 1);
	}
	assert_int_equal(net_driver_receive(d, 0), 20);
	assert_memory_equal(d->frame, wire + 4, 20);
}

static void test_broken_rings(void **state)
{
	struct net_driver *d = *state;
	const struct fake_segment readable = {d->tx, 100, false};

	/* A receive buffer that can't be written to. */
	assert_true(fake_add(&d->fake, 0, &readable, 1) >= 0);
	peer_send(d, d->tx, 60);
	fake_kick(&d->fake, 0);
	(void)net_driver_run(d);
	assert_true(d->dev->broken);
	assert_int_equal(d->fake.n_needs_reset, 1);
	assert_true(net_driver_run(d) < 5);
	for (unsigned queue = 0; queue < 3; queue++) {
		fake_transport_stop(&d->fake);
		assert_int_equal(fake_transport_start(&d->fake, d->dev->offered), 0);
		(void)net_driver_run(d);
		assert_false(d->dev->broken);
		d->fake.queues[queue].avail->idx = 999;
		fake_kick(&d->fake, queue);
		(void)net_driver_run(d);
		assert_int_equal(d->fake.n_needs_reset, 2 + queue);
	}
	fake_transport_stop(&d->fake);
	assert_int_equal(fake_transport_start(&d->fake, d->dev->offered), 0);
	net_driver_post(d, 0, 4, 2048);
	assert_int_equal(net_driver_receive(d, 0), 60); /* what came first */
}

/* Buffers that were popped ahead are given back at a stop: the index says what was used. */
static void test_stop_gives_back(void **state)
{
	struct net_driver *d = *state;

	net_driver_post(d, 0, 20, 2048);
	peer_send(d, d->tx, 60);
	assert_int_equal(net_driver_receive(d, 0), 60);
	assert_true(d->net->pairs[0]->rx.n_slots > 0);
	pthread_mutex_lock(&d->dev->lock);
	virtio_device_stop(d->dev);
	pthread_mutex_unlock(&d->dev->lock);
	assert_int_equal(d->dev->queues[0].last_avail, 1);
}

static void test_commands(void **state)
{
	struct net_driver *d = *state;
	const uint8_t on = 1, mac[6] = {2, 9, 9, 9, 9, 9};
	const uint8_t table[] = {1, 0, 0, 0, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0};
	const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};
	struct virtio_net_config c;

	assert_int_equal(net_driver_command(d, VIRTIO_NET_CTRL_RX, 0, &on, 1), VIRTIO_NET_OK);
	assert_int_equal(net_driver_command(d, VIRTIO_NET_CTRL_RX, 5, &on, 1), VIRTIO_NET_OK);
	assert_int_equal(net_driver_command(d, VIRTIO_NET_CTRL_RX, 6, &on, 1), VIRTIO_NET_ERR);
	assert_int_equal(net_driver_command(d, VIRTIO_NET_CTRL_RX, 0, NULL, 0), VIRTIO_NET_ERR);
	assert_int_equal(
		net_driver_command(d, VIRTIO_NET_CTRL_MAC, 0, table, sizeof(table)), VIRTIO_NET_OK);
	assert_int_equal(net_driver_command(d, VIRTIO_NET_CTRL_MAC, 0, table, sizeof(table) - 1),
		VIRTIO_NET_ERR);
	assert_int_equal(net_driver_command(d, VIRTIO_NET_CTRL_MAC, 0, "\0\0\0\0\0\0\0\0", 9),
		VIRTIO_NET_ERR);
	assert_int_equal(
		net_driver_command(d, VIRTIO_NET_CTRL_MAC, 0, huge, sizeof(huge)), VIRTIO_NET_ERR);
	assert_int_equal(net_driver_command(d, VIRTIO_NET_CTRL_MAC, 1, mac, 5), VIRTIO_NET_ERR);
	assert_int_equal(net_driver_command(d, VIRTIO_NET_CTRL_MAC, 1, mac, 6), VIRTIO_NET_OK);
	d->dev->ops->config_read(d->dev, 0, &c, d->dev->config_bytes);
	assert_memory_equal(c.mac, mac, 6);
	assert_int_equal(net_driver_command(d, VIRTIO_NET_CTRL_MQ, 0, "\1", 2), VIRTIO_NET_ERR);
	assert_int_equal(
		net_driver_command(d, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, "\0\0\0\0\0\0\0", 8),
		VIRTIO_NET_ERR);
	assert_int_equal(net_driver_command(d, 77, 0, NULL, 0), VIRTIO_NET_ERR);
	/* A reset undoes them. */
	fake_transport_stop(&d->fake);
	d->dev->ops->config_read(d->dev, 0, &c, d->dev->config_bytes);
	assert_int_equal(c.mac[1], 0xaa);
}

static void test_refused_configs(void **state)
{
	struct net_config config = {.n_fds = 1, .stream = true, .mac = NET_DRIVER_MAC, .mtu = 1500};
	struct virtio_device *dev;
	struct err e = {0};
	int null = STDIN_FILENO;

	(void)state;
	config.fds[0] = null;
	assert_true(net_create(&config, &dev, &e) < 0);
	assert_string_equal(e.text, "descriptor 0 is not a stream socket");
	config.stream = false;
	assert_true(net_create(&config, &dev, &e) < 0);
	assert_non_null(strstr(e.text, "descriptor 0 is not the queue of a tap: "));
	config.mtu = 67;
	assert_true(net_create(&config, &dev, &e) < 0);
	assert_string_equal(e.text, "mtu 67: at least 68");
	config.mac[0] = 1;
	config.mtu = 68;
	assert_true(net_create(&config, &dev, &e) < 0);
	assert_string_equal(e.text, "mac: not the address of an interface");
	config.n_fds = 9;
	assert_true(net_create(&config, &dev, &e) < 0);
}

/* With its own thread, and kicks by descriptors: frames cross both ways until the device goes. */
static void test_thread(void **state)
{
	struct net_config config = {.n_fds = 1, .stream = true, .mac = NET_DRIVER_MAC, .mtu = 1500};
	struct net_driver d = {.peer = -1};
	uint8_t frame[100], got[NET_FRAME_MAX];
	struct err e;
	int pair[2];

	(void)state;
	fill(frame, sizeof(frame), 9);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	config.fds[0] = pair[0];
	assert_int_equal(net_create(&config, &d.dev, &e), 0);
	assert_int_equal(net_launch(d.dev, false), 0);
	assert_int_equal(
		fake_transport_init(&d.fake, d.dev, NET_DRIVER_QUEUE_SIZE, d.dev->offered), 0);
	d.tx = fake_alloc(&d.fake, sizeof(plain) + sizeof(frame));
	memcpy(d.tx + sizeof(plain), frame, sizeof(frame));
	for (unsigned i = 0; i < 50; i++) {
		const struct fake_segment s = {d.tx, sizeof(plain) + sizeof(frame), false};
		uint32_t len_be = 0;
		assert_true(fake_add(&d.fake, 1, &s, 1) >= 0);
		fake_kick(&d.fake, 1);
		assert_int_equal(recv(pair[1], &len_be, 4, MSG_WAITALL), 4);
		assert_int_equal(recv(pair[1], got, sizeof(frame), MSG_WAITALL), sizeof(frame));
		assert_memory_equal(got, frame, sizeof(frame));
		net_driver_post(&d, 0, 1, 2048);
		assert_int_equal(send(pair[1], &len_be, 4, 0), 4);
		assert_int_equal(send(pair[1], frame, sizeof(frame), 0), sizeof(frame));
		while (fake_used(&d.fake, 0, NULL) < 0)
			usleep(100);
		while (fake_used(&d.fake, 1, NULL) < 0)
			usleep(100);
		if (i % 10 == 9) {
			fake_transport_stop(&d.fake);
			assert_int_equal(fake_transport_start(&d.fake, d.dev->offered), 0);
		}
	}
	fake_transport_fini(&d.fake);
	net_free(d.dev);
	assert_int_equal(recv(pair[1], got, 1, 0), 0);
	close(pair[1]);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_config),
		T(test_send),
		T(test_send_refused),
		T(test_rates),
		T(test_receive),
		T(test_receive_merged),
		T(test_receive_waits),
		cmocka_unit_test_setup_teardown(test_receive_unmerged, setup_unmerged, teardown),
		T(test_receive_hopeless),
		T(test_send_loopback),
		T(test_send_blocked),
		T(test_stream_ends),
		T(test_stream_nonsense),
		T(test_pieces),
		T(test_broken_rings),
		T(test_stop_gives_back),
		T(test_commands),
		cmocka_unit_test(test_refused_configs),
		cmocka_unit_test(test_thread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
