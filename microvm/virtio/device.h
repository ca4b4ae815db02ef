/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device contract: a virtio device is written once against this and driven by virtio-mmio
 * (virtio/mmio.c), vhost-user (vhost/backend.c) or a fake transport (tests). A device knows its
 * queues and guest memory; it never knows KVM, MMIO or vhost-user.
 *
 * Threads: a transport calls every operation with the device's lock held, from whatever thread;
 * a device that has events of its own (a host descriptor) takes the lock in its callback. All of a
 * device's descriptors and kicks are served by the one loop it was made for. A device whose queues
 * have threads of their own (net) sets own_kicks and waits for the kick descriptors itself; such
 * a thread may interrupt for a used buffer without the lock, but nothing else of the transport.
 */
#ifndef MICROVM_VIRTIO_DEVICE_H
#define MICROVM_VIRTIO_DEVICE_H

#include <linux/virtio_ids.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "microvm/virtio/queue.h"

#define VIRTIO_QUEUES_MAX 17 /* a network device of 8 queue pairs and its control queue */

struct virtio_device;

struct virtio_device_ops {
	/* The device's configuration space (config_bytes of it), read at offset; in range. */
	void (*config_read)(struct virtio_device *dev, uint32_t offset, void *dst, uint32_t len);
	/* NULL when nothing in it is writable. */
	void (*config_write)(
		struct virtio_device *dev, uint32_t offset, const void *src, uint32_t len);
	/*
	 * DRIVER_OK with dev->features negotiated: the queues that the driver enabled run
	 * (dev->queues[i].running). A failure marks the device NEEDS_RESET.
	 */
	int (*start)(struct virtio_device *dev);
	void (*kick)(struct virtio_device *dev, unsigned queue);
	/* Reset or shutdown: give up every chain in flight; none may be touched afterwards. */
	void (*stop)(struct virtio_device *dev);
};

/* What a transport does for a device. */
struct virtio_transport_ops {
	void (*interrupt)(struct virtio_device *dev, unsigned queue); /* used buffers */
	void (*config_changed)(struct virtio_device *dev);
	void (*needs_reset)(struct virtio_device *dev); /* virtio 1.2, 2.1: DEVICE_NEEDS_RESET */
};

struct virtio_device {
	const struct virtio_device_ops *ops;
	const char *name; /* "vsock", for messages */
	uint32_t id;	  /* VIRTIO_ID_* (virtio 1.2, 5) */
	uint64_t offered; /* feature bits of the device and its queues; VERSION_1 included */
	uint32_t config_bytes;
	unsigned n_queues;
	uint16_t queue_size_max;
	/*
	 * True for a device that lives elsewhere (the vhost-user front end of virtio-fs): the
	 * transport does not serve its kicks but hands layouts, kick and call descriptors over.
	 */
	bool remote;
	bool own_kicks;	   /* the device waits for kick_fds where there are any; else ops->kick */
	struct loop *loop; /* NULL with own_kicks */

	/* The transport's part. */
	const struct virtio_transport_ops *transport;
	void *transport_data;
	const struct guest_memory *memory;
	uint64_t features; /* negotiated */
	bool started, broken;
	unsigned n_breaks; /* how often: a guest can't fill the log by breaking and resetting */
	pthread_mutex_t lock;
	struct virtq queues[VIRTIO_QUEUES_MAX];
	/*
	 * For remote devices and those with own_kicks, filled by the transport before start;
	 * eventfds, the transport's. layouts and queue_ready: for every device.
	 */
	int kick_fds[VIRTIO_QUEUES_MAX], call_fds[VIRTIO_QUEUES_MAX];
	struct virtq_layout layouts[VIRTIO_QUEUES_MAX];
	bool queue_ready[VIRTIO_QUEUES_MAX];
};

/* Sets the defaults (lock, descriptors -1); the device fills in the rest. */
int virtio_device_init(struct virtio_device *dev) must_check;
void virtio_device_fini(struct virtio_device *dev);

/* After pushes: interrupts the driver when it asked for that. Lock held. */
void virtio_device_interrupt(struct virtio_device *dev, unsigned queue);

/* A broken ring: marks the device, logs why once, and tells the driver. Lock held. */
void virtio_device_break(struct virtio_device *dev, const char *why);

/* A kick from the driver: reaches the device only when that queue runs unbroken. Lock held. */
void virtio_device_kick(struct virtio_device *dev, unsigned queue);

/*
 * Steps shared by all transports, lock held: start every ready queue (layouts[], bases or NULL for
 * 0) and the device; stop the device and its queues (queues[].last_avail stays readable), which
 * also ends the broken state. A start that fails has broken the device, and the transport must
 * have been told (needs_reset). -EINVAL for features that were not offered or lack VERSION_1.
 */
int virtio_device_start(struct virtio_device *dev, const struct guest_memory *memory,
	uint64_t features, const uint16_t *bases) must_check;
void virtio_device_stop(struct virtio_device *dev);

#endif
