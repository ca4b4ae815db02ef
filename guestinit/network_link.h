/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's calls about the guest's network, one request each: links, addresses, routes,
 * neighbours. They return 0 or -errno; netlink's `why` may say more.
 */
#ifndef GUESTINIT_NETWORK_LINK_H
#define GUESTINIT_NETWORK_LINK_H

#include <linux/if_link.h>
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "guestinit/netlink.h"
#include "guestinit/network_config.h"

#define NETWORK_DEVICES_MAX 64

/* A name of which the kernel makes one that is free, for net devices that are not in use. */
#define NETWORK_SPARE_NAME "spare%d"

/* A net device, by the address that it was made with. */
struct network_device {
	struct net_mac mac;
	int index;
	bool moved; /* it is in the namespace of the container, not in the VM's first */
};

struct link_info {
	char name[IF_NAMESIZE];
	struct net_mac mac;
	uint32_t mtu;
	unsigned flags;	    /* IFF_… */
	int master;	    /* its index; 0: none */
	uint32_t vrf_table; /* 0: it is no VRF */
	struct rtnl_link_stats64 stats;
};

/*
 * Lists the Ethernet devices by the address that they were made with or, where the driver does not
 * say it, that they have; as many as there is room for. *n goes in as the room.
 */
int link_list(struct netlink *nl, struct network_device *devices, size_t *n) must_check;

int link_get(struct netlink *nl, int index, struct link_info *info) must_check;

/* The index of the device of this name, or -ENODEV. */
int link_find(struct netlink *nl, const char *name) must_check;

int link_rename(struct netlink *nl, int index, const char *name) must_check;
int link_set_up(struct netlink *nl, int index, bool up) must_check;
int link_set_noarp(struct netlink *nl, int index, bool noarp) must_check;
int link_set_mac(struct netlink *nl, int index, const struct net_mac *mac) must_check;
int link_set_mtu(struct netlink *nl, int index, uint32_t mtu) must_check;

/* Under the device of that index, a VRF; 0: under none. The kernel takes it down and up again. */
int link_set_master(struct netlink *nl, int index, int master) must_check;

/* Makes a VRF, which is up. -EOPNOTSUPP where the kernel has none. */
int link_make_vrf(struct netlink *nl, const char *name, uint32_t table) must_check;

/* Deletes a device of the kernel's; a VRF's interfaces are in none then. */
int link_delete(struct netlink *nl, int index) must_check;

/* Into another network namespace, under a spare's name. */
int link_move(struct netlink *nl, int index, int ns_fd) must_check;

/* Removes every address of the device. */
int link_flush(struct netlink *nl, int index) must_check;

/*
 * Adds (RTM_NEWADDR) or removes (RTM_DELADDR) an address. IPv6 goes without looking for twins.
 * prefix_route: the kernel makes the route to its network, now and whenever the link comes up.
 */
int link_address(struct netlink *nl, uint16_t type, int index, const struct net_address *a,
	bool prefix_route) must_check;

/*
 * RTM_NEWROUTE behind those of the same destination, or RTM_DELROUTE. `index` is the device of each
 * of its hops (0: that one is left out), or where it has none, the route's (0: none).
 */
int link_route(
	struct netlink *nl, uint16_t type, const int *index, const struct net_route *r) must_check;

/* RTM_NEWRULE (-EEXIST where it is there) or RTM_DELRULE. */
int link_rule(struct netlink *nl, uint16_t type, const struct net_rule *rule) must_check;

/* RTM_NEWNEIGH (replaces) or RTM_DELNEIGH of a permanent neighbour. */
int link_neighbour(
	struct netlink *nl, uint16_t type, int index, const struct net_neighbour *n) must_check;

#endif
