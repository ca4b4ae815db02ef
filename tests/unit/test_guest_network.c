/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's network, in a network namespace of this program's own with veth devices in place of
 * virtio-net. `ip` reads it back. Skipped without root.
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/json.h"
#include "guestinit/guest.h"
#include "guestinit/network.h"

static struct guest guest;
static struct err e;

#define MAC(n) "02:00:00:00:00:0" #n

/* Interfaces of the first net devices with their members behind the name. */
#define IFACE(n, name, members)	    "{\"device\":\"" MAC(n) "\",\"name\":\"" name "\"" members "}"
#define ADDRS(list)		    ",\"addresses\":[" list "]"
#define ADDR(ip, bits, members)	    "{\"address\":\"" ip "\",\"prefix\":" #bits members "}"
#define NETWORK(interfaces, routes) "{\"interfaces\":[" interfaces "],\"routes\":[" routes "]}"
#define ROUTE(to, members)	    "{\"destination\":\"" to "\"" members "}"

/* The route to an address's network as the kernel makes it, and a scan finds it. */
#define NET4(net, name, ip)                                                                        \
	ROUTE(net, ",\"interface\":\"" name "\",\"scope\":253,\"protocol\":2,\"source\":\"" ip "\"")
#define NET6(net, name) ROUTE(net, ",\"interface\":\"" name "\",\"protocol\":2,\"metric\":256")

static struct network_config *decode(const char *text)
{
	cleanup_json json_t *json = json_parse(text, strlen(text), 32, &e);

	if (!json)
		fail_msg("%s", e.text);
	return network_config_decode(json, &e);
}

static int try(const char *text)
{
	struct network_config *wanted = decode(text);

	if (!wanted)
		fail_msg("%s", e.text);
	return guest_network_apply(&guest, wanted, &e);
}

static void apply(const char *text)
{
	if (try(text) < 0)
		fail_msg("%s", e.text);
}

static void shell(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

/* What a command prints, trailing blanks of the lines taken away. */
static const char *output(const char *command)
{
	static char text[65536];
	size_t used = 0;
	FILE *pipe = popen(command, "r");

	assert_non_null(pipe);
	for (char line[1024]; fgets(line, sizeof(line), pipe);) {
		size_t len = strlen(line);
		while (len && strchr(" \n", line[len - 1]))
			len--;
		assert_true(used + len + 2 < sizeof(text));
		memcpy(text + used, line, len);
		used += len;
		text[used++] = '\n';
	}
	text[used] = '\0';
	pclose(pipe);
	return text;
}

static void expect(const char *command, const char *expected)
{
	const char *got = output(command);

	if (strcmp(got, expected) != 0)
		fail_msg("%s:\n%sinstead of:\n%s", command, got, expected);
}

/* A namespace with three net devices, of which two have names that others are to have. */
static int network_begin(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	guest_init(&guest);
	return system("ip link set lo up && "
		      "ip link add eth1 address 02:00:00:00:00:01 type veth peer name p1 && "
		      "ip link add eth0 address 02:00:00:00:00:02 type veth peer name p2 && "
		      "ip link add eth2 address 02:00:00:00:00:03 type veth peer name p3 && "
		      "for p in p1 p2 p3; do "
		      "echo 1 >/proc/sys/net/ipv6/conf/$p/disable_ipv6; ip link set $p up; done");
}

static int network_end(void **state)
{
	(void)state;
	guest_fini(&guest);
	return 0;
}

#define LINKS                                                                                      \
	"ip -j link | jq -r '.[] | select(.ifname | test(\"^(lo|p[123])$\") | not) | "             \
	"\"\\(.ifname) \\(if .flags | index(\"UP\") then \"UP\" else \"DOWN\" end) \\(.mtu) "      \
	"\\(.address)\"'"
#define ADDRESSES(dev)                                                                             \
	"ip -o addr show dev " dev " | sed 's/^[0-9]*: *[^ ]* *//;s/\\\\.*//;s/ valid_lft.*//'"

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
	assert_non_null(strstr(e.text, "network: eth9: can't have the name"));
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
	assert_string_equal(
		e.text, "network: eth5: the VM's net device 02:00:00:00:00:07: no such device");
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
	assert_string_equal(e.text,
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
	assert_non_null(strstr(e.text, "network: eth0: "));
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

static void test_stats(void **state)
{
	(void)state;
	apply(NETWORK(IFACE(1, "eth0", ADDRS(ADDR("10.0.0.2", 24, ""))), ""));
	shell("busybox arping -q -c 3 -w 1 -I eth0 10.0.0.1; true");
	cleanup_json json_t *list = guest_network_stats(&guest);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, network_begin, network_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_apply),
		TEST(test_changes),
		TEST(test_rules),
		TEST(test_first_address),
		TEST(test_names),
		TEST(test_gone),
		TEST(test_down_and_up),
		TEST(test_several_ways),
		TEST(test_prefix_routes),
		TEST(test_deprecated),
		TEST(test_loopback),
		TEST(test_noarp),
		TEST(test_many),
		TEST(test_failures),
		TEST(test_ipv6_off),
		TEST(test_stats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
