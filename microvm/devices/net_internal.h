/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the network device. How the parts work together:
 *
 *  net.c         the device: features, configuration space, start, stop, link
 *  net_pair.c    a pair of queues: its thread, what it waits for, its turns
 *  net_rx.c      frames to the guest
 *  net_tx.c      frames from the guest
 *  net_ctrl.c    commands on the control queue
 *  net_tap.c, net_stream.c    the back ends
 *
 * Locks: the device's (dev.lock) before a pair's (lock), never the other way. A pair's lock is held
 * for one bounded turn of its thread; start, stop and the control queue take it to change what a
 * turn relies on. So nothing of a pair's queues is touched once stop has returned.
 *
 * What a pair waits for is edge-triggered: "readable" holds from the edge to the first EAGAIN.
 * While a frame can't be given to the guest the back end is not waited for at all, so a guest that
 * takes nothing costs nothing; its kick comes when it has posted buffers, because the queue was
 * found empty.
 */
#ifndef MICROVM_DEVICES_NET_INTERNAL_H
#define MICROVM_DEVICES_NET_INTERNAL_H

#include <linux/virtio_net.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/loop.h"
#include "microvm/devices/net.h"

/* Newer than the kernel headers that this is built with. */
#define NET_F_GUEST_USO4   54
#define NET_F_GUEST_USO6   55
#define NET_F_HOST_USO	   56
#define NET_HDR_GSO_UDP_L4 5

#define NET_FEATURE(bit) (UINT64_C(1) << (bit))
/* What the guest takes that is not a plain frame; CTRL_GUEST_OFFLOADS changes these. */
#define NET_GUEST_OFFLOADS                                                                         \
	(NET_FEATURE(VIRTIO_NET_F_GUEST_CSUM) | NET_FEATURE(VIRTIO_NET_F_GUEST_TSO4) |             \
		NET_FEATURE(VIRTIO_NET_F_GUEST_TSO6) | NET_FEATURE(VIRTIO_NET_F_GUEST_ECN) |       \
		NET_FEATURE(NET_F_GUEST_USO4) | NET_FEATURE(NET_F_GUEST_USO6))

#define NET_HEADER_BYTES sizeof(struct virtio_net_hdr_v1)
#define NET_ETH_BYTES	 14u
/* An IP packet of the largest size behind an Ethernet header with a VLAN tag. */
#define NET_FRAME_MAX	(65535u + NET_ETH_BYTES + 4u)
#define NET_QUEUE_SIZE	256u
#define NET_SPILL_BYTES (NET_HEADER_BYTES + NET_FRAME_MAX + 1u)
/* One system call takes IOV_MAX (1024) parts: one of them is ours. */
#define NET_SEGMENTS_MAX 1023u
#define NET_TURN_FRAMES	 64u /* of each direction, then the other has its turn */
/* What one read of the stream may bring. */
#define NET_STREAM_BYTES (2u * (NET_FRAME_MAX + 4u))

struct net;
struct net_pair;

/* Each is called with the pair's lock held. */
struct net_backend_ops {
	uint64_t (*features)(const struct net_config *config);
	int (*open)(struct net_pair *pair, struct err *e);
	/*
	 * One frame behind a header into the n parts at iov; the bytes of both. -EAGAIN: none now;
	 * anything else: there will never be any again.
	 */
	ssize_t (*receive)(struct net_pair *pair, struct iovec *iov, unsigned n);
	/*
	 * The frame in pair->tx, or what is left of it. 0 when it is gone; -EAGAIN: later;
	 * -ENETDOWN: dropped, and nothing can go out until the descriptor is writable; -EINVAL:
	 * dropped; anything else: dropped, like all to come.
	 */
	int (*transmit)(struct net_pair *pair);
	/* NULL where there is nothing to do. */
	int (*set_offloads)(struct net_pair *pair, uint64_t offloads);
	int (*set_active)(struct net_pair *pair, bool active);
	bool (*is_up)(const struct net_pair *pair);
};

extern const struct net_backend_ops net_tap_ops, net_stream_ops;

/*
 * Whether a frame may go out by a stream, by its first len_bytes: NET_STREAM_HEAD_BYTES or all of
 * it. What is for a loopback address, or for none, does not: no kernel sends it, and passt would
 * connect it to what listens on the loopback of hvrun's caller.
 */
bool net_stream_takes(const uint8_t *frame, size_t len_bytes);
extern const struct calls net_tap_calls, net_stream_calls; /* of these operations */

struct net_slot {
	uint16_t head;
	uint16_t n_iov;
	uint32_t len_bytes;
};

/*
 * Buffers of the guest that were popped and not yet used, in order, as one list of parts: a frame
 * is read right into them. How long it is shows only then, so behind them is room of our own
 * (spill), from which the rest of a frame that was longer is copied to buffers popped for it.
 */
struct net_rx {
	struct net_slot slots[NET_QUEUE_SIZE];
	unsigned n_slots, n_iov;
	size_t room_bytes;
	size_t want_bytes;    /* room to gather before a read; follows the frames' lengths */
	size_t pending_bytes; /* a frame (with header) that waits for buffers, 0: none */
	size_t spill_at;      /* ... which of its bytes are in spill: those from here on */
	struct iovec iov[NET_SEGMENTS_MAX + 1u];
	uint8_t spill[NET_SPILL_BYTES];
};

/* What a frame begins with on a stream. The guest can't change any more what was looked at. */
#define NET_STREAM_HEAD_BYTES 54u /* the headers of Ethernet and IPv6 */
struct net_stream_head {
	uint32_t length_be;
	uint8_t frame[NET_STREAM_HEAD_BYTES];
};

