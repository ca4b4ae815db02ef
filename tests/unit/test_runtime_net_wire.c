/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wires between interfaces and taps, with frames: in namespaces that the test makes, so it needs
 * root (else it is skipped), /dev/net/tun and iproute2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/net_wire.h"
#include "tests/unit/support/net_place.h"

/* To whom our frames go: on "out" there may be others, which the kernel sends of its own. */
static const uint8_t receiver[6] = {2, 9, 9, 9, 9, 9};

struct frame {
	uint8_t header[10]; /* virtio_net_hdr */
	uint8_t to[6], from[6], type[2], rest[46];
};

/* The next frame of ours has that type; frames arrive at a time of the kernel's choosing. */
static void expect_frame(int out, uint16_t type, size_t i)
{
	uint8_t frame[2048];

	for (int tries = 0; tries < 1000;) {
		ssize_t n = recv(out, frame, sizeof(frame), 0);
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			usleep(10000);
			tries++;
		} else if (n >= 14 && memcmp(frame, receiver, sizeof(receiver)) == 0) {
			if ((frame[12] << 8 | frame[13]) != type)
				fail_msg("case %zu: type %02x%02x", i, frame[12], frame[13]);
			return;
		}
	}
	fail_msg("case %zu: nothing arrives", i);
}

/* All that was sent has had its turn: there is no more of it. */
static void expect_no_frame(int out)
{
	uint8_t frame[2048];
	ssize_t n;

	while ((n = recv(out, frame, sizeof(frame), 0)) >= 0)
		if (n >= 14 && memcmp(frame, receiver, sizeof(receiver)) == 0)
			fail_msg("one more: type %02x%02x", frame[12], frame[13]);
}

static void inject(const struct net_tap *tap, const uint8_t *from, uint16_t type, size_t at,
	const uint8_t *source, size_t source_len)
{
	struct frame frame = {.type = {(uint8_t)(type >> 8), (uint8_t)type}};

	memcpy(frame.to, receiver, sizeof(receiver));
	memcpy(frame.from, from, 6);
	frame.rest[0] = type == 0x800 ? 0x45 : type == 0x86dd ? 0x60 : 0;
	if (type == 0x86dd)
		frame.rest[6] = 59; /* nothing is behind the header */
	memcpy(frame.rest + at, source, source_len);
	assert_int_equal(write(tap->queues[0], &frame, sizeof(frame)), sizeof(frame));
}

/* A quiet place with an interface, and a tap to join to it. */
struct wired {
	struct net_place place;
	struct net_scan found;
	struct net_tap tap;
	struct net_wire wire;
};

static void begin(struct wired *w, const char *script, unsigned queues)
{
	net_place_enter(&w->place, script);
	net_place_tap(&w->place, &w->tap, queues);
	net_place_scan(&w->place, &w->found);
	w->wire = (struct net_wire){
		.interface = net_place_interface(&w->found, "eth0"), .tap = w->tap.index};
}

static void join(struct wired *w)
{
	struct err e;

	if (net_wire_join(&w->place.rt, &w->wire, &e) < 0)
		fail_msg("%s", e.text);
}

static void end(struct wired *w)
{
	net_tap_close(&w->tap);
	net_scan_fini(&w->found);
	net_place_leave(&w->place);
}

static void test_wire(void **state)
{
	struct wired w;
	struct net_tap other;
	struct err e;
	uint8_t buf[2048] = {0};

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	begin(&w, NET_PLACE_QUIET, 2);
	net_place_tap(&w.place, &other, 1);
	assert_string_equal(w.tap.name, "hv0");
	assert_string_equal(other.name, "hv1");
	for (int twice = 0; twice < 2; twice++)
		join(&w);
	assert_non_null(strstr(net_place_run(&w.place, "ip link show hv0"), ",UP"));
	cleanup_close int out = net_place_socket(&w.place, "out");
	inject(&w.tap, (const uint8_t *)"\2\7\7\7\7\7", 0x800, 12, (const uint8_t *)"\1\2\3\4", 4);
	expect_frame(out, 0x800, 0);
	/* And the other way: an ARP request of somebody out there. */
	net_place_run(&w.place,
		"ip addr add 10.1.2.4/24 dev out; ip neigh flush all;"
		"busybox arping -q -c 1 -w 1 -I out 10.1.2.200 || true");
	ssize_t n = -1;
	for (unsigned q = 0; q < w.tap.n_queues && n < 0; q++)
		n = read(w.tap.queues[q], buf, sizeof(buf));
	assert_true(n >= 10 + 42);
	assert_int_equal(buf[10 + 12] << 8 | buf[10 + 13], 0x806);
	/* It is taken as long as its tap is there, and then free. */
	w.wire.tap = other.index;
	assert_int_equal(net_wire_join(&w.place.rt, &w.wire, &e), -EBUSY);
	assert_non_null(strstr(e.text, "eth0: is in use by another virtual machine"));
	net_tap_close(&w.tap);
	assert_int_equal(net_wire_join(&w.place.rt, &w.wire, &e), 0);
	assert_int_equal(net_wire_part(&w.place.rt, w.wire.interface->index, 12345, false), 0);
	assert_non_null(
		strstr(net_place_run(&w.place, "tc filter show dev eth0 ingress"), "mirred"));
	assert_int_equal(
		net_wire_part(&w.place.rt, w.wire.interface->index, other.index, false), 0);
	assert_string_equal(net_place_run(&w.place, "tc qdisc show dev eth0"),
		"qdisc noqueue 0: root refcnt 2 \n");
	net_tap_close(&other);
	assert_null(strstr(net_place_run(&w.place, "ip -br link"), "hv"));
	end(&w);
}

