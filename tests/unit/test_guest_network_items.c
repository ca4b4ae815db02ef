/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses, routes and rules of the guest's network, as they come, change and go, in a network
 * namespace of this program's own with veth devices in place of virtio-net. `ip` reads it back.
 * Skipped without root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "tests/unit/support/guest_network.h"

static void test_rules(void **state)
{
#define RULES(list) "{\"rules\":[" list "]}"
#define RULE(family, priority, members)                                                            \
	"{\"family\":" #family ",\"priority\":" #priority ",\"table\":" members "}"
	static const char own[] = "ip rule add from 10.9.0.0/16 table 77 priority 50";

	(void)state;
	apply(RULES(RULE(4, 7, "5,\"from\":\"10.1.2.0/24\",\"to\":\"10.9.0.0/16\"") "," RULE(
		4, 8, "1000") "," RULE(6, 9, "9,\"from\":\"fd00::/64\"")));
	shell(own);
	expect("ip rule",
		"0:\tfrom all lookup local\n7:\tfrom 10.1.2.0/24 to 10.9.0.0/16 lookup 5\n"
		"8:\tfrom all lookup 1000\n50:\tfrom 10.9.0.0/16 lookup 77\n"
		"32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n");
	expect("ip -6 rule",
		"0:\tfrom all lookup local\n9:\tfrom fd00::/64 lookup 9\n"
		"32766:\tfrom all lookup main\n");
	/* What the container took away stays away, what it added stays. */
	shell("ip rule del priority 8");
	apply(RULES(RULE(4, 8, "1000") "," RULE(4, 10, "5")));
	expect("ip rule",
		"0:\tfrom all lookup local\n10:\tfrom all lookup 5\n"
		"50:\tfrom 10.9.0.0/16 lookup 77\n"
		"32766:\tfrom all lookup main\n32767:\tfrom all lookup default\n");
	expect("ip -6 rule | grep -c fd00", "0\n");
}

/* Of two addresses of one network the second goes with the first, which it must not. */
static void test_first_address(void **state)
{
	(void)state;
	apply(NETWORK(
		IFACE(1, "eth0", ADDRS(ADDR("10.0.0.2", 24, "") "," ADDR("10.0.0.3", 24, ""))),
		NET4("10.0.0.0/24", "eth0", "10.0.0.2") "," ROUTE(
			"0.0.0.0/0", ",\"gateway\":\"10.0.0.1\",\"interface\":\"eth0\"")));
	apply(NETWORK(IFACE(1, "eth0", ADDRS(ADDR("10.0.0.3", 24, ""))),
		NET4("10.0.0.0/24", "eth0", "10.0.0.3") "," ROUTE(
			"0.0.0.0/0", ",\"gateway\":\"10.0.0.1\",\"interface\":\"eth0\"")));
	expect(ADDRESSES("eth0"), "inet 10.0.0.3/24 scope global eth0\n");
	expect("ip -4 route",
		"default via 10.0.0.1 dev eth0\n"
		"10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.3\n");
}

#define HOP(gateway, name, members)                                                                \
	"{\"gateway\":\"" gateway "\",\"interface\":\"" name "\"" members "}"
#define HOPS(list) ",\"nexthops\":[" list "]"
#define NETS0	   NET4("10.0.0.0/24", "eth0", "10.0.0.2") "," NET6("fd00::/64", "eth0")
#define NETS1	   NET4("10.1.0.0/24", "net1", "10.1.0.2") "," NET6("fd01::/64", "net1")
#define EVERY_NET  NETS0 "," NETS1
#define TWO_WAYS(up0, up1, more)                                                                   \
	NETWORK(IFACE(1, "eth0",                                                                   \
			",\"up\":" up0 ADDRS(ADDR("10.0.0.2", 24, "") "," ADDR(                    \
				"fd00::2", 64, ""))) "," IFACE(2, "net1",                          \
			",\"up\":" up1 ADDRS(                                                      \
				ADDR("10.1.0.2", 24, "") "," ADDR("fd01::2", 64, "") more)),       \
		EVERY_NET "," ROUTE("0.0.0.0/0",                                                   \
			HOPS(HOP("10.0.0.1", "eth0", ",\"weight\":3") "," HOP(                     \
				"10.1.0.1", "net1", ""))) "," ROUTE("10.9.0.0/16",                 \
			HOPS(HOP("fe80::1", "eth0", "") "," HOP("10.77.0.1", "net1",               \
				",\"onlink\":true")) ",\"mtu\":1300,\"advmss\":"                   \
						     "1200") "," ROUTE("::/0",                     \
			HOPS(HOP("fd00::1", "eth0", "") "," HOP("fd01::1", "net1", ""))))
