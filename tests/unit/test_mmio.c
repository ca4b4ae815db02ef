/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-mmio: a driver's registers in order and out of order, with no KVM anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>

#include "microvm/virtio/mmio.h"

#define V1	   (1ull << VIRTIO_F_VERSION_1)
#define FEATURE_3  (1ull << 3)
#define QUEUE_SIZE 64
#define ACK	   VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER	   VIRTIO_CONFIG_S_DRIVER
#define FEATURES   VIRTIO_CONFIG_S_FEATURES_OK
#define OK	   VIRTIO_CONFIG_S_DRIVER_OK

struct fixture {
	struct virtio_device dev;
	struct virtio_mmio mmio;
	struct guest_memory memory;
	struct loop loop;
	uint8_t page[VIRTIO_MMIO_BYTES] __attribute__((aligned(4096)));
	uint8_t config[8];
	unsigned n_starts, n_stops, n_kicks[4];
	int start_result;
};

static struct fixture fixture;

static void dev_config_read(struct virtio_device *dev, uint32_t offset, void *dst, uint32_t len)
{
	(void)dev;
	assert_in_range(offset + len, 0, sizeof(fixture.config));
	memcpy(dst, fixture.config + offset, len);
}

static void dev_config_write(
	struct virtio_device *dev, uint32_t offset, const void *src, uint32_t len)
{
	(void)dev;
	assert_in_range(offset + len, 0, sizeof(fixture.config));
	memcpy(fixture.config + offset, src, len);
}

static int dev_start(struct virtio_device *dev)
{
	(void)dev;
	fixture.n_starts++;
	return fixture.start_result;
}

static void dev_kick(struct virtio_device *dev, unsigned queue)
{
	(void)dev;
	fixture.n_kicks[queue]++;
}

static void dev_stop(struct virtio_device *dev)
{
	(void)dev;
	fixture.n_stops++;
}

static const struct virtio_device_ops dev_ops = {
	.config_read = dev_config_read,
	.config_write = dev_config_write,
	.start = dev_start,
	.kick = dev_kick,
	.stop = dev_stop,
};

static void fixture_make(bool remote, bool own_kicks)
{
	struct err e;

	memset(&fixture, 0, sizeof(fixture));
	assert_int_equal(loop_init(&fixture.loop), 0);
	assert_int_equal(guest_memory_create(&fixture.memory, 32u << 20, &e), 0);
	assert_int_equal(virtio_device_init(&fixture.dev), 0);
	fixture.dev.ops = &dev_ops;
	fixture.dev.name = "test";
	fixture.dev.id = VIRTIO_ID_FS;
	fixture.dev.offered = V1 | FEATURE_3;
	fixture.dev.config_bytes = sizeof(fixture.config);
	fixture.dev.n_queues = 2;
	fixture.dev.queue_size_max = QUEUE_SIZE;
	fixture.dev.remote = remote;
	fixture.dev.own_kicks = own_kicks;
	fixture.dev.loop = own_kicks ? NULL : &fixture.loop;
	memcpy(fixture.config, "01234567", 8);
	assert_int_equal(
		virtio_mmio_init(&fixture.mmio, &fixture.dev, &fixture.memory, fixture.page), 0);
}

static int setup(void **state)
{
	(void)state;
	fixture_make(false, false);
	return 0;
}

static int setup_remote(void **state)
{
	(void)state;
	fixture_make(true, false);
	return 0;
}

static int setup_own_kicks(void **state)
{
	(void)state;
	fixture_make(false, true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	virtio_mmio_fini(&fixture.mmio);
	virtio_mmio_fini(&fixture.mmio); /* twice is fine */
	virtio_device_fini(&fixture.dev);
	guest_memory_fini(&fixture.memory);
	loop_fini(&fixture.loop);
	return 0;
}

static uint32_t rd(uint32_t offset)
{
	uint32_t value;

	virtio_mmio_read(&fixture.mmio, offset, &value, 4);
	return value;
}

static void wr(uint32_t offset, uint32_t value)
{
	virtio_mmio_write(&fixture.mmio, offset, &value, 4);
}

static bool interrupted(void)
{
	uint64_t count;

	return read(fixture.mmio.irq_fd, &count, sizeof(count)) == sizeof(count);
}

static void set_features(uint64_t features)
{
	wr(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	wr(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
}

static void set_queue(uint32_t queue, uint32_t size, uint64_t gpa)
{
	wr(VIRTIO_MMIO_QUEUE_SEL, queue);
	wr(VIRTIO_MMIO_QUEUE_NUM, size);
	wr(VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)gpa);
	wr(VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(gpa >> 32));
	wr(VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)gpa + 0x1000);
	wr(VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(gpa >> 32));
	wr(VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)gpa + 0x2000);
	wr(VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(gpa >> 32));
	wr(VIRTIO_MMIO_QUEUE_READY, 1);
}

