/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The third transport: a driver in memory, for unit tests and fuzzers. It lays split virtqueues out
 * in a small guest memory, starts a device on them, makes chains available and takes used ones
 * back, all in the caller's thread. It does what a test says, wrong things included: the raw rings
 * are open (fake_queue) to be spoiled.
 */
#ifndef TESTS_UNIT_SUPPORT_FAKE_TRANSPORT_H
#define TESTS_UNIT_SUPPORT_FAKE_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"
#include "microvm/memory/guest_memory.h"
#include "microvm/virtio/device.h"

#define FAKE_MEMORY_BYTES (UINT64_C(8) << 20)
#define FAKE_QUEUE_BYTES  (UINT64_C(1) << 16) /* of memory for the rings of each queue */
#define FAKE_F_VERSION_1  (UINT64_C(1) << VIRTIO_F_VERSION_1)
#define FAKE_F_EVENT_IDX  (UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX)
#define FAKE_F_INDIRECT	  (UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC)

struct fake_desc { /* as in memory, little endian */
	uint64_t gpa;
	uint32_t len_bytes;
	uint16_t flags, next;
};

struct fake_avail {
	uint16_t flags, idx, ring[]; /* used_event behind */
};

struct fake_used {
	uint16_t flags, idx;
	struct {
		uint32_t id, len_bytes;
	} ring[]; /* avail_event behind */
};

struct fake_queue {
	struct virtq_layout layout;
	struct fake_desc *desc;
	struct fake_avail *avail;
	struct fake_used *used;
	uint16_t next_desc, last_used;
	uint16_t outstanding; /* descriptors that the device has */
	uint16_t chain_descs[VIRTQ_SIZE_MAX];
};

struct fake_segment {
	void *host; /* in guest memory, from fake_alloc */
	uint32_t len_bytes;
	bool writable;
};

struct fake_transport {
	struct guest_memory memory;
	struct virtio_device *dev;
	struct fake_queue queues[VIRTIO_QUEUES_MAX];
	uint64_t alloc_gpa;			  /* bump allocator behind the rings */
	unsigned n_interrupts[VIRTIO_QUEUES_MAX]; /* counted atomically, by any thread */
	unsigned n_config_changes, n_needs_reset;
};

/* Guest memory and rings of n_queues queues of the given size, no device: for the queue's tests. */
int fake_rings_init(struct fake_transport *fake, unsigned n_queues, uint16_t size) must_check;

/* The same for all queues of dev, which is started with features. */
int fake_transport_init(struct fake_transport *fake, struct virtio_device *dev, uint16_t size,
	uint64_t features) must_check;
int fake_transport_start(struct fake_transport *fake, uint64_t features) must_check;
void fake_transport_stop(struct fake_transport *fake); /* and zeroed rings, as after a reset */
void fake_transport_fini(struct fake_transport *fake); /* stops; the device stays the caller's */

/* Zeroed guest memory, never freed before fini; NULL when there is no more. */
void *fake_alloc(struct fake_transport *fake, size_t len_bytes);
uint64_t fake_gpa(const struct fake_transport *fake, const void *host);

/* Makes a chain available; its head, or -1 without free descriptors. No kick. */
int fake_add(struct fake_transport *fake, unsigned queue, const struct fake_segment *segments,
	unsigned n);
int fake_add_indirect(struct fake_transport *fake, unsigned queue,
	const struct fake_segment *segments, unsigned n);

/* A chain that begins at a descriptor which the test has written itself. */
void fake_publish(struct fake_transport *fake, unsigned queue, uint16_t head);

void fake_kick(struct fake_transport *fake, unsigned queue);

/* Takes a used chain back: its head, or -1 when there is none. */
int fake_used(struct fake_transport *fake, unsigned queue, uint32_t *len_bytes);

/* With EVENT_IDX: the index after which the driver wants an interrupt; where the device wants a
 * kick. */
void fake_set_used_event(struct fake_transport *fake, unsigned queue, uint16_t event);
uint16_t fake_avail_event(const struct fake_transport *fake, unsigned queue);

/* Runs the loop until nothing is ready for quiet_ms. */
void fake_loop_settle(struct loop *loop, int quiet_ms);

#endif
