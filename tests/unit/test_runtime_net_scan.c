/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is found in a network namespace, and the message to the guest that is made of it: in
 * namespaces that the test makes, so it needs root (else it is skipped), and iproute2.
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

#include "base/json.h"
#include "runtime/net_message.h"
#include "tests/unit/support/net_place.h"

#define VETH                                                                                       \
	"ip link add eth0 address 02:11:22:33:44:55 type veth peer name out;"                      \
	"ip link set out up; ip link set lo up; ip link set eth0 mtu 9000 up;"                     \
	"ip addr add 10.1.2.3/24 brd + dev eth0; ip addr add fd00:1::2/64 dev eth0;"               \
	"ip route add default via 10.1.2.1; ip -6 route add default via fd00:1::1;"                \
	"ip route add 10.9.0.0/16 via 10.1.2.9 metric 5 table 77;"                                 \
	"ip neigh add 10.1.2.1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent"

static void test_scan(void **state)
{
	struct net_place p;
	struct net_scan found;
	struct net_tap tap;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	net_place_enter(&p, VETH "; ip link add idle type veth peer name idle2");
	net_place_tap(&p, &tap, 1);
	net_place_run(&p, "ip addr add 10.7.0.1/24 dev hv0; ip link set hv0 up");
	net_place_scan(&p, &found);
	/* Neither lo nor our tap, nor what has no address; the veth's other end has one by itself.
	 */
	assert_int_equal(found.n, 2);
	const struct net_interface *eth0 =
		strcmp(found.list[0].name, "eth0") == 0 ? &found.list[0] : &found.list[1];
	assert_string_equal(eth0->name, "eth0");
	assert_int_equal(eth0->mtu, 9000);
	assert_true(eth0->up);
	assert_memory_equal(eth0->mac, "\x02\x11\x22\x33\x44\x55", 6);
	const json_t *first = json_array_get(eth0->addresses, 0);
	assert_string_equal(net_place_text(first, "address"), "10.1.2.3");
	assert_string_equal(net_place_text(first, "broadcast"), "10.1.2.255");
	assert_string_equal(net_place_text(first, "label"), "eth0");
	assert_int_equal(json_integer_value(json_object_get(first, "prefix")), 24);
	assert_null(json_object_get(first, "peer"));
	assert_int_equal(json_array_size(eth0->addresses), 3); /* and a link-local one */
	const json_t *route = net_place_route(found.routes, "0.0.0.0/0");
	assert_string_equal(net_place_text(route, "gateway"), "10.1.2.1");
	assert_string_equal(net_place_text(route, "interface"), "eth0");
	assert_string_equal(
		net_place_text(net_place_route(found.routes, "::/0"), "gateway"), "fd00:1::1");
	route = net_place_route(found.routes, "10.9.0.0/16");
	assert_int_equal(json_integer_value(json_object_get(route, "table")), 77);
	assert_int_equal(json_integer_value(json_object_get(route, "metric")), 5);
	assert_int_equal(json_array_size(found.neighbours), 1);
	assert_string_equal(
		net_place_text(json_array_get(found.neighbours, 0), "mac"), "02:00:00:00:00:99");
	net_scan_fini(&found);
	/* One that is wanted needs no address. */
	cleanup_json json_t *names = json_pack("[s]", "idle");
	struct net_wanted wanted = {.names = names};
	struct err e;
	assert_int_equal(net_scan(&p.rt, &wanted, &found, &e), 0);
	assert_int_equal(found.n, 3);
	net_scan_fini(&found);
	net_place_run(&p,
		"for i in 1 2 3 4 5 6 7 8; do ip link add a$i type veth peer name b$i;"
		"ip addr add 10.3.$i.1/24 dev a$i; done");
	assert_int_equal(net_scan(&p.rt, &wanted, &found, &e), -E2BIG);
	assert_non_null(strstr(e.text, "8 interfaces"));
	net_tap_close(&tap);
	net_place_leave(&p);
}

