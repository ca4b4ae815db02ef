/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the vsock device. How the parts work together:
 *
 *  vsock_tx.c    packets from the guest: each is checked and changes its connection's state
 *  vsock_conn.c  one connection: its state, its descriptors, its buffer, its credit
 *  vsock_rx.c    packets to the guest: control packets that connections owe, data from rd_fd
 *  vsock.c       the device, the public functions, callbacks
 *
 * Nothing is queued per packet. What a connection owes the guest is a set of bits (owed), so a
 * guest that provokes replies without taking them can't make them pile up; only replies to packets
 * of no connection are kept in a table (resets), and when it is full the guest's packets wait.
 *
 * Every entry point (kick, readable or writable descriptor, work, public function) takes the lock,
 * does its part and ends in vsock_settle, which brings everything in line with the new state:
 * which descriptors are waited for, what is owed, which connections are over. The loop and the
 * descriptors are touched only by the loop's thread; vsock_stop, which a vCPU may call, only marks
 * connections dead and leaves the rest to the work.
 */
#ifndef MICROVM_DEVICES_VSOCK_INTERNAL_H
#define MICROVM_DEVICES_VSOCK_INTERNAL_H

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "microvm/devices/stream_fd.h"
#include "microvm/devices/vsock.h"
#include "microvm/devices/work.h"

#define VSOCK_QUEUE_RX	  0u
#define VSOCK_QUEUE_TX	  1u
#define VSOCK_QUEUE_EVENT 2u
/* Guests fill the receive queue at start, 4 KiB each: enough for the credit of one connection. */
#define VSOCK_QUEUE_SIZE 64u

#define VSOCK_HEADER_BYTES sizeof(struct virtio_vsock_hdr)
#define VSOCK_RESETS_MAX   64u
#define VSOCK_BATCH_MAX	   32u		/* guest buffers filled by one readv */
#define VSOCK_SHARE_BYTES  (512u << 10) /* of one connection, then others have their turn */
#define VSOCK_SHARE_CHAINS VSOCK_QUEUE_SIZE

enum vsock_state {
	VSOCK_CONNECTING, /* we asked (or will as soon as the guest has buffers) */
	VSOCK_ACCEPTING,  /* the guest asked; the callback has not been called yet */
	VSOCK_OPEN,
	VSOCK_DEAD, /* nothing more to or from the guest but a reset; the buffer still drains */
};

enum { /* vsock_conn.owed: packets to send, in this order */
	VSOCK_OWE_REQUEST = 1 << 0,
	VSOCK_OWE_RESPONSE = 1 << 1,
	VSOCK_OWE_SHUTDOWN = 1 << 2,
	VSOCK_OWE_CREDIT_UPDATE = 1 << 3,
	VSOCK_OWE_CREDIT_REQUEST = 1 << 4,
	VSOCK_OWE_RST = 1 << 5,
};

enum { /* vsock_conn.calls: callbacks to make, in this order */
	VSOCK_CALL_ACCEPT = 1 << 0,
	VSOCK_CALL_CONNECTED = 1 << 1,
	VSOCK_CALL_BROKEN = 1 << 2,
	VSOCK_CALL_DRAINED = 1 << 3,
	VSOCK_CALL_CLOSED = 1 << 4,
};

struct vsock_listener {
	uint32_t host_port;
	vsock_accept_fn *accept;
	void *arg;
};

struct vsock_conn {
	struct vsock *vsock;
	uint32_t host_port, guest_port;
	enum vsock_state state;
	unsigned owed, calls;
	bool busy;			       /* a callback runs: must not be freed */
	bool drained, closed;		       /* the calls were noted */
	int reason;			       /* for closed */
	int broken;			       /* for broken: an errno value */
	uint32_t shut_guest;		       /* VIRTIO_VSOCK_SHUTDOWN_*: what the guest told us */
	uint32_t shut_host;		       /* ... and what we told it or owe it to tell */
	const struct vsock_listener *listener; /* of an accepted connection */
	const struct vsock_conn_events *events;
	void *arg;

