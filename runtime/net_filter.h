/* SPDX-License-Identifier: Apache-2.0 */
/* Filters on what comes in on an interface; see net_wire.h, whose parts these are. */
#ifndef RUNTIME_NET_FILTER_H
#define RUNTIME_NET_FILTER_H

#include <linux/pkt_sched.h>
#include <stdbool.h>

#include "base/err.h"
#include "runtime/net_scan.h"
#include "runtime/rtnl.h"

#define NET_FILTER_PARENT     TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
#define NET_FILTER_PRIORITIES 6 /* see enum net_filter_priority */
#define NET_FILTER_MARK	      TC_H_MAKE(0x68760000, 1)

/* In this order filters are asked. */
enum net_filter_priority {
	NET_FILTER_UPPER,
	NET_FILTER_SHARED,
	NET_FILTER_ARP,
	NET_FILTER_IP4,
	NET_FILTER_IP6,
	NET_FILTER_REST,
};

/*
 * All that comes in on `from` goes out on `to`. mark: a filter bears NET_FILTER_MARK as its class,
 * which means nothing to the kernel; likewise below. 0 or -errno.
 */
int net_filter_redirect(struct rtnl *rt, unsigned from, unsigned to, bool mark) must_check;

/*
 * The same from an interface to a tap; but what is for others that stand on it goes there, and the
 * namespace's own stack sees what it keeps the interface's addresses and routes by: router
 * advertisements, whether another has an address, and what is for DHCP clients. (The tap gets that,
 * too: what the guest makes of it is its own affair.) 0 or -errno.
 */
int net_filter_deliver(
	struct rtnl *rt, const struct net_interface *interface, unsigned tap, bool mark) must_check;

/*
 * What comes in on the tap goes out on the interface if it says that it is from there: its MAC, in
 * the frame and in ARP, and one of its addresses, or none yet, in ARP; for IPv6 see
 * net_guard_ip6.h. All else is dropped. 0 or -errno.
 */
int net_filter_guard(
	struct rtnl *rt, unsigned tap, const struct net_interface *interface, bool mark) must_check;

/* Removes the filters of NET_WIRE_PRIORITY + n. -ENOENT or -EINVAL when there are none. */
int net_filter_remove(struct rtnl *rt, unsigned index, unsigned n) must_check;

#endif
