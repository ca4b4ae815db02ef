/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the guest's network: its message's text, and a network namespace of the test program's
 * own with veth devices in place of virtio-net. Skipped without root.
 */
#ifndef TESTS_UNIT_SUPPORT_GUEST_NETWORK_H
#define TESTS_UNIT_SUPPORT_GUEST_NETWORK_H

#include "guestinit/guest.h"
#include "guestinit/network.h"

/* Of the test that runs, and of what failed last. */
extern struct guest network_guest;
extern struct err network_err;

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

/* A command that prints the addresses of an interface. */
#define ADDRESSES(dev)                                                                             \
	"ip -o addr show dev " dev " | sed 's/^[0-9]*: *[^ ]* *//;s/\\\\.*//;s/ valid_lft.*//'"

/* The caller's, or NULL with network_err. */
struct network_config *decode(const char *text);

/* Gives the guest that network: guest_network_apply's result, with network_err. */
int try(const char *text);

/* Each of these fails the test when it can't be done, or is not so. */
void apply(const char *text);
void shell(const char *command);
/* What the command prints, without trailing blanks of the lines. */
void expect(const char *command, const char *expected);

/* Set-up and end of a test. */
int network_begin(void **state);
int network_end(void **state);

#define TEST(name) cmocka_unit_test_setup_teardown(name, network_begin, network_end)

#endif