#define WAYS                                                                                       \
	"for family in -4 -6; do ip $family route | grep --no-group-separator -A2 -E "             \
	"'^(default|10.9)' | "                                                                     \
	"sed 's/ pref medium//;s/proto static //;s/^\\t/+/'; done"

static void test_several_ways(void **state)
{
	static const char *const both =
		"default\n+nexthop via 10.0.0.1 dev eth0 weight 3\n"
		"+nexthop via 10.1.0.1 dev net1 weight 1\n"
		"10.9.0.0/16 mtu 1300 advmss 1200\n+nexthop via inet6 fe80::1 dev eth0 weight 1\n"
		"+nexthop via 10.77.0.1 dev net1 weight 1 onlink\n"
		"default metric 1024\n+nexthop via fd00::1 dev eth0 weight 1\n"
		"+nexthop via fd01::1 dev net1 weight 1\n";

	(void)state;
	/* One interface is down at first; then its ways come along, and nothing stands twice. */
	apply(TWO_WAYS("true", "false", ""));
	expect("ip -4 route | grep -c net1", "0\n");
	expect("ip -4 route show default", "default via 10.0.0.1 dev eth0\n");
	apply(TWO_WAYS("true", "true", ""));
	expect(WAYS, both);
	apply(TWO_WAYS("true", "false", ""));
	apply(TWO_WAYS("true", "true", ""));
	expect(WAYS, both);
	/* So with the first; meanwhile the other one's have to be put back. */
	apply(TWO_WAYS("false", "true", "," ADDR("fd01::3", 64, "")));
	apply(TWO_WAYS("false", "true", ""));
	apply(TWO_WAYS("true", "true", ""));
	expect(WAYS, both);
	apply("{}");
	apply(TWO_WAYS("false", "true", ""));
	expect("ip -4 route show default; ip -6 route show default",
		"default via 10.1.0.1 dev net1\n"
		"default via fd01::1 dev net1 metric 1024 pref medium\n");
	/* After a failure all is put back. */
	shell("ip route add 10.5.0.0/16 dev net1");
	assert_int_equal(
		try(NETWORK(IFACE(1, "eth0", ",\"up\":false") "," IFACE(2, "net1",
				    ADDRS(ADDR("10.1.0.2", 24, "") "," ADDR("fd01::2", 64, ""))),
			ROUTE("0.0.0.0/0",
				HOPS(HOP("10.0.0.1", "eth0", ",\"weight\":3") "," HOP(
					"10.1.0.1", "net1", ""))) "," ROUTE("10.8.0.0/16",
				",\"gateway\":\"172.16.0.1\",\"interface\":\"net1\""))),
		-ENETUNREACH);
	apply(TWO_WAYS("true", "true", ""));
	expect(WAYS, both);
	/* What stood with its last way alone goes, too. */
	apply("{}");
	apply(TWO_WAYS("false", "true", ""));
	apply(NETWORK(IFACE(1, "eth0", ",\"up\":false") "," IFACE(2, "net1",
			      ADDRS(ADDR("10.1.0.2", 24, "") "," ADDR("fd01::2", 64, ""))),
		""));
	expect("ip -4 route show default; ip -6 route show default", "");
	apply(TWO_WAYS("true", "true", ""));
	/* One of the ways is there already. */
	apply("{}");
	apply(NETWORK(IFACE(1, "eth0", ADDRS(ADDR("fd00::2", 64, ""))) "," IFACE(
			      2, "net1", ADDRS(ADDR("fd01::2", 64, ""))),
		NET6("fd00::/64", "eth0") "," NET6("fd01::/64", "net1")));
	shell("ip -6 route add fd09::/64 via fd00::1 proto static metric 1024");
	apply(NETWORK(IFACE(1, "eth0", ADDRS(ADDR("fd00::2", 64, ""))) "," IFACE(
			      2, "net1", ADDRS(ADDR("fd01::2", 64, ""))),
		NET6("fd00::/64", "eth0") "," NET6("fd01::/64", "net1") "," ROUTE("fd09::/64",
			HOPS(HOP("fd00::1", "eth0", "") "," HOP("fd01::1", "net1", "")))));
	expect("ip -6 route show fd09::/64 | grep -c nexthop", "2\n");
	/* Ways without gateways come before what is reached by them. */
	apply("{}");
	apply(NETWORK(IFACE(1, "eth0", ADDRS(ADDR("10.0.0.2", 24, ""))) "," IFACE(
			      2, "net1", ADDRS(ADDR("10.1.0.2", 24, ""))),
		NET4("10.0.0.0/24", "eth0", "10.0.0.2") "," NET4(
			"10.1.0.0/24", "net1", "10.1.0.2") "," ROUTE("10.60.0.0/16",
			",\"gateway\":\"10.50.0.1\",\"interface\":\"eth0\"") "," ROUTE("10.50.0.0/"
										       "16",
			",\"scope\":253,\"nexthops\":[{\"interface\":\"eth0\"},{\"interface\":"
			"\"net1\"}]")));
	expect("ip route show 10.60.0.0/16", "10.60.0.0/16 via 10.50.0.1 dev eth0\n");
	/* One way less is another route. */
	apply(NETWORK(IFACE(1, "eth0", ADDRS(ADDR("10.0.0.2", 24, ""))),
		NET4("10.0.0.0/24", "eth0", "10.0.0.2") "," ROUTE(
			"0.0.0.0/0", HOPS(HOP("10.0.0.1", "eth0", "")))));
	expect("ip -4 route show default; ip -4 route | grep -c nexthop; ip -6 route show default",
		"default via 10.0.0.1 dev eth0\n0\n");
	apply("{}");
	expect("ip -4 route; ip -6 route show default", "");
}

