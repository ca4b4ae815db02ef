/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a container's cgroup lies, on trees of plain files in the shape of v1, hybrid and v2 hosts,
 * with a /proc that fits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "runtime/cgroup_internal.h"
#include "tests/unit/support/cgroup_tree.h"

static void plan(struct cgroup *cg, const char *path)
{
	struct cgroup_spec spec = {.path = path, .id = "c1", .proc = cgroup_tree_proc};
	struct err e;

	if (cgroup_locate(cg, &spec, &e) < 0)
		fail_msg("%s", e.text);
}

/* The path of a controller's place, without the tree's cgroup_tree_root. */
static const char *where(const struct cgroup *cg, const char *controller)
{
	for (size_t i = 0; i < cg->n; i++) {
		const struct cgroup_place *place = &cg->places[i];
		if (*controller ? cgroup_list_has(place->controllers, controller)
				: cgroup_place_v2(place))
			return place->path + strlen(cgroup_tree_root);
	}
	return NULL;
}

static void test_paths_v1(void **state)
{
	struct cgroup cg;

	(void)state;
	cgroup_tree_host(CGROUP_TREE_V1_MOUNTS, CGROUP_TREE_V1_OWN);
	plan(&cg, NULL);
	assert_int_equal(cg.n, 5); /* a hierarchy of somebody's own is not ours */
	assert_string_equal(where(&cg, "cpu"), "/cpu,cpuacct/c1");
	assert_string_equal(where(&cg, "cpuacct"), "/cpu,cpuacct/c1");
	assert_string_equal(where(&cg, "memory"), "/memory/user/me/c1");
	assert_string_equal(where(&cg, "blkio"), "/blk io/c1");
	assert_string_equal(where(&cg, "name=systemd"), "/systemd/user/me/c1");
	cgroup_fini(&cg);
	plan(&cg, "/machine/../a//./b");
	assert_string_equal(where(&cg, "memory"), "/memory/a/b");
	cgroup_fini(&cg);
	plan(&cg, "x/../../../y");
	assert_string_equal(where(&cg, "memory"), "/memory/user/me/y");
	assert_string_equal(where(&cg, "cpu"), "/cpu,cpuacct/y");
	cgroup_fini(&cg);
}

/* Inside a container the hierarchy's cgroup_tree_root is not what is mounted. */
static void test_paths_nested(void **state)
{
	struct cgroup cg;

	(void)state;
	cgroup_tree_host("30 22 0:2 /docker/abc %/cpu rw - cgroup cgroup rw,cpu\n"
			 "31 22 0:3 /docker/abc %/memory rw - cgroup cgroup rw,memory\n"
			 "32 22 0:3 /docker/abc %/memory2 rw - cgroup cgroup rw,memory\n",
		"2:cpu:/docker/abc/in\n1:memory:/elsewhere\n");
	plan(&cg, NULL);
	assert_string_equal(where(&cg, "cpu"), "/cpu/in/c1");
	assert_string_equal(where(&cg, "memory"), "/memory/c1");
	cgroup_fini(&cg);
}

static void test_paths_v2(void **state)
{
	struct cgroup cg;

	(void)state;
	cgroup_tree_host(CGROUP_TREE_V2_MOUNTS
		"40 22 0:9 / %/net_cls rw - cgroup cgroup rw,net_cls\n",
		"1:net_cls:/\n0::/user.slice/session\n");
	plan(&cg, NULL);
	assert_int_equal(cg.n, 1);
	assert_string_equal(where(&cg, ""), "/fs/user.slice/c1");
	cgroup_fini(&cg);
	plan(&cg, "/pods/p1/c1");
	assert_string_equal(where(&cg, ""), "/fs/pods/p1/c1");
	cgroup_fini(&cg);
	cgroup_tree_host(CGROUP_TREE_V2_MOUNTS, "0::/\n");
	plan(&cg, "rel/c1");
	assert_string_equal(where(&cg, ""), "/fs/rel/c1");
	cgroup_fini(&cg);
	/* Outside the cgroup namespace. */
	cgroup_tree_host(CGROUP_TREE_V2_MOUNTS, "0::/../../other\n");
	plan(&cg, NULL);
	assert_string_equal(where(&cg, ""), "/fs/c1");
	cgroup_fini(&cg);
}

static void test_paths_hybrid(void **state)
{
	struct cgroup cg;

	(void)state;
	cgroup_tree_host(CGROUP_TREE_V1_MOUNTS "36 22 0:8 / %/unified rw - cgroup2 cgroup2 rw\n",
		CGROUP_TREE_V1_OWN "0::/user/me\n");
	plan(&cg, NULL);
	assert_int_equal(cg.n, 6);
	assert_string_equal(where(&cg, ""), "/unified/user/me/c1");
	assert_string_equal(where(&cg, "memory"), "/memory/user/me/c1");
	cgroup_fini(&cg);
}

