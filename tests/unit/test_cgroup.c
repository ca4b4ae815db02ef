/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which values a container's cgroup gets, on trees of plain files in the shape of v1 and v2 hosts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/cgroup_internal.h"
#include "tests/unit/support/cgroup_tree.h"

#define MIB 1048576ull

/* A v2 cgroup's files, for the values. */
static void v2_tree(void)
{
	static const char *const files[] = {"cgroup.procs", "cgroup.events", "memory.low",
		"memory.high", "memory.swap.max", "cpu.weight", "cpu.max.burst", "cpuset.cpus",
		"cpuset.mems", "io.weight", "io.max", "pids.max", "memory.max", "cpu.idle"};
	char name[64];

	cgroup_tree_host(CGROUP_TREE_V2_MOUNTS, "0::/\n");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(name, sizeof(name), "fs/c1/%s", files[i]);
		cgroup_tree_put(name, "");
	}
	cgroup_tree_put("fs/c1/cpu.max", "max 100000\n");
	cgroup_tree_put("fs/cgroup.controllers", "cpu memory\n");
	cgroup_tree_put("fs/cgroup.subtree_control", "cpu\n");
}

static char lock_path[96];

static int create_bounded(
	struct cgroup *cg, const char *resources, uint64_t overhead, uint64_t bound, struct err *e)
{
	json_t *json = json_loads(resources, 0, NULL);
	struct cgroup_spec spec = {.id = "c1",
		.proc = cgroup_tree_proc,
		.resources = json,
		.overhead_bytes = overhead,
		.bound_bytes = bound,
		.overhead_pids = 0,
		.lock_path = lock_path};
	int r;

	assert_non_null(json);
	snprintf(lock_path, sizeof(lock_path), "%s/lock", cgroup_tree_root);
	assert_int_equal(cgroup_locate(cg, &spec, e), 0);
	r = cgroup_create(cg, &spec, e);
	json_decref(json);
	return r;
}

static int create(struct cgroup *cg, const char *resources, uint64_t overhead, struct err *e)
{
	return create_bounded(cg, resources, overhead, 0, e);
}

