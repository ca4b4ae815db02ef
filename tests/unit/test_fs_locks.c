/* SPDX-License-Identifier: Apache-2.0 */
/* Locks that count on the host: owners, waiting without a thread, what close gives up. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/fuse_client.h"

#define ROOT FUSE_ROOT_ID

struct fixture {
	struct fuse_client c;
	uint64_t dir, node, fh;
};

static int setup(void **state)
{
	const struct client_options options = {.host_locks = true};
	struct fixture *f = calloc(1, sizeof(*f));

	client_start(&f->c, &options);
	assert_int_equal(client_lookup(&f->c, ROOT, "x", &f->dir), 0);
	assert_int_equal(client_create(&f->c, f->dir, "lock", O_RDWR, 0644, &f->node, &f->fh), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	client_stop(&f->c);
	free(f);
	return 0;
}

static struct fuse_lk_in lock(struct fixture *f, uint64_t owner, uint32_t type, uint64_t start,
	uint64_t end, uint32_t flags)
{
	return (struct fuse_lk_in){.fh = f->fh,
		.owner = owner,
		.lk = {.start = start, .end = end, .type = type, .pid = (uint32_t)owner + 100},
		.lk_flags = flags};
}

static int call(struct fixture *f, uint32_t op, struct fuse_lk_in in)
{
	return client_call(&f->c, op, f->node, &in, sizeof(in), sizeof(struct fuse_lk_out));
}

static int flush(struct fixture *f, uint64_t owner)
{
	struct fuse_flush_in in = {.fh = f->fh, .lock_owner = owner};

	return client_call(&f->c, FUSE_FLUSH, f->node, &in, sizeof(in), 0);
}

static void await_completed(struct fixture *f, int n)
{
	for (int i = 0; i < 500; i++) {
		struct timespec t = {0, 10000000};
		if (__atomic_load_n(&f->c.completed, __ATOMIC_SEQ_CST) == n)
			return;
		nanosleep(&t, NULL);
	}
	fail_msg("the lock never came");
}

static void test_owners(void **state)
{
	struct fixture *f = *state;
	struct fuse_lk_out out;

	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 0, 99, 0)), 0);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 50, 150, 0)), 0);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 2, F_RDLCK, 150, 160, 0)), -EAGAIN);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 2, F_RDLCK, 151, INT64_MAX, 0)), 0);
	assert_int_equal(call(f, FUSE_GETLK, lock(f, 3, F_WRLCK, 100, INT64_MAX, 0)), 0);
	memcpy(&out, f->c.out, sizeof(out));
	assert_int_equal(out.lk.type, F_WRLCK);
	assert_int_equal(out.lk.start, 0);
	assert_int_equal(out.lk.end, 150);
	assert_int_equal(out.lk.pid, 101);
	assert_int_equal(call(f, FUSE_GETLK, lock(f, 1, F_RDLCK, 0, INT64_MAX, 0)), 0);
	memcpy(&out, f->c.out, sizeof(out));
	assert_int_equal(out.lk.type, F_UNLCK);
	/* A program of the host meets them as well. */
	int fd = openat(f->c.dir_fd, "lock", O_RDWR);
	struct flock host = {.l_type = F_RDLCK, .l_start = 10, .l_len = 1};
	assert_int_equal(fcntl(fd, F_SETLK, &host), -1);
	assert_int_equal(flush(f, 1), 0);
	assert_int_equal(fcntl(fd, F_SETLK, &host), 0);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 10, 10, 0)), -EAGAIN);
	assert_int_equal(call(f, FUSE_GETLK, lock(f, 1, F_WRLCK, 10, 10, 0)), 0);
	memcpy(&out, f->c.out, sizeof(out));
	assert_int_equal(out.lk.type, F_RDLCK);
	close(fd);
}

static void test_broken(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, 7, 0, 1, 0)), -EINVAL);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 2, 1, 0)), -EINVAL);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 0, UINT64_MAX, 0)), -EINVAL);
	assert_int_equal(call(f, FUSE_GETLK, lock(f, 1, F_UNLCK, 0, 1, 0)), -EINVAL);
	assert_int_equal(call(f, FUSE_GETLK, lock(f, 1, F_WRLCK, 0, 1, FUSE_LK_FLOCK)), -EINVAL);
	f->fh += 1;
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 0, 1, 0)), -EBADF);
	assert_int_equal(flush(f, 1), -EBADF);
	f->fh -= 1;
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 9, F_UNLCK, 0, 1, 0)), 0);
}

static void test_waiting(void **state)
{
	struct fixture *f = *state;
	struct fuse_lk_in want = lock(f, 2, F_WRLCK, 0, 10, 0);
	int error = 0;

	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 0, 10, 0)), 0);
	assert_true(client_call_parking(&f->c, FUSE_SETLKW, f->node, &want, sizeof(want), &error));
	assert_int_equal(f->c.completed, 0);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_UNLCK, 0, INT64_MAX, 0)), 0);
	await_completed(f, 1);
	assert_int_equal(f->c.completed_error, 0);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 0, 10, 0)), -EAGAIN);
}

static void test_waiting_for_host(void **state)
{
	struct fixture *f = *state;
	struct fuse_lk_in want = lock(f, 2, F_WRLCK, 0, 0, FUSE_LK_FLOCK);
	int error = 0, fd = openat(f->c.dir_fd, "lock", O_RDWR);

	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 2, F_RDLCK, 0, 0, FUSE_LK_FLOCK)), -EAGAIN);
	assert_true(client_call_parking(&f->c, FUSE_SETLKW, f->node, &want, sizeof(want), &error));
	close(fd);
	await_completed(f, 1);
	assert_int_equal(f->c.completed_error, 0);
}

