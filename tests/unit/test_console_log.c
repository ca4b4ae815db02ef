/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's console: lines, bounds, escapes, the panic line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "microvm/vmm/console_log.h"

static void say(struct console_log *log, const char *text)
{
	console_log_write(log, text, strlen(text));
}

static void test_lines(void **state)
{
	struct console_log log;
	char tail[CONSOLE_LOG_TAIL_BYTES];

	(void)state;
	assert_int_equal(console_log_init(&log), 0);
	assert_int_equal(console_log_tail(&log, tail, sizeof(tail)), 0);
	assert_string_equal(tail, "");
	say(&log, "one\r\ntw");
	say(&log, "o\n\n\nunder way");
	assert_int_equal(console_log_tail(&log, tail, sizeof(tail)), 3);
	assert_string_equal(tail, "\n    one\n    two\n    under way");
	console_log_fini(&log);
}

static void test_keeps_the_last(void **state)
{
	struct console_log log;
	char tail[CONSOLE_LOG_TAIL_BYTES], text[32];

	(void)state;
	assert_int_equal(console_log_init(&log), 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "line %d\n", i);
		say(&log, text);
	}
	assert_int_equal(console_log_tail(&log, tail, sizeof(tail)), CONSOLE_LOG_LINES);
	assert_memory_equal(tail, "\n    line 960\n", 14);
	assert_non_null(strstr(tail, "\n    line 999"));
	assert_null(strstr(tail, "line 959"));
	/* A caller with little room gets whole lines, and the text ends. */
	assert_int_equal(console_log_tail(&log, tail, 20), CONSOLE_LOG_LINES);
	assert_true(strlen(tail) < 20);
	console_log_fini(&log);
}

static void test_escapes_and_breaks(void **state)
{
	struct console_log log;
	char tail[CONSOLE_LOG_TAIL_BYTES], line[1000];

	(void)state;
	assert_int_equal(console_log_init(&log), 0);
	console_log_write(&log, "a\033[2J\0b\tc\377\n", 11);
	assert_int_equal(console_log_tail(&log, tail, sizeof(tail)), 1);
	assert_string_equal(tail, "\n    a\\x1b[2J\\x00b c\\xff");
	memset(line, 'x', sizeof(line));
	console_log_write(&log, line, sizeof(line));
	assert_true(console_log_tail(&log, tail, sizeof(tail)) > 6);
	for (char *p = tail; *p; p++)
		assert_true(*p == '\n' || (*p >= ' ' && *p <= '~'));
	/* Escapes at the very end of a line's room. */
	memset(line, 1, sizeof(line));
	console_log_write(&log, line, sizeof(line));
	console_log_fini(&log);
}

static void test_panic(void **state)
{
	struct console_log log;
	char text[CONSOLE_LOG_LINE_BYTES];

	(void)state;
	assert_int_equal(console_log_init(&log), 0);
	assert_false(console_log_panic(&log, text, sizeof(text)));
	say(&log, "[    1.2] Kernel panic - not syncing: first\n");
	say(&log, "[    1.3] Kernel panic - not syncing: second\n");
	for (int i = 0; i < 100; i++)
		say(&log, "trace\n");
	assert_true(console_log_panic(&log, text, sizeof(text)));
	assert_string_equal(text, "Kernel panic - not syncing: first");
	console_log_fini(&log);
}

/* A guest that floods its console fills neither memory nor the log. */
static void test_rate(void **state)
{
	struct console_log log;
	FILE *out = tmpfile();
	char line[256];
	unsigned lines = 0;

	(void)state;
	assert_non_null(out);
	log_init("test", fileno(out), LOG_LEVEL_DEBUG);
	assert_int_equal(console_log_init(&log), 0);
	for (int i = 0; i < 50000; i++)
		say(&log, "flood\n");
	rewind(out);
	while (fgets(line, sizeof(line), out))
		lines++;
	/* The flood may cross the end of a second or two. */
	assert_in_range(lines, CONSOLE_LOG_LINES_PER_S, 4 * CONSOLE_LOG_LINES_PER_S);
	log_init("test", 2, LOG_LEVEL_WARNING);
	console_log_fini(&log);
	fclose(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_keeps_the_last),
		cmocka_unit_test(test_escapes_and_breaks),
		cmocka_unit_test(test_panic),
		cmocka_unit_test(test_rate),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
