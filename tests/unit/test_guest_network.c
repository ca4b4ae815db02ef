/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's network as a whole, and its interfaces, in a network namespace of this program's own
 * with veth devices in place of virtio-net. `ip` reads it back. Skipped without root.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "tests/unit/support/guest_network.h"

#define LINKS                                                                                      \
	"ip -j link | jq -r '.[] | select(.ifname | test(\"^(lo|p[123])$\") | not) | "             \
	"\"\\(.ifname) \\(if .flags | index(\"UP\") then \"UP\" else \"DOWN\" end) \\(.mtu) "      \
	"\\(.address)\"'"
#define FULL                                                                                                         \
	NETWORK(IFACE(1, "eth0",                                                                                     \
			",\"mac\":\"02:aa:00:00:00:01\",\"mtu\":1400,\"up\":true" ADDRS(ADDR(                        \
				"10.88.0.2", 16,                                                                     \
				",\"broadcast\":\"10.88.255.255\",\"label\":\"eth0:x\"") "," ADDR("10.88.0.3",       \
				16, "") "," ADDR("192.168.9.1", 32,                                                  \
				",\"peer\":\"192.168.9.2\",\"scope\":253") "," ADDR("fe80::aa",                      \
				64, ",\"scope\":253") "," ADDR("fd00::2", 64, ""))) "," IFACE(2,                     \
			"net1", ADDRS(ADDR("10.99.0.2", 24, ""))),                                                   \
		ROUTE("0.0.0.0/0", ",\"gateway\":\"10.88.0.1\",\"interface\":\"eth0\"") "," NET4(                    \
			"10.88.0.0/16", "eth0", "10.88.0.2") "," NET4("192.168.9.2/32", "eth0",                      \
			"192.168.9.1") "," NET4("10.99.0.0/24", "net1",                                              \
			"10.99.0.2") "," NET6("fe80::/64", "eth0") "," NET6("fd00::/64",                             \
			"eth0") "," ROUTE("10.1.0.0/16",                                                             \
			",\"family\":4,\"gateway\":\"172.31.0.1\",\"interface\":\"net1\","                           \
			"\"onlink\":true,"                                                                           \
			"\"metric\":7,\"protocol\":4,\"source\":\"10.99.0.2\"") "," ROUTE("10.2."                    \
											  "0.0/"                     \
											  "16",                      \
			",\"gateway\":\"10.88.0.9\",\"interface\":\"eth0\",\"table\":1000") "," ROUTE("10.3.0.0/16", \
			",\"type\":6") "," ROUTE("10.4.0.0/16",                                                      \
			",\"gateway\":\"fe80::1\",\"interface\":\"eth0\"") "," ROUTE("::/0",                         \
			",\"gateway\":\"fe80::1\",\"interface\":\"eth0\",\"metric\":5") "," ROUTE("fd01::/64",       \
			",\"type\":7,\"interface\":\"lo\""))

