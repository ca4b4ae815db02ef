/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over MMIO, version 2 (virtio 1.2, 4.2): one device behind one page of registers.
 *
 * No register has a side effect when it is read, so the page is a real page: each write brings it
 * up to date, and reading is copying. An engine may map it read-only into the guest, whose reads
 * then never leave it; only writes come here.
 *
 * Interrupts are events on one eventfd per device, which KVM turns into edges (irqfd). virtio-mmio
 * looks level-triggered, but an edge for each event is enough, and needs no resampling.
 * The used-buffer bit of InterruptStatus reads as set for as long as the driver runs: for a remote
 * device (vhost-user) nobody here could know when it is, as its back end writes the eventfd itself;
 * and acknowledging a bit that never changes tells nothing, so an engine may have the kernel
 * swallow those writes (InterruptACK = 1). A driver that is interrupted without need looks at its
 * rings and finds them empty. The configuration bit is set and acknowledged as usual.
 */
#ifndef MICROVM_VIRTIO_MMIO_H
#define MICROVM_VIRTIO_MMIO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "microvm/memory/guest_memory.h"
#include "microvm/virtio/device.h"

#define VIRTIO_MMIO_BYTES	  4096u
#define VIRTIO_MMIO_CONFIG_OFFSET 0x100u

struct virtio_mmio;

struct virtio_mmio_queue {
	struct virtio_mmio *mmio;
	struct loop_source kicked; /* the kick eventfd, in the device's loop if that serves it */
	int kick_fd;
};

struct virtio_mmio {
	struct virtio_device *dev;
	const struct guest_memory *memory;
	uint8_t *page; /* what the guest reads; little-endian, VIRTIO_MMIO_BYTES, the owner's */
	int irq_fd;

	/* Written by the driver; guarded by dev->lock. */
	uint8_t status;
	uint32_t device_features_sel, driver_features_sel, queue_sel;
	uint64_t driver_features;
	struct virtio_mmio_queue queues[VIRTIO_QUEUES_MAX];
};

/*
 * Attaches the device: becomes its transport, makes its eventfds, and adds its kicks to its loop,
 * which must not be running. page has VIRTIO_MMIO_BYTES, is page-aligned and outlives the mmio.
 */
int virtio_mmio_init(struct virtio_mmio *mmio, struct virtio_device *dev,
	const struct guest_memory *memory, void *page) must_check;

/* Stops the device when it runs and detaches it. Fine on a zeroed or failed mmio. */
void virtio_mmio_fini(struct virtio_mmio *mmio);

/* Gives up all that is in flight, as a reset by the driver does. */
void virtio_mmio_reset(struct virtio_mmio *mmio);

/*
 * An access of the guest, offset + len within the page (others are ignored; reads give ones). Any
 * thread; takes the device's lock.
 */
void virtio_mmio_read(struct virtio_mmio *mmio, uint32_t offset, void *dst, uint32_t len);
void virtio_mmio_write(struct virtio_mmio *mmio, uint32_t offset, const void *src, uint32_t len);

#endif