/* The kernel's own routes are those that the host has, no others: CNI's ptp, metrics. */
static void test_prefix_routes(void **state)
{
#define PTP(up, routes)                                                                            \
	NETWORK(IFACE(1, "eth0",                                                                   \
			",\"up\":" up ADDRS(ADDR("10.1.1.2", 24, "") "," ADDR(                     \
				"10.5.0.2", 24, "") "," ADDR("fd00::2", 64, ""))),                 \
		routes)
#define PTP_ROUTES                                                                                                   \
	ROUTE("10.1.1.1/32", ",\"interface\":\"eth0\",\"scope\":253,\"source\":\"10.1.1.2\"")                        \
	"," ROUTE("10.1.1.0/24",                                                                                     \
		",\"gateway\":\"10.1.1.1\",\"interface\":\"eth0\",\"source\":\"10.1.1.2\"") "," ROUTE("10.5.0.0/24", \
		",\"interface\":\"eth0\",\"scope\":253,\"protocol\":2,\"source\":\"10.5.0.2\","                      \
		"\"metric\":77") "," ROUTE("fd00::1/128", ",\"interface\":\"eth0\"")
	static const char *const there =
		"10.1.1.0/24 via 10.1.1.1 dev eth0 src 10.1.1.2\n"
		"10.1.1.1 dev eth0 scope link src 10.1.1.2\n"
		"10.5.0.0/24 dev eth0 proto kernel scope link src 10.5.0.2 metric 77\n"
		"fd00::1 dev eth0 metric 1024 pref medium\n";
#define ROUTES "ip -4 route; ip -6 route"

	(void)state;
	apply(PTP("true", PTP_ROUTES));
	expect(ROUTES, there);
	expect(ADDRESSES("eth0"),
		"inet 10.1.1.2/24 scope global noprefixroute eth0\n"
		"inet 10.5.0.2/24 scope global noprefixroute eth0\n"
		"inet6 fd00::2/64 scope global nodad noprefixroute\n");
	apply(PTP("false", ""));
	apply(PTP("true", PTP_ROUTES));
	expect(ROUTES, there);
	/* An address goes, and what is wanted is put back. */
	apply(NETWORK(IFACE(1, "eth0", ADDRS(ADDR("10.5.0.2", 24, ""))),
		NET4("10.5.0.0/24", "eth0", "10.5.0.2")));
	expect(ROUTES, "10.5.0.0/24 dev eth0 proto kernel scope link src 10.5.0.2\n");
	/* An address that had the kernel's routes at first gets the others instead, for good. */
	apply("{}");
	apply(PTP("true",
		NET4("10.1.1.0/24", "eth0", "10.1.1.2") "," NET4(
			"10.5.0.0/24", "eth0", "10.5.0.2") "," NET6("fd00::/64", "eth0")));
	expect("ip -o addr show dev eth0 | grep -c noprefixroute", "0\n");
	apply(PTP("true", PTP_ROUTES));
	expect(ROUTES, there);
	apply(PTP("false", ""));
	apply(PTP("true", PTP_ROUTES));
	expect(ROUTES, there);
	/* As long as it is the host's, it comes back by itself, whoever takes the link down. */
	apply("{}");
	apply(PTP("false", ""));
	apply(PTP("true",
		NET4("10.1.1.0/24", "eth0", "10.1.1.2") "," NET4(
			"10.5.0.0/24", "eth0", "10.5.0.2")));
	shell("ip link set eth0 down; ip link set eth0 up");
	expect("ip -4 route",
		"10.1.1.0/24 dev eth0 proto kernel scope link src 10.1.1.2\n"
		"10.5.0.0/24 dev eth0 proto kernel scope link src 10.5.0.2\n");
}

