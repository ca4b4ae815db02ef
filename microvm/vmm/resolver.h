/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver in the loopback of the container's network namespace, which the container's
 * resolv.conf names (base/resolv.h): what in the guest connects to the plan's port reaches it. A
 * process of its own makes the connections. It is in that namespace, has the file, and connects to
 * the address that it finds there when the guest asks first, for good: guestinit does, before the
 * container's process is started. It ends with the monitor.
 */
#ifndef MICROVM_VMM_RESOLVER_H
#define MICROVM_VMM_RESOLVER_H

#include "base/err.h"
#include "microvm/virtio/device.h"
#include "microvm/vmm/plan.h"

#define RESOLVER_CONNS_MAX 192u

struct filter;
extern const struct filter resolver_filter; /* its list of system calls; microvm/confine/filter.h */

struct resolver {
	int helper; /* the connection with the process, -1 */
	unsigned n_conns;
};

/*
 * Starts the process, if the plan has a resolver, from a process that has no other thread yet, and
 * closes the plan's descriptor. r->helper is to be closed at the end. 0, or -errno with e.
 */
int resolver_start(struct resolver *r, struct plan *plan, struct err *e) must_check;

/* Takes the guest's connections. r is to live as long as the device. */
int resolver_listen(struct resolver *r, struct virtio_device *vsock, const struct plan *plan,
	struct err *e) must_check;

#endif
