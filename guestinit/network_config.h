/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `network` of the create and network messages (docs/protocol.md), decoded: the whole state that
 * the host wants of the guest's network. Strings belong to the JSON, of which a reference is kept.
 */
#ifndef GUESTINIT_NETWORK_CONFIG_H
#define GUESTINIT_NETWORK_CONFIG_H

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "guestinit/arena.h"
#include "guestinit/decode.h"

#define NETWORK_INTERFACES_MAX 8
#define NETWORK_VRFS_MAX       8
#define NETWORK_ADDRESSES_MAX  256 /* of all interfaces and VRFs together */
#define NETWORK_ROUTES_MAX     4096
#define NETWORK_HOPS_MAX       32 /* of one route */
#define NETWORK_NEIGHBOURS_MAX 1024
#define NETWORK_RULES_MAX      256
#define NETWORK_MTU_MIN	       68
#define NETWORK_MTU_MAX	       65535

/* What a route goes through, where that is none of `interfaces`. */
#define NETWORK_NO_INTERFACE (-1)
#define NETWORK_LOOPBACK     (-2)

#define NETWORK_NO_VRF (-1)

#define NETWORK_MAC_BYTES 6

/* An address without a family is none. */
struct net_ip {
	uint8_t family; /* AF_INET or AF_INET6 */
	uint8_t bytes[16];
};

struct net_prefix {
	struct net_ip ip;
	uint8_t bits;
};

struct net_mac {
	uint8_t bytes[NETWORK_MAC_BYTES];
};

struct net_address {
	struct net_ip ip, broadcast, peer;
	uint32_t prefix_bits, scope;
	const char *label; /* IPv4 only; NULL is the interface's name */
	bool deprecated;   /* RFC 4862, 5.5.4: no source of new connections */
};

struct net_addresses {
	struct net_address *v;
	size_t n;
};

struct net_interface {
	struct net_mac device; /* the net device's own address, by which it is found */
	struct net_mac mac;    /* which the interface has */
	bool has_mac;
	const char *name;
	uint32_t mtu;	  /* 0: leave it */
	bool down, noarp; /* the latter: IFF_NOARP */
	const char *vrf_name;
	int vrf; /* in `vrfs`, or NETWORK_NO_VRF */
	struct net_addresses addresses;
};

/* A device of the kernel's whose interfaces look into a table of their own. */
struct net_vrf {
	const char *name;
	uint32_t table;
	struct net_addresses addresses;
};

/* One of several ways to a destination. */
struct net_hop {
	struct net_ip gateway;
	const char *interface_name;
	int interface;
	uint32_t weight; /* 1 to 256 */
	bool onlink;
};

/* rtnetlink(7) says what the numbers mean; those that the message leaves out have ip(8)'s values.
 */
struct net_route {
	uint32_t family;
	struct net_prefix destination;
	struct net_ip gateway, source;
	const char *interface_name;
	int interface; /* in `interfaces`, or NETWORK_… */
	uint32_t table, metric, scope, type, protocol;
	uint32_t mtu, advmss; /* 0: none of its own */
	bool onlink;
	DECLARE_LIST(net_hop) hops; /* in the place of gateway, interface and onlink */
	uint32_t ways;		    /* not the message's: which of the hops the kernel was given */
};

struct net_neighbour {
	struct net_ip ip;
	struct net_mac mac;
	const char *interface_name;
	int interface;
};

/* A policy rule: packets from and to there (a prefix without a family: all) look into a table. */
struct net_rule {
	uint32_t family; /* 4 or 6 */
	struct net_prefix from, to;
	uint32_t priority, table;
};

struct network_config {
	json_t *json;
	struct arena arena;
	DECLARE_LIST(net_vrf) vrfs;
	DECLARE_LIST(net_interface) interfaces;
	struct net_addresses loopback; /* beside those that it has of itself */
	DECLARE_LIST(net_route) routes;
	DECLARE_LIST(net_neighbour) neighbours;
	DECLARE_LIST(net_rule) rules;
};

/* The caller's, for network_config_free; NULL with the error filled, the JSON path in front. */
struct network_config *network_config_decode(const json_t *network, struct err *e) must_check;
void network_config_free(struct network_config *config);

/*
 * Part of network_config_decode: the entries' values, and what they say of each other. Finds the
 * interfaces that they name and puts in what is left out. 0 or -errno with the error filled.
 */
int network_config_check(struct decode *d, const struct network_config *config) must_check;

/* Whether it says anything of IPv6. */
bool network_config_has_ipv6(const struct network_config *config);

/* Equality of entries, each of its own configuration: interfaces are told by their device. */
bool net_address_equal(const struct net_address *a, const struct net_address *b);
bool net_route_equal(const struct network_config *a_config, const struct net_route *a,
	const struct network_config *b_config, const struct net_route *b);
bool net_neighbour_equal(const struct network_config *a_config, const struct net_neighbour *a,
	const struct network_config *b_config, const struct net_neighbour *b);
bool net_rule_equal(const struct net_rule *a, const struct net_rule *b);
bool net_mac_equal(const struct net_mac *a, const struct net_mac *b);

/* The length of an address of its family. */
uint32_t net_ip_bits(const struct net_ip *ip);

#endif
