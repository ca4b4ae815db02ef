/* SPDX-License-Identifier: Apache-2.0 */
/* Relays and standard streams: bytes, ends, back-pressure, order of arrival. No root needed. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "guestinit/create.h"
#include "guestinit/streams.h"

static struct loop loop;
static struct streams streams;
static int child[STREAM_FDS_MAX], host[STREAM_FDS_MAX];
static int n_drained;

static void on_drained(struct streams *s)
{
	assert_ptr_equal(s, &streams);
	n_drained++;
}

static void turn(int times)
{
	while (times-- > 0)
		assert_int_equal(loop_run_once(&loop, 1), 0);
}

static int begin(void **state)
{
	const struct cfg_stdio config = {.in = 1, .out = 2, .err = 3};
	struct err e = {0};

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	n_drained = 0;
	if (loop_init(&loop) < 0)
		return -1;
	guest_streams_init(&streams);
	return guest_streams_prepare(&streams, &loop, &config, 0, "/dev/null", child, &e);
}

static int end(void **state)
{
	(void)state;
	guest_streams_close(&streams);
	loop_fini(&loop);
	for (unsigned i = 0; i < STREAM_FDS_MAX; i++) {
		fd_closep(&child[i]);
		fd_closep(&host[i]);
	}
	return 0;
}

static void attach(int i)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	host[i] = pair[0];
	assert_int_equal(fd_set_nonblock(host[i], true), 0);
	assert_int_equal(guest_streams_attach(&streams, (uint32_t)i + 1, pair[1]), 1);
}

static void attach_all(void)
{
	for (int i = 0; i < 3; i++)
		attach(i);
}

static void test_bytes_and_ends(void **state)
{
	char buf[64];

	(void)state;
	/* Output from before the connection is kept. */
	assert_int_equal(write(child[1], "early", 5), 5);
	attach_all();
	assert_int_equal(write(host[0], "input", 5), 5);
	shutdown(host[0], SHUT_WR);
	assert_int_equal(write(child[2], "oops", 4), 4);
	turn(6);
	assert_int_equal(read(child[0], buf, sizeof(buf)), 5);
	assert_int_equal(read(child[0], buf, sizeof(buf)), 0);
	assert_int_equal(read(host[1], buf, sizeof(buf)), 5);
	assert_memory_equal(buf, "early", 5);
	assert_int_equal(read(host[2], buf, sizeof(buf)), 4);
	fd_closep(&child[1]);
	turn(2);
	assert_int_equal(read(host[1], buf, sizeof(buf)), 0);
	/* The container ends; what it wrote last still goes out before `drained`. */
	assert_int_equal(write(child[2], "last", 4), 4);
	fd_closep(&child[2]);
	guest_streams_end(&streams, on_drained);
	assert_int_equal(n_drained, 0);
	turn(4);
	assert_int_equal(n_drained, 1);
	assert_int_equal(read(host[2], buf, sizeof(buf)), 4);
	assert_int_equal(read(host[2], buf, sizeof(buf)), 0);
}

/* The process ended; another that has its ends does not count any more. */
static void test_finish(void **state)
{
	static char block[4096];
	char buf[64];

	(void)state;
	attach(0);
	attach(1);
	assert_int_equal(write(child[1], "last", 4), 4);
	assert_int_equal(write(child[2], "words", 5), 5);
	guest_streams_finish(&streams, on_drained);
	assert_int_equal(n_drained, 0); /* the third connection is to come */
	assert_int_equal(read(host[1], buf, sizeof(buf)), 4);
	assert_int_equal(read(host[1], buf, sizeof(buf)), 0);
	assert_true(write(child[1], block, sizeof(block)) < 0);
	attach(2);
	assert_int_equal(n_drained, 1);
	assert_int_equal(read(host[2], buf, sizeof(buf)), 5);
	assert_int_equal(read(host[2], buf, sizeof(buf)), 0);
}

