/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Something that a device wants done by its loop, soon: what is left over after a bounded share of
 * work, or what another thread must not do itself. Posts that come before it runs count once.
 */
#ifndef MICROVM_DEVICES_WORK_H
#define MICROVM_DEVICES_WORK_H

#include "base/err.h"
#include "base/loop.h"
#include "microvm/virtio/device.h"

struct work {
	struct loop_source source; /* an eventfd, ours */
	struct virtio_device *dev;
	void (*run)(struct virtio_device *dev); /* the loop's thread; the lock is not held */
};

/* For a device whose dev->loop is set. work_fini is fine after a failed or no init of zeroes. */
int work_init(struct work *work, struct virtio_device *dev,
	void (*run)(struct virtio_device *)) must_check;
void work_fini(struct work *work);

void work_post(struct work *work); /* any thread */

#endif
