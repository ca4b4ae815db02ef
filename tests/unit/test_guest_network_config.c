/* SPDX-License-Identifier: Apache-2.0 */
/* What the network message may not say, each with its JSON path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/guest_network.h"

static void expect_refusal(const char *text, const char *expected)
{
	assert_null(decode(text));
	assert_string_equal(network_err.text, expected);
}

#define EXPECT_BAD_IFACE(members, text)                                                            \
	expect_refusal("{\"interfaces\":[{\"device\":\"" MAC(1) "\"," members "}]}",               \
		"network.interfaces[0]." text)
#define EXPECT_BAD_ADDRESS(members, text)                                                          \
	EXPECT_BAD_IFACE("\"name\":\"a\",\"addresses\":[{" members "}]", "addresses[0]." text)
#define EXPECT_BAD_ROUTE(members, text)                                                            \
	expect_refusal("{\"interfaces\":[" IFACE(1, "a", "") "],\"routes\":[{" members "}]}",      \
		"network.routes[0]." text)
#define EXPECT_BAD_RULE(members, text)                                                             \
	expect_refusal("{\"rules\":[{" members "}]}", "network.rules[0]." text)
#define TO4 "\"destination\":\"10.0.0.0/8\",\"interface\":\"a\""

static void test_bad_interfaces(void **state)
{
	(void)state;
	expect_refusal("[]", "network: must be an object");
	expect_refusal("{\"interfaces\":{}}", "network.interfaces: must be an array");
	expect_refusal("{\"filters\":[]}", "network.filters: is not supported in the guest");
	expect_refusal(
		"{\"interfaces\":[{\"name\":\"a\"}]}", "network.interfaces[0].device: is missing");
	expect_refusal("{\"interfaces\":[{\"device\":\"01:00:00:00:00:00\",\"name\":\"a\"}]}",
		"network.interfaces[0].device: is not the address of one device");
	expect_refusal("{\"interfaces\":[{\"device\":\"2:0:0:0:0:1\",\"name\":\"a\"}]}",
		"network.interfaces[0].device: must be a link address as \"02:00:00:00:00:01\"");
	EXPECT_BAD_IFACE("\"name\":\"a\",\"mac\":\"00:00:00:00:00:00\"",
		"mac: is not the address of one device");
	EXPECT_BAD_IFACE("\"mtu\":1500", "name: is missing");
	EXPECT_BAD_IFACE("\"name\":\"a/b\"", "name: \"a/b\" can't be an interface's");
	EXPECT_BAD_IFACE("\"name\":\"a%d\"", "name: \"a%d\" can't be an interface's");
	EXPECT_BAD_IFACE("\"name\":\"..\"", "name: \"..\" can't be an interface's");
	EXPECT_BAD_IFACE("\"name\":\"lo\"", "name: \"lo\" can't be an interface's");
	EXPECT_BAD_IFACE("\"name\":\"abcdefghijklmnop\"",
		"name: \"abcdefghijklmnop\" can't be an interface's");
	EXPECT_BAD_IFACE("\"name\":\"a\",\"mtu\":67", "mtu: 67 is out of range");
	EXPECT_BAD_IFACE("\"name\":\"a\",\"mtu\":65536", "mtu: 65536 is out of range");
	EXPECT_BAD_IFACE("\"name\":\"a\",\"up\":1", "up: must be true or false");
	expect_refusal(NETWORK(IFACE(1, "a", "") "," IFACE(1, "b", ""), ""),
		"network.interfaces[1].device: is that of interfaces[0]");
	expect_refusal(NETWORK(IFACE(1, "a", "") "," IFACE(2, "a", ""), ""),
		"network.interfaces[1].name: is that of interfaces[0]");
	expect_refusal("{\"loopback\":[{\"address\":\"10.9.9.9\",\"prefix\":33}]}",
		"network.loopback[0].prefix: 33 is out of range");
	EXPECT_BAD_ADDRESS(
		"\"address\":\"10.0.0\",\"prefix\":8", "address: must be an IPv4 or IPv6 address");
	EXPECT_BAD_ADDRESS("\"address\":\"10.0.0.1\",\"prefix\":33", "prefix: 33 is out of range");
	EXPECT_BAD_ADDRESS("\"address\":\"fe80::1\",\"prefix\":129", "prefix: 129 is out of range");
	EXPECT_BAD_ADDRESS("\"address\":\"10.0.0.1\",\"prefix\":8,\"scope\":256",
		"scope: 256 is out of range");
	EXPECT_BAD_ADDRESS("\"address\":\"10.0.0.1\",\"prefix\":8,\"peer\":\"::1\"",
		"peer: is of another family");
	EXPECT_BAD_ADDRESS("\"address\":\"10.0.0.1\",\"prefix\":8,\"broadcast\":\"::1\"",
		"broadcast: is of another family");
	EXPECT_BAD_ADDRESS(
		"\"address\":\"fe80::1\",\"prefix\":8,\"label\":\"a\"", "label: only with IPv4");
	EXPECT_BAD_ADDRESS("\"address\":\"10.0.0.1\",\"prefix\":8,\"label\":\"abcdefghijklmnop\"",
		"label: must have 1 to 15 characters");
}

static void test_bad_routes(void **state)
{
	(void)state;
	EXPECT_BAD_ROUTE("\"interface\":\"a\"", "destination: is missing");
	EXPECT_BAD_ROUTE("\"destination\":\"10.0.0.0\"",
		"destination: must be an address and the bits of its prefix");
	EXPECT_BAD_ROUTE(
		"\"destination\":\"10.0.0.0/33\"", "destination: \"33\" is no length of a prefix");
	EXPECT_BAD_ROUTE(
		"\"destination\":\"10.0.0.0/8x\"", "destination: \"8x\" is no length of a prefix");
	EXPECT_BAD_ROUTE("\"destination\":\"10.0.0.0/8\"", "interface: is missing");
	EXPECT_BAD_ROUTE("\"destination\":\"10.0.0.0/8\",\"interface\":\"b\"",
		"interface: none of the interfaces is \"b\"");
	EXPECT_BAD_ROUTE(TO4 ",\"family\":6", "family: is not that of the destination");
	EXPECT_BAD_ROUTE(TO4 ",\"source\":\"::1\"", "source: is of another family");
	EXPECT_BAD_ROUTE("\"destination\":\"::/0\",\"interface\":\"a\",\"gateway\":\"10.0.0.1\"",
		"gateway: is of another family");
	EXPECT_BAD_ROUTE(TO4 ",\"table\":255", "table: that of local addresses is the kernel's");
	EXPECT_BAD_ROUTE(TO4 ",\"table\":-1", "table: -1 is out of range");
	EXPECT_BAD_ROUTE(TO4 ",\"type\":10", "type: 10 is out of range");
	EXPECT_BAD_ROUTE(TO4 ",\"protocol\":256", "protocol: 256 is out of range");
	EXPECT_BAD_ROUTE(TO4 ",\"scope\":256", "scope: 256 is out of range");
	EXPECT_BAD_ROUTE(TO4 ",\"type\":6,\"gateway\":\"10.0.0.1\"",
		"gateway: there is none to such a type");
	EXPECT_BAD_ROUTE(
		"\"destination\":\"10.0.0.0/8\",\"nexthops\":[]", "nexthops: has no element");
	EXPECT_BAD_ROUTE(TO4 ",\"nexthops\":[{\"interface\":\"a\"}]",
		"nexthops: beside a way of the route itself");
	EXPECT_BAD_ROUTE("\"destination\":\"10.0.0.0/8\",\"nexthops\":[{}]",
		"nexthops[0].interface: is missing");
	EXPECT_BAD_ROUTE("\"destination\":\"::/0\",\"nexthops\":[{\"interface\":\"a\"},"
			 "{\"interface\":\"a\",\"gateway\":\"10.0.0.1\"}]",
		"nexthops[1].gateway: is of another family");
	EXPECT_BAD_ROUTE(
		"\"destination\":\"::/0\",\"nexthops\":[{\"interface\":\"a\",\"weight\":257}]",
		"nexthops[0].weight: 257 is out of range");
	EXPECT_BAD_ROUTE("\"destination\":\"::/0\",\"nexthops\":[{\"interface\":\"b\"}]",
		"nexthops[0].interface: none of the interfaces is \"b\"");
	expect_refusal("{\"neighbours\":[{\"address\":\"10.0.0.1\",\"mac\":\"" MAC(1) "\"}]}",
		"network.neighbours[0].interface: is missing");
	EXPECT_BAD_RULE("\"priority\":1,\"table\":5", "family: is missing");
	EXPECT_BAD_RULE("\"family\":5,\"priority\":1,\"table\":5", "family: 5 is out of range");
	EXPECT_BAD_RULE("\"family\":4,\"table\":5", "priority: is missing");
	EXPECT_BAD_RULE(
		"\"family\":4,\"priority\":1,\"table\":255", "table: 255 can't be a rule's");
	EXPECT_BAD_RULE("\"family\":4,\"priority\":1,\"table\":0", "table: 0 can't be a rule's");
	EXPECT_BAD_RULE("\"family\":4,\"priority\":1,\"table\":5,\"from\":\"::/0\"",
		"from: is of another family");
	EXPECT_BAD_RULE("\"family\":6,\"priority\":1,\"table\":5,\"to\":\"10.0.0.0/8\"",
		"to: is of another family");
	EXPECT_BAD_RULE("\"family\":4,\"priority\":1,\"table\":5,\"to\":\"10.0.0.0\"",
		"to: must be an address and the bits of its prefix");
	expect_refusal("{\"neighbours\":[{\"address\":\"10.0.0.1\",\"mac\":\"" MAC(
			       1) "\",\"interface\":\"b\"}]}",
		"network.neighbours[0].interface: none of the interfaces is \"b\"");
}

/* A list of n elements as a member of the network. */
static char *list_of(const char *before, const char *element, int n, const char *after)
{
	size_t len = strlen(element) + 1;
	char *text = malloc(strlen(before) + (size_t)n * len + strlen(after) + 1), *at = text;

	assert_non_null(text);
	at = stpcpy(at, before);
	for (int i = 0; i < n; i++) {
		at = stpcpy(at, element);
		*at++ = ',';
	}
	strcpy(at - (n > 0), after);
	return text;
}

