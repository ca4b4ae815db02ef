/* SPDX-License-Identifier: Apache-2.0 */
/* One run of guest_network_apply: the steps from the state that was wanted to the one that is. */
#ifndef GUESTINIT_NETWORK_PASS_H
#define GUESTINIT_NETWORK_PASS_H

#include "guestinit/network.h"

struct network_pass {
	struct network *network;
	const struct network_config *old;
	struct network_config *wanted;
	struct netlink nl, *home; /* the VM's first namespace, where the spares are */
	int home_fd;		  /* that namespace, when the container has another one; else -1 */
	int proc_fd;
	bool ipv6;				/* the kernel has it */
	int8_t ipv6_of[NETWORK_INTERFACES_MAX]; /* so has wanted's: 1 yes, -1 no, 0 not looked up */
	int8_t ipv6_of_loopback;		/* the same */
	bool one_way;				/* it knows but one way to an IPv4 destination */
	int index[NETWORK_INTERFACES_MAX];	/* of wanted's; 0: there is no such device */
	int before[NETWORK_INTERFACES_MAX];	/* the same interface in old, or -1 */
	bool renew[NETWORK_INTERFACES_MAX];	/* its addresses and all else must be put (back) */
	int vrf_index[NETWORK_VRFS_MAX];	/* of wanted's VRFs; 0: there is no such device */
	int vrf_before[NETWORK_VRFS_MAX];	/* the same VRF (name, table) in old, or -1 */
	int8_t ipv6_of_vrf[NETWORK_VRFS_MAX];	/* as ipv6_of */
	bool renew_vrf[NETWORK_VRFS_MAX];	/* as renew */
	bool renew_loopback;			/* the same of the loopback interface */
	bool downed[NETWORK_INTERFACES_MAX];	/* it was taken down on the way */
	struct err *e;
	unsigned n_failures;
};

/*
 * Into the namespace ns_fd, from where `from` asks; there `to` finds the device under its new
 * index. 0 or -errno.
 */
int pass_device_move(struct netlink *from, int ns_fd, struct netlink *to,
	struct network_device *device) must_check;

/* The place in wanted of interface `old` of old, or -1 when it is gone. */
int pass_after(const struct network_pass *p, int old) must_check;

/* Notes a failure: "network: WHO: WHAT: reason". */
void pass_fail(struct network_pass *p, const char *who, int ret, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Names, link addresses, MTU, state. Interfaces that are gone are taken away first. */
void pass_links_remove(struct network_pass *p);
void pass_links_rename(struct network_pass *p);
void pass_links_set(struct network_pass *p);

/* Frees a name if its holder is a net device of the VM's that has or gets another one; 0 or -errno.
 */
int pass_make_room(struct network_pass *p, int holder) must_check;

/*
 * VRFs. Those that are not wanted any more, or have another table, go before their names are given
 * anew; which takes interfaces that are in them down and up again. Then those that are missing are
 * made: the interfaces' names are settled by then.
 */
void pass_vrfs_remove(struct network_pass *p);
void pass_vrfs_add(struct network_pass *p);

/* Addresses, routes, neighbours, rules: what is not wanted any more, then what is. */
void pass_items_remove(struct network_pass *p);
void pass_items_add(struct network_pass *p);

#endif
