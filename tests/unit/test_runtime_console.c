/* SPDX-License-Identifier: Apache-2.0 */
/* --console-socket: what may be combined, and the terminal that arrives at the other end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/console.h"

static void test_check(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(console_check(true, true, "/s", &e), 0);
	assert_int_equal(console_check(true, false, NULL, &e), 0);
	assert_int_equal(console_check(false, true, NULL, &e), 0);
	assert_int_equal(console_check(true, true, NULL, &e), -EINVAL);
	assert_non_null(strstr(e.text, "without setting console socket"));
	assert_int_equal(console_check(true, false, "/s", &e), -EINVAL);
	assert_int_equal(console_check(false, true, "/s", &e), -EINVAL);
	assert_non_null(strstr(e.text, "cannot use console socket"));
}

static int listen_at(const char *path)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(name.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(sock, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(listen(sock, 1), 0);
	return sock;
}

static void test_send(void **state)
{
	char dir[] = "/tmp/test-console-XXXXXX", path[600], text[64];
	int slave, master = -1, status;
	struct winsize size;
	struct termios settings;
	unsigned n = 1;
	struct err e;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	int sock = listen_at(path);
	/* Longer than struct sockaddr_un has room for. */
	snprintf(path, sizeof(path), "%s/%0*d/../sock", dir, 150, 0);
	char sub[256];
	snprintf(sub, sizeof(sub), "%s/%0*d", dir, 150, 0);
	assert_int_equal(mkdir(sub, 0700), 0);
	assert_int_equal(console_send(path, 33, 111, &slave, &e), 0);

	int peer = accept(sock, NULL, NULL);
	ssize_t len = fd_recv_packet(peer, text, sizeof(text), &master, &n);
	assert_int_equal(len, 9);
	assert_memory_equal(text, "/dev/ptmx", 9);
	assert_int_equal(n, 1);
	assert_int_equal(ioctl(master, TIOCGWINSZ, &size), 0);
	assert_int_equal(size.ws_row, 33);
	assert_int_equal(size.ws_col, 111);
	assert_int_equal(tcgetattr(slave, &settings), 0);
	assert_false(settings.c_lflag & (ICANON | ECHO | ISIG));
	assert_int_equal(write(slave, "a\n", 2), 2);
	assert_int_equal(read(master, text, sizeof(text)), 2); /* no carriage return put in */
	assert_memory_equal(text, "a\n", 2);

	pid_t pid = fork();
	if (pid == 0)
		_exit(console_control(slave, &e) < 0 || tcgetsid(slave) != getpid());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);

	close(master);
	close(slave);
	close(peer);
	close(sock);
	assert_int_equal(console_send(path, 0, 0, &slave, &e), -ECONNREFUSED);
	assert_int_equal(slave, -1);
	assert_non_null(strstr(e.text, "dial unix "));
	rmdir(sub);
	snprintf(path, sizeof(path), "%s/sock", dir);
	unlink(path);
	rmdir(dir);
	assert_int_equal(console_send(path, 0, 0, &slave, &e), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_send),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
