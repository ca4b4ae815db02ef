/* SPDX-License-Identifier: Apache-2.0 */
/* The block device: requests in descriptors cut anywhere, and ranges that lie outside. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "microvm/devices/blk.h"
#include "tests/unit/support/fake_transport.h"

#define DISK_BYTES   (1u << 20)
#define DISK_SECTORS (DISK_BYTES / 512)
#define QUEUE_SIZE   64u
#define NO_STATUS    0xaa

struct fixture {
	struct loop loop;
	struct virtio_device *dev;
	struct fake_transport fake;
	int fd;
	uint32_t written; /* of the last request */
	struct virtio_blk_outhdr *header;
	uint8_t *data, *status;
};

static int setup_with(void **state, bool readonly, uint64_t features)
{
	struct fixture *f = calloc(1, sizeof(*f));
	char path[] = "/tmp/hvrun-test-XXXXXX";
	struct err e;

	if (!f || loop_init(&f->loop) < 0)
		return -1;
	f->fd = mkostemp(path, O_CLOEXEC);
	if (f->fd < 0 || unlink(path) < 0 || ftruncate(f->fd, DISK_BYTES + 100) < 0)
		return -1;
	const struct blk_config config = {.loop = &f->loop,
		.fd = dup(f->fd),
		.readonly = readonly,
		.serial = "twenty-characters-20"};
	if (blk_create(&config, &f->dev, &e) < 0 || blk_launch(f->dev, false) < 0 ||
		fake_transport_init(&f->fake, f->dev, QUEUE_SIZE, features & f->dev->offered) < 0)
		return -1;
	f->header = fake_alloc(&f->fake, sizeof(*f->header));
	f->data = fake_alloc(&f->fake, 1 << 20);
	f->status = fake_alloc(&f->fake, 1);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, false, UINT64_MAX);
}

static int setup_readonly(void **state)
{
	return setup_with(state, true, UINT64_MAX);
}

static int setup_bare(void **state)
{
	return setup_with(state, false, FAKE_F_VERSION_1);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fake_transport_fini(&f->fake);
	blk_free(f->dev);
	loop_fini(&f->loop);
	close(f->fd);
	free(f);
	return 0;
}

static int wait_used(struct fixture *f)
{
	for (unsigned ms = 0; ms < 5000; ms++) {
		int head = fake_used(&f->fake, 0, &f->written);
		if (head >= 0)
			return head;
		usleep(1000);
	}
	return -1;
}

static void set_header(struct fixture *f, uint32_t type, uint64_t sector)
{
	*f->header = (struct virtio_blk_outhdr){.type = type, .sector = sector};
	*f->status = NO_STATUS;
}

/* One request with len bytes at f->data; the status. */
static int request(struct fixture *f, uint32_t type, uint64_t sector, uint32_t len)
{
	bool in = type == VIRTIO_BLK_T_IN || type == VIRTIO_BLK_T_GET_ID;
	const struct fake_segment s[] = {
		{f->header, sizeof(*f->header), false}, {f->data, len, in}, {f->status, 1, true}};

	set_header(f, type, sector);
	assert_true(fake_add(&f->fake, 0, s, 3) >= 0);
	fake_kick(&f->fake, 0);
	assert_true(wait_used(f) >= 0);
	return *f->status;
}

static void test_config(void **state)
{
	struct fixture *f = *state;
	struct virtio_blk_config c;

	assert_int_equal(f->dev->config_bytes, sizeof(c));
	f->dev->ops->config_read(f->dev, 0, &c, sizeof(c));
	assert_int_equal(c.capacity, DISK_SECTORS); /* the odd 100 bytes are left out */
	assert_int_equal(c.blk_size, 512);
	assert_int_equal(c.seg_max, 126);
}

static void test_write_read(void **state)
{
	struct fixture *f = *state;
	char disk[1024];

	memset(f->data, 'w', 1024);
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 7, 1024), VIRTIO_BLK_S_OK);
	assert_int_equal(f->written, 1);
	assert_int_equal(pread(f->fd, disk, 1024, 7 * 512), 1024);
	assert_memory_equal(disk, f->data, 1024);
	memset(f->data, 0, 1024);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 8, 1024), VIRTIO_BLK_S_OK);
	assert_int_equal(f->written, 1025);
	assert_int_equal(f->data[511], 'w');
	assert_int_equal(f->data[512], 0);
	assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
	assert_true(__atomic_load_n(&f->fake.n_interrupts[0], __ATOMIC_RELAXED) > 0);
}

