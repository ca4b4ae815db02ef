/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of hvrun-fs: what is accepted, and what each fault is called. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "microvm/fs/config.h"

/* Reads text with each @ being a descriptor of its own; the error, or NULL. */
static const char *read_config(struct fs_config *config, const char *format)
{
	static struct err e;
	char text[2048];
	size_t len = 0;
	int a = open("/tmp", O_PATH), b = open("/dev/null", O_RDONLY), c = open("/tmp", O_PATH);
	int fds[] = {b, a, c}, *next = fds;

	for (const char *at = format; *at; at++)
		len += (size_t)(*at == '@' ? snprintf(text + len, 12, "%d", *next++)
					   : snprintf(text + len, 2, "%c", *at));
	int fd = fd_memfile("config", text, strlen(text));
	assert_true(fd >= 0);
	int ret = fs_config_read(config, fd, NULL, &e);
	close(fd);
	if (!strstr(text, "\"fd\"")) {
		close(a);
		close(c);
	}
	return ret < 0 ? e.text : NULL;
}

static void test_good(void **state)
{
	struct fs_config config;

	(void)state;
	assert_null(read_config(&config,
		"{\"version\":1,\"socket\":@,\"threads\":7,\"mapIds\":true,\"debug\":true,"
		"\"exports\":["
		"{\"name\":\"rootfs\",\"fd\":@,\"path\":\"/a\"},"
		"{\"name\":\"v\",\"fd\":@,\"path\":\"/b\",\"readonly\":true,\"nodev\":true,"
		"\"nosuid\":true,\"recursive\":false,\"cache\":\"never\",\"locks\":\"host\"}]}"));
	assert_int_equal(config.workers, 7);
	assert_true(config.debug && config.map_ids);
	assert_int_equal(config.exports.n, 2);
	assert_true(config.exports.host_locks);
	struct export *x = exports_find(&config.exports, "v");
	assert_non_null(x);
	assert_true(x->readonly && x->nodev && x->nosuid && x->host_locks);
	assert_true(!x->recursive && x->one_mount);
	assert_int_equal(x->cache, CACHE_NEVER);
	x = exports_find(&config.exports, "rootfs");
	assert_true(x && !x->readonly && !x->nodev && !x->nosuid && !x->host_locks);
	assert_true(x->recursive && !x->one_mount);
	assert_int_equal(x->cache, CACHE_AUTO);
	assert_null(exports_find(&config.exports, "nothing"));
	fs_config_fini(&config);
}

static void refuse(const char *format, const char *message)
{
	struct fs_config config;
	const char *text = read_config(&config, format);

	assert_non_null(text);
	if (!strstr(text, message))
		fail_msg("\"%s\" does not say \"%s\"", text, message);
	fs_config_fini(&config);
}

static void test_refused(void **state)
{
	(void)state;
	refuse("{}", "version: must be 1");
	refuse("[]", "must be an object");
	refuse("{\"version\":2}", "version: must be 1");
	refuse("{\"version\":1}", "socket: missing");
	refuse("{\"version\":1,\"socket\":-1}", "socket: must be a descriptor");
	refuse("{\"version\":1,\"socket\":\"3\"}", "socket: must be a descriptor");
	refuse("{\"version\":1,\"socket\":99999}", "socket: descriptor 99999");
	refuse("{\"version\":1,\"socket\":@,\"surprise\":1}", "surprise: unknown");
	refuse("{\"version\":1,\"socket\":@,\"threads\":0}", "threads: must be a number from 1");
	refuse("{\"version\":1,\"socket\":@,\"threads\":65}", "threads: must be a number from 1");
	refuse("{\"version\":1,\"socket\":@,\"debug\":1}", "debug: must be true or false");
	refuse("{\"version\":1,\"socket\":@,\"exports\":{}}", "exports: must be an array");
	refuse("{\"version\":1,\"socket\":@,\"exports\":[3]}", "must be an object");
	refuse("{\"version\":1,\"socket\":@,\"exports\":[{\"fd\":@}]}", "name: must be a string");
	refuse("{\"version\":1,\"socket\":@,\"exports\":[{\"name\":\"a/b\",\"fd\":@}]}",
		"not a name");
	refuse("{\"version\":1,\"socket\":@,\"exports\":[{\"name\":\"..\",\"fd\":@}]}",
		"not a name");
	refuse("{\"version\":1,\"socket\":@,\"exports\":[{\"name\":\"a\",\"fd\":@,\"cache\":\"x\"}]"
	       "}",
		"cache: not a value");
	refuse("{\"version\":1,\"socket\":@,\"exports\":[{\"name\":\"a\",\"fd\":@},"
	       "{\"name\":\"a\",\"fd\":@}]}",
		"there is one of that name");
	refuse("{\"version\":1,\"socket\":@,\"exports\":[{\"name\":\"a\",\"fd\":0}]}",
		"not opened with O_PATH");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
