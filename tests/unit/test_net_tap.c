/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network device over a real tap, in a network namespace that each test makes for itself: what
 * the device sends is seen, and what it receives is sent, by a packet socket on the tap's
 * interface. Needs root.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tests/unit/support/net_driver.h"

#define TAP_NAME   "hvtest0"
#define ETHER_TEST 0x88b5 /* for experiments: nothing of this machine speaks it */

static const struct virtio_net_hdr_v1 plain;

struct fixture {
	struct net_driver d;
	int control; /* any socket, for ioctls */
	int packet;
	uint8_t frame[1514];
};

static int tap_open(short flags)
{
	struct ifreq request = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags)};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	strcpy(request.ifr_name, TAP_NAME);
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) < 0)
		fd_closep(&fd);
	return fd;
}

static void tap_set_up(struct fixture *f, bool up)
{
	struct ifreq request = {.ifr_flags = up ? IFF_UP : 0};

	strcpy(request.ifr_name, TAP_NAME);
	assert_int_equal(ioctl(f->control, SIOCSIFFLAGS, &request), 0);
}

static int packet_open(int control)
{
	struct ifreq request = {0};
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETHER_TEST)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETHER_TEST));

	strcpy(request.ifr_name, TAP_NAME);
	if (ioctl(control, SIOCGIFINDEX, &request) < 0)
		return -1;
	at.sll_ifindex = request.ifr_ifindex;
	return bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? -1 : fd;
}

static int setup_with(void **state, unsigned queues, bool up)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const short flags = IFF_VNET_HDR | (queues > 1 ? IFF_MULTI_QUEUE : 0);
	int fds[NET_PAIRS_MAX] = {-1};

	if (geteuid() != 0) {
		free(f);
		return 0; /* the test skips itself */
	}
	if (!f || unshare(CLONE_NEWNET) < 0)
		return -1;
	f->control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	for (unsigned i = 0; i < queues; i++)
		fds[i] = tap_open(flags);
	if (up)
		tap_set_up(f, true);
	f->packet = packet_open(f->control);
	if (f->packet < 0 || net_driver_taps(&f->d, fds, queues, UINT64_MAX) < 0)
		return -1;
	for (unsigned i = 0; i < sizeof(f->frame); i++)
		f->frame[i] = (uint8_t)(i * 3);
	memset(f->frame, 0xff, 6);
	f->frame[6] = 2;
	f->frame[12] = ETHER_TEST >> 8;
	f->frame[13] = ETHER_TEST & 0xff;
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, 1, true);
}

static int setup_down(void **state)
{
	return setup_with(state, 1, false);
}

static int setup_queues(void **state)
{
	return setup_with(state, 3, true);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (!f)
		return 0;
	net_driver_fini(&f->d);
	close(f->packet);
	close(f->control);
	free(f);
	return 0;
}

static struct fixture *fixture_of(void **state)
{
	if (!*state)
		skip();
	return *state;
}

/* The next frame of ours that left the guest; 0: none. */
static size_t packet_receive(struct fixture *f, uint8_t *frame, size_t cap_bytes)
{
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);
	ssize_t n;

	do
		n = recvfrom(f->packet, frame, cap_bytes, 0, (struct sockaddr *)&from, &len);
	while (n >= 0 && from.sll_pkttype == PACKET_OUTGOING);
	return n < 0 ? 0 : (size_t)n;
}

/* The next frame to the guest that is ours: the kernel has some of its own to say on a link. */
static ssize_t guest_receive(struct fixture *f, unsigned pair)
{
	ssize_t n;

	do
		n = net_driver_receive(&f->d, pair);
	while (n >= 14 && (f->d.frame[12] != ETHER_TEST >> 8 || f->d.frame[13] != 0xb5));
	return n;
}

static void test_both_ways(void **state)
{
	struct fixture *f = fixture_of(state);
	uint8_t got[2000];

	assert_true(net_driver_link(&f->d));
	assert_true(net_driver_send(&f->d, 0, &plain, f->frame, sizeof(f->frame), 0));
	assert_int_equal(packet_receive(f, got, sizeof(got)), sizeof(f->frame));
	assert_memory_equal(got, f->frame, sizeof(f->frame));
	net_driver_post(&f->d, 0, 60, 1000);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(
			send(f->packet, f->frame, sizeof(f->frame) - i, 0), sizeof(f->frame) - i);
		assert_int_equal(guest_receive(f, 0), sizeof(f->frame) - i);
		assert_memory_equal(f->d.frame, f->frame, sizeof(f->frame) - i);
		assert_int_equal(f->d.header.num_buffers, 2);
	}
}

