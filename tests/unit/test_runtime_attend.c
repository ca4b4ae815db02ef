/* SPDX-License-Identifier: Apache-2.0 */
/* Attending a process: what comes from the monitor, and what signals do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pty.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/attend.h"
#include "runtime/monitor.h"

struct pair {
	struct attend attend;
	int monitor; /* the other end */
};

static int set_up(void **state)
{
	static struct pair pair;
	int fds[2];
	struct err e;

	attend_init(&pair.attend);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -1;
	pair.monitor = fds[1];
	*state = &pair;
	return attend_open(&pair.attend, fds[0], &e);
}

static int tear_down(void **state)
{
	struct pair *pair = *state;

	attend_fini(&pair->attend);
	fd_closep(&pair->monitor);
	return 0;
}

static void say(struct pair *pair, const char *text)
{
	assert_int_equal(fd_send_packet(pair->monitor, text, strlen(text), NULL, 0), 0);
}

static void hear(struct pair *pair, const char *want)
{
	struct err e;
	cleanup_json json_t *packet = monitor_receive(pair->monitor, 1000, &e);
	cleanup_json json_t *wanted = json_loads(want, 0, NULL);

	if (!packet)
		fail_msg("%s: %s", want, e.text);
	assert_true(json_equal(packet, wanted));
}

static void test_exit(void **state)
{
	struct pair *pair = *state;
	struct attend *a = &pair->attend;
	struct err e;

	say(pair, "{\"reply\":\"exec\",\"ok\":true}");
	say(pair, "{\"event\":\"started\",\"pid\":7}");
	say(pair, "{\"event\":\"exited\",\"code\":42}");
	assert_int_equal(attend_start(a, &e), 0);
	assert_true(a->started);
	assert_false(a->over);
	assert_int_equal(attend_run(a, &e), 0);
	assert_false(a->failed);
	assert_int_equal(a->code, 42);
}

static void test_signals(void **state)
{
	struct pair *pair = *state;
	struct err e;

	say(pair, "{\"event\":\"started\",\"pid\":7}");
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGTERM);
	kill(getpid(), SIGCHLD);
	/* One that comes with "started" is the process's. */
	assert_int_equal(attend_start(&pair->attend, &e), 0);
	hear(pair, "{\"op\":\"kill\",\"signal\":10}");
	hear(pair, "{\"op\":\"kill\",\"signal\":15}");
	say(pair, "{\"event\":\"exited\",\"code\":143}");
	assert_int_equal(attend_run(&pair->attend, &e), 0);
	assert_int_equal(pair->attend.code, 143);
}

static void test_signal_before_start(void **state)
{
	struct pair *pair = *state;
	struct attend *a = &pair->attend;
	struct err e;

	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGINT);
	assert_int_equal(attend_start(a, &e), 0);
	assert_true(a->over);
	assert_true(a->failed);
	assert_int_equal(a->code, 130);
	assert_int_equal(recv(pair->monitor, &e, 1, MSG_DONTWAIT), -1);
}

static void test_failures(void **state)
{
	static const struct {
		const char *packet, *text;
	} cases[] = {
		{"{\"reply\":\"exec\",\"ok\":false,\"code\":1,\"message\":\"no\"}", "no"},
		{"{\"reply\":\"exec\",\"ok\":false}", "the monitor refused"},
		{"{\"event\":\"failed\",\"code\":127,\"message\":\"gone\"}",
			"unable to start container process: gone"},
		{"{]", NULL},
		{NULL, "container not running"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err e;
		if (i)
			assert_int_equal(set_up(state), 0);
		struct pair *pair = *state;
		if (cases[i].packet)
			say(pair, cases[i].packet);
		else
			fd_closep(&pair->monitor);
		assert_int_equal(attend_start(&pair->attend, &e), 0);
		assert_true(pair->attend.failed);
		assert_int_equal(pair->attend.code, 255);
		if (cases[i].text)
			assert_string_equal(pair->attend.err.text, cases[i].text);
		if (i + 1 < sizeof(cases) / sizeof(cases[0]))
			tear_down(state);
	}
}

/* The container is gone, and the process with it. */
static void test_monitor_gone(void **state)
{
	struct pair *pair = *state;
	struct err e;

	say(pair, "{\"event\":\"started\",\"pid\":7}");
	fd_closep(&pair->monitor);
	assert_int_equal(attend_start(&pair->attend, &e), 0);
	assert_int_equal(attend_run(&pair->attend, &e), 0);
	assert_false(pair->attend.failed);
	assert_int_equal(pair->attend.code, 137);
}

static void test_resize(void **state)
{
	struct winsize size = {.ws_row = 24, .ws_col = 80};
	struct pair *pair = *state;
	struct attend *a = &pair->attend;
	int master, slave;
	struct err e;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
	a->terminal = slave;
	a->rows = 24;
	a->columns = 80;
	say(pair, "{\"event\":\"started\",\"pid\":7}");
	assert_int_equal(attend_start(a, &e), 0);
	assert_int_equal(recv(pair->monitor, &e, 1, MSG_DONTWAIT), -1); /* it knows */
	size.ws_row = 50;
	assert_int_equal(ioctl(master, TIOCSWINSZ, &size), 0);
	kill(getpid(), SIGWINCH);
	attend_resize(a); /* the signal then finds that it knows, again */
	say(pair, "{\"event\":\"exited\",\"code\":0}");
	assert_int_equal(attend_run(a, &e), 0);
	hear(pair, "{\"op\":\"resize\",\"rows\":50,\"columns\":80}");
	close(master);
	close(slave);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_exit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_signals, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_signal_before_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_monitor_gone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_resize, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