static void test_values_v2(void **state)
{
	struct cgroup cg;
	struct err e;
	json_t *json;

	(void)state;
	v2_tree();
	assert_int_equal(create(&cg,
				 "{\"memory\":{\"limit\":67108864,\"swap\":134217728,"
				 "\"reservation\":1048576},"
				 "\"cpu\":{\"shares\":262144,\"quota\":20000,\"burst\":10000,"
				 "\"cpus\":\"0-1\",\"mems\":\"0\"},"
				 "\"pids\":{\"limit\":5},\"blockIO\":{\"weight\":1000,"
				 "\"throttleReadBpsDevice\":"
				 "[{\"major\":8,\"minor\":0,\"rate\":1000}]},"
				 "\"unified\":{\"memory.high\":\"1048576\",\"pids.max\":\"3\","
				 "\"memory.reclaim\":\"1G\"}}",
				 10 * MIB, &e),
		0);
	cgroup_tree_expect("fs/cgroup.subtree_control", "+memory"); /* cpu was there */
	cgroup_tree_expect("fs/c1/memory.max", "77594624");
	cgroup_tree_expect("fs/c1/memory.swap.max", "67108864");
	cgroup_tree_expect("fs/c1/memory.low", "11534336");
	cgroup_tree_expect("fs/c1/memory.high", "11534336");
	cgroup_tree_expect("fs/c1/cpu.weight", "10000");
	cgroup_tree_expect("fs/c1/cpu.max", "20000 100000");
	cgroup_tree_expect("fs/c1/cpu.max.burst", "10000");
	cgroup_tree_expect("fs/c1/cpuset.cpus", "0-1");
	cgroup_tree_expect("fs/c1/io.weight", "10000");
	cgroup_tree_expect("fs/c1/io.max", "8:0 rbps=1000");
	cgroup_tree_expect("fs/c1/pids.max", ""); /* the container's number is not the VM's */
	cgroup_tree_put("fs/c1/cpu.max", "20000 100000\n");
	cgroup_tree_put("fs/c1/memory.current", "60000000\n");
	cgroup_tree_put("fs/c1/memory.stat", "anon 1\nfile 50000000\nshmem 20000000\n");
	json = json_loads("{\"memory\":{\"limit\":25000000},\"cpu\":{\"period\":50000}}", 0, NULL);
	assert_int_equal(cgroup_update(&cg, json, 0, 0, &e), -EBUSY);
	cgroup_tree_expect("fs/c1/memory.max", "77594624");
	assert_int_equal(cgroup_update(&cg, json, 10 * MIB, 0, &e), 0);
	cgroup_tree_expect("fs/c1/memory.max", "35485760");
	json_decref(json);
	/* What is refused after all takes the rest of it along. */
	cgroup_tree_put("fs/c1/cpu.max", "20000 50000\n");
	json = json_loads("{\"memory\":{\"limit\":27000000},\"cpu\":{\"quota\":-1},\"unified\":{"
			  "\"memory.low\":\"x\"}}",
		0, NULL);
	assert_int_equal(cgroup_update(&cg, json, 10 * MIB, 0, &e), -EINVAL);
	cgroup_tree_expect("fs/c1/memory.max", "35485760");
	cgroup_tree_expect("fs/c1/cpu.max", "20000 50000");
	json_decref(json);
	cgroup_tree_put("fs/c1/memory.max", "");
	cgroup_tree_put("fs/c1/memory.swap.max", "");
	cgroup_tree_put("fs/c1/cpu.max", "20000 50000\n");
	json = json_loads("{\"memory\":{\"limit\":-1},\"cpu\":{\"quota\":-1}}", 0, NULL);
	assert_int_equal(cgroup_update(&cg, json, 10 * MIB, 0, &e), 0);
	cgroup_tree_expect("fs/c1/memory.max", "max");
	cgroup_tree_expect("fs/c1/memory.swap.max", "max");
	cgroup_tree_put("fs/c1/memory.max", "");
	json_decref(json);
	json = json_loads("{\"memory\":{\"limit\":9223372036854771712}}", 0, NULL);
	assert_int_equal(cgroup_update(&cg, json, 10 * MIB, 0, &e), 0);
	cgroup_tree_expect("fs/c1/memory.max", "max");
	json_decref(json);
	cgroup_fini(&cg);
}

static void test_values_v1(void **state)
{
	static const char *const files[] = {"cpu,cpuacct/c1/cpu.shares",
		"cpu,cpuacct/c1/cpu.cfs_quota_us", "cpu,cpuacct/c1/cpu.cfs_period_us",
		"cpu,cpuacct/c1/cgroup.procs", "memory/user/me/c1/memory.limit_in_bytes",
		"memory/user/me/c1/memory.memsw.limit_in_bytes", "memory/user/me/c1/cgroup.procs",
		"blk io/c1/blkio.bfq.weight", "blk io/c1/cgroup.procs", "systemd/user/me/c1/x",
		"cpuset/c1/cgroup.procs", "cpuset/c1/cpuset.cpus", "cpuset/c1/cpuset.mems"};
	struct cgroup cg;
	struct err e;

	(void)state;
	cgroup_tree_host(CGROUP_TREE_V1_MOUNTS, CGROUP_TREE_V1_OWN);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		cgroup_tree_put(files[i], "");
	cgroup_tree_put("cpuset/cpuset.cpus", "0-3\n");
	cgroup_tree_put("cpuset/cpuset.mems", "0\n");
	assert_int_equal(
		create(&cg,
			"{\"memory\":{\"limit\":67108864,\"swap\":67108864,\"reservation\":5},"
			"\"cpu\":{\"shares\":2,\"quota\":-1,\"period\":1000},\"blockIO\":{"
			"\"weight\":10}}",
			MIB, &e),
		0);
	assert_int_equal(cg.n, 4); /* no cgroup.procs in systemd's: gone on without */
	cgroup_tree_expect("memory/user/me/c1/memory.limit_in_bytes", "68157440");
	cgroup_tree_expect("memory/user/me/c1/memory.memsw.limit_in_bytes", "68157440");
	cgroup_tree_expect("cpu,cpuacct/c1/cpu.shares", "2");
	cgroup_tree_expect("cpu,cpuacct/c1/cpu.cfs_quota_us", "-1");
	cgroup_tree_expect("cpu,cpuacct/c1/cpu.cfs_period_us", "1000");
	cgroup_tree_expect("blk io/c1/blkio.bfq.weight", "10");
	cgroup_tree_expect("cpuset/c1/cpuset.cpus", "0-3");
	cgroup_tree_expect("cpuset/c1/cpuset.mems", "0");
	cgroup_fini(&cg);
}

