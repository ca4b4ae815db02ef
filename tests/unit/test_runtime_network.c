/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces, what is found in them, taps and wires, with the kernel's own: in namespaces that the
 * test makes, so it needs root (else it is skipped), /dev/net/tun and iproute2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "oci/config.h"
#include "runtime/net_devices.h"
#include "runtime/net_message.h"
#include "runtime/net_tap.h"
#include "runtime/net_user.h"
#include "runtime/net_wire.h"
#include "runtime/network.h"
#include "tests/unit/support/net_place.h"

#define VETH                                                                                       \
	"ip link add eth0 address 02:11:22:33:44:55 type veth peer name out;"                      \
	"ip link set out up; ip link set lo up; ip link set eth0 mtu 9000 up;"                     \
	"ip addr add 10.1.2.3/24 brd + dev eth0; ip addr add fd00:1::2/64 dev eth0;"               \
	"ip route add default via 10.1.2.1; ip -6 route add default via fd00:1::1;"                \
	"ip route add 10.9.0.0/16 via 10.1.2.9 metric 5 table 77;"                                 \
	"ip neigh add 10.1.2.1 lladdr 02:00:00:00:00:99 dev eth0 nud permanent"

static void test_netns(void **state)
{
	struct netns_id a, b;
	struct err e;
	int fds[3];

	(void)state;
	assert_int_equal(netns_open("/no/such", &e), -ENOENT);
	assert_non_null(strstr(e.text, "/no/such"));
	assert_int_equal(netns_open("/proc/self/ns/uts", &e), -EINVAL);
	assert_int_equal(netns_open("/dev/null", &e), -EINVAL);
	NET_PLACE_NEEDS_ROOT();
	cleanup_close int one = netns_new(&e), two = netns_new(&e);
	cleanup_close int own = netns_open("/proc/self/ns/net", &e);
	assert_true(one >= 0 && two >= 0 && own >= 0);
	assert_int_equal(netns_identify(one, &a), 0);
	assert_int_equal(netns_identify(two, &b), 0);
	assert_true(netns_same(&a, &a));
	assert_false(netns_same(&a, &b));
	/* We are where we were. */
	cleanup_close int again = netns_open("/proc/self/ns/net", &e);
	assert_int_equal(netns_identify(own, &a), 0);
	assert_int_equal(netns_identify(again, &b), 0);
	assert_true(netns_same(&a, &b));
	assert_int_equal(netns_files(one, NETNS_ROUTE, fds, 3, &e), 0);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	cleanup_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(netns_files(null, NETNS_ROUTE, fds, 1, &e) < 0);
	assert_non_null(strstr(e.text, "network namespace"));
}

static const json_t *route_to(const json_t *routes, const char *destination)
{
	for (size_t i = 0; i < json_array_size(routes); i++) {
		const json_t *route = json_array_get(routes, i);
		if (strcmp(json_string_value(json_object_get(route, "destination")), destination) ==
			0)
			return route;
	}
	fail_msg("no route to %s", destination);
	return NULL;
}

