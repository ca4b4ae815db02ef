/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vsock: a vCPU starts and resets the device from its own thread while the loop serves connections.
 * Meant for ThreadSanitizer as much as for its own assertions.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/vsock_driver.h"

#define ROUNDS 300u

struct fixture {
	struct vsock_driver d;
	unsigned n_closed; /* atomic */
};

static void on_closed(void *arg, int reason);

static const struct vsock_conn_events events = {.closed = on_closed};

/* In the loop's thread: each end is followed by a new beginning. */
static void connect_again(struct fixture *f)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	close(pair[0]); /* an end of input at once */
	if (vsock_connect(f->d.dev, 1025, 1000, pair[1], pair[1], &events, f) < 0)
		abort();
}

static void on_closed(void *arg, int reason)
{
	struct fixture *f = arg;

	if (reason != -ECONNRESET)
		abort();
	connect_again(f);
	__atomic_fetch_add(&f->n_closed, 1, __ATOMIC_RELEASE);
}

static void *loop_main(void *arg)
{
	if (loop_run(arg) < 0)
		abort();
	return NULL;
}

/* Until the request has come; the device's lock orders us with the loop's thread. */
static bool wait_request(struct fixture *f)
{
	for (unsigned ms = 0; ms < 5000; ms++) {
		int head = fake_used(&f->d.fake, 0, NULL);
		if (head >= 0) {
			struct virtio_vsock_hdr h;
			memcpy(&h, f->d.rx[head].host, sizeof(h));
			return h.op == VIRTIO_VSOCK_OP_REQUEST;
		}
		usleep(100);
	}
	return false;
}

static void test_start_and_reset(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	pthread_t thread;

	(void)state;
	assert_non_null(f);
	assert_int_equal(driver_init(&f->d, FAKE_F_VERSION_1 | FAKE_F_EVENT_IDX), 0);
	assert_int_equal(driver_start(&f->d, 0), 0);
	fake_transport_stop(&f->d.fake);
	connect_again(f);
	assert_int_equal(pthread_create(&thread, NULL, loop_main, &f->d.loop), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		driver_post(&f->d, 200);
		assert_int_equal(fake_transport_start(&f->d.fake, f->d.features), 0);
		if (i % 2)
			assert_true(wait_request(f));
		fake_transport_stop(&f->d.fake);
		while (__atomic_load_n(&f->n_closed, __ATOMIC_ACQUIRE) <= i)
			usleep(10);
	}
	loop_stop(&f->d.loop);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(f->n_closed, ROUNDS);
	driver_fini(&f->d);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_start_and_reset)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
