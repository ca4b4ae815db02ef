/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's side of vhost-user: drives one virtio device of the contract (virtio/device.h) over
 * a connected socket. hvrun-fs serves virtio-fs this way always; hvrun-vmm serves its devices this
 * way when QEMU is the engine. The front end is not trusted: any message in any order, at any
 * time, ends in service, a refusal or the end of the connection.
 *
 * All of it runs on one loop's thread, which calls the device's operations with the device's lock
 * held. Threads of the device may push chains and interrupt (virtio_device_interrupt) under that
 * lock or one of their own, as long as ops->stop waits for them.
 */
#ifndef MICROVM_VHOST_BACKEND_H
#define MICROVM_VHOST_BACKEND_H

#include "base/err.h"
#include "base/loop.h"
#include "microvm/virtio/device.h"

struct vhost_backend;

/*
 * Serves dev on the connected stream socket sock_fd, which becomes the back end's (and is closed
 * when this fails). The front end is offered the configuration space when dev->config_bytes is not
 * 0; a device whose front end has the configuration itself (virtio-fs) leaves it at 0.
 *
 * Rings of any size up to VIRTQ_SIZE_MAX are served: dev->queue_size_max is set to that.
 *
 * closed, called from the loop at most once, says that the connection has ended: error is 0 at an
 * end of file between messages, else -errno. The device is stopped then; vhost_backend_free may be
 * called from within.
 */
int vhost_backend_create(struct vhost_backend **out, struct loop *loop, struct virtio_device *dev,
	int sock_fd, void (*closed)(void *arg, int error), void *arg, struct err *e) must_check;

/* Stops the device and lets go of socket, memory and descriptors. NULL is fine. */
void vhost_backend_free(struct vhost_backend *backend);

#endif
