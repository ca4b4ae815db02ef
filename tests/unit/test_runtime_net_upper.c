/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interfaces that stand on others and both have wires: who gets which frames. In namespaces that
 * the test makes, so it needs root (else it is skipped), /dev/net/tun and iproute2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/net_message.h"
#include "runtime/net_upper.h"
#include "runtime/net_wire.h"
#include "tests/unit/support/net_place.h"

#define HEAD_BYTES 10 /* virtio_net_hdr of a tap */
#define FRAME_MAX  64

/* "" where the kernel lacks the kind; else the script that makes "top" on eth0. */
#define ON_ETH0(kind)                                                                              \
	NET_PLACE_QUIET "; ip link add top link eth0 " kind " && ip link set top up "              \
			"&& ip link set top addrgenmode none && ip addr add 10.1.3.3/24 dev top "  \
			"|| echo none"

#define LOWER_MAC 0x02, 0x11, 0x22, 0x33, 0x44, 0x55
#define UPPER_MAC 0x02, 0x66, 0x66, 0x66, 0x66, 0x66
#define OUTSIDE	  0x02, 0x99, 0x99, 0x99, 0x99, 0x99
#define EVERYBODY 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
#define TAG_BYTES 4
#define TAG(id)	  0x81, 0x00, 0x00, (id)
#define TYPE	  0x88, 0xb5 /* for experiments: nobody else's */

enum { LOWER, UPPER, TAPS };

struct place {
	struct net_place net;
	struct net_scan found;
	struct net_tap taps[TAPS];
	int out;
};

static const char *const names[TAPS] = {"eth0", "top"};