static void update(struct cgroup *cg, const char *resources, uint64_t bound)
{
	json_t *json = json_loads(resources, 0, NULL);
	struct err e;

	assert_non_null(json);
	assert_int_equal(cgroup_update(cg, json, MIB, bound, &e), 0);
	json_decref(json);
}

/* Without a limit hvrun's own bound holds; whatever a limit says, "none" included, holds instead.
 */
static void test_bound_v2(void **state)
{
	static const struct {
		const char *resources, *max;
		bool bounded;
	} cases[] = {
		{"{}", "314572800", true},
		{"{\"memory\":{}}", "314572800", true},
		{"{\"memory\":{\"reservation\":1048576}}", "314572800", true},
		{"{\"memory\":{\"limit\":67108864}}", "68157440", false},
		{"{\"memory\":{\"limit\":-1}}", "max", false},
		{"{\"memory\":{\"limit\":9223372036854771712}}", "max", false},
		{"{\"unified\":{\"memory.max\":\"67108864\"}}", "68157440", false},
		{"{\"unified\":{\"memory.max\":\"max\"}}", "max", false},
	};
	struct cgroup cg;
	struct err e;

	(void)state;
	v2_tree();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cgroup_tree_put("fs/c1/memory.max", "");
		assert_int_equal(create_bounded(&cg, cases[i].resources, MIB, 300 * MIB, &e), 0);
		cgroup_tree_expect("fs/c1/memory.max", cases[i].max);
		assert_int_equal(cg.bounded, cases[i].bounded);
		cgroup_fini(&cg);
	}
	assert_int_equal(create_bounded(&cg, "{}", MIB, 300 * MIB, &e), 0);
	cgroup_tree_put("fs/c1/memory.max", "");
	update(&cg, "{\"cpu\":{\"shares\":1024}}", 300 * MIB);
	cgroup_tree_expect("fs/c1/memory.max", "");
	update(&cg, "{\"memory\":{\"limit\":67108864}}", 300 * MIB);
	cgroup_tree_expect("fs/c1/memory.max", "68157440");
	cgroup_tree_put("fs/c1/memory.max", "");
	/* Whatever is in use: more than any honest VM's. */
	cgroup_tree_put("fs/c1/memory.current", "1000000000\n");
	cgroup_tree_put("fs/c1/memory.stat", "file 0\nshmem 0\n");
	update(&cg, "{\"memory\":{\"limit\":-1}}", 300 * MIB);
	cgroup_tree_expect("fs/c1/memory.max", "314572800");
	cgroup_tree_expect("fs/c1/memory.swap.max", "max");
	cgroup_fini(&cg);
}