/* The same with more than the host takes at once, and a writer that never ends. */
static void test_finish_slowly(void **state)
{
	static char block[65536];
	size_t got = 0;
	ssize_t n;

	(void)state;
	attach_all();
	assert_int_equal(fd_set_nonblock(child[1], true), 0);
	for (int i = 0; i < 40; i++) {
		if (write(child[1], block, sizeof(block)) < 0)
			turn(1);
	}
	guest_streams_finish(&streams, on_drained);
	assert_int_equal(n_drained, 0);
	for (int i = 0; i < 200 && !n_drained; i++) {
		(void)!write(child[1], block, sizeof(block));
		while ((n = recv(host[1], block, sizeof(block), MSG_DONTWAIT)) > 0)
			got += (size_t)n;
		turn(1);
	}
	assert_int_equal(n_drained, 1);
	assert_true(got > sizeof(block));
}

/* What the container does not read stays with the host, but for the buffers on the way. */
static void test_back_pressure(void **state)
{
	static char block[65536];
	size_t sent = 0, got = 0;

	(void)state;
	attach_all();
	for (int idle = 0; idle < 3;) {
		ssize_t n = write(host[0], block, sizeof(block));
		if (n > 0)
			sent += (size_t)n;
		idle = n > 0 ? 0 : idle + 1;
		turn(3);
	}
	assert_true(sent < (2u << 20));
	assert_int_equal(fd_set_nonblock(child[0], true), 0);
	shutdown(host[0], SHUT_WR);
	for (int i = 0; i < 1000 && got < sent; i++) {
		ssize_t n = read(child[0], block, sizeof(block));
		if (n > 0)
			got += (size_t)n;
		turn(1);
	}
	assert_int_equal(got, sent);
	turn(2);
	assert_int_equal(read(child[0], block, sizeof(block)), 0);
}