/* virtio 1.2, 2.7.4.1: no assumption on how a message is cut into descriptors. */
static void test_any_layout(void **state)
{
	struct fixture *f = *state;
	uint8_t *bytes = (uint8_t *)f->header;

	set_header(f, VIRTIO_BLK_T_OUT, 1);
	memset(f->data, 'x', 512);
	memcpy(f->data - 16, bytes, 16); /* header and data in one row, cut by single bytes */
	struct fake_segment s[20];
	for (unsigned i = 0; i < 17; i++)
		s[i] = (struct fake_segment){f->data - 16 + i, 1, false};
	s[17] = (struct fake_segment){f->data + 1, 511, false};
	s[18] = (struct fake_segment){f->status, 1, true};
	assert_true(fake_add_indirect(&f->fake, 0, s, 19) >= 0);
	fake_kick(&f->fake, 0);
	assert_true(wait_used(f) >= 0);
	assert_int_equal(*f->status, VIRTIO_BLK_S_OK);

	/* Data and status in one writable segment. */
	uint8_t *both = fake_alloc(&f->fake, 513);
	both[512] = NO_STATUS;
	set_header(f, VIRTIO_BLK_T_IN, 1);
	const struct fake_segment in[] = {{f->header, 16, false}, {both, 513, true}};
	assert_true(fake_add(&f->fake, 0, in, 2) >= 0);
	fake_kick(&f->fake, 0);
	assert_true(wait_used(f) >= 0);
	assert_int_equal(both[0], 'x');
	assert_int_equal(both[511], 'x');
	assert_int_equal(both[512], VIRTIO_BLK_S_OK);
}

static void test_ranges(void **state)
{
	struct fixture *f = *state;
	const uint64_t bad[] = {DISK_SECTORS, DISK_SECTORS - 1, UINT64_MAX, UINT64_MAX / 512,
		UINT64_C(1) << 55, UINT64_MAX - 1};

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(request(f, VIRTIO_BLK_T_IN, bad[i], 1024), VIRTIO_BLK_S_IOERR);
		assert_int_equal(request(f, VIRTIO_BLK_T_OUT, bad[i], 1024), VIRTIO_BLK_S_IOERR);
	}
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, DISK_SECTORS - 2, 1024), VIRTIO_BLK_S_OK);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 100), VIRTIO_BLK_S_IOERR);
	assert_int_equal(lseek(f->fd, 0, SEEK_END), DISK_BYTES + 100);
}

static void test_id_and_unknown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(request(f, VIRTIO_BLK_T_GET_ID, 0, 20), VIRTIO_BLK_S_OK);
	assert_memory_equal(f->data, "twenty-characters-20", 20);
	assert_int_equal(request(f, VIRTIO_BLK_T_GET_ID, 0, 19), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, 77, 0, 512), VIRTIO_BLK_S_UNSUPP);
}

static int zero_request(
	struct fixture *f, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
	const struct virtio_blk_discard_write_zeroes seg = {sector, n, flags};

	memcpy(f->data, &seg, sizeof(seg));
	return request(f, type, 0, sizeof(seg));
}