/* Deprecated, not any more, deprecated again. */
static void test_deprecated(void **state)
{
#define OLD(is, also)                                                                              \
	NETWORK(IFACE(1, "eth0",                                                                   \
			ADDRS(ADDR("fd00::2", 64, ",\"deprecated\":" is) "," ADDR(                 \
				"fd00::3", 64, ",\"deprecated\":" also))),                         \
		NET6("fd00::/64", "eth0"))
#define SOURCE "ip -6 route get fd00::1 | grep -o 'src [^ ]*'"

	(void)state;
	apply(OLD("true", "false"));
	expect(ADDRESSES("eth0"),
		"inet6 fd00::3/64 scope global nodad\n"
		"inet6 fd00::2/64 scope global nodad deprecated\n");
	expect("ip addr show dev eth0 | grep -A 1 fd00::2 | tail -n 1 | tr -s ' '",
		" valid_lft forever preferred_lft 0sec\n");
	expect(SOURCE, "src fd00::3\n");
	apply(OLD("false", "true"));
	expect(SOURCE, "src fd00::2\n");
	apply(OLD("true", "false"));
	expect(SOURCE, "src fd00::3\n");
	expect("ip -6 route | grep -c fd00::/64", "1\n");
}

/* What the loopback interface has beside its own. */
static void test_loopback(void **state)
{
#define LO(addresses, routes)                                                                      \
	"{\"interfaces\":[" IFACE(1, "eth0", "") "],\"loopback\":[" addresses                      \
						 "],\"routes\":[" routes "]}"
/* Newer kernels say of ::1 who made it. */
#define LO_ADDRESSES ADDRESSES("lo") " | sed 's/ proto kernel_lo//'"
#define OWN	     "inet 127.0.0.1/8 scope host lo\n"
#define OWN6	     "inet6 ::1/128 scope host\n"

	(void)state;
	apply(LO(ADDR("10.9.9.9", 32, "") "," ADDR("10.9.8.1", 24, "") "," ADDR(
			 "10.9.8.2", 24, "") "," ADDR("fd09::9", 64, ""),
		ROUTE("10.24.0.0/16",
			",\"interface\":\"lo\",\"scope\":253,\"source\":\"10.9.8.1\"")));
	expect(LO_ADDRESSES,
		OWN "inet 10.9.9.9/32 scope global lo\ninet 10.9.8.1/24 scope global lo\ninet "
		    "10.9.8.2/24 scope global secondary lo\n"
		    "inet6 fd09::9/64 scope global nodad\n" OWN6);
	/* Its whole network is local. */
	expect("ip route get 10.9.8.77 | grep -o '^local'", "local\n");
	expect("ip route show 10.24.0.0/16", "10.24.0.0/16 dev lo scope link src 10.9.8.1\n");
	/* One takes others along, which are put back. */
	apply(LO(ADDR("10.9.8.2", 24, ""),
		ROUTE("10.24.0.0/16", ",\"interface\":\"lo\",\"scope\":253")));
	expect(LO_ADDRESSES, OWN "inet 10.9.8.2/24 scope global lo\n" OWN6);
	expect("ip route show 10.24.0.0/16", "10.24.0.0/16 dev lo scope link\n");
	apply("{}");
	expect(LO_ADDRESSES, OWN OWN6);
	expect("ip -4 route; ip -o link show up dev lo | wc -l", "1\n");
	/* Not where IPv6 is switched off. */
	shell("echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6");
	apply(LO(ADDR("fd09::9", 64, ""), ROUTE("fd08::/64", ",\"interface\":\"lo\"")));
	expect(LO_ADDRESSES, OWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_rules),
		TEST(test_first_address),
		TEST(test_several_ways),
		TEST(test_prefix_routes),
		TEST(test_deprecated),
		TEST(test_loopback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