static void test_apply(void **state)
{
	(void)state;
	apply(FULL);
	expect(LINKS,
		"eth0 UP 1400 02:aa:00:00:00:01\nnet1 UP 1500 02:00:00:00:00:02\n"
		"eth2 DOWN 1500 02:00:00:00:00:03\n");
	expect(ADDRESSES("eth0"),
		"inet 192.168.9.1 peer 192.168.9.2/32 scope link eth0\n"
		"inet 10.88.0.2/16 brd 10.88.255.255 scope global eth0:x\n"
		"inet 10.88.0.3/16 scope global secondary eth0\n"
		"inet6 fd00::2/64 scope global nodad\ninet6 fe80::aa/64 scope link nodad\n");
	expect(ADDRESSES("net1"), "inet 10.99.0.2/24 scope global net1\n");
	expect("ip -4 route show table all | grep -v 'table local'",
		"10.2.0.0/16 via 10.88.0.9 dev eth0 table 1000\n"
		"default via 10.88.0.1 dev eth0\n"
		"10.1.0.0/16 via 172.31.0.1 dev net1 proto static src 10.99.0.2 metric 7 onlink\n"
		"blackhole 10.3.0.0/16\n"
		"10.4.0.0/16 via inet6 fe80::1 dev eth0\n"
		"10.88.0.0/16 dev eth0 proto kernel scope link src 10.88.0.2\n"
		"10.99.0.0/24 dev net1 proto kernel scope link src 10.99.0.2\n"
		"192.168.9.2 dev eth0 proto kernel scope link src 192.168.9.1\n");
	expect("ip -6 route show table all | grep -v 'table local' | sed 's/ pref medium//'",
		"fd00::/64 dev eth0 proto kernel metric 256\n"
		"unreachable fd01::/64 dev lo metric 1024\n"
		"fe80::/64 dev eth0 proto kernel metric 256\n"
		"default via fe80::1 dev eth0 metric 5\n");
	expect("cd /proc/sys/net/ipv6/conf/eth0; cat accept_ra autoconf accept_dad addr_gen_mode",
		"0\n0\n0\n1\n");
	/* The same once more changes nothing. */
	shell("ip -4 route del default; ip addr del 10.88.0.3/16 dev eth0; ip link set net1 down");
	apply(FULL);
	expect("ip -4 route show default", "");
	expect("ip -o addr show dev eth0 | grep -c 10.88.0.3", "0\n");
	expect("ip -o link show net1 | grep -c '[<,]UP'", "0\n");
}

#define ONE(members)	  NETWORK(IFACE(1, "eth0", members), "")
#define TWO(name1, name2) NETWORK(IFACE(1, name1, "") "," IFACE(2, name2, ""), "")

static void test_changes(void **state)
{
	(void)state;
	apply(NETWORK(
		IFACE(1, "eth0", ADDRS(ADDR("10.0.0.2", 24, "") "," ADDR("10.5.0.2", 24, ""))),
		NET4("10.0.0.0/24", "eth0", "10.0.0.2") "," NET4(
			"10.5.0.0/24", "eth0", "10.5.0.2") "," ROUTE("0.0.0.0/0",
			",\"gateway\":\"10.0.0.1\",\"interface\":\"eth0\"") "," ROUTE("10.7.0.0/16",
			",\"gateway\":\"10.0.0.9\",\"interface\":\"eth0\"")));
	/* What the container makes of it: an address, a route, another default route, a rule. */
	shell("ip addr add 10.6.0.1/24 dev eth0; ip route add 10.8.0.0/16 via 10.0.0.4; "
	      "ip route replace default via 10.0.0.5; ip link set eth0 mtu 1300 promisc on");
	apply(NETWORK(IFACE(1, "eth0",
			      ",\"mtu\":1450" ADDRS(
				      ADDR("10.0.0.2", 24, "") "," ADDR("fd00::5", 64, ""))),
		NET4("10.0.0.0/24", "eth0", "10.0.0.2") "," NET6("fd00::/64", "eth0") "," ROUTE(
			"0.0.0.0/0",
			",\"gateway\":\"10.0.0.1\",\"interface\":\"eth0\"") "," ROUTE("10.9.0.0/16",
			",\"gateway\":\"10.0.0.8\",\"interface\":\"eth0\"")));
	expect(ADDRESSES("eth0"),
		"inet 10.0.0.2/24 scope global eth0\ninet 10.6.0.1/24 scope global eth0\n"
		"inet6 fd00::5/64 scope global nodad\n");
	/* An address went, so what is wanted was put back, behind what there was. */
	expect("ip -4 route",
		"default via 10.0.0.5 dev eth0\ndefault via 10.0.0.1 dev eth0\n"
		"10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.2\n"
		"10.6.0.0/24 dev eth0 proto kernel scope link src 10.6.0.1\n"
		"10.8.0.0/16 via 10.0.0.4 dev eth0\n"
		"10.9.0.0/16 via 10.0.0.8 dev eth0\n");
	expect("ip -o link show eth0 | grep -o PROMISC", "PROMISC\n");
	expect("ip -o link show eth0 | grep -o 'mtu [0-9]*'", "mtu 1450\n");
	shell("ip route del default; ip route del default; ip addr del 10.0.0.2/24 dev eth0");
	/* Nothing but a neighbour is new: the rest stays as it was made. */
	apply("{\"interfaces\":[" IFACE(1, "eth0",
		",\"mtu\":1450" ADDRS(ADDR("10.0.0.2", 24, "") "," ADDR(
			"fd00::5", 64, ""))) "],\"routes\":[" NET4("10.0.0.0/24", "eth0",
		"10.0.0.2") "," NET6("fd00::/64", "eth0") "," ROUTE("0.0.0.0/0",
		",\"gateway\":\"10.0.0.1\",\"interface\":\"eth0\"") "],\"neighbours\":[{"
								    "\"address\":\"10.0.0.1\","
								    "\"mac\":\"02:11:22:33:44:55\","
								    "\"interface\":\"eth0\"}]}");
	expect("ip -4 route show default", "");
	expect("ip -4 -o addr show dev eth0 | grep -c 10.0.0.2", "0\n");
	expect("ip neigh show nud permanent",
		"10.0.0.1 dev eth0 lladdr 02:11:22:33:44:55 PERMANENT\n");
	apply(ONE(""));
	expect("ip neigh show nud permanent", "");
	expect(ADDRESSES("eth0"), "inet 10.6.0.1/24 scope global eth0\n");
}