static void test_zeroes(void **state)
{
	struct fixture *f = *state;
	const uint32_t wz = VIRTIO_BLK_T_WRITE_ZEROES, discard = VIRTIO_BLK_T_DISCARD;
	uint8_t disk[512];

	for (uint32_t unmap = 0; unmap < 2; unmap++) {
		memset(f->data, 'z', 4096);
		assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 4096), VIRTIO_BLK_S_OK);
		assert_int_equal(zero_request(f, wz, 1, 2, unmap), VIRTIO_BLK_S_OK);
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(pread(f->fd, disk, 512, i * 512), 512);
			assert_int_equal(disk[0], i == 1 || i == 2 ? 0 : 'z');
			assert_int_equal(disk[511], i == 1 || i == 2 ? 0 : 'z');
		}
	}
	assert_int_equal(zero_request(f, discard, 0, 8, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(zero_request(f, discard, 0, 8, 1), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(zero_request(f, wz, 0, 8, 2), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(zero_request(f, wz, DISK_SECTORS - 1, 2, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(zero_request(f, wz, UINT64_MAX, 2, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(zero_request(f, wz, 0, UINT32_MAX, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, wz, 0, 15), VIRTIO_BLK_S_IOERR);
	assert_int_equal(lseek(f->fd, 0, SEEK_END), DISK_BYTES + 100);
}

static void test_readonly(void **state)
{
	struct fixture *f = *state;

	assert_true(f->dev->offered & (1u << VIRTIO_BLK_F_RO));
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(request(f, VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_IOERR);
	assert_int_equal(zero_request(f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(zero_request(f, VIRTIO_BLK_T_DISCARD, 0, 1, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(f, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
}

static void test_write_through(void **state)
{
	assert_int_equal(request(*state, VIRTIO_BLK_T_OUT, 0, 512), VIRTIO_BLK_S_OK);
}

static void test_truncated_under_us(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ftruncate(f->fd, 512), 0);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 1, 512), VIRTIO_BLK_S_IOERR);
}

static void test_without_status(void **state)
{
	struct fixture *f = *state;
	const struct fake_segment s = {f->header, sizeof(*f->header), false};

	set_header(f, VIRTIO_BLK_T_FLUSH, 0);
	assert_true(fake_add(&f->fake, 0, &s, 1) >= 0);
	fake_kick(&f->fake, 0);
	unsigned n = 0;
	for (unsigned ms = 0; ms < 5000 && !n; ms++) {
		n = __atomic_load_n(&f->fake.n_needs_reset, __ATOMIC_RELAXED);
		usleep(1000);
	}
	assert_int_equal(n, 1);
}

/*
 * A reset while requests are in flight: the last byte of each one's data is marked after the stop,
 * and a read that still went on would overwrite the mark.
 */
static void test_reset_in_flight(void **state)
{
	struct fixture *f = *state;
	const uint32_t each = DISK_BYTES;
	uint8_t *data = fake_alloc(&f->fake, 4 * each), *statuses = fake_alloc(&f->fake, 4);

	for (unsigned round = 0; round < 100; round++) {
		set_header(f, VIRTIO_BLK_T_IN, 0);
		for (unsigned i = 0; i < 4; i++) {
			const struct fake_segment s[] = {{f->header, 16, false},
				{data + i * each, each, true}, {statuses + i, 1, true}};
			assert_true(fake_add(&f->fake, 0, s, 3) >= 0);
		}
		fake_kick(&f->fake, 0);
		usleep(round * 10);
		fake_transport_stop(&f->fake);
		for (unsigned i = 1; i <= 4; i++)
			data[i * each - 1] = 0x55;
		usleep(1000);
		for (unsigned i = 1; i <= 4; i++)
			assert_int_equal(data[i * each - 1], 0x55);
		assert_int_equal(fake_transport_start(&f->fake, f->dev->offered), 0);
	}
	assert_int_equal(request(f, VIRTIO_BLK_T_IN, 0, 512), VIRTIO_BLK_S_OK);
}

static void test_create_refused(void **state)
{
	struct virtio_device *dev;
	struct blk_config config = {.threads = 1};
	struct err e;
	int pipes[2];

	(void)state;
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	config.fd = pipes[0];
	assert_int_equal(blk_create(&config, &dev, &e), -EINVAL);
	config.fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	assert_int_equal(blk_create(&config, &dev, &e), -EINVAL); /* not writable */
	config.readonly = true;
	config.serial = "more-than-twenty-chars";
	assert_int_equal(blk_create(&config, &dev, &e), -EINVAL);
	config.serial = NULL;
	config.threads = 100;
	assert_int_equal(blk_create(&config, &dev, &e), -EINVAL);
	assert_true(fcntl(config.fd, F_GETFD) >= 0); /* still ours */
	close(config.fd);
	close(pipes[0]);
	close(pipes[1]);
}

#define with(fn)	  cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define with_readonly(fn) cmocka_unit_test_setup_teardown(fn, setup_readonly, teardown)
#define with_bare(fn)	  cmocka_unit_test_setup_teardown(fn, setup_bare, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with(test_config),
		with(test_write_read),
		with(test_any_layout),
		with(test_ranges),
		with(test_id_and_unknown),
		with(test_zeroes),
		with_readonly(test_readonly),
		with_bare(test_write_through),
		with(test_truncated_under_us),
		with(test_without_status),
		with(test_reset_in_flight),
		cmocka_unit_test(test_create_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
