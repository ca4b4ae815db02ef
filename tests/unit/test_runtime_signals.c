/* SPDX-License-Identifier: Apache-2.0 */
/* Names and numbers of signals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "runtime/signals.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		int signal;
	} good[] = {
		{"9", SIGKILL},
		{"0", 0},
		{"64", 64},
		{"+3", 3},
		{"-0", 0},
		{"KILL", SIGKILL},
		{"SIGKILL", SIGKILL},
		{"sigterm", SIGTERM},
		{"Term", SIGTERM},
		{"hup", SIGHUP},
		{"IOT", SIGABRT},
		{"CLD", SIGCHLD},
		{"SIGPOLL", SIGIO},
		{"WINCH", SIGWINCH},
		{"RTMIN", 34},
		{"SIGRTMIN+3", 37},
		{"rtmin+30", 64},
		{"RTMAX", 64},
		{"SIGRTMAX-30", 34},
	};
	static const char *const bad[] = {"", "-", "+", "0x9", "99999999999999999999", "9x", " 9",
		"SIG", "SIG9", "NONE", "RTMIN+", "RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN3",
		"SIGSIGTERM"};
	static const char *const beyond[] = {"-1", "65", "99999999999"};
	struct err e;
	int signal;

	(void)state;
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		assert_int_equal(signals_parse(beyond[i], &signal, &e), -EINVAL);
		assert_non_null(strstr(e.text, "unable to signal init: invalid argument"));
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		signal = -1;
		if (signals_parse(good[i].text, &signal, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(signal, good[i].signal);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char want[64];
		assert_int_equal(signals_parse(bad[i], &signal, &e), -EINVAL);
		snprintf(want, sizeof(want), "unknown signal \"%s\"", bad[i]);
		assert_string_equal(e.text, want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