static void drive_to(uint8_t status)
{
	wr(VIRTIO_MMIO_STATUS, ACK);
	wr(VIRTIO_MMIO_STATUS, ACK | DRIVER);
	set_features(V1 | FEATURE_3);
	wr(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES);
	set_queue(0, QUEUE_SIZE, 0x100000);
	if (status & OK)
		wr(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES | OK);
}

static void identity(void **state)
{
	(void)state;
	assert_int_equal(rd(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(rd(VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(rd(VIRTIO_MMIO_DEVICE_ID), VIRTIO_ID_FS);
	wr(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0);
	assert_int_equal(rd(VIRTIO_MMIO_DEVICE_FEATURES), FEATURE_3);
	wr(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
	assert_int_equal(rd(VIRTIO_MMIO_DEVICE_FEATURES), V1 >> 32);
	wr(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 0xffffffff);
	assert_int_equal(rd(VIRTIO_MMIO_DEVICE_FEATURES), 0);
	assert_int_equal(rd(VIRTIO_MMIO_QUEUE_NUM_MAX), QUEUE_SIZE);
	wr(VIRTIO_MMIO_QUEUE_SEL, 2);
	assert_int_equal(rd(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
	assert_int_equal(rd(VIRTIO_MMIO_SHM_LEN_LOW), 0xffffffff);
	/* The page that a guest may have mapped says the same. */
	assert_memory_equal(fixture.page + VIRTIO_MMIO_CONFIG_OFFSET, "01234567", 8);
}

static void normal_start(void **state)
{
	(void)state;
	drive_to(OK);
	assert_int_equal(rd(VIRTIO_MMIO_STATUS), ACK | DRIVER | FEATURES | OK);
	assert_int_equal(fixture.n_starts, 1);
	assert_int_equal(fixture.dev.features, V1 | FEATURE_3);
	assert_true(fixture.dev.queues[0].running);
	assert_false(fixture.dev.queues[1].running);
	wr(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES | OK); /* again: no second start */
	assert_int_equal(fixture.n_starts, 1);
	wr(VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(fixture.n_stops, 1);
	assert_int_equal(rd(VIRTIO_MMIO_STATUS), 0);
	assert_int_equal(rd(VIRTIO_MMIO_QUEUE_READY), 0);
	drive_to(OK); /* and once more from the start */
	assert_int_equal(fixture.n_starts, 2);
}

static void status_out_of_order(void **state)
{
	(void)state;
	wr(VIRTIO_MMIO_STATUS, OK);
	assert_int_equal(rd(VIRTIO_MMIO_STATUS), 0);
	set_features(V1);
	wr(VIRTIO_MMIO_STATUS, ACK | FEATURES); /* no DRIVER yet */
	assert_int_equal(rd(VIRTIO_MMIO_STATUS), ACK);
	wr(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES | OK);
	assert_int_equal(rd(VIRTIO_MMIO_STATUS), ACK | DRIVER | FEATURES | OK);
	wr(VIRTIO_MMIO_STATUS, ACK); /* bits can't be taken back */
	assert_int_equal(rd(VIRTIO_MMIO_STATUS), ACK | DRIVER | FEATURES | OK);
	wr(VIRTIO_MMIO_STATUS, 0);
	wr(VIRTIO_MMIO_STATUS, 0xffffff00 | VIRTIO_CONFIG_S_NEEDS_RESET | ACK);
	assert_int_equal(rd(VIRTIO_MMIO_STATUS), ACK);
	wr(VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FAILED | DRIVER);
	set_features(V1);
	wr(VIRTIO_MMIO_STATUS, FEATURES);
	wr(VIRTIO_MMIO_STATUS, OK);
	assert_false(rd(VIRTIO_MMIO_STATUS) & OK);
}

static void features_refused(void **state)
{
	(void)state;
	wr(VIRTIO_MMIO_STATUS, ACK | DRIVER);
	set_features(V1 | 1); /* bit 0 was not offered */
	wr(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES);
	assert_int_equal(rd(VIRTIO_MMIO_STATUS), ACK | DRIVER);
	set_features(FEATURE_3); /* a legacy driver */
	wr(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES);
	assert_int_equal(rd(VIRTIO_MMIO_STATUS), ACK | DRIVER);
	set_features(V1);
	wr(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES);
	set_features(V1 | FEATURE_3); /* too late */
	wr(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES | OK);
	assert_int_equal(fixture.dev.features, V1);
}

static void queue_faults(void **state)
{
	(void)state;
	drive_to(FEATURES);
	set_queue(1, QUEUE_SIZE * 2, 0x200000); /* too large: not taken */
	assert_int_equal(rd(VIRTIO_MMIO_QUEUE_READY), 0);
	set_queue(0x80000001, QUEUE_SIZE, 0x200000);
	set_queue(1, QUEUE_SIZE, 0x200000);
	assert_int_equal(rd(VIRTIO_MMIO_QUEUE_READY), 1);
	wr(VIRTIO_MMIO_QUEUE_DESC_LOW, 0x300000); /* ready: the layout stands */
	assert_int_equal(fixture.dev.layouts[1].desc_gpa, 0x200000);
	wr(VIRTIO_MMIO_QUEUE_READY, 0);
	wr(VIRTIO_MMIO_QUEUE_DESC_LOW, 0x300000);
	assert_int_equal(fixture.dev.layouts[1].desc_gpa, 0x300000);
	wr(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES | OK);
	wr(VIRTIO_MMIO_QUEUE_READY, 1); /* running: too late */
	assert_false(fixture.dev.queue_ready[1]);
}

static void ring_outside_memory(void **state)
{
	(void)state;
	drive_to(FEATURES);
	set_queue(1, QUEUE_SIZE, 0xfffffffffff00000);
	wr(VIRTIO_MMIO_STATUS, ACK | DRIVER | FEATURES | OK);
	assert_int_equal(fixture.n_starts, 0);
	assert_true(rd(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_true(interrupted());
	assert_true(rd(VIRTIO_MMIO_INTERRUPT_STATUS) & VIRTIO_MMIO_INT_CONFIG);
	wr(VIRTIO_MMIO_STATUS, 0); /* the way out */
	assert_int_equal(rd(VIRTIO_MMIO_STATUS), 0);
	drive_to(OK);
	assert_int_equal(fixture.n_starts, 1);
}

static void start_fails(void **state)
{
	(void)state;
	fixture.start_result = -5;
	drive_to(OK);
	assert_true(rd(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_false(fixture.dev.started);
	wr(VIRTIO_MMIO_STATUS, 0);
	fixture.start_result = 0;
	drive_to(OK);
	assert_int_equal(rd(VIRTIO_MMIO_STATUS), ACK | DRIVER | FEATURES | OK);
}

static void kicks(void **state)
{
	(void)state;
	wr(VIRTIO_MMIO_QUEUE_NOTIFY, 0); /* before there is a driver */
	assert_int_equal(loop_run_once(&fixture.loop, 0), 0);
	assert_int_equal(fixture.n_kicks[0], 0);
	drive_to(OK);
	for (unsigned i = 1; i <= 3; i++) {
		wr(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
		assert_int_equal(loop_run_once(&fixture.loop, 0), 0);
		assert_int_equal(fixture.n_kicks[0], i);
	}
	assert_int_equal(loop_run_once(&fixture.loop, 0), 0);
	assert_int_equal(fixture.n_kicks[0], 3); /* one call for each kick, none more */
	wr(VIRTIO_MMIO_QUEUE_NOTIFY, 1);	 /* a queue that is not running */
	wr(VIRTIO_MMIO_QUEUE_NOTIFY, 77);
	assert_int_equal(loop_run_once(&fixture.loop, 0), 0);
	assert_int_equal(fixture.n_kicks[1], 0);
}

static void interrupts(void **state)
{
	(void)state;
	drive_to(OK);
	pthread_mutex_lock(&fixture.dev.lock);
	fixture.dev.transport->interrupt(&fixture.dev, 0);
	pthread_mutex_unlock(&fixture.dev.lock);
	assert_true(interrupted());
	assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	wr(VIRTIO_MMIO_INTERRUPT_ACK, 0xffffffff); /* the bit stays while the driver runs */
	assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);

	virtio_device_break(&fixture.dev, "a test broke it");
	assert_true(rd(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
	assert_true(interrupted());
	wr(VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

static void config_space(void **state)
{
	uint8_t byte = 'x';
	uint64_t wide;

	(void)state;
	virtio_mmio_write(&fixture.mmio, VIRTIO_MMIO_CONFIG_OFFSET, &byte, 1);
	assert_int_equal(fixture.config[0], '0'); /* no driver yet */
	drive_to(OK);
	virtio_mmio_write(&fixture.mmio, VIRTIO_MMIO_CONFIG_OFFSET + 7, &byte, 1);
	virtio_mmio_write(&fixture.mmio, VIRTIO_MMIO_CONFIG_OFFSET + 8, &byte, 1);
	virtio_mmio_write(&fixture.mmio, VIRTIO_MMIO_CONFIG_OFFSET + 6, &wide, 8);
	virtio_mmio_read(&fixture.mmio, VIRTIO_MMIO_CONFIG_OFFSET, &wide, 8);
	assert_memory_equal(&wide, "0123456x", 8);

	uint32_t generation = rd(VIRTIO_MMIO_CONFIG_GENERATION);
	fixture.config[1] = '!';
	pthread_mutex_lock(&fixture.dev.lock);
	fixture.dev.transport->config_changed(&fixture.dev);
	pthread_mutex_unlock(&fixture.dev.lock);
	assert_int_not_equal(rd(VIRTIO_MMIO_CONFIG_GENERATION), generation);
	assert_int_equal(fixture.page[VIRTIO_MMIO_CONFIG_OFFSET + 1], '!');
	assert_true(interrupted());
	assert_int_equal(
		rd(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG | VIRTIO_MMIO_INT_VRING);
	wr(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
	assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
}

static void odd_accesses(void **state)
{
	uint64_t wide = 0x0303030303030303;
	uint16_t half = 3;

	(void)state;
	virtio_mmio_write(&fixture.mmio, VIRTIO_MMIO_STATUS, &wide, 8);
	virtio_mmio_write(&fixture.mmio, VIRTIO_MMIO_STATUS, &half, 2);
	virtio_mmio_write(&fixture.mmio, VIRTIO_MMIO_STATUS + 2, &wide, 4);
	assert_int_equal(rd(VIRTIO_MMIO_STATUS), 0);
	wr(VIRTIO_MMIO_MAGIC_VALUE, 0); /* read-only ones */
	wr(VIRTIO_MMIO_INTERRUPT_STATUS, 3);
	assert_int_equal(rd(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	virtio_mmio_read(&fixture.mmio, VIRTIO_MMIO_BYTES - 4, &wide, 8);
	assert_int_equal(wide, ~0ull);
	virtio_mmio_write(&fixture.mmio, VIRTIO_MMIO_BYTES - 4, &wide, 8);
	virtio_mmio_write(&fixture.mmio, 0xffffffff, &wide, 8);
}

static void remote_device(void **state)
{
	uint64_t count;

	(void)state;
	assert_true(fixture.dev.kick_fds[0] >= 0 && fixture.dev.kick_fds[1] >= 0);
	assert_int_equal(fixture.dev.call_fds[0], fixture.mmio.irq_fd);
	drive_to(OK);
	assert_int_equal(fixture.n_starts, 1);
	assert_false(fixture.dev.queues[0].running); /* it runs elsewhere */
	assert_int_equal(fixture.dev.layouts[0].avail_gpa, 0x101000);
	wr(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	assert_int_equal(read(fixture.dev.kick_fds[0], &count, 8), 8);
	/* Whoever serves it raises the interrupt itself: the bit is always there. */
	assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	wr(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
	assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
	wr(VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	assert_int_equal(fixture.n_stops, 1);
}

/* Whoever serves the queues is not asked to serve these. */
static void remote_ring_outside_memory(void **state)
{
	ring_outside_memory(state);
}

/* A device with threads of its own: rings as usual, but it waits for the kicks itself. */
static void own_kicks(void **state)
{
	uint64_t count;

	(void)state;
	drive_to(OK);
	assert_int_equal(fixture.n_starts, 1);
	assert_true(fixture.dev.queues[0].running);
	wr(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	assert_int_equal(loop_run_once(&fixture.loop, 0), 0);
	assert_int_equal(fixture.n_kicks[0], 0);
	assert_int_equal(read(fixture.dev.kick_fds[0], &count, 8), 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(identity),
		TEST(normal_start),
		TEST(status_out_of_order),
		TEST(features_refused),
		TEST(queue_faults),
		TEST(ring_outside_memory),
		TEST(start_fails),
		TEST(kicks),
		TEST(interrupts),
		TEST(config_space),
		TEST(odd_accesses),
		cmocka_unit_test_setup_teardown(remote_device, setup_remote, teardown),
		cmocka_unit_test_setup_teardown(remote_ring_outside_memory, setup_remote, teardown),
		cmocka_unit_test_setup_teardown(own_kicks, setup_own_kicks, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
