/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines by tables: spellings, values, bounds, and where options end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "runtime/options.h"

struct target {
	bool flag;
	const char *text;
	unsigned number;
	struct option_list list;
};

static const struct option_spec specs[] = {
	{.name = "flag",
		.letter = 'f',
		.kind = OPTION_FLAG,
		.offset = offsetof(struct target, flag)},
	{.name = "text", .kind = OPTION_TEXT, .offset = offsetof(struct target, text)},
	{.name = "number",
		.kind = OPTION_NUMBER,
		.offset = offsetof(struct target, number),
		.min = 2,
		.max = 64},
	{.name = "list",
		.letter = 'l',
		.kind = OPTION_LIST,
		.offset = offsetof(struct target, list)},
	{.name = "ignored", .kind = OPTION_ACCEPT},
	{.name = "ignored-text", .kind = OPTION_ACCEPT_TEXT},
	{0},
};

static int parse(struct target *target, int *first, struct err *e, ...)
{
	char *argv[12] = {"command"};
	int argc = 1;
	va_list ap;

	va_start(ap, e);
	while ((argv[argc] = va_arg(ap, char *)))
		argc++;
	va_end(ap);
	memset(target, 0, sizeof(*target));
	return options_parse(specs, target, argc, argv, first, e);
}

static void test_spellings(void **state)
{
	struct target t;
	struct err e;
	int first;

	(void)state;
	assert_int_equal(
		parse(&t, &first, &e, "-f", "--text", "a", "--number=7", "word", "--flag", NULL),
		0);
	assert_true(t.flag);
	assert_string_equal(t.text, "a");
	assert_int_equal(t.number, 7);
	assert_int_equal(first, 5);
	assert_int_equal(parse(&t, &first, &e, "-text=b", "-flag", "--", "-x", NULL), 0);
	assert_string_equal(t.text, "b");
	assert_true(t.flag);
	assert_int_equal(first, 4);
	assert_int_equal(parse(&t, &first, &e, "--text=", "--flag=false", "-", NULL), 0);
	assert_string_equal(t.text, "");
	assert_false(t.flag);
	assert_int_equal(first, 3);
	assert_int_equal(parse(&t, &first, &e, "--ignored", "--ignored-text", "x", "id", NULL), 0);
	assert_int_equal(first, 4);
}

static void test_faults(void **state)
{
	static const struct {
		char *word[2];
		const char *text;
	} bad[] = {
		{{"--none"}, "--none: no such option"},
		{{"--none=secret"}, "--none: no such option"},
		{{"--text"}, "--text needs a value"},
		{{"--flag=maybe"}, "--flag takes no value"},
		{{"--number", "1"}, "--number: \"1\" is not a number from 2 to 64"},
		{{"--number", "65"}, "--number: \"65\" is not"},
		{{"--number", "99999999999999999999"}, "--number: "},
		{{"--number", "-3"}, "--number: "},
		{{"--number", ""}, "--number: "},
		{{"--number", "7x"}, "--number: "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct target t;
		struct err e;
		int first;
		assert_int_equal(
			parse(&t, &first, &e, bad[i].word[0], bad[i].word[1], NULL), -EINVAL);
		if (strncmp(e.text, bad[i].text, strlen(bad[i].text)) != 0)
			fail_msg("%s: %s", bad[i].word[0], e.text);
	}
}

static void test_list(void **state)
{
	char *argv[2 * OPTION_LIST_MAX + 3] = {"command"};
	int argc = 1, first;
	struct target t;
	struct err e;

	(void)state;
	assert_int_equal(
		parse(&t, &first, &e, "-l", "a=1", "--list=b=2", "-list", "", "word", NULL), 0);
	assert_int_equal(t.list.n, 3);
	assert_string_equal(t.list.texts[0], "a=1");
	assert_string_equal(t.list.texts[1], "b=2");
	assert_string_equal(t.list.texts[2], "");
	assert_int_equal(first, 6);
	for (int i = 0; i <= OPTION_LIST_MAX; i++) {
		argv[argc++] = "-l";
		argv[argc++] = "x";
	}
	memset(&t, 0, sizeof(t));
	assert_int_equal(options_parse(specs, &t, argc - 2, argv, &first, &e), 0);
	assert_int_equal(t.list.n, OPTION_LIST_MAX);
	memset(&t, 0, sizeof(t));
	assert_int_equal(options_parse(specs, &t, argc, argv, &first, &e), -EINVAL);
	assert_non_null(strstr(e.text, "--list is given more than"));
}

/* Options before, between and behind the words. */
static void test_words(void **state)
{
	static char *const lines[][9] = {
		{"command", "one", "two"},
		{"command", "-f", "one", "--number", "7", "two", "-l", "x"},
		{"command", "one", "--", "two"},
		{"command", "--", "one", "two"},
		{"command", "one", "two", "-f"},
	};
	const char *words[2];
	struct target t;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		char *argv[9];
		int argc = 0;
		while (lines[i][argc])
			argc++;
		memcpy(argv, lines[i], sizeof(argv));
		memset(&t, 0, sizeof(t));
		assert_int_equal(options_parse_words(specs, &t, argc, argv, words, 2, &e), 0);
		assert_string_equal(words[0], "one");
		assert_string_equal(words[1], "two");
		assert_int_equal(options_parse_words(specs, &t, argc, argv, words, 1, &e), -EINVAL);
		assert_string_equal(e.text, "\"command\" requires exactly 1 argument(s)");
		assert_int_equal(options_parse_words(specs, &t, 1, argv, words, 1, &e), -EINVAL);
	}
	char *dashes[] = {"command", "--", "one", "-f", NULL};
	assert_int_equal(options_parse_words(specs, &t, 4, dashes, words, 2, &e), 0);
	assert_string_equal(words[1], "-f");
	char *unknown[] = {"command", "one", "--none", NULL};
	assert_int_equal(options_parse_words(specs, &t, 3, unknown, words, 1, &e), -EINVAL);
	assert_string_equal(e.text, "--none: no such option");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