static void test_names(void **state)
{
	(void)state;
	apply(TWO("eth0", "eth1")); /* the one device has the other's name */
	expect(LINKS,
		"eth0 UP 1500 02:00:00:00:00:01\neth1 UP 1500 02:00:00:00:00:02\n"
		"eth2 DOWN 1500 02:00:00:00:00:03\n");
	apply(TWO("eth1", "eth0"));
	expect(LINKS,
		"eth1 UP 1500 02:00:00:00:00:01\neth0 UP 1500 02:00:00:00:00:02\n"
		"eth2 DOWN 1500 02:00:00:00:00:03\n");
	/* A spare one makes room; names go round. */
	apply(TWO("eth0", "eth2"));
	expect(LINKS,
		"eth0 UP 1500 02:00:00:00:00:01\neth2 UP 1500 02:00:00:00:00:02\n"
		"spare1 DOWN 1500 02:00:00:00:00:03\n");
	/* The container's own name for it counts no more than the host's last word. */
	shell("ip link set eth0 name mine");
	apply(TWO("eth0", "eth3"));
	expect(LINKS,
		"mine UP 1500 02:00:00:00:00:01\neth3 UP 1500 02:00:00:00:00:02\n"
		"spare1 DOWN 1500 02:00:00:00:00:03\n");
	/* What the container made itself is not renamed. */
	shell("ip link add eth9 type veth peer name p9");
	assert_int_equal(try(TWO("eth9", "eth3")), -EEXIST);
	assert_non_null(strstr(network_err.text, "network: eth9: can't have the name"));
	shell("ip link del eth9");
	apply(TWO("eth9", "eth3"));
	expect("ip -o link show eth9 | grep -c 02:00:00:00:00:01", "1\n");
}

static void test_gone(void **state)
{
	(void)state;
	apply(NETWORK(IFACE(1, "eth0",
			      ",\"mac\":\"02:aa:00:00:00:01\"" ADDRS(
				      ADDR("10.0.0.2", 24, "") "," ADDR("fd00::2", 64, ""))),
		NET4("10.0.0.0/24", "eth0", "10.0.0.2") "," NET6("fd00::/64", "eth0") "," ROUTE(
			"0.0.0.0/0", ",\"gateway\":\"10.0.0.1\",\"interface\":\"eth0\"")));
	shell("ip addr add 10.0.0.9/24 dev eth0; ip addr add 10.77.0.9/32 dev eth0");
	/* Its name and addresses are another one's at once. */
	apply(NETWORK(IFACE(2, "eth0", ADDRS(ADDR("10.0.0.2", 24, ""))),
		NET4("10.0.0.0/24", "eth0", "10.0.0.2")));
	expect(LINKS,
		"spare1 DOWN 1500 02:aa:00:00:00:01\neth0 UP 1500 02:00:00:00:00:02\n"
		"eth2 DOWN 1500 02:00:00:00:00:03\n");
	expect("ip -o addr show dev spare1", "");
	expect("ip -4 route", "10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.2\n");
	/* Back as another interface. */
	apply(NETWORK(IFACE(2, "eth0", ADDRS(ADDR("10.0.0.2", 24, ""))) "," IFACE(1, "net7", ""),
		NET4("10.0.0.0/24", "eth0", "10.0.0.2")));
	expect("ip -o link show net7 | grep -c 'UP.*02:00:00:00:00:01'", "1\n");
	apply("{}");
	expect("ip -o link show up | grep -vc ' p[123]@\\| lo:'", "0\n");
	expect("ip -4 route", "");
}

