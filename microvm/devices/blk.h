/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk (virtio 1.2, 5.2) over a raw file or a block device. Requests are served by threads
 * of its own, so that a slow disk never holds up the loop.
 */
#ifndef MICROVM_DEVICES_BLK_H
#define MICROVM_DEVICES_BLK_H

#include <stdbool.h>

#include "base/err.h"
#include "microvm/virtio/device.h"

#define BLK_SERIAL_BYTES 20 /* virtio 1.2, 5.2.6: padded with NUL, no NUL when it fills all */
#define BLK_THREADS_MAX	 8

struct blk_config {
	struct loop *loop;
	int fd; /* taken over by a create that succeeds */
	bool readonly;
	const char *serial; /* at most BLK_SERIAL_BYTES characters; NULL is none */
	unsigned threads;   /* requests in flight at once, 0 is the default */
};

/*
 * *out is the caller's until blk_free. A raw file's length is rounded down to whole sectors.
 */
int blk_create(
	const struct blk_config *config, struct virtio_device **out, struct err *e) must_check;
/*
 * Starts its threads, before the device runs; with `confine` each has an allow-list of system calls
 * (disk_filter). They inherit all else from the caller. 0 or -errno; blk_free is due.
 */
int blk_launch(struct virtio_device *dev, bool confine) must_check;
extern const struct filter disk_filter; /* microvm/confine/filter.h */
void blk_free(struct virtio_device *dev); /* NULL is fine; the transport has let go of it */

#endif
