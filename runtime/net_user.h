/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --network=user: passt(1), a process of the host without privileges, opens the connections that
 * the guest asks for and those to published ports, in the network of hvrun's caller. The virtual
 * machine has one interface, eth0, and reaches what the caller reaches but its loopback. (passt
 * connects to that, too, where it is older than some: net_stream_takes. With the emulation engine,
 * whose frames are QEMU's, nothing keeps a hostile kernel from it then.)
 */
#ifndef RUNTIME_NET_USER_H
#define RUNTIME_NET_USER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define NET_USER_PORTS_MAX 64
#define NET_USER_MTU	   1500
#define NET_USER_PASST	   "passt"

struct net_user_port {
	char text[64]; /* as passt has it: [ADDRESS/]HOST:CONTAINER */
	int family;    /* of the address; AF_UNSPEC without one: all that the guest has */
	uint16_t host;
	bool udp;
};

struct net_user {
	struct net_user_port ports[NET_USER_PORTS_MAX];
	unsigned n_ports;
	uint8_t mac[6];		   /* of the guest's net device */
	bool ipv4, ipv6;	   /* what the guest is given */
	bool resolver4, resolver6; /* families of the caller's resolvers */
};

/*
 * What the caller's network has a default route for the guest is given, for passt needs one. 0 with
 * ipv4 or ipv6 or both set, or -errno with e: -ENETUNREACH when there is neither, or not the one
 * for an address of which a port is published already.
 */
int net_user_choose(struct net_user *user, struct err *e) must_check;

/* Sets resolver4 and resolver6 by a resolv.conf(5); net_user_choose does it by the caller's. */
void net_user_read_resolvers(struct net_user *user, const char *path);

/*
 * The guest's /etc/resolv.conf: passt passes questions on to the first of the caller's resolvers
 * that is of the same family, so one of a family without any is not named.
 */
const char *net_user_resolv(const struct net_user *user);

/*
 * One port, "[ADDRESS:]HOST:CONTAINER[/tcp|/udp]", an IPv6 address in brackets. 0 or -EINVAL with
 * e.
 */
int net_user_publish(struct net_user *user, const char *text, struct err *e) must_check;

/* Several, separated by commas. */
int net_user_publish_list(struct net_user *user, const char *list, struct err *e) must_check;

/* NETWORK of docs/protocol.md for the guest, a new reference; NULL without memory. */
json_t *net_user_message(const struct net_user *user);

struct spawn;

/*
 * Starts passt and waits until it is ready: its ports are bound then. base says how (descriptors,
 * path, words and streams are filled in here). A port that is taken is an error. 0 with *pid the
 * caller's to wait for, and *stream the VM's end of its socket, with which passt ends; or -errno
 * with passt's own words in e.
 */
int net_user_start(const struct net_user *user, const char *passt, const struct spawn *base,
	int null, pid_t *pid, int *stream, struct err *e) must_check;

#endif
