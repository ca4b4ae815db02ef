/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the vhost-user back end: its state, and the rings (vring.c) as the messages (backend.c)
 * set them up, start and stop them.
 */
#ifndef MICROVM_VHOST_VRING_H
#define MICROVM_VHOST_VRING_H

#include <pthread.h>

#include "base/loop.h"
#include "microvm/vhost/message.h"
#include "microvm/virtio/device.h"

struct vhost_vring {
	struct vhost_backend *backend;
	struct loop_source kick; /* kick.fd is -1 while there is none */
	int call_fd, err_fd;
	bool enabled, addr_known;
	uint16_t base;
	uint32_t size;
	struct vhost_vring_addr addr;
};

struct vhost_backend {
	struct loop *loop;
	struct virtio_device *dev;
	struct loop_source sock;
	void (*closed)(void *arg, int error);
	void *arg;
	struct vhost_reader reader;
	uint64_t features;
	uint64_t protocol_features;
	struct guest_memory memory;
	uint64_t user_addrs[VHOST_MEMORY_REGIONS_MAX]; /* of memory.regions, in the front end */
	pthread_mutex_t call_lock; /* call_fd and err_fd: interrupts come from any thread */
	struct vhost_vring vrings[VIRTIO_QUEUES_MAX];
};

extern const struct virtio_transport_ops vhost_backend_transport_ops;

void vhost_vring_init(struct vhost_backend *backend, struct vhost_vring *vring);

/* Adds one to an eventfd; -1 is fine. */
void vhost_signal(int fd);

/*
 * The rest is called with the device's lock held.
 *
 * update: after a message that may have made ring `index` ready: starts the device, or the ring in
 * the running device, when its time has come. A ring that the guest laid out badly breaks the
 * device and not the link: only what the front end did wrong is an error.
 */
int vhost_vring_update(struct vhost_backend *backend, unsigned index) must_check;

/* Stops the device, and remembers where each ring was. */
void vhost_vrings_stop(struct vhost_backend *backend);

/* Watches kick_fd, which becomes the ring's when this succeeds; drop ends that. */
int vhost_vring_set_kick(struct vhost_vring *vring, int kick_fd) must_check;
void vhost_vring_drop_kick(struct vhost_vring *vring);

#endif