static void test_bound_v1(void **state)
{
	static const char file[] = "memory/user/me/c1/memory.limit_in_bytes";
	struct cgroup cg;
	struct err e;

	(void)state;
	cgroup_tree_host(CGROUP_TREE_V1_MOUNTS, CGROUP_TREE_V1_OWN);
	cgroup_tree_put("cpuset/cpuset.cpus", "0-3\n");
	cgroup_tree_put("cpuset/cpuset.mems", "0\n");
	cgroup_tree_put("cpu,cpuacct/c1/cgroup.procs", "");
	cgroup_tree_put("memory/user/me/c1/cgroup.procs", "");
	cgroup_tree_put("blk io/c1/cgroup.procs", "");
	cgroup_tree_put("cpuset/c1/cgroup.procs", "");
	cgroup_tree_put("cpuset/c1/cpuset.cpus", "0-3");
	cgroup_tree_put("cpuset/c1/cpuset.mems", "0");
	/* No such file: the container does without. */
	assert_int_equal(create_bounded(&cg, "{}", MIB, 300 * MIB, &e), 0);
	cgroup_fini(&cg);
	cgroup_tree_put(file, "");
	assert_int_equal(create_bounded(&cg, "{}", MIB, 300 * MIB, &e), 0);
	cgroup_tree_expect(file, "314572800");
	update(&cg, "{\"memory\":{\"limit\":67108864}}", 300 * MIB);
	cgroup_tree_put(file, "");
	cgroup_tree_put("memory/user/me/c1/memory.memsw.limit_in_bytes", "");
	update(&cg, "{\"memory\":{\"limit\":-1}}", 300 * MIB);
	cgroup_tree_expect(file, "314572800");
	cgroup_tree_expect("memory/user/me/c1/memory.memsw.limit_in_bytes", "-1");
	cgroup_fini(&cg);
}

static void test_refusals(void **state)
{
	static const struct {
		const char *resources, *text;
	} bad[] = {
		{"{\"memory\":{\"limit\":1000,\"swap\":999}}", "memory+swap limit should be >="},
		{"{\"blockIO\":{\"weight\":9}}", "blockIO.weight: 9"},
		{"{\"unified\":{\"memory.max\":\"1G\"}}", "unified: memory.max: \"1G\""},
		{"{\"unified\":{\"memory.max\":\"-1\"}}", "unified: memory.max"},
	};
	struct cgroup cg;
	struct err e;

	(void)state;
	v2_tree();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(create(&cg, bad[i].resources, 0, &e), -EINVAL);
		assert_non_null(strstr(e.text, bad[i].text));
		cgroup_fini(&cg);
	}
	cgroup_tree_put("fs/c1/below/cgroup.procs", "77\n");
	assert_int_equal(
		cgroup_plan(&cg, &(struct cgroup_spec){.id = "c1", .proc = cgroup_tree_proc}, &e),
		-EBUSY);
	assert_int_equal(cg.n, 0);
	assert_int_equal(create(&cg, "{}", 0, &e), -EBUSY);
	assert_non_null(strstr(e.text, "container's cgroup is not empty: 1 process(es) found"));
	cgroup_fini(&cg);
	cgroup_tree_put("fs/c1/below/cgroup.procs", "");
	cgroup_tree_put("fs/c1/cgroup.events", "populated 0\nfrozen 1\n");
	assert_int_equal(create(&cg, "{}", 0, &e), -EBUSY);
	assert_non_null(strstr(e.text, "frozen"));
	cgroup_fini(&cg);
}

/* Two at once: the second finds no processes yet, and is refused all the same. */
static void test_race(void **state)
{
	struct cgroup first, second;
	struct err e;

	(void)state;
	cgroup_tree_host(CGROUP_TREE_V2_MOUNTS, "0::/a/b\n");
	cgroup_tree_put("fs/cgroup.controllers", "");
	cgroup_tree_put("fs/a/c1/cgroup.procs", "");
	assert_int_equal(create(&first, "{}", 0, &e), 0);
	assert_int_equal(create(&second, "{}", 0, &e), -EBUSY);
	assert_non_null(strstr(e.text, "another container is being created in "));
	cgroup_fini(&second);
	cgroup_settle(&first);
	assert_int_equal(create(&second, "{}", 0, &e), 0);
	cgroup_fini(&second);
	cgroup_fini(&first);
}

