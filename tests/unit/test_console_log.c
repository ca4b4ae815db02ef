/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's console: lines, bounds, escapes, the panic line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "microvm/vmm/console_log.h"

static void say(struct console_log *log, const char *text)
{
	console_log_write(log, text, strlen(text));
}

static void expect_line(const json_t *tail, size_t i, const char *text)
{
	assert_string_equal(json_string_value(json_array_get(tail, i)), text);
}

static void test_lines(void **state)
{
	struct console_log log;

	(void)state;
	assert_int_equal(console_log_init(&log), 0);
	cleanup_json json_t *none = console_log_tail(&log);
	assert_true(json_is_array(none));
	assert_int_equal(json_array_size(none), 0);
	say(&log, "one\r\ntw");
	say(&log, "o\n\n\nunder way");
	cleanup_json json_t *tail = console_log_tail(&log);
	assert_int_equal(json_array_size(tail), 3);
	expect_line(tail, 0, "one");
	expect_line(tail, 1, "two");
	expect_line(tail, 2, "under way");
	console_log_fini(&log);
}

static void test_keeps_the_last(void **state)
{
	struct console_log log;
	char text[32];

	(void)state;
	assert_int_equal(console_log_init(&log), 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "line %d\n", i);
		say(&log, text);
	}
	cleanup_json json_t *tail = console_log_tail(&log);
	assert_int_equal(json_array_size(tail), CONSOLE_LOG_LINES);
	expect_line(tail, 0, "line 960");
	expect_line(tail, CONSOLE_LOG_LINES - 1, "line 999");
	console_log_fini(&log);
}

static void test_escapes_and_breaks(void **state)
{
	struct console_log log;
	char line[1000];
	const json_t *value;
	size_t i;

	(void)state;
	assert_int_equal(console_log_init(&log), 0);
	console_log_write(&log, "a\033[2J\0b\tc\377\n", 11);
	cleanup_json json_t *one = console_log_tail(&log);
	assert_int_equal(json_array_size(one), 1);
	expect_line(one, 0, "a\\x1b[2J\\x00b c\\xff");
	memset(line, 'x', sizeof(line));
	console_log_write(&log, line, sizeof(line));
	cleanup_json json_t *tail = console_log_tail(&log);
	assert_true(json_array_size(tail) > 6);
	json_array_foreach (tail, i, value)
		for (const char *p = json_string_value(value); *p; p++)
			assert_true(*p >= ' ' && *p <= '~');
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
