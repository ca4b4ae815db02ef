/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's network as the host wants it: net devices with the names, addresses and routes of
 * the interfaces that they stand for. Every message says the whole state; what differs from the
 * last one is done, so that what the container changed itself stays as it is.
 *
 * All of it is in the network namespace that guest_network_enter names, of the container's own: the
 * net devices that are to spare stay in the VM's first, out of its sight.
 */
#ifndef GUESTINIT_NETWORK_H
#define GUESTINIT_NETWORK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "guestinit/network_config.h"
#include "guestinit/network_link.h"

struct guest;

struct network {
	struct network_config *wanted;	   /* NULL before the first time */
	int index[NETWORK_INTERFACES_MAX]; /* of wanted's interfaces; 0 where there is no device */
	int vrf_index[NETWORK_VRFS_MAX];   /* the same of wanted's VRFs, all of which we made */
	bool incomplete;		   /* some of it failed: the next time tries all again */
	int ns_fd;			   /* -1: the VM's first */
	struct network_device devices[NETWORK_DEVICES_MAX];
	size_t n_devices;
};

void guest_network_init(struct network *network);
void guest_network_fini(struct network *network);

/* From now on in this namespace (the descriptor is taken). Before the first guest_network_apply
 * only. */
void guest_network_enter(struct network *network, int ns_fd);

/*
 * Makes the network what is wanted, which is taken. Goes on after a failure: the error is the
 * first one, with the name of its interface. The first time, waits up to a second for net devices.
 * IPv6 is left out, with a warning, where the kernel has none.
 */
int guest_network_apply(
	struct guest *guest, struct network_config *wanted, struct err *e) must_check;

/*
 * The interfaces' counters as docs/protocol.md has them, a new reference; empty where there are
 * none. NULL without memory.
 */
json_t *guest_network_stats(struct guest *guest) must_check;

#endif
