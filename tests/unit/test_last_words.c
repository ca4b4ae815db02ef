/* SPDX-License-Identifier: Apache-2.0 */
/* How a VM's failure is told where nobody waits for it: stream, log, and no waiting. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "microvm/vmm/last_words.h"

static const char event[] = "{\"event\":\"failed\",\"code\":125,\"message\":\"it \\\"ended\\\"\","
			    "\"console\":[\"one\",\"two\"]}";

static json_t *parse(const char *text)
{
	struct err e;
	json_t *json = json_parse(text, strlen(text), 4, &e);

	assert_non_null(json);
	return json;
}

/* What a descriptor of the pipe or file holds now. */
static const char *held(int fd, bool file)
{
	static char text[4096];

	if (file)
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void test_stream(void **state)
{
	cleanup_json json_t *failed = parse(event);
	int pipe_fds[2];

	(void)state;
	for (int terminal = 0; terminal < 2; terminal++) {
		struct last_words words;
		assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
		last_words_init(&words);
		last_words_keep_stream(&words, pipe_fds[1], terminal);
		close(pipe_fds[1]);
		last_words_say(&words, failed);
		assert_string_equal(held(pipe_fds[0], false),
			terminal ? "hvrun: it \"ended\"; the last lines of the guest's console:\r\n"
				   "hvrun: guest: one\r\nhvrun: guest: two\r\n"
				 : "hvrun: it \"ended\"; the last lines of the guest's console:\n"
				   "hvrun: guest: one\nhvrun: guest: two\n");
		/* Nobody has it any more: the end of file, not EAGAIN. */
		assert_int_equal(read(pipe_fds[0], (char[1]){0}, 1), 0);
		last_words_fini(&words);
		close(pipe_fds[0]);
	}
}

/* A pipe that is full, blocking or not, and one that nobody reads. */
static void test_no_waiting(void **state)
{
	cleanup_json json_t *failed = parse(event);
	char page[4096] = {0};
	int pipe_fds[2];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 3; i++) {
		struct last_words words;
		assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
		while (write(pipe_fds[1], page, sizeof(page)) > 0)
			;
		assert_int_equal(fd_set_nonblock(pipe_fds[1], i == 0), 0);
		if (i == 2)
			close(pipe_fds[0]);
		last_words_init(&words);
		last_words_keep_stream(&words, pipe_fds[1], false);
		last_words_say(&words, failed);
		last_words_fini(&words);
		close(pipe_fds[1]);
		if (i != 2)
			close(pipe_fds[0]);
	}
}

static void test_log(void **state)
{
	cleanup_json json_t *failed = parse(event);
	static const char all[] = "it \"ended\"; the last lines of the guest's console:\n"
				  "guest: one\nguest: two";

	(void)state;
	for (int json = 0; json < 2; json++) {
		struct last_words words;
		cleanup_close int file = fd_memfile("log", "", 0);
		time_t before = time(NULL);
		bool found = false;
		struct tm tm;
		char stamp[40];

		last_words_init(&words);
		words.json = json;
		words.log_fd = fcntl(file, F_DUPFD_CLOEXEC, 3);
		last_words_say(&words, failed);
		last_words_fini(&words);
		const char *text = held(file, true);
		for (time_t now = time(NULL); now >= before && !found; now--) {
			strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
			found = strstr(text, stamp);
		}
		assert_true(found);
		assert_ptr_equal(strchr(text, '\n') + 1, text + strlen(text));
		if (json) {
			cleanup_json json_t *line = parse(text);
			assert_string_equal(
				json_string_value(json_object_get(line, "level")), "error");
			assert_string_equal(json_string_value(json_object_get(line, "msg")), all);
		} else {
			assert_non_null(strstr(text, "Z\" level=error msg=\"it \\\"ended\\\"; "));
			assert_non_null(strstr(text, "\\nguest: one\\nguest: two\"\n"));
		}
	}
}

/* Nothing to say, and nowhere to say it. */
static void test_nothing(void **state)
{
	cleanup_json json_t *failed = parse(event), *empty = parse("{\"event\":\"failed\"}");
	struct last_words words;

	(void)state;
	last_words_init(&words);
	last_words_keep_stream(&words, -1, false);
	last_words_say(&words, failed);
	last_words_say(&words, empty);
	last_words_fini(&words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_no_waiting),
		cmocka_unit_test(test_log),
		cmocka_unit_test(test_nothing),
	};
	log_init("test", open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