/* What the kernel finds wrong is the guest's loss alone. */
static void test_headers(void **state)
{
	struct fixture *f = fixture_of(state);
	struct virtio_net_hdr_v1 h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
	uint8_t got[2000];
	size_t n;

	assert_true(net_driver_send(&f->d, 0, &h, f->frame, 100, 0));
	assert_int_equal(packet_receive(f, got, sizeof(got)), 100);
	h.csum_start = 93;
	assert_true(net_driver_send(&f->d, 0, &h, f->frame, 100, 0));
	h.csum_start = 0xffff;
	h.csum_offset = 0xffff;
	assert_true(net_driver_send(&f->d, 0, &h, f->frame, 100, 0));
	h = (struct virtio_net_hdr_v1){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4};
	assert_true(net_driver_send(&f->d, 0, &h, f->frame, 100, 0)); /* no segment size */
	h.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	h.gso_size = 10;
	assert_true(net_driver_send(&f->d, 0, &h, f->frame, 100, 0)); /* not offered */
	h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	h.hdr_len = 101;
	assert_true(net_driver_send(&f->d, 0, &h, f->frame, 100, 0));
	assert_int_equal(net_driver_counts(&f->d, 0).tx_refused, 5);
	assert_int_equal(packet_receive(f, got, sizeof(got)), 0);
	assert_int_equal(net_driver_sent(&f->d, 0), 6);
	/* The network header can't begin behind the frame's first 14 bytes: the kernel's to say. */
	h = (struct virtio_net_hdr_v1){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 1, .csum_offset = 1};
	assert_true(net_driver_send(&f->d, 0, &h, f->frame, 100, 0));
	assert_true(net_driver_link(&f->d));
	assert_true(net_driver_send(&f->d, 0, &plain, f->frame, 60, 0));
	do
		n = packet_receive(f, got, sizeof(got));
	while (n == 100);
	assert_int_equal(n, 60);
}

static void test_down_and_up(void **state)
{
	struct fixture *f = fixture_of(state);
	uint8_t got[2000];

	tap_set_up(f, false);
	for (unsigned i = 0; i < 3; i++)
		assert_true(net_driver_send(&f->d, 0, &plain, f->frame, 60, 0));
	assert_int_equal(net_driver_sent(&f->d, 0), 3);
	assert_false(net_driver_link(&f->d));
	assert_int_equal(net_driver_counts(&f->d, 0).tx_dropped, 3);
	assert_true(net_driver_run(&f->d) < 5);
	tap_set_up(f, true);
	(void)net_driver_run(&f->d);
	assert_true(net_driver_link(&f->d));
	assert_int_equal(f->d.fake.n_config_changes, 2);
	assert_true(net_driver_send(&f->d, 0, &plain, f->frame, 60, 0));
	(void)packet_receive(f, got, sizeof(got));
	net_driver_post(&f->d, 0, 8, 2000);
	assert_int_equal(send(f->packet, f->frame, 60, 0), 60);
	assert_int_equal(guest_receive(f, 0), 60);
	assert_int_equal(net_driver_counts(&f->d, 0).tx_dropped, 3);
}

/* An interface that comes later. */
static void test_down_at_first(void **state)
{
	struct fixture *f = fixture_of(state);

	assert_false(net_driver_link(&f->d));
	assert_true(net_driver_send(&f->d, 0, &plain, f->frame, 60, 0));
	assert_int_equal(net_driver_counts(&f->d, 0).tx_dropped, 1);
	tap_set_up(f, true);
	(void)net_driver_run(&f->d);
	assert_true(net_driver_link(&f->d));
	assert_int_equal(f->d.fake.n_config_changes, 1);
	assert_true(net_driver_send(&f->d, 0, &plain, f->frame, 60, 0));
	assert_int_equal(net_driver_counts(&f->d, 0).tx_frames, 1);
}

static void test_removed(void **state)
{
	struct fixture *f = fixture_of(state);

	net_driver_post(&f->d, 0, 8, 2000);
	assert_int_equal(system("ip link delete " TAP_NAME), 0);
	assert_true(net_driver_run(&f->d) < 10);
	assert_false(net_driver_link(&f->d));
	assert_true(net_driver_send(&f->d, 0, &plain, f->frame, 60, 0));
	assert_int_equal(net_driver_counts(&f->d, 0).tx_dropped, 1);
	fake_transport_stop(&f->d.fake);
	assert_int_equal(fake_transport_start(&f->d.fake, f->d.dev->offered), 0);
	assert_true(net_driver_run(&f->d) < 10);
	assert_false(f->d.dev->broken);
}

static bool is_attached(const struct fixture *f, unsigned pair)
{
	struct ifreq request = {0};
	struct net_pair *p = f->d.net->pairs[pair];

	return ioctl(p->fd, TUNGETIFF, &request) == 0 && !(request.ifr_flags & IFF_DETACH_QUEUE);
}