static void test_callers_filters(void **state)
{
	struct wired w;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	begin(&w,
		NET_PLACE_QUIET
		"; tc qdisc add dev eth0 clsact;"
		"tc filter add dev eth0 ingress prio 7 protocol ip u32 match ip src 192.0.2.7 "
		"action mirred egress redirect dev eth0",
		1);
	join(&w);
	unsigned taps[] = {w.tap.index};
	assert_int_equal(net_wire_part_all(&w.place.rt, taps, 1), 0);
	const char *left =
		net_place_run(&w.place, "tc qdisc show dev eth0; tc filter show dev eth0 ingress");
	assert_non_null(strstr(left, "clsact"));
	assert_non_null(strstr(left, "pref 7 "));
	assert_null(strstr(left, "hv0"));
	end(&w);
}

static void test_guard(void **state)
{
	static const uint8_t mac[] = {2, 0x11, 0x22, 0x33, 0x44, 0x55},
			     bad_mac[] = {2, 0, 0, 0, 0, 9};
	static const uint8_t ip[] = {10, 1, 2, 3}, bad_ip[] = {10, 1, 2, 4};
	static const uint8_t ip6[16] = {0xfd, 0, 0, 1, [15] = 2},
			     bad_ip6[16] = {0xfd, 0, 0, 1, [15] = 3};
	static const uint8_t arp[] = {2, 0x11, 0x22, 0x33, 0x44, 0x55, 10, 1, 2, 3};
	static const uint8_t bad_arp[] = {2, 0x11, 0x22, 0x33, 0x44, 0x55, 10, 1, 2, 1};
	static const uint8_t bad_arp_mac[] = {2, 0, 0, 0, 0, 9, 10, 1, 2, 3};
	static const struct {
		const uint8_t *mac, *source;
		size_t at, len;
		unsigned passes;
		uint16_t type;
	} cases[] = {
		{mac, ip, 12, 4, 1, 0x800},
		{mac, bad_ip, 12, 4, 0, 0x800},
		{bad_mac, ip, 12, 4, 0, 0x800},
		{mac, ip6, 8, 16, 1, 0x86dd},
		{mac, bad_ip6, 8, 16, 0, 0x86dd},
		{bad_mac, ip6, 8, 16, 0, 0x86dd},
		{mac, arp, 8, 10, 1, 0x806},
		{mac, bad_arp, 8, 10, 0, 0x806},
		{mac, bad_arp_mac, 8, 10, 0, 0x806},
		{bad_mac, arp, 8, 10, 0, 0x806},
		{mac, arp, 8, 10, 0, 0x8100},
		{mac, ip, 0, 4, 0, 0x1234},
	};
	struct wired w;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	begin(&w, NET_PLACE_QUIET, 1);
	w.wire.guard = true;
	for (int twice = 0; twice < 2; twice++)
		join(&w);
	cleanup_close int out = net_place_socket(&w.place, "out");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		inject(&w.tap, cases[i].mac, cases[i].type, cases[i].at, cases[i].source,
			cases[i].len);
		/* One behind it that passes tells that it has had its turn. */
		inject(&w.tap, mac, 0x806, 8, arp, sizeof(arp));
		if (cases[i].passes)
			expect_frame(out, cases[i].type, i);
		expect_frame(out, 0x806, i);
	}
	expect_no_frame(out);
	net_tap_close(&w.tap);
	assert_int_equal(net_wire_part_all(&w.place.rt, NULL, 0), 0);
	assert_null(strstr(net_place_run(&w.place, "tc qdisc show"), "ingress"));
	end(&w);
}

