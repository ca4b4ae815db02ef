/* SPDX-License-Identifier: Apache-2.0 */
/* The process of an exec: from the container's configuration and options, and from a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/process.h"

#define CONFIG                                                                                     \
	"{\"ociVersion\":\"1.0.2\",\"x\":1,\"root\":{\"path\":\"r\"},\"process\":{"                \
	"\"args\":[\"sh\"],\"cwd\":\"/w\",\"terminal\":true,\"env\":[\"A=1\"],\"unknown\":{},"     \
	"\"consoleSize\":{\"height\":3,\"width\":4},\"noNewPrivileges\":true,"                     \
	"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":5,\"hard\":18446744073709551615}],"     \
	"\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"inheritable\":[\"CAP_KILL\"]},"           \
	"\"user\":{\"uid\":7,\"gid\":8,\"additionalGids\":[9]}}}"

static int from_config(json_t **process, const struct process_options *options, struct err *e)
{
	cleanup_close int fd = fd_memfile("config", CONFIG, sizeof(CONFIG) - 1);

	*process = NULL;
	return process_from_config(process, fd, options, e);
}

static int from_file(json_t **process, const char *text, struct err *e)
{
	cleanup_close int fd = fd_memfile("process", text, strlen(text));

	*process = NULL;
	return process_from_file(process, fd, "p.json", e);
}

static void assert_json(const json_t *have, const char *want)
{
	cleanup_json json_t *parsed = json_loads(want, 0, NULL);
	cleanup_free char *text = json_dumps(have, JSON_COMPACT | JSON_SORT_KEYS);

	assert_non_null(parsed);
	if (!json_equal(have, parsed))
		fail_msg("%s\nis not %s", text, want);
}

static void test_plain(void **state)
{
	char *args[] = {"id", "-u", NULL};
	struct process_options options = {.args = args};
	cleanup_json json_t *process = NULL;
	struct err e;

	(void)state;
	assert_int_equal(from_config(&process, &options, &e), 0);
	assert_json(process,
		"{\"args\":[\"id\",\"-u\"],\"cwd\":\"/w\",\"terminal\":false,\"env\":[\"A=1\"],"
		"\"noNewPrivileges\":true,\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":5,"
		"\"hard\":-1}],\"capabilities\":{\"bounding\":[\"CAP_KILL\"],"
		"\"inheritable\":[\"CAP_KILL\"]},"
		"\"user\":{\"uid\":7,\"gid\":8,\"additionalGids\":[9]}}");
}

static void test_options(void **state)
{
	char *args[] = {"id", NULL};
	struct process_options options = {
		.args = args,
		.cwd = "/tmp",
		.user = "11:12",
		.env = {.texts = {"B=2", "C="}, .n = 2},
		.caps = {.texts = {"CAP_CHOWN"}, .n = 1},
		.gids = {.texts = {"13", "14"}, .n = 2},
		.tty = true,
		.apparmor = "a",
		.label = "l",
	};
	cleanup_json json_t *process = NULL;
	struct err e;

	(void)state;
	assert_int_equal(from_config(&process, &options, &e), 0);
	assert_json(process,
		"{\"args\":[\"id\"],\"cwd\":\"/tmp\",\"terminal\":true,"
		"\"env\":[\"A=1\",\"B=2\",\"C=\"],"
		"\"noNewPrivileges\":true,\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":5,"
		"\"hard\":-1}],\"capabilities\":{\"bounding\":[\"CAP_KILL\",\"CAP_CHOWN\"],"
		"\"effective\":[\"CAP_CHOWN\"],\"permitted\":[\"CAP_CHOWN\"],"
		"\"ambient\":[\"CAP_CHOWN\"],\"inheritable\":[\"CAP_KILL\"]},"
		"\"apparmorProfile\":\"a\",\"selinuxLabel\":\"l\","
		"\"user\":{\"uid\":11,\"gid\":12,\"additionalGids\":[9,13,14]}}");
}

static void test_option_faults(void **state)
{
	char *args[] = {"id", NULL}, *none[] = {NULL};
	const struct {
		struct process_options options;
		const char *text;
	} bad[] = {
		{{.args = none}, "process args cannot be empty"},
		{{.args = args, .cwd = "tmp"}, "Cwd must be an absolute path"},
		{{.args = args, .user = "abc"}, "parsing abc as int for uid failed"},
		{{.args = args, .user = "1:b"}, "parsing b as int for gid failed"},
		{{.args = args, .user = ":1"}, "parsing  as int for uid failed"},
		{{.args = args, .user = "4294967296"}, "parsing 4294967296 as int for uid failed"},
		{{.args = args, .gids = {.texts = {"-1"}, .n = 1}}, "additional-gids must be"},
		{{.args = args, .env = {.texts = {"A=\xff"}, .n = 1}}, "env: not valid UTF-8"},
		{{.args = args, .env = {.texts = {"B"}, .n = 1}},
			"invalid environment variable: \"B\""},
		{{.args = args, .env = {.texts = {"=B"}, .n = 1}},
			"environment variable name can't be empty: \"=B\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cleanup_json json_t *process = NULL;
		struct err e;
		assert_int_equal(from_config(&process, &bad[i].options, &e), -EINVAL);
		assert_null(process);
		if (strncmp(e.text, bad[i].text, strlen(bad[i].text)) != 0)
			fail_msg("%zu: %s", i, e.text);
	}
}

static void test_file(void **state)
{
	cleanup_json json_t *process = NULL;
	struct err e;

	(void)state;
	assert_int_equal(
		from_file(&process,
			"{\"args\":[\"id\"],\"cwd\":\"/\",\"unknown\":1,\"commandLine\":\"x\","
			"\"consoleSize\":{\"height\":3,\"width\":4},\"rlimits\":[{\"type\":"
			"\"RLIMIT_CORE\",\"soft\":18446744073709551615,"
			"\"hard\":18446744073709551615}]}",
			&e),
		0);
	assert_json(process,
		"{\"args\":[\"id\"],\"cwd\":\"/\",\"consoleSize\":{\"height\":3,\"width\":4},"
		"\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":-1,\"hard\":-1}]}");
}

static void test_file_faults(void **state)
{
	static const struct {
		const char *text, *message;
	} bad[] = {
		{"", "p.json: "},
		{"[]", "p.json: must be an object"},
		{"{\"args\":5,\"cwd\":\"/\"}", "p.json: args: must be an array"},
		{"{\"args\":[\"a\",5],\"cwd\":\"/\"}", "p.json: args[1]: must be a string"},
		{"{\"args\":[\"a\"]}", "p.json: cwd: is missing"},
		{"{\"args\":[\"a\"],\"cwd\":\"x\"}", "p.json: cwd: must be absolute"},
		{"{\"args\":[],\"cwd\":\"/\"}", "p.json: args: must not be empty"},
		{"{\"args\":[\"a\"],\"cwd\":\"/\",\"rlimits\":[{\"type\":\"RLIMIT_X\",\"soft\":1,"
		 "\"hard\":1}]}",
			"p.json: rlimits[0].type: \"RLIMIT_X\" is not known"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cleanup_json json_t *process = NULL;
		struct err e;
		assert_int_equal(from_file(&process, bad[i].text, &e), -EINVAL);
		assert_null(process);
		if (strncmp(e.text, bad[i].message, strlen(bad[i].message)) != 0)
			fail_msg("%zu: %s", i, e.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_option_faults),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_file_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