	struct stream_fd rd, wr;

	/* To the guest: bytes sent, and its two words on what it can take (5.10.6.3). */
	uint32_t tx_bytes, guest_buf_alloc, guest_fwd_cnt;
	bool credit_asked;
	unsigned batch; /* guest buffers to offer to the next read */

	/* From the guest: bytes passed on or thrown away, and what the guest knows of that. */
	uint32_t fwd_cnt, fwd_cnt_told;
	uint8_t *buf; /* ring of VSOCK_BUFFER_BYTES, made at first need */
	uint32_t buf_start, buf_used;
};

struct vsock_reset {
	uint32_t host_port, guest_port;
	uint16_t type;
};

/* Guest buffers popped for one readv. */
struct vsock_batch {
	struct {
		uint16_t head;
		uint8_t *header; /* NULL: in pieces, through vsock.chain */
		size_t room_bytes;
	} slots[VSOCK_BATCH_MAX];
	unsigned n_slots, n_iov;
	size_t room_bytes;
	struct iovec iov[VIRTQ_SEGMENTS_MAX];
};

struct vsock {
	struct virtio_device dev;
	uint64_t guest_cid;
	struct work work;
	struct vsock_conn *conns[VSOCK_CONNS_MAX]; /* the first n_conns, in no order */
	unsigned n_conns;
	struct vsock_listener listeners[VSOCK_LISTENERS_MAX];
	unsigned n_listeners;
	struct vsock_reset resets[VSOCK_RESETS_MAX];
	unsigned n_resets;
	bool rx_stalled; /* no guest buffer; its kick comes when there is one */
	bool tx_blocked; /* resets is full: the guest's packets wait */
	bool work_wanted;
	struct virtq_chain chain;
	struct vsock_batch batch;
};

static inline struct vsock *vsock_of(struct virtio_device *dev)
{
	return (struct vsock *)(void *)((char *)dev - offsetof(struct vsock, dev));
}

/* vsock.c */
bool vsock_running(const struct vsock *v);
void vsock_settle(struct vsock *v);
void vsock_break(struct vsock *v, const char *why); /* broken ring: all connections end */

/* vsock_conn.c */
struct vsock_conn *vsock_conn_find(struct vsock *v, uint32_t host_port, uint32_t guest_port);
/* NULL without memory or a free place; the descriptors stay the caller's then. */
struct vsock_conn *vsock_conn_new(struct vsock *v, uint32_t host_port, uint32_t guest_port);
void vsock_conn_set_fds(struct vsock_conn *c, int rd_fd, int wr_fd);
void vsock_conn_free(struct vsock_conn *c); /* and out of vsock.conns */
void vsock_conn_open(struct vsock_conn *c);
void vsock_conn_kill(struct vsock_conn *c, int reason, bool reset);
void vsock_conn_shutdown(struct vsock_conn *c, uint32_t flags); /* the guest's word */
/* len_bytes of v->chain's payload, within the credit. */
void vsock_conn_receive(struct vsock_conn *c, uint32_t len_bytes);
uint32_t vsock_conn_credit(const struct vsock_conn *c);
bool vsock_conn_wants_input(const struct vsock_conn *c);
void vsock_conn_pump(struct vsock_conn *c);  /* from rd_fd to the guest, a share */
void vsock_conn_drain(struct vsock_conn *c); /* from the buffer to wr_fd */
void vsock_conn_sync(struct vsock_conn *c);
bool vsock_conn_over(const struct vsock_conn *c);

/* vsock_rx.c; -EAGAIN: no guest buffer (rx_stalled), -EPROTO: broken */
int vsock_rx_resets(struct vsock *v) must_check;
int vsock_rx_owed(struct vsock_conn *c) must_check;
/* *moved: what stream_fd_read said, and *full whether it filled all that was offered. */
int vsock_rx_data(struct vsock_conn *c, size_t max_bytes, ssize_t *moved, bool *full) must_check;

/* vsock_tx.c */
void vsock_tx_drain(struct vsock *v);

#endif
