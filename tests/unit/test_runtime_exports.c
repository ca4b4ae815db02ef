/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a bundle's root and mounts is exported to the virtual machine, with which flags, and the
 * sources that are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/support/plan_box.h"

static void test_exports(void **state)
{
	struct plan_box box = {0};
	const struct export *list;

	(void)state;
	plan_box_make(&box,
		"'root':{'path':'rootfs'},'mounts':["
		"{'destination':'/proc','type':'proc'},"
		"{'destination':'/a','source':'data','type':'bind','options':['ro','nodev']},"
		"{'destination':'/b','source':'link','options':['rbind','ro','rw','nosuid']},"
		"{'destination':'/c','source':'file','options':['bind','rro']},"
		"{'destination':'/d','source':'/dev/null','options':['bind']}]");
	plan_box_exports(&box);
	list = box.exports.list;
	assert_int_equal(box.exports.n, 5);
	assert_string_equal(list[0].name, "rootfs");
	assert_false(list[0].readonly);
	assert_string_equal(list[1].name, "mount-1");
	assert_true(
		list[0].recursive && !list[1].recursive && list[2].recursive && !list[3].recursive);
	assert_true(list[1].readonly && list[1].nodev && !list[1].nosuid);
	assert_string_equal(list[2].name, "mount-2");
	assert_true(!list[2].readonly && list[2].nosuid);
	assert_true(list[3].readonly);
	assert_string_equal(list[4].path, "/dev/null");
	assert_true(fcntl(list[2].fd, F_GETFL) & O_PATH);
	plan_box_destroy(&box);
}

/* root.readonly is enforced by the host when nothing is left to be made in the root. */
static void test_readonly_root(void **state)
{
	static const char config[] =
		"'root':{'path':'rootfs','readonly':true},'mounts':["
		"{'destination':'/dev','type':'tmpfs'},{'destination':'/dev/shm','type':'tmpfs'}]";
	struct plan_box box = {0};

	(void)state;
	plan_box_make(&box, config);
	plan_box_exports(&box);
	assert_false(box.exports.list[0].readonly);
	plan_box_destroy(&box);
	plan_box_make(&box, config);
	assert_int_equal(mkdirat(box.dir, "rootfs/dev", 0755), 0);
	plan_box_exports(&box);
	assert_true(box.exports.list[0].readonly);
	plan_box_destroy(&box);
	/* A link to outside means the container's own outside. */
	plan_box_make(&box, config);
	assert_int_equal(symlinkat("/proc", box.dir, "rootfs/dev"), 0);
	plan_box_exports(&box);
	assert_false(box.exports.list[0].readonly);
	plan_box_destroy(&box);
}

static void test_bad_sources(void **state)
{
	static const char *const bad[][2] = {
		{"none", "config.json: mounts[0].source: none: no such file or directory"},
		{"fifo", "is a named pipe"},
		{"/dev/mem", "which is not passed into the virtual machine"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct plan_box box = {0};
		struct err e;
		char text[256];
		if (bad[i][0][0] == '/' && access(bad[i][0], F_OK) < 0)
			continue;
		snprintf(text, sizeof(text),
			"'root':{'path':'rootfs'},'mounts':[{'destination':'/a','source':'%s',"
			"'options':['bind']}]",
			bad[i][0]);
		plan_box_make(&box, text);
		assert_int_equal(mkfifoat(box.dir, "fifo", 0600), 0);
		assert_true(exports_open(&box.exports, &box.config, box.dir, box.path, &e) < 0);
		if (!strstr(e.text, bad[i][1]))
			fail_msg("%s", e.text);
		assert_int_equal(strncmp(e.text, "config.json: mounts[0].source: ", 31), 0);
		plan_box_destroy(&box);
	}
	struct plan_box box = {0};
	struct err e;
	plan_box_make(&box, "'root':{'path':'file'}");
	assert_int_equal(exports_open(&box.exports, &box.config, box.dir, box.path, &e), -ENOTDIR);
	assert_non_null(strstr(e.text, "config.json: root.path: "));
	plan_box_destroy(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exports),
		cmocka_unit_test(test_readonly_root),
		cmocka_unit_test(test_bad_sources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
