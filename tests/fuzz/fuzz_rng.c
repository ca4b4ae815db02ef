/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-rng against a driver that does anything.
 *
 * Covers: microvm/devices/rng.c
 */
#include <stdlib.h>

#include "microvm/devices/rng.h"
#include "tests/unit/support/fuzz_script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_transport fake;
	struct fuzz_input in = {data, size};
	struct virtio_device *dev;
	struct loop loop;

	if (loop_init(&loop) < 0)
		abort();
	const struct rng_config config = {.loop = &loop};
	uint64_t features =
		FAKE_F_VERSION_1 | (fuzz_u8(&in) & 1 ? FAKE_F_EVENT_IDX : 0) | FAKE_F_INDIRECT;
	if (rng_create(&config, &dev, NULL) < 0 || fake_transport_init(&fake, dev, 8, features) < 0)
		abort();
	struct fuzz_script script = {
		.fake = &fake, .loop = &loop, .features = features, .n_queues = dev->n_queues};
	fuzz_script_run(&script, &in);
	fake_transport_fini(&fake);
	rng_free(dev);
	loop_fini(&loop);
	return 0;
}