#define SEND_BYTES 128

/* An IPv6 packet as if from the guest. */
static void send_ip6(const struct net_tap *tap, uint8_t next_header, const uint8_t *source,
	const uint8_t *payload, size_t n)
{
	static const uint8_t mac[] = {2, 0x11, 0x22, 0x33, 0x44, 0x55};
	uint8_t frame[10 + 14 + 40 + SEND_BYTES] = {0};
	uint8_t *ip = frame + 24;

	memcpy(frame + 10, receiver, 6);
	memcpy(frame + 16, mac, sizeof(mac));
	frame[22] = 0x86;
	frame[23] = 0xdd;
	ip[0] = 0x60;
	ip[5] = (uint8_t)n;
	ip[6] = next_header;
	memcpy(ip + 8, source, 16);
	ip[24] = 0xff;
	memcpy(ip + 40, payload, n);
	assert_int_equal(write(tap->queues[0], frame, 64 + n), 64 + n);
}

/* Under the guard each packet passes or not; an ARP request behind it tells that it had its turn.
 */
static void try_ip6(struct wired *w, int out, size_t i, bool passes, uint8_t next_header,
	const uint8_t *source, const uint8_t *payload, size_t n)
{
	static const uint8_t arp[] = {2, 0x11, 0x22, 0x33, 0x44, 0x55, 10, 1, 2, 3};

	assert_in_range(n, 0, SEND_BYTES);
	send_ip6(&w->tap, next_header, source, payload, n);
	inject(&w->tap, arp, 0x806, 8, arp, sizeof(arp));
	if (passes)
		expect_frame(out, 0x86dd, i);
	expect_frame(out, 0x806, i);
}

#define HOP_OF(kind)	      (kind), 0, 5, 2, 0, 0, 1, 0
#define FRAGMENT_OF(kind, at) (kind), 0, (at), 1, 0, 0, 0, 7
#define OWN_6		      0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2
#define OTHER_6		      0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3
#define LINK_6		      0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9
#define TYPE(type)	      (type), 0, 0, 0, 0, 0, 0, 0

