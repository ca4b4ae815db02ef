/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console (virtio 1.2, 5.3) with one port and no input: the guest kernel's log. The
 * container's own streams never pass here; they are vsock connections.
 */
#ifndef MICROVM_DEVICES_CONSOLE_H
#define MICROVM_DEVICES_CONSOLE_H

#include <stddef.h>

#include "base/err.h"
#include "microvm/virtio/device.h"

struct console_config {
	struct loop *loop;
	/*
	 * Bytes from the guest, at most 64 KiB at a time, from the loop's thread with the device's
	 * lock held. It must not block and must bound what it keeps.
	 */
	void (*output)(void *arg, const void *data, size_t len_bytes);
	void *arg;
};

/* *out is the caller's until console_free. Call it while the loop does not run, or from it. */
int console_create(
	const struct console_config *config, struct virtio_device **out, struct err *e) must_check;
void console_free(struct virtio_device *dev); /* NULL is fine; the transport has let go of it */

#endif
