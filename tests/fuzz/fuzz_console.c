/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-console against a driver that does anything, and the log that keeps what it says, of which
 * only printable characters may be left.
 *
 * Covers: microvm/devices/console.c microvm/vmm/console_log.c
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "microvm/devices/console.h"
#include "microvm/vmm/console_log.h"
#include "tests/unit/support/fuzz_script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_output(void *arg, const void *bytes, size_t len)
{
	if (!len)
		abort();
	console_log_write(arg, bytes, len);
}

static void check_text(const char *text)
{
	if (strlen(text) >= CONSOLE_LOG_LINE_BYTES)
		abort();
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			abort();
}

static void check_log(struct console_log *log)
{
	cleanup_json json_t *tail = console_log_tail(log);
	char panic[CONSOLE_LOG_LINE_BYTES];
	const json_t *line;
	size_t i;

	if (!tail || json_array_size(tail) > CONSOLE_LOG_LINES)
		abort();
	json_array_foreach (tail, i, line) {
		check_text(json_string_value(line));
	}
	if (console_log_panic(log, panic, sizeof(panic)))
		check_text(panic);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_transport fake;
	struct fuzz_input in = {data, size};
	struct virtio_device *dev;
	struct console_log log;
	struct loop loop;

	if (loop_init(&loop) < 0 || console_log_init(&log) < 0)
		abort();
	const struct console_config config = {.loop = &loop, .output = on_output, .arg = &log};
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
	check_log(&log);
	console_log_fini(&log);
	loop_fini(&loop);
	return 0;
}
