/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What there is in a network namespace that a container's virtual machine is to have as well: its
 * Ethernet interfaces that carry addresses, with addresses, routes, rules and permanent neighbours;
 * and what the loopback interface has of its own.
 */
#ifndef RUNTIME_NET_SCAN_H
#define RUNTIME_NET_SCAN_H

#include <jansson.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "runtime/rtnl.h"

#define NET_INTERFACES_MAX 8
#define NET_ADDRESSES_MAX  256	/* of all interfaces */
#define NET_ROUTES_MAX	   4096 /* each way of one that has several counts */
#define NET_HOPS_MAX	   32	/* of one route */
#define NET_NEIGHBOURS_MAX 1024
#define NET_RULES_MAX	   256
#define NET_MAC_BYTES	   6

#define NET_VRFS_MAX   8
#define NET_UPPERS_MAX 32    /* of one interface */
#define NET_MTU_MAX    65521 /* that of a guest's net device */

/* What routes through the loopback interface name, in every namespace. */
#define NET_LOOPBACK "lo"

/* Interfaces of ours are called this and a number, and made by /dev/net/tun. */
#define NET_TAP_PREFIX "hv"

/*
 * The interfaces of the namespace that get frames from one that they stand on: a VLAN those with
 * its tag, a MACVLAN those to its address, and all to groups.
 */
struct net_uppers {
	uint32_t vlans[NET_UPPERS_MAX]; /* NET_VLAN_KEY */
	uint8_t macs[NET_UPPERS_MAX][NET_MAC_BYTES];
	unsigned n_vlans, n_macs;
};

/* The Ethernet protocol of a tag, and its VLAN's number. */
#define NET_VLAN_KEY(protocol, id) ((uint32_t)(protocol) << 16 | ((id)&0xfffu))

struct net_interface {
	unsigned index;
	char name[IFNAMSIZ];
	uint8_t mac[NET_MAC_BYTES];
	unsigned mtu;
	bool up;
	bool noarp;	    /* IFF_NOARP: nobody is asked for link addresses (ipvlan in mode L3) */
	bool all_multicast; /* as somebody has set it */
	unsigned lower;	    /* index of what it stands on, as a VLAN or a MACVLAN; 0: none */
	uint32_t vlan;	    /* NET_VLAN_KEY; 0: it is a MACVLAN, if it stands on another */
	unsigned master;    /* index of the VRF that it is in; 0: none */
	struct net_uppers uppers; /* the container's or not */
	json_t *addresses;	  /* as in NETWORK of docs/protocol.md */
};

/* A device that has a table for the routes of the interfaces that are in it. */
struct net_vrf {
	unsigned index;
	char name[IFNAMSIZ];
	uint32_t table;
	json_t *addresses;
};

struct net_scan {
	struct net_interface list[NET_INTERFACES_MAX]; /* by index */
	unsigned n;
	struct net_vrf vrfs[NET_VRFS_MAX];
	unsigned n_vrfs;
	json_t *loopback;		     /* addresses of lo that not every namespace has */
	json_t *routes, *neighbours, *rules; /* as in NETWORK */
	json_t *notes; /* texts: interfaces with addresses that are of no use to the container */
};

/* Interfaces that count even without an address: by name (NULL: none) and by index. */
struct net_wanted {
	const json_t *names;
	unsigned indexes[NET_INTERFACES_MAX], n;
};

/*
 * Looks around in rt's namespace. 0 with *scan, the caller's to net_scan_fini; or -errno with e and
 * nothing to free: -E2BIG when there is more than the bounds allow.
 */
int net_scan(struct rtnl *rt, const struct net_wanted *wanted, struct net_scan *scan,
	struct err *e) must_check;
void net_scan_fini(struct net_scan *scan);
#define cleanup_scan __attribute__((cleanup(net_scan_fini)))

/* The interface of this index, NULL. */
const struct net_interface *net_scan_find(const struct net_scan *scan, unsigned index);

/* "02:00:00:00:00:01" into a buffer of NET_MAC_TEXT_BYTES. */
#define NET_MAC_TEXT_BYTES 18
void net_mac_format(const uint8_t *mac, char *text);
bool net_mac_parse(const char *text, uint8_t *mac) must_check;

#endif