static const json_t *address_of(const struct net_interface *interface, const char *address)
{
	for (size_t i = 0; i < json_array_size(interface->addresses); i++) {
		const json_t *entry = json_array_get(interface->addresses, i);
		if (strcmp(net_place_text(entry, "address"), address) == 0)
			return entry;
	}
	fail_msg("no %s", address);
	return NULL;
}

static void test_scan_addresses(void **state)
{
	struct net_place p;
	struct net_scan found;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	net_place_enter(&p,
		NET_PLACE_QUIET "; ip addr add fd00:1::9/64 dev eth0 nodad preferred_lft 0;"
				"ip addr add 10.1.3.1/24 dev eth0 preferred_lft 0");
	net_place_scan(&p, &found);
	const struct net_interface *eth0 = net_place_interface(&found, "eth0");
	assert_null(json_object_get(address_of(eth0, "10.1.2.3"), "deprecated"));
	assert_null(json_object_get(address_of(eth0, "fd00:1::2"), "deprecated"));
	assert_true(json_is_true(json_object_get(address_of(eth0, "10.1.3.1"), "deprecated")));
	assert_true(json_is_true(json_object_get(address_of(eth0, "fd00:1::9"), "deprecated")));
	assert_int_equal(json_array_size(found.loopback), 0);
	assert_false(eth0->noarp);
	net_scan_fini(&found);
	/* Of lo, what not every namespace has. */
	net_place_run(&p,
		"ip link set lo up; ip addr add 127.0.0.9/8 dev lo; ip addr add 10.9.9.9/32 dev lo;"
		"ip addr add fd00:9::9/64 dev lo; ip link set eth0 arp off");
	net_place_scan(&p, &found);
	assert_int_equal(json_array_size(found.loopback), 2);
	assert_string_equal(
		net_place_text(json_array_get(found.loopback, 0), "address"), "10.9.9.9");
	assert_string_equal(
		net_place_text(json_array_get(found.loopback, 1), "address"), "fd00:9::9");
	for (size_t i = 0; i < json_array_size(found.routes); i++)
		assert_string_not_equal(
			net_place_text(json_array_get(found.routes, i), "destination"), "::1/128");
	struct network_device device = {.interface = net_place_interface(&found, "eth0")->index};
	cleanup_json json_t *message = net_message(&found, &device, 1);
	assert_true(json_equal(json_object_get(message, "loopback"), found.loopback));
	assert_true(json_is_true(json_object_get(
		json_array_get(json_object_get(message, "interfaces"), 0), "noarp")));
	assert_string_equal(
		net_place_text(net_place_route(json_object_get(message, "routes"), "fd00:9::/64"),
			"interface"),
		"lo");
	net_scan_fini(&found);
	net_place_leave(&p);
}