static void test_queues(void **state)
{
	struct fixture *f = fixture_of(state);
	uint16_t n = 3;
	uint8_t got[2000];

	assert_true(f->d.dev->offered & NET_FEATURE(VIRTIO_NET_F_MQ));
	assert_int_equal(f->d.dev->n_queues, 7);
	assert_int_equal(net_ctrl_queue(f->d.net), 6);
	assert_true(is_attached(f, 0));
	assert_false(is_attached(f, 1) || is_attached(f, 2));
	assert_int_equal(net_driver_command(&f->d, VIRTIO_NET_CTRL_MQ, 0, &n, 2), VIRTIO_NET_OK);
	assert_true(is_attached(f, 0) && is_attached(f, 1) && is_attached(f, 2));
	for (unsigned i = 0; i < 3; i++) {
		net_driver_post(&f->d, i, 8, 2000);
		assert_true(net_driver_send(&f->d, i, &plain, f->frame, 60 + i, 0));
		assert_int_equal(packet_receive(f, got, sizeof(got)), 60 + i);
	}
	assert_true(net_driver_link(&f->d));
	/* The frame comes out of one of them. */
	assert_int_equal(send(f->packet, f->frame, 100, 0), 100);
	unsigned received = 0;
	for (unsigned i = 0; i < 3; i++)
		received += guest_receive(f, i) == 100;
	assert_int_equal(received, 1);
	n = 2;
	assert_int_equal(net_driver_command(&f->d, VIRTIO_NET_CTRL_MQ, 0, &n, 2), VIRTIO_NET_OK);
	assert_false(is_attached(f, 2));
	assert_true(net_driver_link(&f->d));
	for (n = 0; n <= 4; n += 4)
		assert_int_equal(
			net_driver_command(&f->d, VIRTIO_NET_CTRL_MQ, 0, &n, 2), VIRTIO_NET_ERR);
	/* A driver that knows nothing of it: one pair, and the control queue behind that. */
	fake_transport_stop(&f->d.fake);
	assert_int_equal(
		fake_transport_start(&f->d.fake, f->d.dev->offered & ~NET_FEATURE(VIRTIO_NET_F_MQ)),
		0);
	assert_false(is_attached(f, 1));
	assert_int_equal(net_ctrl_queue(f->d.net), 2);
	assert_int_equal(net_driver_command(&f->d, VIRTIO_NET_CTRL_RX, 0, "\1", 1), VIRTIO_NET_OK);
	n = 2;
	assert_int_equal(net_driver_command(&f->d, VIRTIO_NET_CTRL_MQ, 0, &n, 2), VIRTIO_NET_ERR);
}

/* The tap goes while nobody looks: a driver that starts then finds its link down, no more. */
static void test_queues_removed(void **state)
{
	struct fixture *f = fixture_of(state);
	uint16_t n = 3;

	assert_int_equal(net_driver_command(&f->d, VIRTIO_NET_CTRL_MQ, 0, &n, 2), VIRTIO_NET_OK);
	fake_transport_stop(&f->d.fake);
	assert_int_equal(system("ip link delete " TAP_NAME), 0);
	assert_int_equal(fake_transport_start(&f->d.fake, f->d.dev->offered), 0);
	net_driver_post(&f->d, 0, 8, 2000);
	assert_true(net_driver_run(&f->d) < 10);
	assert_false(f->d.dev->broken);
	assert_false(net_driver_link(&f->d));
}

static void test_offloads(void **state)
{
	struct fixture *f = fixture_of(state);
	uint64_t wanted = 0, negotiated = f->d.dev->offered & NET_GUEST_OFFLOADS;

	assert_true(negotiated & NET_FEATURE(VIRTIO_NET_F_GUEST_TSO6));
	assert_int_equal(f->d.net->offloads, negotiated);
	assert_int_equal(net_driver_command(&f->d, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &wanted, 8),
		VIRTIO_NET_OK);
	assert_int_equal(f->d.net->offloads, 0);
	wanted = negotiated;
	assert_int_equal(net_driver_command(&f->d, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &wanted, 8),
		VIRTIO_NET_OK);
	assert_int_equal(f->d.net->offloads, negotiated);
	wanted = NET_FEATURE(VIRTIO_NET_F_GUEST_UFO);
	assert_int_equal(net_driver_command(&f->d, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &wanted, 8),
		VIRTIO_NET_ERR);
	assert_int_equal(f->d.net->offloads, negotiated);
}

static void test_wrong_taps(void **state)
{
	struct net_config config = {.n_fds = 1, .mac = NET_DRIVER_MAC, .mtu = 1500};
	struct virtio_device *dev;
	struct err e;

	if (geteuid() != 0)
		skip();
	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	config.fds[0] = tap_open(0);
	assert_true(config.fds[0] >= 0);
	assert_true(net_create(&config, &dev, &e) < 0);
	assert_string_equal(e.text,
		"tap " TAP_NAME ": must be a tap with headers (IFF_TAP, "
		"IFF_NO_PI, IFF_VNET_HDR)");
	close(config.fds[0]);
	config.fds[0] = config.fds[1] = tap_open(IFF_VNET_HDR);
	config.n_fds = 2;
	assert_true(net_create(&config, &dev, &e) < 0);
	assert_string_equal(e.text, "tap " TAP_NAME ": several queues need IFF_MULTI_QUEUE");
	close(config.fds[0]);
}

int main(void)
{
#define T(name, up) cmocka_unit_test_setup_teardown(name, up, teardown)
	const struct CMUnitTest tests[] = {
		T(test_both_ways, setup),
		T(test_headers, setup),
		T(test_down_and_up, setup),
		T(test_down_at_first, setup_down),
		T(test_removed, setup),
		T(test_queues, setup_queues),
		T(test_queues_removed, setup_queues),
		T(test_offloads, setup),
		cmocka_unit_test(test_wrong_taps),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
