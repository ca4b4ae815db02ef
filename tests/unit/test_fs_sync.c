/* SPDX-License-Identifier: Apache-2.0 */
/* However many ask for syncfs, the host has one of them to do at a time. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/fuse_client.h"

#define OTHERS 8

static sem_t entered, go;
static int calls, fails;

/* In the place of the C library's. */
int syncfs(int fd)
{
	(void)fd;
	calls++;
	sem_post(&entered);
	sem_wait(&go);
	errno = EIO;
	return fails ? -1 : 0;
}

struct ask {
	struct fuse_client *c;
	struct fuse_request r;
	struct iovec iov[2];
	struct {
		struct fuse_in_header header;
		struct fuse_syncfs_in in;
	} question;
	struct fuse_out_header answer;
	enum fuse_result result;
};

static void ask_init(struct ask *a, struct fuse_client *c)
{
	*a = (struct ask){
		.c = c,
		.question.header = {.len = sizeof(a->question),
			.opcode = FUSE_SYNCFS,
			.unique = 1,
			.nodeid = FUSE_ROOT_ID},
	};
	a->iov[0] = (struct iovec){&a->question, sizeof(a->question)};
	a->iov[1] = (struct iovec){&a->answer, sizeof(a->answer)};
	a->r.iov = a->iov;
	a->r.n_readable = a->r.n_writable = 1;
	a->r.readable_bytes = sizeof(a->question);
	a->r.writable_bytes = sizeof(a->answer);
}

static void *worker(void *arg)
{
	struct ask *a = arg;
	struct fuse_thread *thread = fuse_thread_new();

	if (thread && !fuse_thread_init(thread, a->c->session))
		a->result = fuse_session_handle(a->c->session, thread, &a->r);
	free(thread);
	return NULL;
}

static int setup(void **state)
{
	const struct client_options options = {0};
	struct fuse_client *c = calloc(1, sizeof(*c));
	uint64_t dir;

	calls = fails = 0;
	sem_init(&entered, 0, 0);
	sem_init(&go, 0, 0);
	client_start(c, &options);
	assert_int_equal(client_lookup(c, FUSE_ROOT_ID, "x", &dir), 0);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	client_stop(*state);
	free(*state);
	return 0;
}

static void test_alone(void **state)
{
	struct fuse_client *c = *state;
	struct fuse_syncfs_in in = {0};

	fails = 1;
	for (int i = 1; i <= 2; i++) {
		sem_post(&go);
		assert_int_equal(
			client_call(c, FUSE_SYNCFS, FUSE_ROOT_ID, &in, sizeof(in), 0), -EIO);
		assert_int_equal(calls, i);
	}
	assert_int_equal(c->completed, 0);
}

static void test_many(void **state)
{
	struct fuse_client *c = *state;
	struct ask first, others[OTHERS];
	pthread_t thread;

	ask_init(&first, c);
	assert_int_equal(pthread_create(&thread, NULL, worker, &first), 0);
	sem_wait(&entered);
	for (int i = 0; i < OTHERS; i++) {
		ask_init(&others[i], c);
		assert_int_equal(
			fuse_session_handle(c->session, c->thread, &others[i].r), FUSE_PARKED);
	}
	assert_int_equal(c->completed, 0);
	assert_int_equal(calls, 1);
	sem_post(&go);
	sem_wait(&entered); /* for the others: they came after the first had begun */
	fails = 1;
	sem_post(&go);
	pthread_join(thread, NULL);
	assert_int_equal(first.result, FUSE_PARKED);
	assert_int_equal(first.answer.error, 0);
	assert_int_equal(first.answer.len, sizeof(first.answer));
	request_fini(&first.r);
	assert_int_equal(c->completed, 1 + OTHERS);
	assert_int_equal(calls, 2);
	for (int i = 0; i < OTHERS; i++) {
		assert_int_equal(others[i].answer.error, -EIO);
		request_fini(&others[i].r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	alarm(60); /* where one waits for another, it is for ever */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
