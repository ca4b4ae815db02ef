/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers with a network: what the process in it sees from its first instruction on, and what
 * messages change later. veth devices stand in for virtio-net. Skipped without root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "tests/unit/support/guest_group.h"

#define DEVICES                                                                                    \
	"ip link add eth0 address 02:00:00:00:00:01 type veth peer name p1 && "                    \
	"ip link add eth1 address 02:00:00:00:00:02 type veth peer name p2 && "                    \
	"for p in p1 p2; do echo 1 >/proc/sys/net/ipv6/conf/$p/disable_ipv6; "                     \
	"ip link set $p up; done"

#define IFACE(n, name, ip)                                                                         \
	"{\"device\":\"02:00:00:00:00:0" #n "\",\"name\":\"" name                                  \
	"\",\"addresses\":[{\"address\":\"" ip "\",\"prefix\":24}]}"
#define VIA(net, gateway, name)                                                                    \
	"[{\"destination\":\"" net ".0/24\",\"interface\":\"" name "\",\"source\":\"" net          \
	".2\",\"scope\":253,\"protocol\":2},"                                                      \
	"{\"destination\":\"0.0.0.0/0\",\"gateway\":\"" gateway "\",\"interface\":\"" name "\"}]"
#define NETWORK(interfaces, routes)                                                                \
	"\"network\":{\"interfaces\":[" interfaces "],\"routes\":" routes "}"
#define NET(name, net)	     NETWORK(IFACE(1, name, net ".2"), VIA(net, net ".1", name))
#define CHANGE(seq, network) "{\"type\":\"network\",\"seq\":" #seq "," network "}"
#define SHOW                                                                                       \
	"ip -4 -o addr | while read n dev inet addr rest; do echo $dev $addr; done; "              \
	"ip -4 route | while read line; do echo $line; done"

static void run_network(const char *config, const char *network, bool created,
	const struct guest_box_step *steps, int n)
{
	struct guest_box_run run = {.config = config,
		.create_extra = network,
		.created = created,
		.network = DEVICES,
		.steps = steps,
		.n_steps = n};

	guest_box_run(&run, &result);
}

static void expect_out(const char *expected)
{
	if (result.failed)
		fail_msg("%s", result.message);
	assert_string_equal(result.err, "");
	assert_string_equal(result.out, expected);
	assert_int_equal(result.code, 0);
}

static void test_create(void **state)
{
	(void)state;
	/* The configuration's sysctl has the last word; a spare device is not in sight. */
	run_network(CONFIG(SHOW "; cat /proc/sys/net/ipv6/conf/net0/accept_ra "
				"/proc/sys/net/ipv6/conf/net0/autoconf; ip link show lo | grep -c "
				"LOOPBACK,UP; "
				"ip -o link | wc -l",
			    "", ",\"sysctl\":{\"net.ipv6.conf.net0.accept_ra\":\"2\"}"),
		"," NET("net0", "10.0.0"), false, NULL, 0);
	result.code = 0; /* of grep */
	expect_out("lo 127.0.0.1/8\nnet0 10.0.0.2/24\n"
		   "default via 10.0.0.1 dev net0\n"
		   "10.0.0.0/24 dev net0 scope link src 10.0.0.2\n2\n0\n1\n2\n");
}

#define WAIT "while ! test -e /tmp/go; do sleep 0.02; done; rm /tmp/go; "
#define GO(name)                                                                                   \
	"{\"type\":\"exec\",\"exec\":\"" name "\",\"process\":{\"args\":[\"sh\",\"-c\",\"echo "    \
	">/tmp/go\"],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"]},\"stdio\":{}}"

static void test_change(void **state)
{
	(void)state;
	const struct guest_box_step steps[] = {
		{"started",
			CHANGE(1,
				NETWORK(IFACE(1, "net0", "10.0.0.2") "," IFACE(
						2, "eth0", "10.1.0.2"),
					VIA("10.1.0", "10.1.0.1", "eth0")))},
		{"\"seq\":1", CHANGE(2, NETWORK(IFACE(3, "net3", "10.3.0.2"), "[]"))},
		{"\"seq\":2", CHANGE(3, "\"network\":{\"interfaces\":[{}]}")},
		{"\"seq\":3", CHANGE(4, "\"x\":1")},
		{"\"seq\":4",
			CHANGE(5,
				NETWORK(IFACE(2, "eth0", "10.1.0.2"),
					VIA("10.1.0", "10.1.0.1", "eth0")))},
		{"\"seq\":5", "{\"type\":\"query\",\"seq\":6,\"what\":\"stats\"}"},
		{"\"seq\":6", GO("g")},
	};

	run_network(CONFIG(WAIT SHOW, "", ""), "," NET("net0", "10.0.0"), false, steps,
		sizeof(steps) / sizeof(steps[0]));
	expect_out("lo 127.0.0.1/8\neth0 10.1.0.2/24\n"
		   "default via 10.1.0.1 dev eth0\n"
		   "10.1.0.0/24 dev eth0 scope link src 10.1.0.2\n");
	static const bool ok[] = {true, false, false, false, true, true};
	for (int i = 0; i < 6; i++) {
		char text[32];
		snprintf(text, sizeof(text), "\"seq\":%d,", i + 1);
		cleanup_json json_t *answer = find_event(text);
		assert_int_equal(json_is_true(json_object_get(answer, "ok")), ok[i]);
	}
	assert_non_null(strstr(result.log,
		"network: net3: the VM's net device 02:00:00:00:00:03: no such device"));
	assert_non_null(strstr(result.events, "network.interfaces[0].device: is missing"));
	assert_non_null(strstr(result.events, "network: is missing"));
	cleanup_json json_t *stats = find_event("\"seq\":6");
	const json_t *list = json_object_get(json_object_get(stats, "stats"), "network");
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(list, 0), "name")), "eth0");
	number(json_array_get(list, 0), "rxBytes");
}

