/* SPDX-License-Identifier: Apache-2.0 */
/* What hvrun-fs says, in the monitor's log: marked, whole, clean, and not without end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "microvm/vmm/fs_log.h"

struct place {
	struct loop loop;
	struct fs_log log;
	FILE *out;
	int pipe; /* hvrun-fs's end */
};

static struct place *begin(size_t left_bytes)
{
	static struct place place;
	struct err e;
	int ends[2];

	place.out = tmpfile();
	assert_non_null(place.out);
	log_init("test", fileno(place.out), LOG_LEVEL_WARNING);
	assert_int_equal(loop_init(&place.loop), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	place.pipe = ends[1];
	assert_int_equal(fs_log_init(&place.log, &place.loop, ends[0], left_bytes, &e), 0);
	return &place;
}

static void say(struct place *p, const char *text, size_t len_bytes)
{
	assert_int_equal(write(p->pipe, text, len_bytes), len_bytes);
	assert_int_equal(loop_run_once(&p->loop, 0), 0);
}

/* All that was logged, in text. */
static void end(struct place *p, char *text, size_t cap_bytes)
{
	fs_log_fini(&p->log);
	loop_fini(&p->loop);
	log_init("test", STDERR_FILENO, LOG_LEVEL_WARNING);
	rewind(p->out);
	text[fread(text, 1, cap_bytes - 1, p->out)] = '\0';
	fclose(p->out);
	if (p->pipe >= 0)
		close(p->pipe);
}

static void test_lines(void **state)
{
	struct place *p = begin(FS_LOG_BYTES);
	char text[512];

	(void)state;
	say(p, "hvrun-fs: warn", 14);
	say(p, "ing: a\nhvrun-vmm: \033[2Jlies\n\nno end", 34);
	close(p->pipe);
	p->pipe = -1;
	end(p, text, sizeof(text));
	assert_string_equal(text,
		"hvrun-fs: warning: a\nhvrun-fs: hvrun-vmm: ?[2Jlies\nhvrun-fs: \n"
		"hvrun-fs: no end\n");
}

/* It is alive, and says more than anybody wants to read: its pipe is closed. */
static void test_flood(void **state)
{
	struct place *p = begin(3 * FS_LOG_LINE_BYTES);
	char text[8 * FS_LOG_LINE_BYTES], *flood = text;

	(void)state;
	memset(flood, 'x', sizeof(text));
	for (int i = 0; i < 3; i++) /* without an end of line: in pieces */
		say(p, flood, FS_LOG_LINE_BYTES);
	assert_int_equal(write(p->pipe, flood, 1), -1);
	end(p, text, sizeof(text));
	assert_true(strlen(text) < 3 * FS_LOG_LINE_BYTES);
	assert_non_null(strstr(text, "xxxx\ntest: warning: hvrun-fs says too much"));
}

static void test_nobody(void **state)
{
	struct fs_log log;
	struct loop loop;
	struct err e;

	(void)state;
	assert_int_equal(loop_init(&loop), 0);
	assert_int_equal(fs_log_init(&log, &loop, -1, 1, &e), 0);
	fs_log_fini(&log);
	fs_log_fini(&log);
	loop_fini(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_nobody),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("fs_log", tests, NULL, NULL);
}
