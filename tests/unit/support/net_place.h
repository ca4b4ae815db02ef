/* SPDX-License-Identifier: Apache-2.0 */
/* A network namespace that a test makes, with what the kernel has there. */
#ifndef TESTS_UNIT_SUPPORT_NET_PLACE_H
#define TESTS_UNIT_SUPPORT_NET_PLACE_H

#include <jansson.h>

#include "runtime/net_scan.h"
#include "runtime/net_tap.h"
#include "runtime/rtnl.h"

#define NET_PLACE_NEEDS_ROOT()                                                                     \
	do {                                                                                       \
		if (geteuid() != 0)                                                                \
			skip();                                                                    \
	} while (0)

struct net_place {
	int ns;
	struct rtnl rt;
};

/* Nothing but what we send is on it. */
#define NET_PLACE_QUIET                                                                            \
	"ip link add eth0 address 02:11:22:33:44:55 type veth peer name out;"                      \
	"ip link set eth0 addrgenmode none; ip link set out addrgenmode none;"                     \
	"ip link set out up; ip link set eth0 up; ip addr add 10.1.2.3/24 dev eth0;"               \
	"ip addr add fd00:1::2/64 dev eth0 nodad; sleep 0.1"

/* Makes it and runs the script there. Each of these fails the test when it can't be done. */
void net_place_enter(struct net_place *p, const char *script);
void net_place_leave(struct net_place *p);

/* A shell inside the namespace; its output, the caller's until the next call. */
const char *net_place_run(const struct net_place *p, const char *script);

/* A packet socket for all frames of a device, the caller's; it does not wait. */
int net_place_socket(const struct net_place *p, const char *device);

/* net_scan_fini is the caller's. */
void net_place_scan(struct net_place *p, struct net_scan *found);
const struct net_interface *net_place_interface(const struct net_scan *found, const char *name);

/* net_tap_close is the caller's. */
void net_place_tap(struct net_place *p, struct net_tap *tap, unsigned queues);

/* The route of a list with that destination; fails the test where there is none. */
const json_t *net_place_route(const json_t *routes, const char *destination);

/* The string at a path (as oci_lookup's) of an object, "(none)" where there is none. */
const char *net_place_text(const json_t *object, const char *path);

#endif