/* As dockerd's: the network comes between create and start, here from nothing. */
static void test_before_start(void **state)
{
	(void)state;
	const struct guest_box_step steps[] = {
		{"\"created\"", CHANGE(1, NET("eth1", "10.0.0"))},
		{"\"created\"", "{\"type\":\"start\"}"},
	};

	run_network(CONFIG(SHOW, "", ""), "", true, steps, 2);
	expect_out("lo 127.0.0.1/8\neth1 10.0.0.2/24\n"
		   "default via 10.0.0.1 dev eth1\n"
		   "10.0.0.0/24 dev eth1 scope link src 10.0.0.2\n");
}

#define USER                                                                                       \
	",\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}],"                 \
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536}]"
#define USER_CONFIG(script)                                                                        \
	"{\"process\":{\"args\":[\"sh\",\"-c\",\"" script "\"],\"cwd\":\"/\",\"env\":["            \
	"\"PATH=/bin\"],\"capabilities\":{\"bounding\":[\"CAP_NET_ADMIN\"],\"effective\":["        \
	"\"CAP_NET_ADMIN\"],\"permitted\":[\"CAP_NET_ADMIN\"]}},\"mounts\":[{\"destination\":"     \
	"\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\"}],\"linux\":{\"namespaces\":["           \
	"{\"type\":\"user\"},{\"type\":\"network\"},{\"type\":\"pid\"}]" USER "}}"

/* The namespace is the user namespace's own: its root rules over it. */
static void test_user_namespace(void **state)
{
	(void)state;
	const struct guest_box_step steps[] = {
		{"\"created\"",
			CHANGE(1,
				NETWORK(IFACE(1, "net0", "10.0.0.2") "," IFACE(
						2, "net1", "10.1.0.2"),
					VIA("10.1.0", "10.1.0.1", "net1")))},
		{"\"seq\":1", "{\"type\":\"query\",\"seq\":2,\"what\":\"stats\"}"},
		{"\"seq\":2", "{\"type\":\"start\"}"},
	};

	run_network(USER_CONFIG("ip addr add 10.9.0.2/24 dev net0; " SHOW),
		"," NET("net0", "10.0.0"), true, steps, 3);
	expect_out("lo 127.0.0.1/8\nnet0 10.0.0.2/24\n"
		   "net0 10.9.0.2/24\n"
		   "net1 10.1.0.2/24\n"
		   "default via 10.1.0.1 dev net1\n"
		   "10.1.0.0/24 dev net1 scope link src 10.1.0.2\n"
		   "10.9.0.0/24 dev net0 scope link src 10.9.0.2\n");
	cleanup_json json_t *stats = find_event("\"seq\":2");
	const json_t *list = json_object_get(json_object_get(stats, "stats"), "network");
	assert_int_equal(json_array_size(list), 2);
	/* A failure is one of the create here, too. */
	run_network(USER_CONFIG("echo no"), "," NETWORK(IFACE(4, "net0", "10.0.0.2"), "[]"), false,
		NULL, 0);
	assert_true(result.failed);
	assert_string_equal(result.message,
		"network: net0: the VM's net device 02:00:00:00:00:04: no such device");
	assert_string_equal(result.out, "");
}

static void test_failures(void **state)
{
	(void)state;
	run_network(CONFIG("echo no", "", ""),
		"," NETWORK(IFACE(1, "net0", "10.0.0.2"), VIA("10.0.0", "10.9.0.1", "net0")), false,
		NULL, 0);
	assert_true(result.failed);
	assert_int_equal(result.code, 1);
	assert_string_equal(result.message,
		"network: net0: can't add the route to 0.0.0.0/0 (Nexthop has invalid gateway): "
		"network is unreachable");
	assert_string_equal(result.out, "");
	run_network(CONFIG("echo no", "", ""), ",\"network\":{\"routes\":1}", false, NULL, 0);
	assert_true(result.failed);
	assert_string_equal(result.message, "network.routes: must be an array");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_create),
		TEST(test_change),
		TEST(test_before_start),
		TEST(test_user_namespace),
		TEST(test_failures),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