/* Several ways, one of which leads through what the container does not get. */
static void test_ways(void **state)
{
	struct net_place p;
	struct net_scan found;
	struct network_device devices[2] = {
		{.mac = {2, 0, 0, 0, 0, 1}}, {.mac = {2, 0, 0, 0, 0, 2}}};

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	net_place_enter(&p,
		VETH
		"; ip link add eth1 type veth peer name out1; ip link set out1 up; ip link set "
		"eth1 up;"
		"ip link add br0 type bridge; ip link add out2 type veth peer name port;"
		"ip link set port master br0 up; ip link set out2 up;"
		"ip addr add 10.2.0.2/24 dev eth1;"
		"ip route add 10.20.0.0/16 nexthop via 10.1.2.7 weight 3 nexthop dev port "
		"nexthop via 10.2.0.7 dev eth1;"
		"ip route add 10.21.0.0/16 via inet6 fe80::1 dev eth0 mtu 1400 advmss 1300;"
		"ip route add 10.22.0.0/16 nexthop via 10.77.0.1 dev eth1 onlink nexthop dev port;"
		"ip route add blackhole 10.23.0.0/16; ip route add 10.24.0.0/16 dev lo;"
		"ip route add 10.24.1.0/24 tos 0x10 via 10.1.2.7;"
		"ip -6 route add default from fd00:1::/64 via fd00:1::7 metric 7;"
		/* Not every kernel has tunnels of that kind. */
		"ip route add 10.24.2.0/24 encap ip id 5 dst 10.1.2.7 dev eth0 || true;"
		"ip route add 10.24.3.0/24 nexthop encap ip id 5 dst 10.1.2.7 dev eth0 nexthop "
		"encap ip id 6 dst 10.2.0.7 dev eth1 || true");
	net_place_scan(&p, &found);
	const json_t *route = net_place_route(found.routes, "10.20.0.0/16");
	assert_null(json_object_get(route, "interface"));
	assert_int_equal(json_array_size(json_object_get(route, "nexthops")), 2);
	route = net_place_route(found.routes, "10.21.0.0/16");
	assert_string_equal(net_place_text(route, "gateway"), "fe80::1");
	assert_int_equal(json_integer_value(json_object_get(route, "mtu")), 1400);
	assert_int_equal(json_integer_value(json_object_get(route, "advmss")), 1300);
	assert_null(json_object_get(net_place_route(found.routes, "10.23.0.0/16"), "interface"));
	assert_string_equal(
		net_place_text(net_place_route(found.routes, "10.24.0.0/16"), "interface"), "lo");
	for (size_t i = 0; i < json_array_size(found.routes); i++) {
		const json_t *other = json_array_get(found.routes, i);
		/* What is for some packets only. */
		for (int third = 1; third <= 3; third++) {
			char destination[32];
			snprintf(destination, sizeof(destination), "10.24.%d.0/24", third);
			assert_string_not_equal(net_place_text(other, "destination"), destination);
		}
		assert_int_not_equal(json_integer_value(json_object_get(other, "metric")), 7);
	}
	/* Only eth0 is the container's. */
	for (unsigned i = 0; i < found.n; i++)
		if (strcmp(found.list[i].name, "eth0") == 0)
			devices[1].interface = found.list[i].index;
	cleanup_json json_t *message = net_message(&found, devices, 2);
	const json_t *routes = json_object_get(message, "routes");
	const json_t *hops = json_object_get(net_place_route(routes, "10.20.0.0/16"), "nexthops");
	assert_int_equal(json_array_size(hops), 1);
	assert_string_equal(net_place_text(json_array_get(hops, 0), "gateway"), "10.1.2.7");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(hops, 0), "weight")), 3);
	assert_non_null(net_place_route(routes, "10.23.0.0/16"));
	for (size_t i = 0; i < json_array_size(routes); i++)
		assert_string_not_equal(
			net_place_text(json_array_get(routes, i), "destination"), "10.22.0.0/16");
	net_scan_fini(&found);
	net_place_leave(&p);
}

static void test_message(void **state)
{
	struct net_place p;
	struct net_scan found;
	struct network_device devices[3] = {{.mac = {2, 0, 0, 0, 0, 1}},
		{.mac = {2, 0, 0, 0, 0, 2}}, {.mac = {2, 0, 0, 0, 0, 3}}};

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	net_place_enter(&p, VETH);
	net_place_scan(&p, &found);
	for (unsigned i = 0; i < found.n; i++)
		if (strcmp(found.list[i].name, "eth0") == 0)
			devices[1].interface = found.list[i].index;
	cleanup_json json_t *message = net_message(&found, devices, 3);
	const json_t *interfaces = json_object_get(message, "interfaces");
	const json_t *routes = json_object_get(message, "routes");
	assert_int_equal(json_array_size(interfaces), 1);
	assert_string_equal(
		net_place_text(json_array_get(interfaces, 0), "device"), "02:00:00:00:00:02");
	assert_string_equal(
		net_place_text(json_array_get(interfaces, 0), "mac"), "02:11:22:33:44:55");
	bool gateways = false;
	for (size_t i = 0; i < json_array_size(routes); i++) {
		const json_t *route = json_array_get(routes, i);
		assert_string_equal(net_place_text(route, "interface"), "eth0");
		if (json_object_get(route, "gateway"))
			gateways = true;
		else
			assert_false(gateways); /* those come last */
	}
	assert_true(gateways);
	net_scan_fini(&found);
	net_place_leave(&p);
}

static bool is_noted(const struct net_scan *found, const char *text)
{
	for (size_t i = 0; i < json_array_size(found->notes); i++)
		if (strcmp(json_string_value(json_array_get(found->notes, i)), text) == 0)
			return true;
	return false;
}

