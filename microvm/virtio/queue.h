/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue seen from the device (virtio 1.2, 2.7). This is the only code that touches
 * rings. Descriptors are read once into host memory; head, length, number of segments and indirect
 * tables are bounded; a chain that breaks a rule breaks the queue, and the device then asks for a
 * reset. Payload stays in guest memory and may change under the reader: copy a header once
 * (virtq_chain_read) and decide on the copy.
 */
#ifndef MICROVM_VIRTIO_QUEUE_H
#define MICROVM_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "microvm/memory/guest_memory.h"

#define VIRTQ_SIZE_MAX	   1024
#define VIRTQ_SEGMENTS_MAX 1024 /* per chain, indirect ones counted */

#define VIRTIO_RING_F_INDIRECT_DESC 28
#define VIRTIO_RING_F_EVENT_IDX	    29
#define VIRTIO_F_VERSION_1	    32

/* Where a driver put a queue; what a transport learns and hands on. */
struct virtq_layout {
	uint16_t size; /* a power of two up to VIRTQ_SIZE_MAX */
	uint64_t desc_gpa, avail_gpa, used_gpa;
};

struct virtq {
	const struct guest_memory *memory;
	struct virtq_layout layout;
	bool running, event_idx, indirect, broken;
	bool kicks_are_off;
	uint16_t last_avail; /* index of the next chain to pop; kept over virtq_stop */
	uint16_t next_used;
	uint16_t in_flight_base; /* last_avail - next_used while no chain is out */
	uint16_t signalled_used; /* next_used when the driver was last interrupted */
	bool signalled_valid;
	uint8_t *desc, *avail, *used; /* host addresses while running */
};

struct virtq_chain {
	uint16_t head;
	unsigned n_readable, n_writable; /* segments: the readable ones come first in iov */
	size_t readable_bytes, writable_bytes;
	struct iovec iov[VIRTQ_SEGMENTS_MAX];
};

/*
 * Checks the layout against guest memory and starts the queue at index base (0 after a reset;
 * what virtq_stop returned when resumed). -EINVAL for a ring that is misaligned or outside.
 */
int virtq_start(struct virtq *q, const struct guest_memory *memory,
	const struct virtq_layout *layout, uint64_t features, uint16_t base) must_check;
uint16_t virtq_stop(struct virtq *q); /* returns last_avail */

/*
 * 1 with a chain, 0 when there is none, -EPROTO when the driver broke the ring (q->broken). After
 * a 0 the driver will kick for the next chain, unless virtq_kicks_off was called. Pops and pushes
 * of one queue are serialised by the caller (the device's lock). Zero-length segments are left out.
 * At most layout.size chains are out at a time: that bounds what a device keeps for them.
 */
int virtq_pop(struct virtq *q, struct virtq_chain *chain) must_check;

/*
 * Gives the last popped chain back, as if it had never been taken. Only when it was the last; once
 * more for the one before it, and so on.
 */
void virtq_unpop(struct virtq *q);

/* Returns a chain, any thread order; written_bytes into its writable part. Serialise per queue. */
void virtq_push(struct virtq *q, uint16_t head, uint32_t written_bytes);

/*
 * The two halves of a push, for chains that the driver must see at once or not at all: fill each,
 * then publish them together. Nothing may come between that looks at the used ring.
 */
void virtq_fill(struct virtq *q, uint16_t head, uint32_t written_bytes);
void virtq_publish(struct virtq *q);

/* Whether the driver wants an interrupt for what was pushed since the last call said so. */
bool virtq_should_interrupt(struct virtq *q);

/*
 * Kicks from the driver off and on, to spare exits while a queue is drained anyway (optional). on
 * returns true when chains came meanwhile: pop again.
 */
void virtq_kicks_off(struct virtq *q);
bool virtq_kicks_on(struct virtq *q);

/* Copies with bounds; the bytes copied, less than len at the chain's end. */
size_t virtq_chain_read(const struct virtq_chain *chain, size_t offset, void *dst, size_t len);
size_t virtq_chain_write(
	const struct virtq_chain *chain, size_t offset, const void *src, size_t len);

/*
 * Narrows n segments in place to the len bytes that begin skip bytes in (less at the end): *iov
 * moves to the first that is left, the number left is returned. A chain popped is the caller's own
 * copy and may be cut.
 */
unsigned virtq_iov_cut(struct iovec **iov, unsigned n, size_t skip, size_t len);

#endif