static void test_down_and_up(void **state)
{
#define STATE(up, routes)                                                                          \
	"{\"interfaces\":[" IFACE(1, "eth0",                                                       \
		",\"up\":" up ADDRS(ADDR("10.0.0.2", 24, "") "," ADDR(                             \
			"fd00::2", 64, ""))) "],\"routes\":[" routes ROUTE("10.3.0.0/16",          \
		",\"type\":6") "],\"neighbours\":[{\"address\":\"10.0.0.1\",\"mac\":\"02:11:22:"   \
			       "33:44:55\","                                                       \
			       "\"interface\":\"eth0\"}]}"
#define CONNECTED NET4("10.0.0.0/24", "eth0", "10.0.0.2") "," NET6("fd00::/64", "eth0") ","
#define DEFAULT	  ROUTE("0.0.0.0/0", ",\"gateway\":\"10.0.0.1\",\"interface\":\"eth0\"") ","
#define DOWN	  STATE("false", "")
#define UP	  STATE("true", CONNECTED DEFAULT)
	static const char *const there = "default via 10.0.0.1 dev eth0\n"
					 "10.0.0.0/24 dev eth0 proto kernel scope link src "
					 "10.0.0.2\nblackhole 10.3.0.0/16\n";

	(void)state;
	apply(DOWN);
	expect("ip -4 route", "blackhole 10.3.0.0/16\n");
	expect("ip -o link show eth0 | grep -c '[<,]UP'", "0\n");
	apply(UP);
	expect("ip -4 route", there);
	apply(DOWN);
	expect("ip -4 route", "blackhole 10.3.0.0/16\n");
	apply(UP);
	expect("ip -4 route", there);
	expect("ip neigh show nud permanent | wc -l", "1\n");
	expect(ADDRESSES("eth0"),
		"inet 10.0.0.2/24 scope global eth0\ninet6 fd00::2/64 scope global nodad\n");
}

static void test_noarp(void **state)
{
#define NOARP(is)                                                                                  \
	"{\"interfaces\":[" IFACE(1, "eth0",                                                       \
		",\"noarp\":" is ADDRS(                                                            \
			ADDR("10.0.0.2", 24, ""))) "],\"routes\":[" NET4("10.0.0.0/24", "eth0",    \
		"10.0.0.2") "]," NEIGHBOUR "}"
#define NEIGHBOUR                                                                                  \
	"\"neighbours\":[{\"address\":\"10.0.0.1\",\"mac\":\"02:11:22:33:44:55\",\"interface\":"   \
	"\"eth0\"}]"
#define SHOW_NOARP "ip link show dev eth0 | grep -c NOARP; ip neigh show nud permanent | wc -l"

	(void)state;
	apply(NOARP("true"));
	expect(SHOW_NOARP, "1\n1\n");
	apply(NOARP("false"));
	expect(SHOW_NOARP, "0\n1\n");
	apply(NOARP("true"));
	expect(SHOW_NOARP, "1\n1\n");
	/* The net device as another interface, for which it is not said. */
	apply("{}");
	apply(ONE(""));
	expect(SHOW_NOARP, "0\n0\n");
}

