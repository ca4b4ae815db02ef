/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostics: lines that are safe to print, and how many bytes a guest can make a process log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"

#define LINES 1000

static int setup(void **state)
{
	FILE *out = tmpfile();

	*state = out;
	if (!out)
		return -1;
	log_init("test", fileno(out), LOG_LEVEL_WARNING);
	return 0;
}

static int teardown(void **state)
{
	log_init("test", 2, LOG_LEVEL_WARNING);
	return fclose(*state);
}

static size_t logged_bytes(FILE *out)
{
	struct stat st;

	assert_int_equal(fstat(fileno(out), &st), 0);
	return (size_t)st.st_size;
}

/* How often the words are in the log. */
static unsigned count(FILE *out, const char *words)
{
	char line[4096];
	unsigned n = 0;

	rewind(out);
	while (fgets(line, sizeof(line), out))
		n += strstr(line, words) != NULL;
	return n;
}

static void test_lines(void **state)
{
	char line[64];

	log_warn("a\033[2J\tb\nc\177");
	log_warn("\u00e9\xc2\x9b"
		 "2J\x9b");
	log_foreign("other: ", "\xc2\x9b\0", 3);
	log_info("not at this level");
	rewind(*state);
	assert_non_null(fgets(line, sizeof(line), *state));
	assert_string_equal(line, "test: warning: a?[2J\tb?c?\n");
	assert_non_null(fgets(line, sizeof(line), *state));
	assert_string_equal(line, "test: warning: \u00e9??2J?\n");
	assert_non_null(fgets(line, sizeof(line), *state));
	assert_string_equal(line, "other: ???\n");
	assert_null(fgets(line, sizeof(line), *state));
}

/* What a guest says, at whichever level, has its room, and the program's own words theirs. */
static void test_size(void **state)
{
	char text[1001];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < LINES; i++)
		log_guest_line(i % 2 ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "guest: %s", text);
	assert_in_range(logged_bytes(*state), LOG_BYTES_MAX - 2000, LOG_BYTES_MAX + 100);
	assert_int_equal(count(*state, "no more of what the guest says is logged"), 1);
	log_guest_line(LOG_LEVEL_ERROR, "short");
	assert_int_equal(count(*state, "short"), 0);
	log_warn("own words");
	assert_int_equal(count(*state, "own words"), 1);
	for (int i = 0; i < LINES; i++)
		log_warn("%s", text);
	assert_in_range(logged_bytes(*state), 2 * LOG_BYTES_MAX - 4000, 2 * LOG_BYTES_MAX + 200);
	assert_int_equal(count(*state, "no more of this is logged, but for errors"), 1);
	log_error("the last word");
	assert_int_equal(count(*state, "the last word"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_size, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