static void expect_bound(
	const char *before, const char *element, int max, const char *after, const char *expected)
{
	char *good = list_of(before, element, max, after);
	char *bad = list_of(before, element, max + 1, after);
	struct network_config *config = decode(good);

	if (!config)
		fail_msg("%s", network_err.text);
	network_config_free(config);
	expect_refusal(bad, expected);
	free(good);
	free(bad);
}

static void test_bounds(void **state)
{
	char text[1024] = "{\"interfaces\":[";

	(void)state;
	for (int i = 0; i < 9; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			"%s{\"device\":\"02:00:00:00:00:0%d\",\"name\":\"e%d\"}", i ? "," : "", i,
			i);
	strcat(text, "]}");
	expect_refusal(text, "network.interfaces: has more than 8 elements");
	expect_bound("{\"routes\":[", "{\"destination\":\"10.0.0.0/8\",\"type\":6}", 4096, "]}",
		"network.routes: has more than 4096 elements");
	expect_bound("{\"neighbours\":[",
		"{\"address\":\"10.0.0.1\",\"mac\":\"" MAC(1) "\",\"interface\":\"lo\"}", 1024,
		"]}", "network.neighbours: has more than 1024 elements");
	expect_bound("{\"rules\":[", "{\"family\":4,\"priority\":1,\"table\":5}", 256, "]}",
		"network.rules: has more than 256 elements");
	expect_bound("{\"interfaces\":[{\"device\":\"" MAC(1) "\",\"name\":\"a\",\"addresses\":[",
		"{\"address\":\"10.0.0.1\",\"prefix\":8}", 256, "]}]}",
		"network.interfaces[0].addresses: has more than 256 elements");
	expect_bound(
		"{\"interfaces\":[" IFACE(2, "b",
			ADDRS(ADDR("10.0.0.2", 8,
				""))) ","
				      "{\"device\":\"" MAC(1) "\",\"name\":\"a\",\"addresses\":[",
		"{\"address\":\"10.0.0.1\",\"prefix\":8}", 255, "]}]}",
		"network.interfaces[1].addresses: there are more than 256 in all");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_interfaces),
		cmocka_unit_test(test_bad_routes),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