/* As many as there may be, and all but one of them away again. */
static void test_many(void **state)
{
	static char text[1 << 20];
	size_t used = 0;

	(void)state;
#define MORE(...) used += (size_t)snprintf(text + used, sizeof(text) - used, __VA_ARGS__)
	MORE("{\"interfaces\":[{\"device\":\"" MAC(1) "\",\"name\":\"eth0\",\"addresses\":[");
	for (int i = 0; i < 256; i++)
		MORE("%s" ADDR("10.0.%d.2", 24, ""), i ? "," : "", i);
	MORE("]}],\"routes\":[");
	for (int i = 0; i < 256; i++)
		MORE(NET4("10.0.%d.0/24", "eth0", "10.0.%d.2") ",", i, i);
	for (int i = 0; i < 3840; i++)
		MORE("%s" ROUTE(
			     "20.%d.%d.0/24", ",\"gateway\":\"10.0.0.1\",\"interface\":\"eth0\""),
			i ? "," : "", i / 256, i % 256);
	MORE("],\"neighbours\":[");
	for (int i = 0; i < 1024; i++)
		MORE("%s{\"address\":\"10.%d.0.%d\",\"mac\":\"" MAC(1) "\",\"interface\":\"eth0\"}",
			i ? "," : "", 100 + i / 256, i % 256);
	MORE("]}");
	apply(text);
	expect("ip -4 -o addr show dev eth0 | wc -l", "256\n");
	expect("ip -4 route show root 20.0.0.0/8 | wc -l", "3840\n");
	expect("ip neigh show nud permanent | wc -l", "1024\n");
	apply(NETWORK(IFACE(1, "eth0", ADDRS(ADDR("10.0.9.2", 24, ""))),
		NET4("10.0.9.0/24", "eth0", "10.0.9.2")));
	expect("ip -4 -o addr show dev eth0 | wc -l", "1\n");
	expect("ip -4 route | wc -l", "1\n");
	expect("ip neigh show nud permanent | wc -l", "0\n");
	shell("for i in $(seq 1 60); do for k in 1 2 3 4 5; do echo addr add 10.$k.$i.1/24 dev "
	      "eth0; "
	      "done; done | ip -batch -");
	apply("{}");
	expect("ip -4 -o addr show dev spare0 | wc -l", "0\n");
}

static void test_failures(void **state)
{
	static const char wanted[] = NETWORK(
		IFACE(1, "eth0", ADDRS(ADDR("10.0.0.2", 24, ""))) "," IFACE(7, "eth5", ""),
		NET4("10.0.0.0/24", "eth0", "10.0.0.2") "," ROUTE("10.9.0.0/16",
			",\"gateway\":\"172.16.0.1\",\"interface\":\"eth0\"") "," ROUTE("10.8.0.0/"
											"16",
			",\"gateway\":\"10.0.0.1\",\"interface\":\"eth0\""));

	(void)state;
	assert_int_equal(try(wanted), -ENODEV);
	assert_string_equal(network_err.text,
		"network: eth5: the VM's net device 02:00:00:00:00:07: no such device");
	/* The others are there. */
	expect("ip -4 route",
		"10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.2\n"
		"10.8.0.0/16 via 10.0.0.1 dev eth0\n");
	assert_int_equal(try(NETWORK(IFACE(1, "eth0", ADDRS(ADDR("10.0.0.2", 24, ""))),
				 NET4("10.0.0.0/24", "eth0", "10.0.0.2") "," ROUTE("10.9.0.0/16",
					 ",\"gateway\":\"172.16.0.1\",\"interface\":"
					 "\"eth0\"") "," ROUTE("10.8.0.0/16",
					 ",\"gateway\":\"10.0.0.1\",\"interface\":"
					 "\"eth0\""))),
		-ENETUNREACH);
	assert_string_equal(network_err.text,
		"network: eth0: can't add the route to 10.9.0.0/16 (Nexthop has invalid gateway): "
		"network is unreachable");
	/* After a failure all is tried again. */
	shell("ip route del 10.8.0.0/16; ip addr add 172.16.0.2/24 dev eth0");
	apply(NETWORK(IFACE(1, "eth0", ADDRS(ADDR("10.0.0.2", 24, ""))),
		NET4("10.0.0.0/24", "eth0", "10.0.0.2") "," ROUTE("10.9.0.0/16",
			",\"gateway\":\"172.16.0.1\",\"interface\":\"eth0\"") "," ROUTE("10.8.0.0/"
											"16",
			",\"gateway\":\"10.0.0.1\",\"interface\":\"eth0\"")));
	expect("ip -4 route | grep -c 'via'", "2\n");
	/* What the container gave away is missed, and nothing else. */
	shell("unshare -n sleep 5 & sleep 0.2; ip link set eth0 netns $!");
	assert_true(try(NETWORK(IFACE(1, "eth0", ADDRS(ADDR("10.0.0.7", 24, ""))) "," IFACE(
					2, "eth1", ""),
			    "")) < 0);
	assert_non_null(strstr(network_err.text, "network: eth0: "));
	expect("ip -o link show eth1 | grep -c UP", "1\n");
}