/* What has addresses, and is of no use to the container or to anyone any more. */
static void test_notes(void **state)
{
	struct net_place p;
	struct net_scan found;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	net_place_enter(&p,
		"ip link set lo up; ip addr add 10.8.0.1/32 dev lo;"
		"ip tuntap add tun0 mode tun; ip addr add 10.8.1.1/24 dev tun0;"
		"ip tuntap add tun1 mode tun; ip link set tun1 up;"
		"ip link add br0 type bridge; ip addr add 10.8.2.1/24 dev br0;"
		"ip link add port type veth peer name port2; ip link set port master br0;"
		"ip addr add 10.8.3.1/24 dev port;"
		"ip link add quiet type veth peer name quiet2; ip link set quiet master br0;"
		"ip link add eth0 type veth peer name out;"
		"ip link add link eth0 name eth0.5 type macvtap; ip addr add 10.8.5.1/24 dev "
		"eth0.5;"
		"ip link add link eth0 name eth0.6 type macvtap; ip link set eth0 up;"
		"name=$(printf \"n\\351t0\"); ip link add \"$name\" type veth peer name net1;"
		"ip addr add 10.8.6.1/24 dev \"$name\"");
	net_place_scan(&p, &found);
	assert_int_equal(json_array_size(found.notes), 3);
	assert_true(is_noted(&found, "n?t0: is not the container's: its name is not UTF-8 text"));
	assert_true(
		is_noted(&found, "tun0: is not the container's: it is not an Ethernet interface"));
	assert_true(
		is_noted(&found, "port: is not the container's: it is part of another (bridge)"));
	net_scan_fini(&found);
	net_place_run(&p, "ip addr add 10.8.4.1/24 dev eth0");
	net_place_scan(&p, &found);
	assert_int_equal(json_array_size(found.notes), 4);
	assert_true(is_noted(&found,
		"eth0.5: receives nothing any more: what comes in on eth0 is the container's"));
	net_scan_fini(&found);
	net_place_run(&p, "ip link set eth0 mtu 65535");
	net_place_scan(&p, &found);
	assert_true(is_noted(&found,
		"eth0: its MTU of 65535 is more than a virtual machine's: the container has "
		"65521"));
	assert_int_equal(net_place_interface(&found, "eth0")->mtu, NET_MTU_MAX);
	net_scan_fini(&found);
	net_place_leave(&p);
}

/* Those that choose by source and destination alone. */
static void test_rules(void **state)
{
	struct net_place p;
	struct net_scan found;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	net_place_enter(&p,
		"ip rule add from 10.1.2.0/24 to 10.9.0.0/16 table 5 priority 7;"
		"ip rule add table 1000 priority 8; ip -6 rule add from fd00::/64 table 9 "
		"priority 9;"
		"ip rule add iif lo table 6; ip rule add oif lo table 6; ip rule add fwmark 1 "
		"table 6;"
		"ip rule add not from 10.0.0.0/8 table 6; ip rule add tos 0x10 table 6;"
		"ip rule add table main suppress_prefixlength 0;"
		"ip rule add ipproto tcp dport 80 table 6; ip rule add uidrange 1-2 table 6;"
		"ip rule add blackhole priority 20; ip rule add goto 32766 priority 21");
	net_place_scan(&p, &found);
	cleanup_json json_t *expected =
		json_pack("[{s:i, s:i, s:i, s:s, s:s}, {s:i, s:i, s:i}, {s:i, s:i, s:i, s:s}]",
			"family", 4, "priority", 7, "table", 5, "from", "10.1.2.0/24", "to",
			"10.9.0.0/16", "family", 4, "priority", 8, "table", 1000, "family", 6,
			"priority", 9, "table", 9, "from", "fd00::/64");
	cleanup_json json_t *message = net_message(&found, NULL, 0);
	if (!json_equal(json_object_get(message, "rules"), expected))
		fail_msg("%s", json_dumps(found.rules, 0));
	net_scan_fini(&found);
	net_place_leave(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_scan_addresses),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
