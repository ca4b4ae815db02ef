/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VRFs of the guest's network: what the network message says of them, and that message applied in a
 * network namespace of this program's own, with veth devices in place of virtio-net. Where the
 * kernel has no VRF, the error is all that can be seen. Skipped without root.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/guest_network.h"

#define VRF(name, table, members) "{\"name\":\"" name "\",\"table\":" #table members "}"
#define IN(vrf)			  ",\"vrf\":\"" vrf "\""
#define PREFIX(ip, bits)	  "{\"address\":\"" ip "\",\"prefix\":" #bits "}"
#define VRF_NETWORK(vrfs, interfaces, routes)                                                      \
	"{\"vrfs\":[" vrfs "],\"interfaces\":[" interfaces "],\"routes\":[" routes "]}"

static void test_decode(void **state)
{
	static const char good[] = VRF_NETWORK(
		VRF("blue", 10, ADDRS(PREFIX("fd0b::1", 128))) "," VRF("red", 4294967295, ""),
		IFACE(1, "eth0", IN("red")) "," IFACE(2, "eth1", ""), "");
	struct network_config *config = decode(good);

	(void)state;
	if (!config)
		fail_msg("%s", network_err.text);
	assert_int_equal(config->vrfs.n, 2);
	assert_string_equal(config->vrfs.v[0].name, "blue");
	assert_int_equal(config->vrfs.v[0].table, 10);
	assert_int_equal(config->vrfs.v[0].addresses.n, 1);
	assert_int_equal(config->vrfs.v[1].table, UINT32_MAX);
	assert_int_equal(config->interfaces.v[0].vrf, 1);
	assert_int_equal(config->interfaces.v[1].vrf, NETWORK_NO_VRF);
	assert_true(network_config_has_ipv6(config));
	network_config_free(config);
}

static void expect_refusal(const char *text, const char *expected)
{
	assert_null(decode(text));
	assert_string_equal(network_err.text, expected);
}

#define EXPECT_BAD_VRF(members, text)                                                              \
	expect_refusal("{\"vrfs\":[" VRF("blue", 10, "") ",{" members "}]}", "network.vrfs" text)

static void test_refusals(void **state)
{
	char text[8192] = "{\"vrfs\":[";

	(void)state;
	expect_refusal("{\"vrfs\":{}}", "network.vrfs: must be an array");
	EXPECT_BAD_VRF("\"table\":1", "[1].name: is missing");
	EXPECT_BAD_VRF("\"name\":\"red\"", "[1].table: is missing");
	EXPECT_BAD_VRF(
		"\"name\":\"red\",\"table\":4294967296", "[1].table: 4294967296 is out of range");
	EXPECT_BAD_VRF("\"name\":\"red\",\"table\":0", "[1].table: 0 can't be a VRF's");
	EXPECT_BAD_VRF("\"name\":\"red\",\"table\":255", "[1].table: 255 can't be a VRF's");
	EXPECT_BAD_VRF("\"name\":\"red\",\"table\":10", "[1].table: is that of vrfs[0]");
	EXPECT_BAD_VRF("\"name\":\"blue\",\"table\":11", "[1].name: is that of vrfs[0]");
	EXPECT_BAD_VRF("\"name\":\"lo\",\"table\":11", "[1].name: \"lo\" can't be a VRF's");
	EXPECT_BAD_VRF("\"name\":\"a/b\",\"table\":11", "[1].name: \"a/b\" can't be a VRF's");
	EXPECT_BAD_VRF("\"name\":\"vrf%d\",\"table\":11", "[1].name: \"vrf%d\" can't be a VRF's");
	EXPECT_BAD_VRF("\"name\":\"red\",\"table\":11,\"mtu\":1500",
		"[1].mtu: is not supported in the guest");
	EXPECT_BAD_VRF("\"name\":\"red\",\"table\":11,\"addresses\":[{\"address\":\"::1\","
		       "\"prefix\":129}]",
		"[1].addresses[0].prefix: 129 is out of range");
	expect_refusal(VRF_NETWORK(VRF("blue", 10, ""), IFACE(1, "blue", ""), ""),
		"network.interfaces[0].name: is that of vrfs[0]");
	expect_refusal(VRF_NETWORK(VRF("blue", 10, ""), IFACE(1, "eth0", IN("red")), ""),
		"network.interfaces[0].vrf: none of the VRFs is \"red\"");
	expect_refusal(VRF_NETWORK("", IFACE(1, "eth0", IN("")), ""),
		"network.interfaces[0].vrf: none of the VRFs is \"\"");
	expect_refusal(VRF_NETWORK(VRF("blue", 10, ""), "",
			       ROUTE("10.0.0.0/8", ",\"interface\":\"blue\"")),
		"network.routes[0].interface: none of the interfaces is \"blue\"");
	for (int i = 0; i < 9; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			"%s{\"name\":\"v%d\",\"table\":%d}", i ? "," : "", i, i + 1);
	strcat(text, "]}");
	expect_refusal(text, "network.vrfs: has more than 8 elements");
	/* As many addresses as there may be, and one of an interface. */
	strcpy(text, "{\"vrfs\":[{\"name\":\"blue\",\"table\":10,\"addresses\":[");
	for (int i = 0; i < NETWORK_ADDRESSES_MAX; i++)
		strcat(text, i ? ",{\"address\":\"::1\",\"prefix\":8}" : PREFIX("::1", 8));
	strcat(text, "]}],\"interfaces\":[" IFACE(1, "a", ADDRS(PREFIX("::1", 8))) "]}");
	expect_refusal(text, "network.interfaces[0].addresses: there are more than 256 in all");
}

