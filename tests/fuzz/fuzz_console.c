/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console against a driver that does anything.
 *
 * Covers: microvm/devices/console.c
 */
#include <stdlib.h>

#include "microvm/devices/console.h"
#include "tests/unit/support/fuzz_script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_output(void *arg, const void *bytes, size_t len)
{
	const volatile uint8_t *p = bytes;

	/* Touches what it was given: the sanitizers see whether it is there. */
	if (!len)
		abort();
	*(uint8_t *)arg = (uint8_t)(p[0] ^ p[len - 1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_transport fake;
	struct fuzz_input in = {data, size};
	struct virtio_device *dev;
	struct loop loop;
	uint8_t sink;

	if (loop_init(&loop) < 0)
		abort();
	const struct console_config config = {.loop = &loop, .output = on_output, .arg = &sink};
	uint64_t features =
		FAKE_F_VERSION_1 | (fuzz_u8(&in) & 1 ? FAKE_F_EVENT_IDX : 0) | FAKE_F_INDIRECT;
	if (console_create(&config, &dev, NULL) < 0 ||
		fake_transport_init(&fake, dev, 16, features) < 0)
		abort();
	struct fuzz_script script = {
		.fake = &fake, .loop = &loop, .features = features, .n_queues = dev->n_queues};
	fuzz_script_run(&script, &in);
	fake_transport_fini(&fake);
	console_free(dev);
	loop_fini(&loop);
	return 0;
}
