/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets of the host that a container was given: what in the guest connects to one reaches a
 * vsock port of the host, and each such connection becomes one to the socket. Which sockets there
 * are is the plan's word; the guest has only the ports.
 */
#ifndef MICROVM_VMM_RELAY_SOCKET_H
#define MICROVM_VMM_RELAY_SOCKET_H

#include "base/err.h"
#include "microvm/virtio/device.h"
#include "microvm/vmm/plan.h"

#define RELAY_CONNS_MAX 128u /* of all sockets together */

struct relay_sockets;

struct relay_socket {
	struct relay_sockets *all;
	unsigned index; /* in the plan */
};

struct relay_sockets {
	struct relay_socket sockets[PLAN_SOCKETS_MAX];
	unsigned n_conns;
	int helper;		   /* the connection of relay_helper.h, not its own */
	void (*closed)(void *arg); /* whenever a connection has ended; NULL: nobody cares */
	void *arg;
};

/* Relays and helper are to live as long as the device. `closed` may be NULL. */
int relay_sockets_init(struct relay_sockets *relays, struct virtio_device *vsock,
	const struct plan *plan, int helper, void (*closed)(void *arg), void *arg,
	struct err *e) must_check;

#endif