/* The frame being sent. */
struct net_tx {
	bool pending;
	bool orphan; /* the guest has been reset meanwhile: the rest of it is a copy */
	uint16_t head;
	struct virtio_net_hdr_v1 header; /* our copy, checked */
	struct net_stream_head begin;
	struct iovec *at; /* the n parts that are left */
	unsigned n;
	size_t total_bytes, left_bytes;
	struct iovec iov[NET_SEGMENTS_MAX + 1u];
};

/*
 * A token bucket, as a point in time: until then, what has gone is paid for. What goes may be
 * ahead of it by NET_RATE_BURST_NS and one frame.
 */
struct net_rate {
	uint64_t bytes_per_s; /* 0: no limit */
	uint64_t paid_ns;
};

#define NET_RATE_BURST_NS 50000000ull

struct net_counts {
	uint64_t rx_frames, rx_bytes, rx_dropped;
	uint64_t tx_frames, tx_bytes;
	uint64_t tx_refused; /* what no driver may send */
	uint64_t tx_dropped; /* link down, or refused by the back end */
};

struct net_pair {
	struct net *net;
	unsigned index;
	int fd; /* one of config.fds */
	pthread_mutex_t lock;
	bool running;	 /* between start and stop: the queues are ours */
	bool active;	 /* the driver uses this pair; the first always is */
	bool new_kicks;	 /* started: kick_fds are to be waited for */
	int kick_fds[3]; /* of receive, transmit and, for the first pair, control queue */
	bool up;	 /* frames can go out */
	bool gone;	 /* the back end, for good */
	bool link_news;	 /* up has changed */
	const char *why; /* the ring is broken */
	unsigned generation;
	struct net_counts counts;
	struct net_rx rx;
	struct net_tx tx;
	struct virtq_chain chain;

	/* The thread's own. */
	pthread_t thread;
	bool has_thread;
	bool readable, blocked, stalled;
	struct net_rate rx_rate, tx_rate;
	int pause_ms; /* until a rate lets the next frame go; -1: none is waited for */
	struct loop loop;
	struct loop_source backend, wake, kicks[3];
	uint32_t waits_for; /* of the back end */

	/* The stream's: what was read, and behind it room for the rest of an orphan. */
	size_t stream_begin, stream_end;
	uint8_t stream[];
};

struct net {
	struct virtio_device dev;
	struct net_config config;
	const struct net_backend_ops *ops;
	struct net_pair *pairs[NET_PAIRS_MAX];
	unsigned n_pairs;
	/* Guarded by dev.lock. */
	struct virtio_net_config space;
	unsigned generation; /* of starts */
	uint64_t features;   /* copy of dev.features for the threads, fixed while running */
	uint64_t offloads;   /* what the guest takes at this time */
	unsigned n_active;   /* pairs in use; 0: not known */
	uint64_t changes_ns; /* when the changes of the tap that were made are paid for */
	unsigned n_warnings; /* that the guest brought about */
	struct virtq_chain ctrl_chain;
	atomic_bool ctrl_kicked, quit;
};

static inline struct net *net_of(struct virtio_device *dev)
{
	return (struct net *)(void *)((char *)dev - offsetof(struct net, dev));
}

static inline struct virtq *net_rx_queue(const struct net_pair *pair)
{
	return &pair->net->dev.queues[2 * pair->index];
}

static inline struct virtq *net_tx_queue(const struct net_pair *pair)
{
	return &pair->net->dev.queues[2 * pair->index + 1];
}

/* net.c */
/* A device without threads: the caller runs its pairs (tests do). */
int net_new(const struct net_config *config, struct net **out, struct err *e) must_check;
unsigned net_ctrl_queue(const struct net *net); /* its number depends on MQ */
void net_link_update(struct net *net);		/* dev.lock held */
void net_break(struct net *net, unsigned generation, const char *why); /* no lock held */
void net_break_locked(struct net *net, const char *why);	       /* dev.lock held */

/* net_pair.c */
int net_pair_new(struct net *net, unsigned index, int fd, struct net_pair **out,
	struct err *e) must_check; /* fd stays the caller's when it fails */
void net_pair_free(struct net_pair *pair);
int net_pair_start_thread(struct net_pair *pair, bool confine) must_check;
void net_pair_wake(struct net_pair *pair);
/* dev.lock held. */
void net_pair_start(struct net_pair *pair);
void net_pair_stop(struct net_pair *pair);
int net_pair_set_active(struct net_pair *pair, bool active) must_check;
/* One turn, by the pair's thread; true when there is more to do at once. */
bool net_pair_run(struct net_pair *pair);
/* Whether the rate lets a frame go now; if not, the pair has a turn when it does. */
bool net_pair_may(struct net_pair *pair, const struct net_rate *rate);
void net_rate_pay(struct net_rate *rate, size_t len_bytes); /* a frame has gone */
uint64_t net_now_ns(void);
/* The back end is down or gone; the pair's lock is held. */
void net_pair_down(struct net_pair *pair, bool gone);

/* net_rx.c, net_tx.c; the pair's lock is held. True when the turn ended before the work. */
bool net_rx_turn(struct net_pair *pair);
bool net_tx_turn(struct net_pair *pair);
/* At stop: buffers go back where they came from, and a frame half sent becomes an orphan. */
void net_rx_give_up(struct net_pair *pair);
void net_tx_give_up(struct net_pair *pair);
size_t net_rx_want(const struct net *net);

/* net_ctrl.c; dev.lock held */
void net_ctrl_serve(struct net *net);
int net_set_pairs(struct net *net, unsigned n) must_check; /* the first n are active */
int net_set_offloads(struct net *net, uint64_t offloads) must_check;

#endif
