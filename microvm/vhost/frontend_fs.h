/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-fs (virtio 1.2, 5.11) as the front end of vhost-user: the device that a transport in
 * hvrun-vmm shows to the guest, and whose queues hvrun-fs serves. Requests never pass through
 * here: when the driver starts the device, guest memory, rings and eventfds are handed over.
 *
 * In the emulation engine QEMU is the front end and gets a copy of the socket; then this device
 * only stands for it in the list of devices, and still notices the end of hvrun-fs.
 */
#ifndef MICROVM_VHOST_FRONTEND_FS_H
#define MICROVM_VHOST_FRONTEND_FS_H

#include "base/err.h"
#include "base/loop.h"
#include "microvm/virtio/device.h"

#define FRONTEND_FS_TAG_BYTES  36  /* virtio 1.2, 5.11.4: padded with NUL */
#define FRONTEND_FS_QUEUE_SIZE 512 /* a request of 1 MiB has up to 258 segments */
#define FRONTEND_FS_QUEUES_MAX 8   /* request queues; hvrun-fs has at least as many */

struct frontend_fs_config {
	struct loop *loop;
	int sock_fd; /* connected to hvrun-fs; taken over, on failure too */
	const char *tag;
	unsigned request_queues; /* 1 to FRONTEND_FS_QUEUES_MAX */
	/*
	 * From the loop's thread, at most once: hvrun-fs has closed the connection, or does not
	 * do what it must. The text is one line.
	 */
	void (*lost)(void *arg, const char *why);
	void *arg;
};

/* *out is the caller's until frontend_fs_free. */
int frontend_fs_create(const struct frontend_fs_config *config, struct virtio_device **out,
	struct err *e) must_check;
void frontend_fs_free(struct virtio_device *dev); /* NULL is fine; the transport has let go */

/* For the emulation engine: what QEMU's front end needs. The descriptor stays the device's. */
int frontend_fs_socket(const struct virtio_device *dev);
const char *frontend_fs_tag(const struct virtio_device *dev);

#endif
