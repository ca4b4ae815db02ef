/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire between an interface and a tap: whatever comes in on one goes out on the other, by
 * ingress filters of the kernel's traffic control (u32 and mirred, which every kernel with
 * traffic control has). The interface keeps its name, addresses and owner, receives all groups'
 * frames, for the guest may be in any, and sees nothing of what it receives any more, but for that
 * by which addresses and routes are given, and what is for others that stand on it
 * (net_filter_deliver). Guards on what the guest sends, and
 * rates, are made of the same stuff.
 *
 * What is made here is known by its priority (NET_WIRE_PRIORITY and the next five) and by its
 * handle, so it can be taken away without a record.
 */
#ifndef RUNTIME_NET_WIRE_H
#define RUNTIME_NET_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "runtime/net_scan.h"
#include "runtime/rtnl.h"

#define NET_WIRE_PRIORITY 0x6874

struct net_wire {
	const struct net_interface *interface;
	unsigned tap; /* its index */
	bool guard;   /* the guest may send as the interface only: its MAC and addresses */
	bool mark;    /* in and out: that it receives all groups is a wire's doing, not others' */
	uint64_t rx_bytes, tx_bytes; /* a second, as the guest sees them; 0: no limit */
};

/*
 * Joins the two and brings the tap up, with the interface's MTU, in place of what joined either to
 * something before. 0, or -errno with e: -EBUSY when the interface is joined to a tap that still
 * exists, another virtual machine's.
 */
int net_wire_join(struct rtnl *rt, struct net_wire *wire, struct err *e) must_check;

/* The tap gets the interface's MTU, or the least that IPv6 takes. 0 or -errno. */
int net_wire_resize(
	struct rtnl *rt, const struct net_interface *interface, unsigned tap) must_check;

/*
 * Whether what joined them is not there any more, or not whole, in one way or the other, as after
 * `tc qdisc del`, when the interface was elsewhere in between, or when something else stands on it
 * now; or the tap was taken down. Not when one of them is gone. 1, 0, or -errno.
 */
int net_wire_is_cut(
	struct rtnl *rt, const struct net_interface *interface, unsigned tap) must_check;

/*
 * Takes away what joins the interface to the tap, each of which may be gone. With what joins the
 * interface to anything else that exists nothing is done. mark: as in struct net_wire, which the
 * filters may not tell any more. 0 or -errno.
 */
int net_wire_part(struct rtnl *rt, unsigned interface, unsigned tap, bool mark) must_check;

/* The same for all interfaces that are joined to one of the taps, or to a tap that is no more. */
int net_wire_part_all(struct rtnl *rt, const unsigned *taps, unsigned n_taps) must_check;

#endif