static void join(struct place *p)
{
	struct err e;

	net_scan_fini(&p->found);
	net_place_scan(&p->net, &p->found);
	for (int i = 0; i < TAPS; i++) {
		struct net_wire wire = {
			.interface = net_place_interface(&p->found, names[i]),
			.tap = p->taps[i].index,
		};
		if (net_wire_join(&p->net.rt, &wire, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(net_wire_is_cut(&p->net.rt, wire.interface, wire.tap), 0);
	}
}

static bool begin(struct place *p, const char *script)
{
	net_place_enter(&p->net, "true");
	if (strstr(net_place_run(&p->net, script), "none")) {
		net_place_leave(&p->net);
		return false;
	}
	memset(&p->found, 0, sizeof(p->found));
	for (int i = 0; i < TAPS; i++)
		net_place_tap(&p->net, &p->taps[i], 1);
	join(p);
	p->out = net_place_socket(&p->net, "out");
	return true;
}

static void end(struct place *p)
{
	for (int i = 0; i < TAPS; i++)
		net_tap_close(&p->taps[i]);
	fd_closep(&p->out);
	net_scan_fini(&p->found);
	net_place_leave(&p->net);
}

/* The number at the end of the next frame of ours, or 0: there is none. */
static int next(const struct net_tap *tap, unsigned wait_ms)
{
	uint8_t buf[2048];

	for (unsigned ms = 0;;) {
		ssize_t n = read(tap->queues[0], buf, sizeof(buf));
		if (n >= HEAD_BYTES + FRAME_MAX - TAG_BYTES &&
			memmem(buf, (size_t)n, (const uint8_t[]){TYPE}, 2))
			return buf[n - 1];
		if (n >= 0)
			continue;
		assert_int_equal(errno, EAGAIN);
		if (ms++ == wait_ms)
			return 0;
		usleep(1000);
	}
}

static void inject(const struct place *p, const uint8_t *frame, size_t len, int number)
{
	uint8_t whole[FRAME_MAX] = {0};

	memcpy(whole, frame, len);
	whole[FRAME_MAX - 1] = (uint8_t)number;
	assert_int_equal(write(p->out, whole, sizeof(whole)), sizeof(whole));
}

/* What is sent to the interface from outside arrives at these taps, and at no other. */
static void expect(const struct place *p, const uint8_t *frame, size_t len, bool lower, bool upper)
{
	static const uint8_t last[] = {LOWER_MAC, OUTSIDE, TYPE};
	static int number;

	number = number % 200 + 2; /* 1 is the last one's */
	inject(p, frame, len, number);
	if (upper)
		assert_int_equal(next(&p->taps[UPPER], 10000), number);
	if (lower)
		assert_int_equal(next(&p->taps[LOWER], 10000), number);
	/* Behind it comes one that tells that all had their turn. */
	inject(p, last, sizeof(last), 1);
	assert_int_equal(next(&p->taps[LOWER], 10000), 1);
	assert_int_equal(next(&p->taps[UPPER], 0), 0);
}

#define EXPECT(lower, upper, ...)                                                                  \
	expect(&p, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), lower,  \
		upper)

static void test_macvlan(void **state)
{
	struct place p;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	if (!begin(&p, ON_ETH0("address 02:66:66:66:66:66 type macvlan mode bridge")))
		return;
	EXPECT(true, false, LOWER_MAC, OUTSIDE, TYPE);
	EXPECT(false, true, UPPER_MAC, OUTSIDE, TYPE);
	EXPECT(true, true, EVERYBODY, OUTSIDE, TYPE);
	EXPECT(true, false, 0x02, 0x66, 0x66, 0x66, 0x66, 0x67, OUTSIDE, TYPE);
	/* Another address of it is another filter. */
	net_place_run(&p.net, "ip link set top address 02:66:66:66:66:67");
	net_scan_fini(&p.found);
	net_place_scan(&p.net, &p.found);
	assert_int_equal(net_wire_is_cut(&p.net.rt, net_place_interface(&p.found, "eth0"),
				 p.taps[LOWER].index),
		1);
	join(&p);
	EXPECT(true, false, UPPER_MAC, OUTSIDE, TYPE);
	EXPECT(false, true, 0x02, 0x66, 0x66, 0x66, 0x66, 0x67, OUTSIDE, TYPE);
	/* One that is not the container's has its frames as well. */
	net_place_run(&p.net, "ip addr flush dev top");
	net_scan_fini(&p.found);
	net_place_scan(&p.net, &p.found);
	assert_int_equal(p.found.n, 1);
	assert_int_equal(p.found.list[0].uppers.n_macs, 1);
	/* Without it all is as without. */
	net_place_run(&p.net, "ip link del top");
	net_scan_fini(&p.found);
	net_place_scan(&p.net, &p.found);
	struct net_wire wire = {
		.interface = net_place_interface(&p.found, "eth0"), .tap = p.taps[LOWER].index};
	struct err e;
	assert_int_equal(net_wire_join(&p.net.rt, &wire, &e), 0);
	EXPECT(true, false, UPPER_MAC, OUTSIDE, TYPE);
	EXPECT(true, false, EVERYBODY, OUTSIDE, TYPE);
	for (int i = 0; i < TAPS; i++)
		net_tap_close(&p.taps[i]);
	assert_int_equal(net_wire_part_all(&p.net.rt, NULL, 0), 0);
	assert_null(strstr(net_place_run(&p.net, "tc qdisc show"), "ingress"));
	end(&p);
}

static void test_vlan(void **state)
{
	struct place p;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	if (!begin(&p, ON_ETH0("type vlan id 5")))
		return;
	assert_int_equal(net_place_interface(&p.found, "top")->vlan, NET_VLAN_KEY(0x8100, 5));
	EXPECT(true, false, LOWER_MAC, OUTSIDE, TYPE);
	EXPECT(false, true, LOWER_MAC, OUTSIDE, TAG(5), TYPE);
	EXPECT(true, false, LOWER_MAC, OUTSIDE, TAG(6), TYPE);
	EXPECT(false, true, EVERYBODY, OUTSIDE, TAG(5), TYPE);
	EXPECT(true, false, EVERYBODY, OUTSIDE, TYPE);
	/* What the upper one's guest sends goes out with its tag. */
	uint8_t frame[HEAD_BYTES + FRAME_MAX] = {[HEAD_BYTES] = OUTSIDE, LOWER_MAC, TYPE}, got[256];
	assert_int_equal(write(p.taps[UPPER].queues[0], frame, sizeof(frame)), sizeof(frame));
	bool arrived = false;
	for (int tries = 0; tries < 10000 && !arrived; tries++) {
		ssize_t n = read(p.out, got, sizeof(got));
		arrived = n >= 14 && memcmp(got, (const uint8_t[]){OUTSIDE}, 6) == 0;
		if (n < 0)
			usleep(1000);
	}
	assert_true(arrived);
	end(&p);
}

/* The largest programs have room, and none is none. */
static void test_bounds(void **state)
{
	struct net_uppers uppers = {.n_vlans = NET_UPPERS_MAX, .n_macs = NET_UPPERS_MAX};
	struct net_upper program;

	(void)state;
	net_upper_own(&program, &uppers);
	assert_int_equal(program.n, NET_UPPER_MAX);
	net_upper_shared(&program, &uppers);
	assert_int_not_equal(program.n, 0);
	uppers = (struct net_uppers){.n_macs = 0};
	net_upper_own(&program, &uppers);
	assert_int_equal(program.n, 0);
	uppers.n_vlans = 1;
	net_upper_shared(&program, &uppers);
	assert_int_equal(program.n, 0);
}

static void test_vrf(void **state)
{
	struct net_place p;
	struct net_scan found;
	struct network_device device = {.mac = {2, 0, 0, 0, 0, 1}};

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	net_place_enter(&p, NET_PLACE_QUIET);
	if (!strstr(net_place_run(&p,
			    "ip link add blue type vrf table 10 && ip link set blue up && "
			    "ip addr add 10.1.9.9/32 dev blue && ip link set eth0 master blue && "
			    "ip route add default via 10.1.2.1 table 10 || echo none"),
		    "none")) {
		net_place_scan(&p, &found);
		assert_int_equal(found.n, 1);
		device.interface = found.list[0].index;
		cleanup_json json_t *message = net_message(&found, &device, 1);
		cleanup_free char *text = json_dumps(message, JSON_COMPACT | JSON_SORT_KEYS);
		assert_non_null(strstr(text,
			"\"vrfs\":[{\"addresses\":[{\"address\":\"10.1.9.9\",\"label\":\"blue\","
			"\"prefix\":32,\"scope\":0}],\"name\":\"blue\",\"table\":10}]"));
		assert_non_null(strstr(text, "\"vrf\":\"blue\""));
		assert_non_null(strstr(text,
			"\"destination\":\"10.1.2.0/24\",\"family\":4,\"interface\":\"eth0\""));
		assert_non_null(strstr(text, "\"gateway\":\"10.1.2.1\""));
		assert_int_equal(json_array_size(found.notes), 0);
		net_scan_fini(&found);
		/* Those that nobody is in are nobody's affair; one whose table is another's can't
		 * be. */
		net_place_run(&p,
			"for i in $(seq 20 29); do ip link add vrf$i type vrf table $i; done;"
			"ip link add also type vrf table 10; ip link add eth1 type veth peer name "
			"far;"
			"ip addr add 10.1.4.2/24 dev eth1; ip link set eth1 master also");
		net_place_scan(&p, &found);
		assert_int_equal(found.n, 1);
		assert_int_equal(found.n_vrfs, 1);
		assert_int_equal(json_array_size(found.notes), 1);
		assert_string_equal(json_string_value(json_array_get(found.notes, 0)),
			"eth1: is not the container's: its VRF's table is another's as well");
		net_scan_fini(&found);
	}
	net_place_leave(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_macvlan),
		cmocka_unit_test(test_vlan),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_vrf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