static const char *text_of(const json_t *object, const char *path)
{
	const char *text = json_string_value(oci_lookup(object, path));

	return text ? text : "(none)";
}

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
	assert_string_equal(text_of(first, "address"), "10.1.2.3");
	assert_string_equal(text_of(first, "broadcast"), "10.1.2.255");
	assert_string_equal(text_of(first, "label"), "eth0");
	assert_int_equal(json_integer_value(json_object_get(first, "prefix")), 24);
	assert_null(json_object_get(first, "peer"));
	assert_int_equal(json_array_size(eth0->addresses), 3); /* and a link-local one */
	const json_t *route = route_to(found.routes, "0.0.0.0/0");
	assert_string_equal(text_of(route, "gateway"), "10.1.2.1");
	assert_string_equal(text_of(route, "interface"), "eth0");
	assert_string_equal(text_of(route_to(found.routes, "::/0"), "gateway"), "fd00:1::1");
	route = route_to(found.routes, "10.9.0.0/16");
	assert_int_equal(json_integer_value(json_object_get(route, "table")), 77);
	assert_int_equal(json_integer_value(json_object_get(route, "metric")), 5);
	assert_int_equal(json_array_size(found.neighbours), 1);
	assert_string_equal(
		text_of(json_array_get(found.neighbours, 0), "mac"), "02:00:00:00:00:99");
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
		if (strcmp(text_of(entry, "address"), address) == 0)
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
	assert_string_equal(text_of(json_array_get(found.loopback, 0), "address"), "10.9.9.9");
	assert_string_equal(text_of(json_array_get(found.loopback, 1), "address"), "fd00:9::9");
	for (size_t i = 0; i < json_array_size(found.routes); i++)
		assert_string_not_equal(
			text_of(json_array_get(found.routes, i), "destination"), "::1/128");
	struct network_device device = {.interface = net_place_interface(&found, "eth0")->index};
	cleanup_json json_t *message = net_message(&found, &device, 1);
	assert_true(json_equal(json_object_get(message, "loopback"), found.loopback));
	assert_true(json_is_true(json_object_get(
		json_array_get(json_object_get(message, "interfaces"), 0), "noarp")));
	assert_string_equal(
		text_of(route_to(json_object_get(message, "routes"), "fd00:9::/64"), "interface"),
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
	const json_t *route = route_to(found.routes, "10.20.0.0/16");
	assert_null(json_object_get(route, "interface"));
	assert_int_equal(json_array_size(json_object_get(route, "nexthops")), 2);
	route = route_to(found.routes, "10.21.0.0/16");
	assert_string_equal(text_of(route, "gateway"), "fe80::1");
	assert_int_equal(json_integer_value(json_object_get(route, "mtu")), 1400);
	assert_int_equal(json_integer_value(json_object_get(route, "advmss")), 1300);
	assert_null(json_object_get(route_to(found.routes, "10.23.0.0/16"), "interface"));
	assert_string_equal(text_of(route_to(found.routes, "10.24.0.0/16"), "interface"), "lo");
	for (size_t i = 0; i < json_array_size(found.routes); i++) {
		const json_t *other = json_array_get(found.routes, i);
		/* What is for some packets only. */
		for (int third = 1; third <= 3; third++) {
			char destination[32];
			snprintf(destination, sizeof(destination), "10.24.%d.0/24", third);
			assert_string_not_equal(text_of(other, "destination"), destination);
		}
		assert_int_not_equal(json_integer_value(json_object_get(other, "metric")), 7);
	}
	/* Only eth0 is the container's. */
	for (unsigned i = 0; i < found.n; i++)
		if (strcmp(found.list[i].name, "eth0") == 0)
			devices[1].interface = found.list[i].index;
	cleanup_json json_t *message = net_message(&found, devices, 2);
	const json_t *routes = json_object_get(message, "routes");
	const json_t *hops = json_object_get(route_to(routes, "10.20.0.0/16"), "nexthops");
	assert_int_equal(json_array_size(hops), 1);
	assert_string_equal(text_of(json_array_get(hops, 0), "gateway"), "10.1.2.7");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(hops, 0), "weight")), 3);
	assert_non_null(route_to(routes, "10.23.0.0/16"));
	for (size_t i = 0; i < json_array_size(routes); i++)
		assert_string_not_equal(
			text_of(json_array_get(routes, i), "destination"), "10.22.0.0/16");
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
	assert_string_equal(text_of(json_array_get(interfaces, 0), "device"), "02:00:00:00:00:02");
	assert_string_equal(text_of(json_array_get(interfaces, 0), "mac"), "02:11:22:33:44:55");
	bool gateways = false;
	for (size_t i = 0; i < json_array_size(routes); i++) {
		const json_t *route = json_array_get(routes, i);
		assert_string_equal(text_of(route, "interface"), "eth0");
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
		"ip link add link eth0 name eth0.5 type macvlan; ip addr add 10.8.5.1/24 dev "
		"eth0.5;"
		"ip link add link eth0 name eth0.6 type macvlan; ip link set eth0 up");
	net_place_scan(&p, &found);
	assert_int_equal(json_array_size(found.notes), 2);
	assert_true(
		is_noted(&found, "tun0: is not the container's: it is not an Ethernet interface"));
	assert_true(
		is_noted(&found, "port: is not the container's: it is part of another (bridge)"));
	net_scan_fini(&found);
	net_place_run(&p, "ip addr add 10.8.4.1/24 dev eth0");
	net_place_scan(&p, &found);
	assert_int_equal(json_array_size(found.notes), 3);
	assert_true(is_noted(&found,
		"eth0.5: receives nothing any more: what comes in on eth0 is the container's"));
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