static void test_guard_ip6(void **state)
{
	static const uint8_t own[16] = {OWN_6}, other[16] = {OTHER_6}, local[16] = {LINK_6},
			     last[16] = {0xfd, 0, 0, 2, [15] = 40}, none[16];
	static const struct {
		const uint8_t *source;
		bool passes;
		uint8_t next_header, n, payload[64];
	} cases[] = {
		/* Anything of its own, from each of its addresses, and nothing of another's. */
		{own, true, 17, 8, {0}},
		{last, true, 17, 8, {0}},
		{own, true, 59, 0, {0}},
		{local, true, 58, 8, {TYPE(128)}},
		{other, false, 17, 8, {0}},
		{none, false, 17, 8, {0}},
		{none, false, 58, 8, {TYPE(128)}},
		{own, false, 58, 0, {0}},
		/* Neighbour discovery. */
		{own, true, 58, 24, {TYPE(135), OTHER_6}},
		{local, true, 58, 24, {TYPE(135), OTHER_6}},
		{none, true, 58, 24, {TYPE(135), OWN_6}},
		{none, false, 58, 24, {TYPE(135), OTHER_6}},
		{other, false, 58, 24, {TYPE(135), OWN_6}},
		{own, true, 58, 24, {TYPE(136), OWN_6}},
		{local, true, 58, 24, {TYPE(136), LINK_6}},
		{own, false, 58, 24, {TYPE(136), OTHER_6}},
		{local, false, 58, 24, {TYPE(136), OTHER_6}},
		{other, false, 58, 24, {TYPE(136), OTHER_6}},
		{none, false, 58, 24, {TYPE(136), OWN_6}},
		{local, false, 58, 16, {TYPE(134)}},
		{own, false, 58, 40, {TYPE(137), OTHER_6, OTHER_6}},
		{local, true, 58, 8, {TYPE(133)}},
		{none, true, 58, 8, {TYPE(133)}},
		/* Groups. */
		{local, true, 0, 16, {HOP_OF(58), TYPE(143)}},
		{none, true, 0, 16, {HOP_OF(58), TYPE(143)}},
		{none, true, 0, 16, {HOP_OF(58), TYPE(131)}},
		{none, true, 0, 16, {HOP_OF(58), TYPE(132)}},
		{other, false, 0, 16, {HOP_OF(58), TYPE(143)}},
		/* What is behind extension headers. */
		{own, true, 0, 16, {HOP_OF(58), TYPE(128)}},
		{local, false, 0, 24, {HOP_OF(58), TYPE(134)}},
		{own, false, 0, 32, {HOP_OF(58), TYPE(136), OTHER_6}},
		{local, false, 60, 24, {58, 1, 1, 12, [16] = 134}},
		{local, true, 60, 24, {58, 1, 1, 12, [16] = 128}},
		{local, false, 43, 16, {HOP_OF(58), TYPE(134)}},
		{local, false, 44, 16, {FRAGMENT_OF(58, 0), TYPE(134)}},
		{own, true, 44, 16, {FRAGMENT_OF(58, 0), TYPE(128)}},
		{own, true, 44, 16, {FRAGMENT_OF(17, 0), TYPE(134)}},
		{own, true, 44, 16, {FRAGMENT_OF(58, 1), TYPE(134)}},
		{other, false, 44, 16, {FRAGMENT_OF(58, 1), TYPE(134)}},
		{own, false, 44, 8, {FRAGMENT_OF(58, 0)}},
		{local, false, 60, 40, {HOP_OF(60), HOP_OF(60), HOP_OF(60), HOP_OF(58), TYPE(134)}},
		{own, true, 60, 40, {HOP_OF(60), HOP_OF(60), HOP_OF(60), HOP_OF(17), TYPE(0)}},
		{own, false, 60, 48,
			{HOP_OF(60), HOP_OF(60), HOP_OF(60), HOP_OF(60), HOP_OF(17), TYPE(0)}},
		{own, false, 60, 8, {58, 255, 1, 4}},
	};
	struct wired w;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	/* So many addresses that they take several programs. */
	begin(&w,
		NET_PLACE_QUIET "; ip addr add fe80::9/64 dev eth0 nodad; for i in $(seq 1 40); do"
				" ip addr add fd00:2::$(printf %x $i)/64 dev eth0 nodad; done",
		1);
	w.wire.guard = true;
	join(&w);
	cleanup_close int out = net_place_socket(&w.place, "out");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		try_ip6(&w, out, i, cases[i].passes, cases[i].next_header, cases[i].source,
			cases[i].payload, cases[i].n);
	expect_no_frame(out);
	/* Filters of that size are seen, so that they can be taken away. */
	assert_int_equal(net_wire_is_cut(&w.place.rt, w.wire.interface, w.tap.index), 0);
	end(&w);
	/* Without addresses: what a host sends that is about to have one. */
	begin(&w, NET_PLACE_QUIET "; ip -6 addr flush dev eth0", 1);
	w.wire.guard = true;
	join(&w);
	cleanup_close int quiet = net_place_socket(&w.place, "out");
	try_ip6(&w, quiet, 0, true, 0, none, (const uint8_t[]){HOP_OF(58), TYPE(143)}, 16);
	try_ip6(&w, quiet, 1, false, 58, none, (const uint8_t[]){TYPE(135), OWN_6}, 24);
	try_ip6(&w, quiet, 2, false, 17, own, none, 8);
	expect_no_frame(quiet);
	end(&w);
}

/* All groups are received while there is a wire, and as before afterwards. */
static void test_all_multicast(void **state)
{
	struct wired w;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	for (int before = 0; before < 2; before++) {
		begin(&w, NET_PLACE_QUIET, 1);
		if (before)
			net_place_run(&w.place, "ip link set eth0 allmulticast on");
		net_scan_fini(&w.found);
		net_place_scan(&w.place, &w.found);
		w.wire.interface = net_place_interface(&w.found, "eth0");
		for (int twice = 0; twice < 2; twice++) {
			join(&w);
			assert_non_null(
				strstr(net_place_run(&w.place, "ip link show eth0"), "ALLMULTI"));
		}
		/* Another comes along before the first has been cleared away. */
		net_tap_close(&w.tap);
		net_place_tap(&w.place, &w.tap, 1);
		net_scan_fini(&w.found);
		net_place_scan(&w.place, &w.found);
		w.wire.interface = net_place_interface(&w.found, "eth0");
		w.wire.tap = w.tap.index;
		join(&w);
		assert_non_null(strstr(net_place_run(&w.place, "ip link show eth0"), "ALLMULTI"));
		assert_int_equal(
			net_wire_part(&w.place.rt, w.wire.interface->index, w.tap.index, false), 0);
		bool after = strstr(net_place_run(&w.place, "ip link show eth0"), "ALLMULTI");
		assert_int_equal(after, before);
		end(&w);
	}
}