/* IPv6 switched off by a sysctl, the configuration's or the container's, is no failure. */
static void test_ipv6_off(void **state)
{
	(void)state;
	apply(ONE(ADDRS(ADDR("10.0.0.2", 24, "") "," ADDR("fd00::2", 64, ""))));
	shell("echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6; ip addr del 10.0.0.2/24 dev "
	      "eth0");
	apply(NETWORK(IFACE(1, "eth0", ADDRS(ADDR("10.0.0.2", 24, "") "," ADDR("fd00::3", 64, ""))),
		ROUTE("fd01::/64", ",\"gateway\":\"fd00::1\",\"interface\":\"eth0\"") "," ROUTE(
			"10.4.0.0/16", ",\"type\":6")));
	expect("ip -o addr show dev eth0", "");
	expect("ip -4 route; ip -6 route show dev eth0", "blackhole 10.4.0.0/16\n");
}

/* Where IPv6 was gone for a while, the kernel begins anew: it must not speak for itself. */
static void test_small_mtu(void **state)
{
	(void)state;
	apply(ONE(",\"mtu\":1500" ADDRS(ADDR("10.0.0.2", 24, "") "," ADDR("fd00::2", 64, ""))));
	apply(ONE(",\"mtu\":1000" ADDRS(ADDR("10.0.0.2", 24, ""))));
	apply(ONE(",\"mtu\":1280" ADDRS(ADDR("10.0.0.2", 24, "") "," ADDR("fd00::2", 64, ""))));
	expect("cd /proc/sys/net/ipv6/conf/eth0; cat accept_ra autoconf accept_dad addr_gen_mode",
		"0\n0\n0\n1\n");
	expect(ADDRESSES("eth0"),
		"inet 10.0.0.2/24 scope global noprefixroute eth0\ninet6 fd00::2/64 scope global "
		"nodad noprefixroute\n");
}

static void test_stats(void **state)
{
	(void)state;
	apply(NETWORK(IFACE(1, "eth0", ADDRS(ADDR("10.0.0.2", 24, ""))), ""));
	shell("busybox arping -q -c 3 -w 1 -I eth0 10.0.0.1; true");
	cleanup_json json_t *list = guest_network_stats(&network_guest);
	assert_int_equal(json_array_size(list), 1);
	const json_t *eth0 = json_array_get(list, 0);
	static const char *const keys[] = {"rxBytes", "rxPackets", "rxErrors", "rxDropped",
		"txBytes", "txPackets", "txErrors", "txDropped"};
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_true(json_is_integer(json_object_get(eth0, keys[i])));
	assert_string_equal(json_string_value(json_object_get(eth0, "name")), "eth0");
	assert_true(json_integer_value(json_object_get(eth0, "txPackets")) > 0);
	assert_true(json_integer_value(json_object_get(eth0, "txBytes")) >= 42);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_apply),
		TEST(test_changes),
		TEST(test_names),
		TEST(test_gone),
		TEST(test_down_and_up),
		TEST(test_noarp),
		TEST(test_many),
		TEST(test_failures),
		TEST(test_ipv6_off),
		TEST(test_small_mtu),
		TEST(test_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