/* A network with a state directory, two net devices and nothing to wire yet. */
static void make_network(struct net_place *p, struct network *net, struct net_tap taps[2], int dir)
{
	struct err e;

	memset(net, 0, sizeof(*net));
	assert_int_equal(netns_identify(p->ns, &net->id), 0);
	for (net->n = 0; net->n < 2; net->n++) {
		struct network_device *device = &net->devices[net->n];
		net_place_tap(p, &taps[net->n], 1);
		device->tap = taps[net->n].index;
		memcpy(device->tap_name, taps[net->n].name, sizeof(device->tap_name));
		assert_int_equal(network_make_mac(device->mac), 0);
	}
	assert_int_equal(network_save(net, dir, &e), 0);
}

static json_t *sync_now(struct net_place *p, int dir)
{
	json_t *todo = NULL;
	struct err e;

	if (network_sync(dir, &p->rt, false, &todo, &e) < 0)
		fail_msg("%s", e.text);
	return todo;
}

static void told(int dir, json_t *todo)
{
	struct err e;

	assert_int_equal(network_told(dir, todo, &e), 0);
	json_decref(todo);
}

static void test_sync(void **state)
{
	char path[] = "/tmp/hvrun-network-XXXXXX";
	struct net_place p;
	struct network net;
	struct net_tap taps[2];
	struct err e;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	assert_non_null(mkdtemp(path));
	cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(network_load(&net, dir, &e), -ENOENT);
	net_place_enter(&p, "true");
	make_network(&p, &net, taps, dir);
	/* Nothing is there; that, too, is something to be told once. */
	json_t *todo = sync_now(&p, dir);
	assert_int_equal(json_array_size(json_object_get(todo, "interfaces")), 0);
	told(dir, todo);
	assert_null(sync_now(&p, dir));
	net_place_run(&p, NET_PLACE_QUIET);
	todo = sync_now(&p, dir);
	assert_string_equal(
		text_of(json_array_get(json_object_get(todo, "interfaces"), 0), "name"), "eth0");
	/* Until the guest has it, it is still to be told. */
	json_t *same = sync_now(&p, dir);
	assert_true(json_equal(todo, same));
	json_decref(same);
	told(dir, todo);
	assert_null(sync_now(&p, dir));
	/* The address goes, the device stays; the MTU is the tap's as well. */
	net_place_run(&p, "ip addr flush dev eth0; ip link set eth0 mtu 1280");
	todo = sync_now(&p, dir);
	const json_t *entry = json_array_get(json_object_get(todo, "interfaces"), 0);
	assert_int_equal(json_array_size(json_object_get(entry, "addresses")), 0);
	assert_int_equal(json_integer_value(json_object_get(entry, "mtu")), 1280);
	assert_non_null(strstr(net_place_run(&p, "ip link show hv0"), "mtu 1280"));
	told(dir, todo);
	assert_int_equal(network_sync(dir, &p.rt, true, &todo, &e), 0);
	assert_null(todo);
	/* Two more are one too many. */
	net_place_run(&p,
		"for i in 1 2; do ip link add e$i type veth peer name f$i;"
		"ip addr add 10.3.$i.1/24 dev e$i; done");
	assert_int_equal(network_sync(dir, &p.rt, true, &todo, &e), -ENOSPC);
	assert_null(todo);
	assert_non_null(strstr(e.text, "e2: the virtual machine has no net device left"));
	todo = sync_now(&p, dir);
	assert_int_equal(json_array_size(json_object_get(todo, "interfaces")), 2);
	told(dir, todo);
	net_place_run(&p, "ip link del eth0");
	todo = sync_now(&p, dir);
	assert_int_equal(json_array_size(json_object_get(todo, "interfaces")), 2);
	for (size_t i = 0; i < 2; i++)
		assert_string_not_equal(
			text_of(json_array_get(json_object_get(todo, "interfaces"), i), "name"),
			"eth0");
	told(dir, todo);
	network_fini(&net);
	assert_int_equal(network_load(&net, dir, &e), 0);
	assert_int_equal(net.n, 2);
	assert_int_equal(net.devices[0].tap, taps[0].index);
	assert_int_equal(network_part(&net, &p.rt), 0);
	network_fini(&net);
	net_tap_close(&taps[0]);
	net_tap_close(&taps[1]);
	assert_null(strstr(net_place_run(&p, "tc qdisc show"), "ingress"));
	net_place_leave(&p);
	unlinkat(dir, "network.json", 0);
	unlinkat(dir, "network.lock", 0);
	assert_int_equal(rmdir(path), 0);
}

