/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net (virtio 1.2, 5.1) over the queues of a tap, or over a stream socket to a user-space
 * network (passt). Each pair of queues has a thread of its own, so that neither a busy network nor
 * a busy disk holds up the other, and so that throughput grows with the number of pairs.
 *
 * The guest's link is up while the tap is; when the tap is taken down or the socket ends, what the
 * guest sends is dropped, and counted, and the VM goes on.
 */
#ifndef MICROVM_DEVICES_NET_H
#define MICROVM_DEVICES_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "microvm/virtio/device.h"

#define NET_PAIRS_MAX 8 /* of queues; VIRTIO_QUEUES_MAX has room for them and a control queue */
#define NET_MAC_BYTES 6
#define NET_MTU_MIN   68u /* what IPv4 needs, and Linux accepts */
#define NET_MTU_MAX   65535u

struct net_config {
	/*
	 * The queues of one tap (IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, and IFF_MULTI_QUEUE when there
	 * are several), or one connected SOCK_STREAM socket that carries frames behind their
	 * lengths (32 bits, big endian). Taken over by a create that succeeds.
	 */
	int fds[NET_PAIRS_MAX];
	unsigned n_fds;
	bool stream;
	uint8_t mac[NET_MAC_BYTES]; /* in the device's configuration space */
	uint16_t mtu;		    /* the largest that the guest may set, NET_MTU_MIN at least */
	/* What each of its pairs of queues may carry to the guest and from it; 0: no limit. */
	uint64_t rx_bytes_per_s, tx_bytes_per_s;
	/* Another program serves the queues (QEMU): the device only holds what it is made of. */
	bool idle;
};

/* *out is the caller's until net_free. */
int net_create(
	const struct net_config *config, struct virtio_device **out, struct err *e) must_check;
/*
 * Starts its threads (none when it is idle), before the device runs; with `confine` each has an
 * allow-list of system calls (net_filter). They inherit all else from the caller. 0 or -errno;
 * net_free is due.
 */
int net_launch(struct virtio_device *dev, bool confine) must_check;
extern const struct filter net_filter;	  /* microvm/confine/filter.h */
void net_free(struct virtio_device *dev); /* NULL is fine; the transport has let go of it */

#endif