/* Any user can open and lock the cgroup's own files: that keeps nobody out. */
static void test_locked_by_others(void **state)
{
	struct cgroup cg;
	struct err e;
	char path[128];
	struct stat st;

	(void)state;
	cgroup_tree_host(CGROUP_TREE_V2_MOUNTS, "0::/a/b\n");
	cgroup_tree_put("fs/cgroup.controllers", "");
	cgroup_tree_put("fs/a/c1/cgroup.procs", "");
	snprintf(path, sizeof(path), "%s/fs/a/c1/cgroup.procs", cgroup_tree_root);
	cleanup_close int procs = open(path, O_RDONLY | O_CLOEXEC);
	*strrchr(path, '/') = '\0';
	cleanup_close int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(procs, LOCK_EX), 0);
	assert_int_equal(flock(dir, LOCK_EX), 0);
	assert_int_equal(create(&cg, "{}", 0, &e), 0);
	/* And a child that has the descriptor does not keep the lock. */
	int copy = dup(cg.places[0].lock_fd);
	cgroup_settle(&cg);
	cgroup_fini(&cg);
	assert_int_equal(create(&cg, "{}", 0, &e), 0);
	cgroup_fini(&cg);
	close(copy);
	assert_int_equal(stat(lock_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* Nothing of a cgroup that could not be made stays: here, one without a cgroup.procs. */
static void test_undo(void **state)
{
	struct cgroup cg;
	char path[128];
	struct err e;

	(void)state;
	cgroup_tree_host(CGROUP_TREE_V2_MOUNTS, "0::/a/b\n");
	cgroup_tree_put("fs/cgroup.controllers", "");
	assert_int_equal(create(&cg, "{}", 0, &e), -ENOENT);
	assert_non_null(strstr(e.text, "cgroup.procs"));
	snprintf(path, sizeof(path), "%s/fs/a", cgroup_tree_root);
	assert_int_equal(access(path, F_OK), -1);
	cgroup_fini(&cg);
}

static void test_json_bad(void **state)
{
	static const char *const bad[] = {"{}", "[]", "{\"places\":1}", "{\"places\":[1]}",
		"{\"places\":[{\"controllers\":\"\",\"path\":\"x\"}]}",
		"{\"places\":[{\"controllers\":\"\",\"path\":\"/\"}]}",
		"{\"places\":[{\"controllers\":\"\",\"path\":\"/a/../b\"}]}",
		"{\"places\":[{\"path\":\"/a\"}]}", "{\"places\":[],\"unit\":\"a.scope\"}"};
	struct cgroup cg;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *json = json_loads(bad[i], 0, NULL);
		assert_non_null(json);
		assert_int_equal(cgroup_from_json(&cg, json), -EINVAL);
		json_decref(json);
	}
}

static void test_weights(void **state)
{
	(void)state;
	assert_int_equal(cgroup_cpu_weight(0), 1);
	assert_int_equal(cgroup_cpu_weight(2), 1);
	assert_int_equal(cgroup_cpu_weight(1024), 39);
	assert_int_equal(cgroup_cpu_weight(UINT64_MAX), 10000);
	assert_int_equal(cgroup_io_weight(10), 1);
	assert_int_equal(cgroup_io_weight(1000), 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_values_v2, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test_setup_teardown(
			test_values_v1, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test_setup_teardown(
			test_bound_v2, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test_setup_teardown(
			test_bound_v1, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test_setup_teardown(
			test_refusals, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test_setup_teardown(test_race, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test_setup_teardown(
			test_locked_by_others, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test_setup_teardown(test_undo, cgroup_tree_setup, cgroup_tree_teardown),
		cmocka_unit_test(test_json_bad),
		cmocka_unit_test(test_weights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
