/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng (virtio 1.2, 5.4): random bytes from the host's getrandom(2). */
#ifndef MICROVM_DEVICES_RNG_H
#define MICROVM_DEVICES_RNG_H

#include "base/err.h"
#include "microvm/virtio/device.h"

struct rng_config {
	struct loop *loop;
};

/* *out is the caller's until rng_free. Call it while the loop does not run, or from it. */
int rng_create(
	const struct rng_config *config, struct virtio_device **out, struct err *e) must_check;
void rng_free(struct virtio_device *dev); /* NULL is fine; the transport has let go of it */

#endif
