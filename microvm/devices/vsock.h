/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock (virtio 1.2, 5.10) in user space: stream connections between the guest and pairs of
 * host descriptors. What is read from rd_fd goes to the guest, what the guest sends goes to wr_fd;
 * end-of-file travels both ways. Each connection holds at most VSOCK_BUFFER_BYTES; everything
 * else is back-pressure (the guest's credit, the host descriptor that is not read).
 *
 * Threads: every function below is called by the loop's thread, or while the loop does not run,
 * and without the device's lock. All callbacks come from the loop's thread without the lock, so
 * that they may call these functions. The process must ignore SIGPIPE.
 */
#ifndef MICROVM_DEVICES_VSOCK_H
#define MICROVM_DEVICES_VSOCK_H

#include <stdint.h>

#include "base/err.h"
#include "microvm/virtio/device.h"

#define VSOCK_HOST_CID	    2u
#define VSOCK_CONNS_MAX	    1024u
#define VSOCK_LISTENERS_MAX 40u
#define VSOCK_BUFFER_BYTES  (256u << 10)

struct vsock_config {
	struct loop *loop;
	uint64_t guest_cid; /* 3 or more */
};

/* Any of them may be NULL. arg is the one that came with the events. */
struct vsock_conn_events {
	void (*connected)(void *arg);
	/* wr_fd takes no more, for this errno: what the guest sends from now on is thrown away. */
	void (*broken)(void *arg, int code);
	/* The guest shut its sending side down and all that it sent has been written to wr_fd. */
	void (*drained)(void *arg);
	/*
	 * The last call, exactly once (not at all when vsock_free ends the connection). reason: 0
	 * after an orderly end, -ECONNREFUSED when the guest refused, -ECONNRESET when it reset
	 * the connection or itself, -EPROTO when it broke the protocol, -ENOMEM. What the guest
	 * had sent before has been written to wr_fd, and its ports are free again.
	 */
	void (*closed)(void *arg, int reason);
};

/* What an accept callback fills: descriptors that the connection takes over, -1 for none. */
struct vsock_accepted {
	int rd_fd, wr_fd;
	const struct vsock_conn_events *events; /* NULL or valid as long as the connection */
	void *arg;
};

/* 0 to accept; anything else refuses (RST). */
typedef int vsock_accept_fn(void *arg, uint32_t guest_port, struct vsock_accepted *accepted);

/* *out is the caller's until vsock_free. */
int vsock_create(
	const struct vsock_config *config, struct virtio_device **out, struct err *e) must_check;
/* Ends all connections without a callback, closes their descriptors. NULL is fine. */
void vsock_free(struct virtio_device *dev);

/*
 * Opens a connection to guest_port from host_port. It may be called before the guest has started
 * the device: the request waits. rd_fd and wr_fd are taken over, on failure too; -1 for none; the
 * same descriptor twice is fine. Pipes, terminals and sockets should be non-blocking (sockets
 * needn't be); a blocking pipe or terminal is served with small transfers after poll(2), which
 * holds unless another process uses the same pipe. 0 or -errno: -EADDRINUSE for a pair of ports
 * in use, -ENOSPC for too many connections.
 */
int vsock_connect(struct virtio_device *dev, uint32_t host_port, uint32_t guest_port, int rd_fd,
	int wr_fd, const struct vsock_conn_events *events, void *arg) must_check;

/*
 * Ends a connection at once: what it has still to deliver is thrown away, the guest gets a reset.
 * Its closed comes as always, from the loop, with -ECONNRESET. Nothing for one that is not there.
 */
void vsock_disconnect(struct virtio_device *dev, uint32_t host_port, uint32_t guest_port);

/* Lets the guest connect to host_port; every other port is refused. 0, -EADDRINUSE, -ENOSPC. */
int vsock_listen(struct virtio_device *dev, uint32_t host_port, vsock_accept_fn *accept,
	void *arg) must_check;

#endif