static void test_paths_none(void **state)
{
	struct cgroup cg;
	int fds[CGROUP_PLACES_MAX];
	struct err e;

	(void)state;
	cgroup_tree_host("22 1 0:1 / / rw - ext4 /dev/vda rw\nbroken\n- cgroup\n",
		CGROUP_TREE_V1_OWN "junk\n::\n");
	plan(&cg, NULL);
	assert_int_equal(cg.n, 0);
	assert_int_equal(cgroup_fds(&cg, fds), 0);
	assert_int_equal(cgroup_attach(&cg, getpid(), &e), 0);
	assert_int_equal(cgroup_remove(&cg, &e), 0);
	cgroup_fini(&cg);
}

static void test_paths_bad(void **state)
{
	static const char *const cgroupfs[] = {"/", "..", "/a/..", "./", "//"};
	static const char *const systemd[] = {"/a/b", "a.slice", "a.slice:b", "a.slice:b:c:d",
		"a:b:c", "a/b.slice:b:c", "-a.slice:b:c", "a--b.slice:b:c", "a-.slice:b:c",
		"a.slice:b:c/d", "a.slice:b\n:c", ".slice:b:c"};
	struct cgroup cg;
	struct err e;

	(void)state;
	cgroup_tree_host(CGROUP_TREE_V2_MOUNTS, "0::/\n");
	for (size_t i = 0; i < sizeof(cgroupfs) / sizeof(cgroupfs[0]); i++) {
		struct cgroup_spec spec = {
			.path = cgroupfs[i], .id = "c1", .proc = cgroup_tree_proc};
		assert_int_equal(cgroup_locate(&cg, &spec, &e), -EINVAL);
		assert_non_null(strstr(e.text, "linux.cgroupsPath"));
	}
	for (size_t i = 0; i < sizeof(systemd) / sizeof(systemd[0]); i++) {
		struct cgroup_spec spec = {
			.path = systemd[i], .id = "c1", .systemd = true, .proc = cgroup_tree_proc};
		assert_int_equal(cgroup_locate(&cg, &spec, &e), -EINVAL);
		assert_non_null(strstr(e.text, "linux.cgroupsPath"));
	}
}

static void test_paths_systemd(void **state)
{
	struct cgroup_spec spec = {.id = "c1", .systemd = true, .proc = cgroup_tree_proc};
	struct cgroup cg, copy;
	json_t *json;
	struct err e;

	(void)state;
	if (geteuid() != 0)
		skip();
	cgroup_tree_host(CGROUP_TREE_V1_MOUNTS "36 22 0:8 / %/unified rw - cgroup2 cgroup2 rw\n",
		"7:cpu,cpuacct:/\n5:memory:/\n3:name=systemd:/init.scope\n0::/init.scope\n");
	assert_int_equal(cgroup_locate(&cg, &spec, &e), 0);
	assert_string_equal(cg.unit, "hvrun-c1.scope");
	assert_string_equal(where(&cg, "name=systemd"), "/systemd/system.slice/hvrun-c1.scope");
	assert_string_equal(where(&cg, "memory"), "/memory/system.slice/hvrun-c1.scope");
	cgroup_fini(&cg);

	spec.path = "machine-a-b.slice:libpod:0123";
	assert_int_equal(cgroup_locate(&cg, &spec, &e), 0);
	assert_string_equal(where(&cg, ""),
		"/unified/machine.slice/machine-a.slice/machine-a-b.slice/libpod-0123.scope");
	json = cgroup_to_json(&cg);
	assert_int_equal(cgroup_from_json(&copy, json), 0);
	assert_string_equal(copy.unit, "libpod-0123.scope");
	assert_string_equal(copy.slice, "machine-a-b.slice");
	assert_int_equal(copy.n, cg.n);
	assert_false(copy.user_manager);
	json_decref(json);
	cgroup_fini(&copy);
	cgroup_fini(&cg);

	spec.path = "-.slice:a:b";
	assert_int_equal(cgroup_locate(&cg, &spec, &e), 0);
	assert_string_equal(where(&cg, ""), "/unified/a-b.scope");
	cgroup_fini(&cg);

	spec.rootless = true;
	spec.path = ":a:b";
	assert_int_equal(cgroup_locate(&cg, &spec, &e), 0);
	assert_string_equal(cg.slice, "user.slice");
	assert_true(cg.user_manager);
	cgroup_fini(&cg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_paths_v1, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test_setup_teardown(
			test_paths_nested, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test_setup_teardown(
			test_paths_v2, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test_setup_teardown(
			test_paths_hybrid, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test_setup_teardown(
			test_paths_none, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test_setup_teardown(
			test_paths_bad, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test_setup_teardown(
			test_paths_systemd, cgroup_tree_setup, cgroup_tree_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
