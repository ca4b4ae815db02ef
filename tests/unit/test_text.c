/* SPDX-License-Identifier: Apache-2.0 */
/* Text that others wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/text.h"

static void expect_character(const char *text, int32_t character, size_t bytes)
{
	size_t n;

	assert_int_equal(text_character(text, strlen(text), &n), character);
	assert_int_equal(n, bytes);
}

static void test_characters(void **state)
{
	static const char *const wrong[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2",
		"\xc2\x41", "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80", "\xf0\x9f\x98", "\xf8\x88\x80\x80\x80", "\xff"};

	(void)state;
	expect_character("ab", 'a', 1);
	expect_character("\x7f", 0x7f, 1);
	expect_character("\xc2\x80", 0x80, 2);
	expect_character("\xdf\xbfx", 0x7ff, 2);
	expect_character("\xe0\xa0\x80", 0x800, 3);
	expect_character("\xed\x9f\xbf", 0xd7ff, 3);
	expect_character("\xee\x80\x80", 0xe000, 3);
	expect_character("\xef\xbf\xbf", 0xffff, 3);
	expect_character("\xf0\x90\x80\x80", 0x10000, 4);
	expect_character("\xf4\x8f\xbf\xbf", 0x10ffff, 4);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		expect_character(wrong[i], -1, 1);
}

static void test_clean(void **state)
{
	char text[] = "a\tb\n\x1b[2J\x7f \xc2\x9b"
		      "1m \xc2\xa0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \x9b \xc3";

	(void)state;
	assert_true(text_is_control(-1) && text_is_control(0x9f) && text_is_control('\t'));
	assert_false(text_is_control(' ') || text_is_control(0xa0) || text_is_control('~'));
	text_clean(text, sizeof(text) - 1);
	assert_string_equal(
		text, "a\tb??[2J? ??1m \xc2\xa0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 ? ?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_characters),
		cmocka_unit_test(test_clean),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
