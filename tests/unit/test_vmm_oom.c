/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's side of telling the host of an OOM: one answer to each question, or an end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/vmm/oom.h"

struct fixture {
	struct loop loop;
	struct oom oom;
	int host; /* the other end */
	unsigned told;
};

static void on_told(void *arg)
{
	((struct fixture *)arg)->told++;
}

static void start(struct fixture *f)
{
	int ends[2];
	struct err e;

	*f = (struct fixture){.host = -1};
	assert_int_equal(loop_init(&f->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	f->host = ends[1];
	assert_int_equal(oom_init(&f->oom, &f->loop, ends[0], on_told, f, &e), 0);
}

static void end(struct fixture *f)
{
	oom_fini(&f->oom);
	oom_fini(&f->oom);
	loop_fini(&f->loop);
	fd_closep(&f->host);
}

static void pump(struct fixture *f)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_run_once(&f->loop, 0), 0);
}

static void test_answer(void **state)
{
	struct fixture f;
	char word;

	(void)state;
	start(&f);
	assert_true(oom_tell(&f.oom));
	assert_false(oom_tell(&f.oom)); /* is being told already */
	assert_int_equal(read(f.host, &word, 1), 1);
	pump(&f);
	assert_int_equal(f.told, 0);
	assert_int_equal(write(f.host, "d", 1), 1);
	pump(&f);
	assert_int_equal(f.told, 1);
	end(&f);
}

static void test_end_is_an_answer(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	assert_true(oom_tell(&f.oom));
	fd_closep(&f.host);
	pump(&f);
	assert_int_equal(f.told, 1);
	assert_false(oom_tell(&f.oom));
	end(&f);
}

static void test_words_unasked(void **state)
{
	struct fixture f;

	(void)state;
	start(&f);
	assert_int_equal(write(f.host, "dd", 2), 2);
	pump(&f);
	assert_int_equal(f.told, 0);
	end(&f);
}

static void test_nobody(void **state)
{
	struct fixture f = {.host = -1};
	struct err e;

	(void)state;
	oom_fini(&f.oom);
	assert_int_equal(loop_init(&f.loop), 0);
	assert_int_equal(oom_init(&f.oom, &f.loop, -1, on_told, &f, &e), 0);
	assert_false(oom_tell(&f.oom));
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_end_is_an_answer),
		cmocka_unit_test(test_words_unasked),
		cmocka_unit_test(test_nobody),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