static void test_nobody_reads(void **state)
{
	static char block[65536];

	(void)state;
	attach_all();
	/* The host lets go of stdout: the container's writes fail as those to any broken pipe. */
	fd_closep(&host[1]);
	assert_true(write(child[1], "x", 1) == 1);
	turn(4);
	assert_int_equal(write(child[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	/* The container closes stdin: the host learns it. */
	fd_closep(&child[0]);
	assert_true(write(host[0], block, sizeof(block)) > 0);
	turn(4);
	assert_int_equal(write(host[0], block, 1), -1);
	fd_closep(&child[2]);
	guest_streams_end(&streams, on_drained);
	turn(3);
	assert_int_equal(n_drained, 1);
}

static void test_unknown_port(void **state)
{
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(guest_streams_attach(&streams, 77, pair[1]), 0);
	assert_int_equal(guest_streams_attach(&streams, 1, pair[1]), 1);
	assert_int_equal(guest_streams_attach(&streams, 1, pair[0]), 0); /* a second one */
	close(pair[0]);
	fd_closep(&child[1]);
	fd_closep(&child[2]);
}

static void test_not_wanted(void **state)
{
	const struct cfg_stdio config = {.out = 2};
	struct err e = {0};
	char c;

	(void)state;
	end(NULL);
	assert_int_equal(loop_init(&loop), 0);
	guest_streams_init(&streams);
	assert_int_equal(
		guest_streams_prepare(&streams, &loop, &config, 0, "/dev/null", child, &e), 0);
	assert_int_equal(read(child[0], &c, 1), 0);
	assert_int_equal(write(child[2], "x", 1), 1);
	fd_closep(&child[1]);
	attach(1);
	guest_streams_end(&streams, on_drained);
	turn(3);
	assert_int_equal(n_drained, 1);
}

/* A terminal: one connection both ways, its size, and the end when nobody has it open. */
static void test_terminal(void **state)
{
	const struct cfg_stdio config = {.terminal = true, .in = 1, .rows = 5, .columns = 6};
	struct winsize size;
	struct err e = {0};
	char buf[64];

	(void)state;
	end(NULL);
	assert_int_equal(loop_init(&loop), 0);
	guest_streams_init(&streams);
	assert_int_equal(
		guest_streams_prepare(&streams, &loop, &config, 0, "/dev/null", child, &e), 0);
	attach(0);
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0)
		skip();
	assert_int_equal(grantpt(master) | unlockpt(master), 0);
	int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	assert_int_equal(guest_streams_set_terminal(&streams, master), 0);
	assert_int_equal(guest_streams_resize(&streams, 50, 132), 0);
	assert_int_equal(ioctl(slave, TIOCGWINSZ, &size), 0);
	assert_int_equal(size.ws_col, 132);
	assert_int_equal(write(host[0], "hello\r", 6), 6);
	turn(4);
	assert_int_equal(read(slave, buf, sizeof(buf)), 6);
	assert_memory_equal(buf, "hello\n", 6);
	assert_int_equal(write(slave, "bye", 3), 3);
	close(slave);
	guest_streams_end(&streams, on_drained);
	turn(4);
	assert_int_equal(n_drained, 1);
	ssize_t n = read(host[0], buf, sizeof(buf));
	assert_true(n >= 3);
	assert_memory_equal(buf + n - 3, "bye", 3);
}

static void prepare_preserved(struct cfg_preserved *list, size_t n)
{
	const struct cfg_stdio config = {.preserved = {list, n}};
	struct err e = {0};

	(void)!end(NULL);
	assert_int_equal(loop_init(&loop), 0);
	guest_streams_init(&streams);
	assert_int_equal(
		guest_streams_prepare(&streams, &loop, &config, 0, "/dev/null", child, &e), 0);
}

/* A pipe each way and a socket, behind standard streams that nobody wants. */
static void test_preserved(void **state)
{
	struct cfg_preserved list[] = {{4, true, false}, {5, false, true}, {6, true, true}};
	char buf[64];

	(void)state;
	prepare_preserved(list, 3);
	assert_int_equal(child[6], -1);
	for (int i = 3; i < 6; i++)
		attach(i);
	assert_int_equal(write(host[3], "in", 2), 2);
	assert_int_equal(write(child[4], "out", 3), 3);
	assert_int_equal(write(host[5], "ping", 4), 4);
	assert_int_equal(write(child[5], "pong", 4), 4);
	shutdown(child[5], SHUT_WR);
	turn(12);
	assert_int_equal(read(child[3], buf, sizeof(buf)), 2);
	assert_int_equal(read(host[4], buf, sizeof(buf)), 3);
	assert_int_equal(read(host[5], buf, sizeof(buf)), 4);
	assert_int_equal(read(host[5], buf, sizeof(buf)), 0);
	/* The other direction of a socket that is half closed goes on. */
	assert_int_equal(read(child[5], buf, sizeof(buf)), 4);
	assert_int_equal(write(host[5], "more", 4), 4);
	turn(4);
	assert_int_equal(read(child[5], buf, sizeof(buf)), 4);
	shutdown(host[5], SHUT_WR);
	turn(4);
	assert_int_equal(read(child[5], buf, sizeof(buf)), 0);
	/* The end waits for what is written. */
	assert_int_equal(write(child[4], "last", 4), 4);
	fd_closep(&child[4]);
	guest_streams_end(&streams, on_drained);
	assert_int_equal(n_drained, 0);
	turn(4);
	assert_int_equal(n_drained, 1);
	assert_int_equal(read(host[4], buf, sizeof(buf)), 4);
}

/* An exec's end: somebody else still has the socket. */
static void test_preserved_finish(void **state)
{
	struct cfg_preserved list[] = {{4, true, true}};
	char buf[64];

	(void)state;
	prepare_preserved(list, 1);
	attach(3);
	assert_int_equal(write(child[3], "last", 4), 4);
	guest_streams_finish(&streams, on_drained);
	assert_int_equal(n_drained, 1);
	assert_int_equal(read(host[3], buf, sizeof(buf)), 4);
	assert_int_equal(read(host[3], buf, sizeof(buf)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_bytes_and_ends, begin, end),
		cmocka_unit_test_setup_teardown(test_finish, begin, end),
		cmocka_unit_test_setup_teardown(test_finish_slowly, begin, end),
		cmocka_unit_test_setup_teardown(test_back_pressure, begin, end),
		cmocka_unit_test_setup_teardown(test_nobody_reads, begin, end),
		cmocka_unit_test_setup_teardown(test_unknown_port, begin, end),
		cmocka_unit_test_setup_teardown(test_not_wanted, begin, end),
		cmocka_unit_test_setup_teardown(test_terminal, begin, end),
		cmocka_unit_test_setup_teardown(test_preserved, begin, end),
		cmocka_unit_test_setup_teardown(test_preserved_finish, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
