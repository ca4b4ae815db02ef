/* SPDX-License-Identifier: Apache-2.0 */
/* The ranges that an owner has locked are those that the kernel says it keeps. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "microvm/fs/lock_ranges.h"

static void set(struct lock_ranges *r, int fd, uint32_t type, uint64_t start, uint64_t end)
{
	struct lock_change change;
	struct flock lock = {
		.l_type = (short)type,
		.l_start = (off_t)start,
		.l_len = end == INT64_MAX ? 0 : (off_t)(end - start + 1),
	};

	lock_ranges_plan(r, (struct lock_range){start, end, type}, &change);
	assert_int_equal(lock_ranges_reserve(r, &change), 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	lock_ranges_commit(r, &change);
}

/* "lock:\t1: OFDLCK  ADVISORY  WRITE -1 00:1e:5 10 19", in the order of the file. */
static void assert_as_kernel(const struct lock_ranges *r, int fd)
{
	char path[64], line[256], type[16], last[32];
	unsigned long long start;
	uint32_t n = 0;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *info = fopen(path, "re");
	assert_non_null(info);
	while (fgets(line, sizeof(line), info)) {
		if (strncmp(line, "lock:", 5) != 0)
			continue;
		assert_int_equal(sscanf(line, "lock: %*d: OFDLCK ADVISORY %15s %*d %*s %llu %31s",
					 type, &start, last),
			3);
		assert_true(n < r->n);
		assert_int_equal(r->ranges[n].type, strcmp(type, "READ") ? F_WRLCK : F_RDLCK);
		assert_int_equal(r->ranges[n].start, start);
		assert_int_equal(r->ranges[n].end,
			strcmp(last, "EOF") ? strtoull(last, NULL, 10) : INT64_MAX);
		n++;
	}
	fclose(info);
	assert_int_equal(n, r->n);
}

static int open_file(void)
{
	char path[] = "/tmp/hvrun-lock-ranges-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static void ends(void **state)
{
	struct lock_ranges r = {0};
	int fd = open_file();

	(void)state;
	set(&r, fd, F_UNLCK, 0, INT64_MAX);
	assert_int_equal(r.n, 0);
	set(&r, fd, F_WRLCK, INT64_MAX, INT64_MAX);
	set(&r, fd, F_RDLCK, 0, 0);
	assert_int_equal(r.n, 2);
	set(&r, fd, F_WRLCK, 1, INT64_MAX - 1);
	assert_int_equal(r.n, 2); /* the byte in front is read-locked, the one behind is merged */
	assert_as_kernel(&r, fd);
	set(&r, fd, F_RDLCK, 0, INT64_MAX);
	assert_int_equal(r.n, 1);
	assert_as_kernel(&r, fd);
	set(&r, fd, F_UNLCK, 5, INT64_MAX);
	assert_as_kernel(&r, fd);
	set(&r, fd, F_UNLCK, 0, INT64_MAX);
	assert_as_kernel(&r, fd);
	close(fd);
	lock_ranges_fini(&r);
}

static void any_order(void **state)
{
	static const uint32_t types[] = {F_RDLCK, F_WRLCK, F_UNLCK};
	struct lock_ranges r = {0};
	int fd = open_file();

	(void)state;
	srand(1);
	for (int i = 0; i < 20000; i++) {
		uint64_t start = (uint64_t)rand() % 100;
		uint64_t end = start + (uint64_t)rand() % (rand() % 8 ? 4 : 60);
		set(&r, fd, types[rand() % 3], start, rand() % 200 ? end : INT64_MAX);
		assert_as_kernel(&r, fd);
	}
	close(fd);
	lock_ranges_fini(&r);
}

/* What was locked once, and is no longer, keeps no memory. */
static void memory(void **state)
{
	struct lock_ranges r = {0};
	int fd = open_file();

	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		set(&r, fd, F_WRLCK, 2 * i, 2 * i);
	assert_as_kernel(&r, fd);
	for (uint64_t i = 0; i < 1000; i++)
		set(&r, fd, F_UNLCK, 2 * i, 2 * i);
	assert_int_equal(r.n, 0);
	assert_true(r.cap <= 4);
	close(fd);
	lock_ranges_fini(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends),
		cmocka_unit_test(any_order),
		cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