#define ROUTES(table)                                                                              \
	"for family in -4 -6; do ip $family route show table " #table " 2>/dev/null | "            \
	"sed '/^local\\|^broadcast\\|^multicast\\|^anycast/d;s/ *$//;s/ pref medium//'; done"
#define SLAVES(vrf) "ip -o link show master " vrf " | sed 's/^[0-9]*: \\([^@:]*\\).*/\\1/'"
#define INDEX	    "ip -o link show blue | cut -d: -f1"
#define UP(dev)	    "ip -o link show " dev " | grep -c '[<,]UP'"

/* Of eth0 with these addresses, what the kernel makes and the host has in that table. */
#define ETH0(vrf) IFACE(1, "eth0", vrf ADDRS(PREFIX("10.0.0.2", 24) "," PREFIX("fd00::2", 64)))
#define ETH0_ROUTES(table)                                                                                        \
	ROUTE("10.0.0.0/24",                                                                                      \
		",\"interface\":\"eth0\",\"scope\":253,\"protocol\":2,\"source\":\"10.0.0.2\","                   \
		"\"table\":" #table)                                                                              \
	"," ROUTE("fd00::/64",                                                                                    \
		",\"interface\":\"eth0\",\"protocol\":2,\"metric\":256,\"table\":" #table) "," ROUTE("0.0.0.0/0", \
		",\"gateway\":\"10.0.0.1\",\"interface\":\"eth0\",\"table\":" #table) "," ROUTE("::/0",           \
		",\"gateway\":\"fd00::1\",\"interface\":\"eth0\",\"table\":" #table)
#define ETH0_THERE                                                                                 \
	"default via 10.0.0.1 dev eth0\n"                                                          \
	"10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.2\n"                              \
	"fd00::/64 dev eth0 proto kernel metric 256\n"                                             \
	"default via fd00::1 dev eth0 metric 1024\n"
#define ETH0_ADDRESSES "inet 10.0.0.2/24 scope global eth0\ninet6 fd00::2/64 scope global nodad\n"

#define BLUE	VRF("blue", 10, ADDRS(PREFIX("10.255.0.1", 32) "," PREFIX("fd0b::1", 128)))
#define RED	VRF("red", 20, "")
#define IN_BLUE VRF_NETWORK(BLUE, ETH0(IN("blue")), ETH0_ROUTES(10))
#define IN_RED	VRF_NETWORK(BLUE "," RED, ETH0(IN("red")), ETH0_ROUTES(20))
#define IN_NONE VRF_NETWORK("", ETH0(""), ETH0_ROUTES(254))

static void expect_in_blue(void)
{
	expect(SLAVES("blue"), "eth0\n");
	expect(UP("blue"), "1\n");
	expect(ADDRESSES("blue"),
		"inet 10.255.0.1/32 scope global blue\ninet6 fd0b::1/128 scope global nodad\n");
	expect(ADDRESSES("eth0"), ETH0_ADDRESSES);
	expect(ROUTES(10) " | grep -v 'dev blue'", ETH0_THERE);
	expect(ROUTES(main), "");
}

static void expect_in_none(void)
{
	expect("ip -o link | grep -c ' \\(blue\\|red\\):\\|master'", "0\n");
	expect(ADDRESSES("eth0"), ETH0_ADDRESSES);
	expect(ROUTES(main), ETH0_THERE);
	expect(ROUTES(10) ";" ROUTES(20), "");
}

/* With a kernel that has no VRF, all but that is there. */
static void test_without(void **state)
{
	(void)state;
	assert_int_equal(try(IN_BLUE), -EOPNOTSUPP);
	assert_string_equal(network_err.text,
		"network: blue: the guest's kernel has no VRF (CONFIG_NET_VRF): "
		"operation not supported");
	expect(ADDRESSES("eth0"), ETH0_ADDRESSES);
	/* And the next time it is tried again. */
	assert_int_equal(try(IN_BLUE), -EOPNOTSUPP);
	apply(IN_NONE);
	expect_in_none();
}

/* Into a VRF, into another one, out of it, and into it again. */
static void test_moves(void **state)
{
	(void)state;
	apply(IN_BLUE);
	expect_in_blue();
	expect("ip rule | grep l3mdev", "1000:\tfrom all lookup [l3mdev-table]\n");
	expect("ip route get vrf blue 192.0.2.1 | grep -o 'via [^ ]* dev [^ ]*'",
		"via 10.0.0.1 dev eth0\n");
	expect("ip route get 192.0.2.1 2>&1 | grep -c unreachable", "1\n");
	expect("cd /proc/sys/net/ipv6/conf/eth0; cat accept_ra autoconf accept_dad addr_gen_mode",
		"0\n0\n0\n1\n");
	/* The same once more changes nothing. */
	shell("ip route del default vrf blue; ip addr del 10.255.0.1/32 dev blue");
	apply(IN_BLUE);
	expect(ROUTES(10) " | grep -c 'default via 10'; ip addr | grep -c 10.255", "0\n0\n");
	apply(IN_RED);
	expect(SLAVES("blue"), "");
	expect(SLAVES("red"), "eth0\n");
	expect(ADDRESSES("eth0"), ETH0_ADDRESSES);
	expect(ROUTES(20), ETH0_THERE);
	expect(ROUTES(10) " | grep -c eth0", "0\n");
	apply(IN_NONE);
	expect_in_none();
	/* An interface that is there already comes into a new one; its neighbours stay. */
	apply("{\"vrfs\":[" BLUE "],\"interfaces\":[" ETH0(IN("blue")) "],\"routes\":[" ETH0_ROUTES(
		10) "],\"neighbours\":[{\"address\":\"10.0.0.1\",\"mac\":\"02:11:22:33:44:"
		    "55\","
		    "\"interface\":\"eth0\"}]}");
	expect_in_blue();
	expect("ip neigh show nud permanent | grep -o '.* lladdr [^ ]*'",
		"10.0.0.1 dev eth0 lladdr 02:11:22:33:44:55\n");
	/* It goes; the spare net device that it was is in none. */
	apply(VRF_NETWORK(BLUE, "", ""));
	expect("ip -o link | grep -c master", "0\n");
	apply("{}");
	expect("ip -o link | grep -c blue", "0\n");
}

/* What is not among the host's routes is not made by the kernel, either. */
static void test_prefix_route(void **state)
{
#define PEER	    ROUTE("10.0.0.1/32", ",\"interface\":\"eth0\",\"scope\":253,\"table\":10")
#define OTHER_TABLE ROUTE("10.0.0.0/24", ",\"interface\":\"eth0\",\"scope\":253,\"protocol\":2")

	(void)state;
	apply(VRF_NETWORK(BLUE, ETH0(IN("blue")), PEER "," OTHER_TABLE));
	expect(ROUTES(10) " | grep -v 'dev blue'", "10.0.0.1 dev eth0 scope link\n");
	expect("ip -o addr show dev eth0 | grep -c noprefixroute", "2\n");
	apply(IN_BLUE);
	apply(VRF_NETWORK(BLUE, ETH0(IN("blue")), ""));
	expect(ROUTES(10) " | grep -v 'dev blue'", "");
	/* It had the kernel's, and comes up in another VRF, where the host has none. */
	apply(IN_NONE);
	apply(VRF_NETWORK(BLUE "," RED, ETH0(IN("red")), ""));
	expect(ROUTES(20), "");
}

static void test_table_changes(void **state)
{
	(void)state;
	apply(IN_BLUE);
	apply(VRF_NETWORK(VRF("blue", 30, ""), ETH0(IN("blue")), ETH0_ROUTES(30)));
	expect(SLAVES("blue"), "eth0\n");
	expect(ADDRESSES("blue"), "");
	expect(ADDRESSES("eth0"), ETH0_ADDRESSES);
	expect(ROUTES(30), ETH0_THERE);
	expect(ROUTES(10) ";" ROUTES(main), "");
	/* Tables and names go round. */
	apply(VRF_NETWORK(
		VRF("blue", 40, "") "," VRF("red", 30, ""), ETH0(IN("red")), ETH0_ROUTES(30)));
	expect(SLAVES("red"), "eth0\n");
	expect(ROUTES(30), ETH0_THERE);
	apply(VRF_NETWORK(
		VRF("blue", 30, "") "," VRF("red", 40, ""), ETH0(IN("red")), ETH0_ROUTES(40)));
	expect(SLAVES("red"), "eth0\n");
	expect(ROUTES(40), ETH0_THERE);
	expect(ROUTES(30), "");
}

/* Addresses of the VRF's own, and routes of its interface that name one. */
static void test_addresses(void **state)
{
#define WITH(addresses, source)                                                                    \
	VRF_NETWORK(VRF("blue", 10, ADDRS(addresses)), ETH0(IN("blue")),                           \
		ETH0_ROUTES(10) "," ROUTE("10.9.0.0/16",                                           \
			",\"interface\":\"eth0\",\"scope\":253,\"table\":10,\"source\":\"" source  \
			"\""))

	(void)state;
	apply(WITH(PREFIX("10.5.0.1", 24) "," PREFIX("10.5.0.2", 24), "10.5.0.2"));
	expect("ip route show 10.9.0.0/16 table 10 | sed 's/ *$//'",
		"10.9.0.0/16 dev eth0 scope link src 10.5.0.2\n");
	expect("ip route show 10.5.0.0/24 table 10 | sed 's/ *$//'",
		"10.5.0.0/24 dev blue proto kernel scope link src 10.5.0.1\n");
	/* The second goes with the first, which it must not. */
	apply(WITH(PREFIX("10.5.0.2", 24) "," PREFIX("fd0b::2", 64), "10.5.0.2"));
	expect(ADDRESSES("blue"),
		"inet 10.5.0.2/24 scope global blue\ninet6 fd0b::2/64 scope global nodad\n");
	expect("ip route show 10.9.0.0/16 table 10 | sed 's/ *$//'",
		"10.9.0.0/16 dev eth0 scope link src 10.5.0.2\n");
}

/* What the container deletes itself stays away; another device of that name is the container's. */
static void test_container(void **state)
{
	(void)state;
	apply(IN_NONE);
	shell("ip link add blue type veth peer name p9");
	assert_int_equal(try(IN_BLUE), -EEXIST);
	assert_string_equal(network_err.text, "network: blue: can't have the name: file exists");
	expect("ip -o link show blue | grep -c p9", "1\n");
	shell("ip link del blue");
	apply(IN_BLUE);
	expect_in_blue();
	shell("ip link del blue");
	apply(IN_BLUE);
	expect("ip -o link | grep -c blue", "0\n");
	apply(IN_NONE);
	expect_in_none();
	apply(IN_BLUE);
	shell("ip link del blue");
	apply(IN_RED);
	expect(SLAVES("red"), "eth0\n");
	expect(ROUTES(20), ETH0_THERE);
	apply(IN_NONE);
	expect_in_none();
	/* Under the index of ours there is one of its own now. */
	apply(IN_BLUE);
	shell("i=$(ip -o link show blue | cut -d: -f1); ip link del blue; "
	      "ip link add mine index $i type vrf table 77");
	apply(IN_NONE);
	expect("ip -o link show mine | wc -l", "1\n");
	/* So it may put the interface where it likes, as long as the host doesn't move it. */
	apply(IN_BLUE);
	shell("ip link set eth0 master mine");
	apply(IN_BLUE);
	expect(SLAVES("mine"), "eth0\n");
	apply(IN_NONE);
	expect_in_none();
}

/* After a failure all is tried again; what is there already is kept. */
static void test_failure(void **state)
{
	static const char bad[] = VRF_NETWORK(BLUE, ETH0(IN("blue")),
		ETH0_ROUTES(10) "," ROUTE("10.9.0.0/16",
			",\"gateway\":\"172.16.0.1\",\"interface\":\"eth0\",\"table\":10"));
	char same[64];

	(void)state;
	assert_int_equal(try(bad), -ENETUNREACH);
	FILE *pipe = popen(INDEX, "r");
	assert_non_null(pipe);
	assert_non_null(fgets(same, sizeof(same), pipe));
	pclose(pipe);
	expect_in_blue();
	shell("ip link set eth0 nomaster; ip link set blue down");
	assert_int_equal(try(bad), -ENETUNREACH);
	expect(INDEX, same);
	expect_in_blue();
	shell("ip link set blue down; ip link set blue name mine");
	apply(IN_BLUE);
	expect_in_blue();
	expect("ip -o link | grep -c mine", "0\n");
	assert_int_equal(try(bad), -ENETUNREACH);
	shell("ip link del blue");
	apply(IN_BLUE);
	expect_in_blue();
	/* Only the interfaces that are not the container's are taken out of a VRF. */
	assert_int_equal(try(bad), -ENETUNREACH);
	apply(VRF_NETWORK(BLUE, ETH0(""), ETH0_ROUTES(254)));
	expect(SLAVES("blue"), "");
	expect(ROUTES(main), ETH0_THERE);
}

/* Names go from interfaces and spare net devices to VRFs, and back. */
static void test_names(void **state)
{
	(void)state;
	apply(VRF_NETWORK("", IFACE(1, "blue", ""), ""));
	apply(VRF_NETWORK(
		VRF("blue", 10, "") "," VRF("eth1", 11, ""), ETH0(IN("blue")), ETH0_ROUTES(10)));
	expect(SLAVES("blue"), "eth0\n");
	expect("ip -o link show eth1 | grep -c 02:00:00:00:00:02", "0\n");
	expect(ROUTES(10), ETH0_THERE);
	apply(VRF_NETWORK(
		VRF("eth0", 10, ""), IFACE(1, "blue", IN("eth0")) "," IFACE(2, "eth1", ""), ""));
	expect(SLAVES("eth0"), "blue\n");
	expect("ip -o link show eth1 | grep -c 02:00:00:00:00:02", "1\n");
}

int main(void)
{
	const struct CMUnitTest without[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_refusals),
		TEST(test_without),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_refusals),
		TEST(test_moves),
		TEST(test_prefix_route),
		TEST(test_table_changes),
		TEST(test_addresses),
		TEST(test_container),
		TEST(test_failure),
		TEST(test_names),
	};

	if (geteuid() == 0 &&
		system("unshare -n ip link add probe type vrf table 9 2>/dev/null") != 0)
		return cmocka_run_group_tests(without, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
