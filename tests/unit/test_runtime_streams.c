/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: descriptions of our own for pipes and terminals, sizes, and a terminal put right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/streams.h"

/* Runs a test with descriptors 0, 1 and 2 replaced, in a process of its own: its exit code. */
static int with_streams(const int fds[3], int (*test)(void))
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		setsid();
		for (int i = 0; i < 3; i++)
			if (fds[i] >= 0)
				dup2(fds[i], i);
			else
				close(i);
		_exit(test());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__ % 250 + 1;                                                 \
	} while (0)

static int pipes(void)
{
	struct streams s;
	struct err e;

	CHECK(streams_open(&s, false, &e) == 0);
	CHECK(s.terminal < 0);
	/* Non-blocking here, and not where the description is the caller's. */
	CHECK(fcntl(s.in, F_GETFL) & O_NONBLOCK);
	CHECK(fcntl(s.out, F_GETFL) & O_NONBLOCK);
	CHECK(!(fcntl(0, F_GETFL) & O_NONBLOCK));
	CHECK(!(fcntl(1, F_GETFL) & O_NONBLOCK));
	CHECK(fcntl(s.in, F_GETFD) & FD_CLOEXEC);
	CHECK(write(s.out, "x", 1) == 1);
	streams_hand_over(&s);
	CHECK(s.in < 0 && s.out < 0);
	streams_close(&s);
	return 0;
}

static void test_pipes(void **state)
{
	int in[2], out[2];
	char byte = 0;

	(void)state;
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(with_streams((int[]){in[0], out[1], 2}, pipes), 0);
	close(out[1]);
	assert_int_equal(read(out[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	assert_int_equal(read(out[0], &byte, 1), 0);
	close(in[0]);
	close(in[1]);
	close(out[0]);
}

static int files(void)
{
	struct streams s;
	struct err e;

	/* A file's offset is shared with the caller, as for any other program. */
	CHECK(streams_open(&s, false, &e) == 0);
	CHECK(!(fcntl(s.out, F_GETFL) & O_NONBLOCK));
	CHECK(write(s.out, "abc", 3) == 3);
	CHECK(lseek(1, 0, SEEK_CUR) == 3);
	streams_close(&s);
	return 0;
}

static void test_files(void **state)
{
	cleanup_close int file = fd_memfile("out", "", 0);

	(void)state;
	assert_int_equal(with_streams((int[]){file, file, 2}, files), 0);
}

static int closed(void)
{
	CHECK(streams_sanitise() == 0);
	CHECK(fcntl(0, F_GETFD) >= 0 && fcntl(1, F_GETFD) >= 0 && fcntl(2, F_GETFD) >= 0);
	CHECK(read(0, &(char){0}, 1) == 0);
	return 0;
}

static void test_closed(void **state)
{
	(void)state;
	assert_int_equal(with_streams((int[]){-1, -1, 2}, closed), 0);
	assert_int_equal(with_streams((int[]){-1, 1, -1}, closed), 0);
}

static int terminal(void)
{
	struct streams s;
	struct termios raw, after;
	struct err e;
	uint16_t rows, columns;

	CHECK(streams_open(&s, true, &e) == 0);
	CHECK(s.in < 0 && s.terminal >= 0);
	CHECK(s.rows == 33 && s.columns == 101);
	CHECK(fcntl(s.terminal, F_GETFL) & O_NONBLOCK);
	CHECK(!(fcntl(1, F_GETFL) & O_NONBLOCK));
	struct winsize size = {.ws_row = 5, .ws_col = 6};
	CHECK(ioctl(1, TIOCSWINSZ, &size) == 0);
	CHECK(streams_size(&s, &rows, &columns) && rows == 5 && columns == 6);
	/* Somebody made it raw and died. */
	raw = s.settings;
	cfmakeraw(&raw);
	CHECK(tcsetattr(1, TCSANOW, &raw) == 0);
	streams_hand_over(&s);
	CHECK(s.terminal >= 0);
	struct termios before = s.settings;
	streams_close(&s);
	CHECK(tcgetattr(1, &after) == 0);
	CHECK(after.c_lflag == before.c_lflag && after.c_iflag == before.c_iflag);
	return 0;
}

static int no_terminal(void)
{
	struct streams s;
	struct err e;

	CHECK(streams_open(&s, true, &e) == -ENOTTY);
	CHECK(strstr(e.text, "config.json: process.terminal: "));
	CHECK(strstr(e.text, "provided file is not a console"));
	return 0;
}

static void test_terminal(void **state)
{
	struct winsize size = {.ws_row = 33, .ws_col = 101};
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int master, slave;

	(void)state;
	assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
	assert_int_equal(with_streams((int[]){slave, slave, slave}, terminal), 0);
	size = (struct winsize){.ws_row = 33, .ws_col = 101};
	assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
	/* One of the three is enough. */
	assert_int_equal(with_streams((int[]){null, slave, null}, terminal), 0);
	assert_int_equal(with_streams((int[]){null, null, null}, no_terminal), 0);
	close(master);
	close(slave);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pipes),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_closed),
		cmocka_unit_test(test_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
