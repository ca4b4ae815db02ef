/* SPDX-License-Identifier: Apache-2.0 */
/* What a command says of a failure: the kernel's reasons, and the lines of --log. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "runtime/report.h"

/* Callers of OCI runtimes look for these words as Go has them. */
static void test_reasons(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(err_sys(&e, ENOENT, "%s", "/a"), -ENOENT);
	assert_string_equal(e.text, "/a: no such file or directory");
	err_sys(&e, EACCES, "%s", "/a");
	assert_string_equal(e.text, "/a: permission denied");
	err_sys(&e, ENOTUNIQ, "a");
	assert_string_equal(e.text, "a: name not unique on network");
	err_sys(&e, EREMOTEIO, "a");
	assert_string_equal(e.text, "a: remote I/O error");
	err_sys(&e, EDOTDOT, "a");
	assert_string_equal(e.text, "a: RFS specific error");
}

/* Reports one message, and returns what the log has then, the caller's. */
static char *logged(const char *format, const char *message)
{
	char path[] = "/tmp/report.XXXXXX", *text;
	struct report report;
	struct err e;

	cleanup_close int fd = mkstemp(path);
	assert_true(fd >= 0);
	cleanup_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	log_init("test", null, LOG_LEVEL_ERROR);
	assert_int_equal(report_open(&report, path, format, &e), 0);
	report_line(&report, "error", message);
	report_close(&report);
	log_init("test", STDERR_FILENO, LOG_LEVEL_WARNING);
	assert_int_equal(fd_slurp(fd, 1 << 20, &text, NULL), 0);
	unlink(path);
	return text;
}

/* However long, and whatever is in it, a line is one JSON object. */
static void test_json(void **state)
{
	char quotes[ERR_TEXT_BYTES], odd[] = "a\"b\\c\xff\x01\xc2\x9b";
	struct err e;

	(void)state;
	memset(quotes, '"', sizeof(quotes));
	quotes[sizeof(quotes) - 1] = '\0';
	cleanup_free char *text = logged("json", quotes), *other = logged("json", odd);
	cleanup_json json_t *line = json_parse(text, strlen(text), 2, &e);
	if (!line)
		fail_msg("%s", e.text);
	assert_string_equal(json_string_value(json_object_get(line, "msg")), quotes);
	assert_string_equal(json_string_value(json_object_get(line, "level")), "error");
	assert_int_equal(text[strlen(text) - 1], '\n');
	cleanup_json json_t *second = json_parse(other, strlen(other), 2, &e);
	assert_non_null(second);
	assert_string_equal(json_string_value(json_object_get(second, "msg")), "a\"b\\c????");
}

static void test_text(void **state)
{
	cleanup_free char *text = logged("text", "chdir (\"/a\") failed");

	(void)state;
	assert_non_null(strstr(text, " level=error msg=\"chdir (\\\"/a\\\") failed\"\n"));
	assert_int_equal(strncmp(text, "time=\"2", 7), 0);
}

/* What the guest's kernel said: a line each on stderr, all of it one message in the log. */
static void test_console(void **state)
{
	char path[] = "/tmp/report.XXXXXX", *text, *shown;
	FILE *err = tmpfile();
	struct report report;
	struct err e;

	(void)state;
	cleanup_close int fd = mkstemp(path);
	assert_true(fd >= 0 && err);
	cleanup_json json_t *console = json_pack("[s, s]", "first", "hvrun: last\033[2J");
	log_init("test", fileno(err), LOG_LEVEL_ERROR);
	assert_int_equal(report_open(&report, path, "json", &e), 0);
	report_failure(&report, "it\nfailed", console);
	report_failure(&report, "again", NULL);
	report_close(&report);
	log_init("test", STDERR_FILENO, LOG_LEVEL_WARNING);
	rewind(err);
	assert_int_equal(fd_slurp(fileno(err), 1 << 20, &shown, NULL), 0);
	assert_string_equal(shown,
		"test: it?failed; the last lines of the guest's console:\n"
		"test: guest: first\n"
		"test: guest: hvrun: last?[2J\n"
		"test: again\n");
	assert_int_equal(fd_slurp(fd, 1 << 20, &text, NULL), 0);
	*strchr(text, '\n') = '\0';
	cleanup_json json_t *line = json_parse(text, strlen(text), 2, &e);
	assert_string_equal(json_string_value(json_object_get(line, "msg")),
		"it?failed; the last lines of the guest's console:\nguest: first\n"
		"guest: hvrun: last?[2J");
	free(text);
	free(shown);
	fclose(err);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reasons),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_console),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