static void test_net_devices(void **state)
{
	struct net_place p, host;
	struct net_devices *moved = NULL;
	struct err e;
	json_t *names;

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	net_place_enter(&host,
		"ip link add phys0 type veth peer name phys1; ip addr add 10.5.0.1/24 dev phys0;"
		"ip addr add fd05::1/64 dev phys0 nodad; ip addr add 10.6.0.1/24 scope link "
		"dev phys0; ip link set phys0 up");
	net_place_enter(&p, "ip link add taken type veth peer name taken2");
	cleanup_json json_t *devices = json_pack("{s:{s:s}}", "phys0", "name", "eth7");
	cleanup_json json_t *missing = json_pack("{s:{}}", "no0");
	cleanup_json json_t *taken = json_pack("{s:{s:s}}", "phys0", "name", "taken");
	cleanup_json json_t *second = json_pack("{s:{s:s}, s:{}}", "phys0", "name", "eth6", "no0");
	/* The devices are those of the caller's namespace: so that is another process. */
	pid_t pid = fork();
	if (pid == 0) {
		if (setns(host.ns, CLONE_NEWNET) < 0 ||
			net_devices_move(missing, p.ns, &moved, &names, &e) != -ENODEV ||
			!strstr(e.text, "config.json: linux.netDevices.no0: ") ||
			net_devices_move(taken, p.ns, &moved, &names, &e) != -EEXIST ||
			net_devices_move(second, p.ns, &moved, &names, &e) != -ENODEV || moved ||
			net_devices_move(devices, p.ns, &moved, &names, &e) < 0)
			_exit(1);
		/* A later failure: all is as it was, and can be done again. */
		net_devices_undo(moved, p.ns);
		json_decref(names);
		if (system("ip addr show phys0 | grep -q 10.5.0.1/24 && ip addr show phys0 | grep "
			   "-q "
			   "fd05::1/64 && ip link show phys0 | grep -q ,UP") != 0 ||
			net_devices_move(devices, p.ns, &moved, &names, &e) < 0 ||
			strcmp(json_string_value(json_array_get(names, 0)), "eth7") != 0)
			_exit(1);
		net_devices_free(moved);
		json_decref(names);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
	const char *text = net_place_run(&p, "ip addr show eth7");
	assert_non_null(strstr(text, "10.5.0.1/24"));
	assert_non_null(strstr(text, "fd05::1/64"));
	assert_null(strstr(text, "10.6.0.1"));
	assert_non_null(strstr(text, ",UP"));
	assert_null(strstr(net_place_run(&host, "ip -br link"), "phys0"));
	net_place_leave(&host);
	net_place_leave(&p);
}

static void test_user(void **state)
{
	static const char *const bad[] = {"80", "80:", ":80", "0:80", "80:65536", "a:b", "1:2:3",
		"::1:80:80", "80:80/sctp", "10.0.0.1:1:2:3", "80:80/", "1.2.3.400:1:2", "",
		"[::1:80:80", "[::1]80:80", "[::g]:80:80", "[10.0.0.1]:1:2", "[::1]:80",
		"[::1]:", "80::80", "1:2:", ":1:2"};
	struct net_user *user = calloc(1, sizeof(*user));
	struct err e;

	(void)state;
	assert_int_equal(net_user_publish(user, "8080:80", &e), 0);
	assert_string_equal(user->ports[0].text, "8080:80");
	assert_int_equal(user->ports[0].family, AF_UNSPEC);
	assert_false(user->ports[0].udp);
	assert_int_equal(
		net_user_publish_list(user, "127.0.0.1:53:5353/udp,[fd00::1]:1:2/tcp", &e), 0);
	assert_int_equal(user->n_ports, 3);
	assert_string_equal(user->ports[1].text, "127.0.0.1/53:5353");
	assert_int_equal(user->ports[1].family, AF_INET);
	assert_true(user->ports[1].udp);
	assert_string_equal(user->ports[2].text, "fd00::1/1:2");
	assert_int_equal(user->ports[2].family, AF_INET6);
	assert_int_equal(user->ports[2].host, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (net_user_publish(user, bad[i], &e) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
	while (user->n_ports < NET_USER_PORTS_MAX)
		assert_int_equal(net_user_publish(user, "9:9", &e), 0);
	assert_int_equal(net_user_publish(user, "9:9", &e), -E2BIG);
	free(user);
}

/* What passt has a resolver for is named, and one in any case. */
static void test_user_resolv(void **state)
{
#define FOUR "nameserver 10.0.2.3\n"
#define SIX  "nameserver fd00:10:0:2::3\n"
	static const struct {
		const char *host;
		bool ipv4, ipv6;
		const char *guest;
	} cases[] = {
		{"search example.org\nnameserver 192.0.2.1\n", true, true, FOUR},
		{"nameserver 2001:db8::1\n", true, true, SIX},
		{"nameserver fe80::1%eth0\nnameserver\t127.0.0.53", true, true, FOUR SIX},
		{"nameserver ::1\nnameserver 127.0.0.1\n", false, true, SIX},
		{"nameserver ::1\n", true, false, FOUR},
		{"# nameserver ::1\nnameserver none\n", true, true, FOUR},
		{"", false, true, SIX},
	};
	char path[] = "/tmp/hvrun-resolv-XXXXXX";
	struct net_user *user = calloc(1, sizeof(*user));
	int fd = mkstemp(path);

	(void)state;
	assert_true(user && fd >= 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].host);
		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, cases[i].host, len, 0), len);
		user->ipv4 = cases[i].ipv4;
		user->ipv6 = cases[i].ipv6;
		net_user_read_resolvers(user, path);
		assert_string_equal(net_user_resolv(user), cases[i].guest);
	}
	close(fd);
	unlink(path);
	net_user_read_resolvers(user, path);
	assert_false(user->resolver4 || user->resolver6);
	free(user);
}