static void test_cut(void **state)
{
	static const char *const cuts[] = {"tc qdisc del dev eth0 ingress",
		"tc qdisc del dev hv0 ingress",
		/* The others remain. */
		"tc filter del dev eth0 ingress prio 26745", "ip link set hv0 down"};
	struct wired w;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	for (int guard = 0; guard < 2; guard++) {
		begin(&w, NET_PLACE_QUIET, 1);
		w.wire.guard = guard;
		unsigned interface = w.wire.interface->index;
		for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
			net_scan_fini(&w.found);
			net_place_scan(&w.place, &w.found);
			w.wire.interface = net_place_interface(&w.found, "eth0");
			join(&w);
			assert_int_equal(
				net_wire_is_cut(&w.place.rt, w.wire.interface, w.tap.index), 0);
			net_place_run(&w.place, cuts[i]);
			assert_int_equal(
				net_wire_is_cut(&w.place.rt, w.wire.interface, w.tap.index), 1);
		}
		join(&w);
		assert_int_equal(net_wire_part(&w.place.rt, interface, w.tap.index, false), 0);
		assert_null(strstr(net_place_run(&w.place, "ip link show eth0"), "ALLMULTI"));
		join(&w);
		/* Nothing to be mended. */
		net_tap_close(&w.tap);
		assert_int_equal(net_wire_is_cut(&w.place.rt, w.wire.interface, w.tap.index), 0);
		assert_int_equal(net_wire_part_all(&w.place.rt, NULL, 0), 0);
		assert_null(strstr(net_place_run(&w.place, "tc qdisc show"), "ingress"));
		end(&w);
	}
}

/* Whose it was that all groups are received is on record, also when all filters are gone. */
static void test_cut_both(void **state)
{
	struct wired w;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	begin(&w, NET_PLACE_QUIET, 1);
	join(&w);
	assert_true(w.wire.mark);
	net_place_run(&w.place, "tc qdisc del dev eth0 ingress; tc qdisc del dev hv0 ingress");
	net_scan_fini(&w.found);
	net_place_scan(&w.place, &w.found);
	w.wire.interface = net_place_interface(&w.found, "eth0");
	assert_true(w.wire.interface->all_multicast);
	join(&w);
	assert_int_equal(
		net_wire_part(&w.place.rt, w.wire.interface->index, w.tap.index, false), 0);
	assert_null(strstr(net_place_run(&w.place, "ip link show eth0"), "ALLMULTI"));
	end(&w);
}

/* The host says nothing on a tap, also after times without IPv6. */
static void test_small_mtu(void **state)
{
	struct wired w;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	begin(&w, NET_PLACE_QUIET, 1);
	for (int i = 0; i < 2; i++) {
		net_place_run(
			&w.place, i ? "ip link set eth0 mtu 1500" : "ip link set eth0 mtu 1000");
		net_scan_fini(&w.found);
		net_place_scan(&w.place, &w.found);
		w.wire.interface = net_place_interface(&w.found, "eth0");
		join(&w);
	}
	net_place_run(&w.place, "ip link set hv0 up; sleep 0.1");
	assert_string_equal(
		net_place_run(&w.place, "ip addr show dev hv0 | grep inet || true"), "");
	assert_non_null(strstr(net_place_run(&w.place, "ip link show hv0"), "mtu 1500"));
	end(&w);
}

static void test_rate(void **state)
{
	struct wired w;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	begin(&w, NET_PLACE_QUIET, 1);
	w.wire.rx_bytes = 125000;
	w.wire.tx_bytes = 10000000000;
	join(&w);
	const char *text = net_place_run(&w.place, "tc qdisc show dev hv0; tc qdisc show dev eth0");
	assert_non_null(strstr(text, "rate 1Mbit"));
	assert_non_null(strstr(text, "rate 80Gbit"));
	assert_int_equal(
		net_wire_part(&w.place.rt, w.wire.interface->index, w.tap.index, false), 0);
	assert_null(strstr(net_place_run(&w.place, "tc qdisc show dev eth0"), "tbf"));
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wire),
		cmocka_unit_test(test_callers_filters),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_guard_ip6),
		cmocka_unit_test(test_all_multicast),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_cut_both),
		cmocka_unit_test(test_small_mtu),
		cmocka_unit_test(test_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
