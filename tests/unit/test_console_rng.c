/* SPDX-License-Identifier: Apache-2.0 */
/* The two small devices: console output and random bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "microvm/devices/console.h"
#include "microvm/devices/rng.h"
#include "tests/unit/support/fake_transport.h"

#define FEATURES (FAKE_F_VERSION_1 | FAKE_F_EVENT_IDX | FAKE_F_INDIRECT)

struct fixture {
	struct loop loop;
	struct virtio_device *dev;
	struct fake_transport fake;
	char text[1 << 18];
	size_t text_len;
};

static void on_output(void *arg, const void *data, size_t len)
{
	struct fixture *f = arg;

	assert_true(len <= sizeof(f->text) - f->text_len);
	memcpy(f->text + f->text_len, data, len);
	f->text_len += len;
}

static int setup_console(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || loop_init(&f->loop) < 0)
		return -1;
	const struct console_config config = {.loop = &f->loop, .output = on_output, .arg = f};
	*state = f;
	return console_create(&config, &f->dev, NULL) < 0 ||
		fake_transport_init(&f->fake, f->dev, 16, FEATURES) < 0;
}

static int setup_rng(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || loop_init(&f->loop) < 0)
		return -1;
	const struct rng_config config = {.loop = &f->loop};
	*state = f;
	return rng_create(&config, &f->dev, NULL) < 0 ||
		fake_transport_init(&f->fake, f->dev, 8, FEATURES) < 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_transport_fini(&f->fake);
	if (f->dev->id == VIRTIO_ID_CONSOLE)
		console_free(f->dev);
	else
		rng_free(f->dev);
	loop_fini(&f->loop);
	free(f);
	return 0;
}

static void test_console_output(void **state)
{
	struct fixture *f = *state;
	char *one = fake_alloc(&f->fake, 10), *two = fake_alloc(&f->fake, 10);
	const struct fake_segment s[] = {{one, 6, false}, {two, 5, false}};
	uint64_t config = UINT64_MAX;

	f->dev->ops->config_read(f->dev, 0, &config, 8);
	assert_int_equal(config, 0);
	memcpy(one, "Linux ", 6);
	memcpy(two, "boots", 5);
	/* Before the first kick: the start serves what waits. */
	assert_true(fake_add(&f->fake, 1, s, 2) >= 0);
	fake_loop_settle(&f->loop, 0);
	assert_int_equal(f->text_len, 11);
	assert_true(fake_add(&f->fake, 1, s, 1) >= 0);
	fake_kick(&f->fake, 1);
	assert_string_equal(f->text, "Linux bootsLinux ");
	assert_int_equal(f->fake.n_interrupts[1], 1);
	assert_true(fake_used(&f->fake, 1, NULL) >= 0);
	assert_true(fake_used(&f->fake, 1, NULL) >= 0);
}

static void test_console_long_chain_is_cut(void **state)
{
	struct fixture *f = *state;
	const struct fake_segment s = {fake_alloc(&f->fake, 1 << 20), 1 << 20, false};

	assert_true(fake_add(&f->fake, 1, &s, 1) >= 0);
	fake_kick(&f->fake, 1);
	assert_int_equal(f->text_len, 64 << 10);
	assert_true(fake_used(&f->fake, 1, NULL) >= 0);
}

static void test_console_keeps_input_buffers(void **state)
{
	struct fixture *f = *state;
	const struct fake_segment s = {fake_alloc(&f->fake, 64), 64, true};

	assert_true(fake_add(&f->fake, 0, &s, 1) >= 0);
	fake_kick(&f->fake, 0);
	assert_int_equal(fake_used(&f->fake, 0, NULL), -1);
}

static void test_console_broken_and_reset(void **state)
{
	struct fixture *f = *state;
	const struct fake_segment s = {fake_alloc(&f->fake, 2), 2, false};

	fake_publish(&f->fake, 1, 64);
	fake_kick(&f->fake, 1);
	assert_int_equal(f->fake.n_needs_reset, 1);
	fake_kick(&f->fake, 1);
	assert_int_equal(f->fake.n_needs_reset, 1);
	fake_transport_stop(&f->fake);
	assert_int_equal(fake_transport_start(&f->fake, FEATURES), 0);
	assert_true(fake_add(&f->fake, 1, &s, 1) >= 0);
	fake_kick(&f->fake, 1);
	assert_int_equal(f->text_len, 2);
}

static void test_features_refused(void **state)
{
	struct fixture *f = *state;

	fake_transport_stop(&f->fake);
	assert_int_equal(fake_transport_start(&f->fake, FAKE_F_VERSION_1 | 1), -22);
	fake_transport_stop(&f->fake);
	assert_int_equal(fake_transport_start(&f->fake, 0), -22); /* not VERSION_1 */
	fake_transport_stop(&f->fake);
	f->fake.queues[1].layout.avail_gpa = FAKE_MEMORY_BYTES;
	assert_int_equal(fake_transport_start(&f->fake, FEATURES), -22);
	assert_int_equal(f->fake.n_needs_reset, 3);
}

static void test_rng(void **state)
{
	struct fixture *f = *state;
	static const uint8_t none[64];
	uint8_t *a = fake_alloc(&f->fake, 64), *b = fake_alloc(&f->fake, 1 << 16);
	const struct fake_segment s[] = {{a, 64, true}, {b, 1 << 16, true}};
	uint32_t len = 0;

	assert_true(fake_add(&f->fake, 0, s, 1) >= 0);
	fake_kick(&f->fake, 0);
	assert_true(fake_used(&f->fake, 0, &len) >= 0);
	assert_int_equal(len, 64);
	assert_memory_not_equal(a, none, 64);
	/* More than it gives at a time. */
	assert_true(fake_add(&f->fake, 0, s + 1, 1) >= 0);
	fake_kick(&f->fake, 0);
	assert_true(fake_used(&f->fake, 0, &len) >= 0);
	assert_int_equal(len, 4096);
	assert_memory_equal(b + 4096, none, 64);
	assert_memory_not_equal(b, a, 64);
}

static void test_rng_nothing_writable(void **state)
{
	struct fixture *f = *state;
	const struct fake_segment s = {fake_alloc(&f->fake, 64), 64, false};
	uint32_t len = 1;

	assert_true(fake_add(&f->fake, 0, &s, 1) >= 0);
	fake_kick(&f->fake, 0);
	assert_true(fake_used(&f->fake, 0, &len) >= 0);
	assert_int_equal(len, 0);
}

#define console(fn) cmocka_unit_test_setup_teardown(fn, setup_console, teardown)
#define rng(fn)	    cmocka_unit_test_setup_teardown(fn, setup_rng, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		console(test_console_output),
		console(test_console_long_chain_is_cut),
		console(test_console_keeps_input_buffers),
		console(test_console_broken_and_reset),
		console(test_features_refused),
		rng(test_rng),
		rng(test_rng_nothing_writable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