static void test_unparked(void **state)
{
	struct fixture *f = *state;
	struct fuse_lk_in want = lock(f, 2, F_WRLCK, 0, 10, 0);
	int error = 0;

	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 0, 10, 0)), 0);
	assert_true(client_call_parking(&f->c, FUSE_SETLKW, f->node, &want, sizeof(want), &error));
	fuse_session_park(f->c.session, false);
	await_completed(f, 1);
	assert_int_equal(f->c.completed_error, -EINTR);
	assert_int_equal(call(f, FUSE_SETLKW, want), -EINTR); /* not now */
	fuse_session_park(f->c.session, true);
}

/* The file is closed while its lock is awaited: the lock must not stay behind. */
static void test_closed_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct fuse_lk_in want = lock(f, 2, F_WRLCK, 0, 10, 0);
	int error = 0;

	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 0, 10, 0)), 0);
	assert_true(client_call_parking(&f->c, FUSE_SETLKW, f->node, &want, sizeof(want), &error));
	assert_int_equal(flush(f, 2), 0);
	assert_int_equal(flush(f, 1), 0);
	await_completed(f, 1);
	assert_int_equal(f->c.completed_error, -EBADF);
	struct timespec t = {0, 100000000};
	nanosleep(&t, NULL); /* the completion comes before the last reference goes */
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 3, F_WRLCK, 0, 10, 0)), 0);
}

static void test_deadlock(void **state)
{
	struct fixture *f = *state;
	struct fuse_lk_in want = lock(f, 2, F_WRLCK, 0, 0, 0);
	int error = 0;

	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 0, 0, 0)), 0);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 2, F_WRLCK, 1, 1, 0)), 0);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 3, F_WRLCK, 2, 2, 0)), 0);
	assert_true(client_call_parking(&f->c, FUSE_SETLKW, f->node, &want, sizeof(want), &error));
	assert_int_equal(call(f, FUSE_SETLKW, lock(f, 1, F_WRLCK, 1, 1, 0)), -EDEADLK);
	assert_int_equal(flush(f, 1), 0);
	await_completed(f, 1);
	assert_int_equal(f->c.completed_error, 0);
}

/* The kernel keeps something for each range, however many there are. */
static void test_many_ranges(void **state)
{
	struct fixture *f = *state;
	uint64_t i;
	int ret = 0;

	for (i = 0; !ret && i < 5000; i++)
		ret = call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 10 * i, 10 * i + 5, 0));
	assert_int_equal(ret, -ENOLCK);
	assert_int_equal(i - 1, 1024);
	/* What makes no more of them is fine, an unlock within one is not. */
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 0, 8, 0)), 0);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_UNLCK, 3, 3, 0)), -ENOLCK);
	assert_int_equal(call(f, FUSE_SETLKW, lock(f, 1, F_WRLCK, 100000, 100000, 0)), -ENOLCK);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 9, 9, 0)), 0);
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_UNLCK, 3, 3, 0)), 0);
	/* A byte may be locked and unlocked as often as one likes. */
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_UNLCK, 0, 5, 0)), 0);
	for (i = 0; i < 5000; i++) {
		assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 1, 1, 0)), 0);
		assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_UNLCK, 1, 1, 0)), 0);
	}
	/* Other owners have their own. */
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 2, F_WRLCK, 100000, 100000, 0)), 0);
}

/* Locks 1024 bytes of a file of its own; the number that it got. */
static unsigned lock_many(struct fixture *f, unsigned owner)
{
	char name[16];

	snprintf(name, sizeof(name), "lock%u", owner);
	assert_int_equal(client_create(&f->c, f->dir, name, O_RDWR, 0644, &f->node, &f->fh), 0);
	for (unsigned i = 0; i < 1024; i++) {
		int ret = call(f, FUSE_SETLK, lock(f, owner, F_WRLCK, 2 * i, 2 * i, 0));
		if (ret) {
			assert_int_equal(ret, -ENOLCK);
			return i;
		}
	}
	return 1024;
}

/* All owners together have a bound as well, and those that are gone leave room. */
static void test_many_ranges_of_many(void **state)
{
	struct fixture *f = *state;

	for (unsigned owner = 0; owner < 64; owner++)
		assert_int_equal(lock_many(f, owner), 1024);
	const uint64_t node = f->node, fh = f->fh;
	assert_int_equal(lock_many(f, 64), 0);
	f->node = node;
	f->fh = fh;
	assert_int_equal(call(f, FUSE_SETLK, lock(f, 63, F_UNLCK, 0, 5, 0)), 0);
	assert_int_equal(lock_many(f, 65), 3);
	f->node = node;
	f->fh = fh;
	assert_int_equal(flush(f, 63), 0);
	assert_int_equal(lock_many(f, 66), 1021);
}

static void test_session_ends(void **state)
{
	struct fixture *f = *state;
	struct fuse_lk_in want = lock(f, 2, F_WRLCK, 0, 10, 0);
	int error = 0;

	assert_int_equal(call(f, FUSE_SETLK, lock(f, 1, F_WRLCK, 0, 10, 0)), 0);
	assert_true(client_call_parking(&f->c, FUSE_SETLKW, f->node, &want, sizeof(want), &error));
	assert_int_equal(client_call(&f->c, FUSE_DESTROY, 0, NULL, 0, 0), 0);
	await_completed(f, 1);
	int fd = openat(f->c.dir_fd, "lock", O_RDWR);
	struct flock host = {.l_type = F_WRLCK};
	assert_int_equal(fcntl(fd, F_SETLK, &host), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_owners, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_waiting_for_host, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unparked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_closed_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadlock, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_ranges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_ranges_of_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_session_ends, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