/* As a caller in that namespace. */
static int choose(const struct net_place *p, struct net_user *user)
{
	struct err e;
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_true(own >= 0);
	assert_int_equal(setns(p->ns, CLONE_NEWNET), 0);
	int ret = net_user_choose(user, &e);
	assert_int_equal(setns(own, CLONE_NEWNET), 0);
	close(own);
	return ret;
}

static void test_user_families(void **state)
{
	static const char *const destinations[] = {
		"10.0.2.0/24", "0.0.0.0/0", "fd00:10:0:2::/64", "fe80::/64", "::/0"};
	struct net_place p;
	struct net_user *user = calloc(1, sizeof(*user));

	(void)state;
	NET_PLACE_NEEDS_ROOT();
	net_place_enter(&p, "true");
	/* No default route: passt has nowhere to go. */
	assert_int_equal(choose(&p, user), -ENETUNREACH);
	net_place_run(&p,
		"ip link add v0 type veth peer name v1; ip addr add 10.9.0.1/24 dev v0;"
		"ip addr add fd09::1/64 dev v0 nodad; ip link set v0 up; ip link set v1 up");
	assert_int_equal(choose(&p, user), -ENETUNREACH);
	net_place_run(&p, "ip -6 route add default via fd09::2");
	assert_int_equal(choose(&p, user), 0);
	assert_true(user->ipv6 && !user->ipv4);
	assert_string_equal(net_user_resolv(user), "nameserver fd00:10:0:2::3\n");
	struct err e;
	assert_int_equal(net_user_publish_list(user, "1:2,[fd09::1]:3:4", &e), 0);
	assert_int_equal(choose(&p, user), 0);
	assert_int_equal(net_user_publish(user, "10.9.0.1:3:4", &e), 0);
	assert_int_equal(choose(&p, user), -ENETUNREACH);
	net_place_run(&p, "ip route add default via 10.9.0.2");
	assert_int_equal(choose(&p, user), 0);
	assert_true(user->ipv6 && user->ipv4);
	cleanup_json json_t *message = net_user_message(user);
	const json_t *routes = json_object_get(message, "routes");
	assert_int_equal(json_array_size(routes), 5);
	/* Its networks' come with the addresses. */
	for (size_t i = 0; i < sizeof(destinations) / sizeof(destinations[0]); i++)
		(void)route_to(routes, destinations[i]);
	free(user);
	net_place_leave(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_netns),
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_scan_addresses),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_message),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_sync),
		cmocka_unit_test(test_net_devices),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_user_resolv),
		cmocka_unit_test(test_user_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
