/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taps: what joins a net device of a virtual machine to an interface of a network namespace. One
 * is made by its descriptors and goes with the last of them, so it ends with the monitor, whatever
 * becomes of hvrun.
 */
#ifndef RUNTIME_NET_TAP_H
#define RUNTIME_NET_TAP_H

#include "base/err.h"
#include "runtime/net_scan.h"

#define NET_QUEUES_MAX 8

struct net_tap {
	unsigned index;
	char name[IFNAMSIZ];
	int queues[NET_QUEUES_MAX]; /* a descriptor for each pair of queues */
	unsigned n_queues;
};

/*
 * Makes one in the namespace ns, of which rt is a socket: down, and joined to nothing. 0 with *tap
 * the caller's to net_tap_close; or -errno with e.
 */
int net_tap_make(
	struct net_tap *tap, int ns, struct rtnl *rt, unsigned n_queues, struct err *e) must_check;
void net_tap_close(struct net_tap *tap);

#endif
