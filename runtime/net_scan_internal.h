/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of net_scan share: the attributes of a message, and what has been found so far. */
#ifndef RUNTIME_NET_SCAN_INTERNAL_H
#define RUNTIME_NET_SCAN_INTERNAL_H

#include "runtime/net_scan.h"

#include <arpa/inet.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>

#define LINKS_MAX 4096 /* interfaces of a namespace, ours or not */
#define ATTRS_MAX 64

/* Something is to be said about it, if it has addresses that others than its neighbours know. */
struct oddity {
	unsigned index;
	unsigned parent; /* not 0: only if that one is the container's */
	char name[IFNAMSIZ];
	char reason[64];
	bool addressed;
};

/* All Ethernet interfaces; those without an address are dropped in the end. */
struct scanner {
	const struct net_wanted *wanted;
	struct net_interface *list;
	struct oddity *oddities;
	struct net_vrf *vrfs;
	size_t n, n_addresses, n_ways, n_oddities, n_vrfs;
	unsigned loopback_index;
	json_t *loopback, *routes, *neighbours, *rules;
};

/* By type; NULL: not there. */
struct attrs {
	const struct nlattr *at[ATTRS_MAX];
};

/* For mnl_attr_parse and its like, with a struct attrs. */
int scan_keep_attr(const struct nlattr *attr, void *arg);
void scan_parse(const struct nlmsghdr *message, size_t fixed_bytes, struct attrs *attrs);
bool scan_has(const struct attrs *attrs, unsigned type, size_t len_bytes);
uint32_t scan_number(const struct attrs *attrs, unsigned type, uint32_t otherwise);
/* A text of IFLA_LINKINFO's, "" without one. */
const char *scan_info(const struct attrs *attrs, unsigned type);
/* IFLA_LINKINFO's nested attributes of the kind's own (IFLA_INFO_DATA); none without them. */
void scan_info_data(const struct attrs *attrs, struct attrs *data);

/* 0: of no family that is carried. */
size_t scan_address_bytes(int family);
/* The address in an attribute as text; NULL when there is none. */
const char *scan_text(
	const struct attrs *attrs, unsigned type, int family, char text[INET6_ADDRSTRLEN]);
/* Of those that every loopback interface has. */
bool scan_is_loopback(const struct attrs *attrs, unsigned type, int family);

struct net_interface *scan_find(const struct scanner *s, unsigned index);

/* net_scan_route.c: for rtnl_dump, with a struct scanner. */
int scan_route(const struct nlmsghdr *message, void *arg);
int scan_rule(const struct nlmsghdr *message, void *arg);

/* net_scan_kind.c. A VRF; 0 or -errno. */
int scan_vrf(struct scanner *s, const struct ifinfomsg *link, const struct attrs *attrs);
struct net_vrf *scan_find_vrf(struct scanner *s, unsigned index);
/* What the interface stands on, and the VRF that it is in. */
void scan_kind(struct net_interface *interface, const struct attrs *attrs);
/* Whether it is in a VRF that the container can't have; it is noted then. */
bool scan_is_lost(struct scanner *s, const struct net_interface *interface);
/* Those of the interfaces that are kept, and those with addresses. 0, -E2BIG. */
int scan_keep_vrfs(const struct scanner *s, struct net_scan *scan);
/* Whose frames come in on those that are kept; more than there is room for get none. */
void scan_uppers(const struct scanner *s, struct net_scan *scan);

/* net_scan_oddity.c. Whether its name is text, as in JSON it must be. */
bool scan_is_named(struct scanner *s, const struct ifinfomsg *link, const char *name);
/* Whether it can be the container's, as far as what it is goes. */
bool scan_is_of_use(struct scanner *s, const struct ifinfomsg *link, const struct attrs *attrs,
	const char *name);
/* One that is not the container's though it seemed so. */
void scan_leave(struct scanner *s, const struct net_interface *interface, const char *reason);
/* An odd one may have this address. */
void scan_mark(struct scanner *s, const struct ifaddrmsg *address);
/*
 * Says it of those whose parents are kept, or that can't be, and of the MTU that is too large,
 * which becomes the largest. 0 or -ENOMEM.
 */
int scan_note(const struct scanner *s, struct net_scan *scan);

#endif
