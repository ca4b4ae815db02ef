/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a container's cgroup lies and which values it gets, on trees of plain files in the shape
 * of v1, hybrid and v2 hosts, with a /proc that fits.
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

#define MIB 1048576ull

static char root[64];

static void put(const char *name, const char *text)
{
	char path[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", root, name);
	for (char *c = path + strlen(root) + 1; *c; c++) {
		if (*c != '/')
			continue;
		*c = '\0';
		(void)!mkdir(path, 0755);
		*c = '/';
	}
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void assert_file(const char *name, const char *want)
{
	char path[512], text[256] = "";

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(cgroup_read(root, name, text, sizeof(text)), 0);
	assert_string_equal(text, want);
}

/* "%" in mountinfo stands for the tree's root. */
static void host(const char *mountinfo, const char *own)
{
	char text[4096], *out = text;

	for (const char *in = mountinfo; *in; in++) {
		if (*in == '%')
			out += sprintf(out, "%s", root);
		else
			*out++ = *in;
	}
	*out = '\0';
	put("proc/self/mountinfo", text);
	put("proc/self/cgroup", own);
	put("proc/1/cgroup", own);
}

#define V1_MOUNTS                                                                                  \
	"22 1 0:1 / / rw - ext4 /dev/vda rw\n"                                                     \
	"30 22 0:2 / %/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n"            \
	"31 22 0:3 / %/cpuset rw - cgroup cgroup rw,cpuset\n"                                      \
	"32 22 0:4 / %/memory rw - cgroup cgroup rw,memory\n"                                      \
	"33 22 0:5 / %/blk\\040io rw - cgroup cgroup rw,blkio\n"                                   \
	"34 22 0:6 / %/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"                         \
	"35 22 0:7 / %/other rw - cgroup cgroup rw,name=other\n"
#define V1_OWN                                                                                     \
	"7:cpu,cpuacct:/\n6:cpuset:/\n5:memory:/user/me\n4:blkio:/\n3:name=systemd:/user/me\n"     \
	"2:name=other:/\n"
#define V2_MOUNTS "29 22 0:26 / %/fs rw - cgroup2 cgroup2 rw,nsdelegate\n"

static int setup(void **state)
{
	(void)state;
	strcpy(root, "/tmp/hvrun-cgroup.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static char proc[96];

static void plan(struct cgroup *cg, const char *path)
{
	struct cgroup_spec spec = {.path = path, .id = "c1", .proc = proc};
	struct err e;

	snprintf(proc, sizeof(proc), "%s/proc", root);
	if (cgroup_locate(cg, &spec, &e) < 0)
		fail_msg("%s", e.text);
}

/* The path of a controller's place, without the tree's root. */
static const char *where(const struct cgroup *cg, const char *controller)
{
	for (size_t i = 0; i < cg->n; i++) {
		const struct cgroup_place *place = &cg->places[i];
		if (*controller ? cgroup_list_has(place->controllers, controller)
				: cgroup_place_v2(place))
			return place->path + strlen(root);
	}
	return NULL;
}

static void test_paths_v1(void **state)
{
	struct cgroup cg;

	(void)state;
	host(V1_MOUNTS, V1_OWN);
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

/* Inside a container the hierarchy's root is not what is mounted. */
static void test_paths_nested(void **state)
{
	struct cgroup cg;

	(void)state;
	host("30 22 0:2 /docker/abc %/cpu rw - cgroup cgroup rw,cpu\n"
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
	host(V2_MOUNTS "40 22 0:9 / %/net_cls rw - cgroup cgroup rw,net_cls\n",
		"1:net_cls:/\n0::/user.slice/session\n");
	plan(&cg, NULL);
	assert_int_equal(cg.n, 1);
	assert_string_equal(where(&cg, ""), "/fs/user.slice/c1");
	cgroup_fini(&cg);
	plan(&cg, "/pods/p1/c1");
	assert_string_equal(where(&cg, ""), "/fs/pods/p1/c1");
	cgroup_fini(&cg);
	host(V2_MOUNTS, "0::/\n");
	plan(&cg, "rel/c1");
	assert_string_equal(where(&cg, ""), "/fs/rel/c1");
	cgroup_fini(&cg);
	/* Outside the cgroup namespace. */
	host(V2_MOUNTS, "0::/../../other\n");
	plan(&cg, NULL);
	assert_string_equal(where(&cg, ""), "/fs/c1");
	cgroup_fini(&cg);
}

static void test_paths_hybrid(void **state)
{
	struct cgroup cg;

	(void)state;
	host(V1_MOUNTS "36 22 0:8 / %/unified rw - cgroup2 cgroup2 rw\n", V1_OWN "0::/user/me\n");
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
	host("22 1 0:1 / / rw - ext4 /dev/vda rw\nbroken\n- cgroup\n", V1_OWN "junk\n::\n");
	plan(&cg, NULL);
	assert_int_equal(cg.n, 0);
	assert_int_equal(cgroup_fds(&cg, fds), 0);
	assert_int_equal(cgroup_attach(&cg, &(pid_t){getpid()}, 1, &e), 0);
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
	host(V2_MOUNTS, "0::/\n");
	snprintf(proc, sizeof(proc), "%s/proc", root);
	for (size_t i = 0; i < sizeof(cgroupfs) / sizeof(cgroupfs[0]); i++) {
		struct cgroup_spec spec = {.path = cgroupfs[i], .id = "c1", .proc = proc};
		assert_int_equal(cgroup_locate(&cg, &spec, &e), -EINVAL);
		assert_non_null(strstr(e.text, "linux.cgroupsPath"));
	}
	for (size_t i = 0; i < sizeof(systemd) / sizeof(systemd[0]); i++) {
		struct cgroup_spec spec = {
			.path = systemd[i], .id = "c1", .systemd = true, .proc = proc};
		assert_int_equal(cgroup_locate(&cg, &spec, &e), -EINVAL);
		assert_non_null(strstr(e.text, "linux.cgroupsPath"));
	}
}

static void test_paths_systemd(void **state)
{
	struct cgroup_spec spec = {.id = "c1", .systemd = true, .proc = proc};
	struct cgroup cg, copy;
	json_t *json;
	struct err e;

	(void)state;
	if (geteuid() != 0)
		skip();
	host(V1_MOUNTS "36 22 0:8 / %/unified rw - cgroup2 cgroup2 rw\n",
		"7:cpu,cpuacct:/\n5:memory:/\n3:name=systemd:/init.scope\n0::/init.scope\n");
	snprintf(proc, sizeof(proc), "%s/proc", root);
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

/* A v2 cgroup's files, for the values. */
static void v2_tree(void)
{
	static const char *const files[] = {"cgroup.procs", "cgroup.events", "memory.low",
		"memory.high", "memory.swap.max", "cpu.weight", "cpu.max.burst", "cpuset.cpus",
		"cpuset.mems", "io.weight", "io.max", "pids.max", "memory.max", "cpu.idle"};
	char name[64];

	host(V2_MOUNTS, "0::/\n");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(name, sizeof(name), "fs/c1/%s", files[i]);
		put(name, "");
	}
	put("fs/c1/cpu.max", "max 100000\n");
	put("fs/cgroup.controllers", "cpu memory\n");
	put("fs/cgroup.subtree_control", "cpu\n");
}

static char lock_path[96];

static int create_bounded(
	struct cgroup *cg, const char *resources, uint64_t overhead, uint64_t bound, struct err *e)
{
	json_t *json = json_loads(resources, 0, NULL);
	struct cgroup_spec spec = {.id = "c1",
		.proc = proc,
		.resources = json,
		.overhead_bytes = overhead,
		.bound_bytes = bound,
		.overhead_pids = 0,
		.lock_path = lock_path};
	int r;

	assert_non_null(json);
	snprintf(proc, sizeof(proc), "%s/proc", root);
	snprintf(lock_path, sizeof(lock_path), "%s/lock", root);
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
	assert_file("fs/cgroup.subtree_control", "+memory"); /* cpu was there */
	assert_file("fs/c1/memory.max", "77594624");
	assert_file("fs/c1/memory.swap.max", "67108864");
	assert_file("fs/c1/memory.low", "11534336");
	assert_file("fs/c1/memory.high", "11534336");
	assert_file("fs/c1/cpu.weight", "10000");
	assert_file("fs/c1/cpu.max", "20000 100000");
	assert_file("fs/c1/cpu.max.burst", "10000");
	assert_file("fs/c1/cpuset.cpus", "0-1");
	assert_file("fs/c1/io.weight", "10000");
	assert_file("fs/c1/io.max", "8:0 rbps=1000");
	assert_file("fs/c1/pids.max", ""); /* the container's number is not the VM's */
	put("fs/c1/cpu.max", "20000 100000\n");
	put("fs/c1/memory.current", "60000000\n");
	put("fs/c1/memory.stat", "anon 1\nfile 50000000\nshmem 20000000\n");
	json = json_loads("{\"memory\":{\"limit\":25000000},\"cpu\":{\"period\":50000}}", 0, NULL);
	assert_int_equal(cgroup_update(&cg, json, 0, 0, &e), -EBUSY);
	assert_file("fs/c1/memory.max", "77594624");
	assert_int_equal(cgroup_update(&cg, json, 10 * MIB, 0, &e), 0);
	assert_file("fs/c1/memory.max", "35485760");
	json_decref(json);
	/* What is refused after all takes the rest of it along. */
	put("fs/c1/cpu.max", "20000 50000\n");
	json = json_loads("{\"memory\":{\"limit\":27000000},\"cpu\":{\"quota\":-1},\"unified\":{"
			  "\"memory.low\":\"x\"}}",
		0, NULL);
	assert_int_equal(cgroup_update(&cg, json, 10 * MIB, 0, &e), -EINVAL);
	assert_file("fs/c1/memory.max", "35485760");
	assert_file("fs/c1/cpu.max", "20000 50000");
	json_decref(json);
	put("fs/c1/memory.max", "");
	put("fs/c1/memory.swap.max", "");
	put("fs/c1/cpu.max", "20000 50000\n");
	json = json_loads("{\"memory\":{\"limit\":-1},\"cpu\":{\"quota\":-1}}", 0, NULL);
	assert_int_equal(cgroup_update(&cg, json, 10 * MIB, 0, &e), 0);
	assert_file("fs/c1/memory.max", "max");
	assert_file("fs/c1/memory.swap.max", "max");
	put("fs/c1/memory.max", "");
	json_decref(json);
	json = json_loads("{\"memory\":{\"limit\":9223372036854771712}}", 0, NULL);
	assert_int_equal(cgroup_update(&cg, json, 10 * MIB, 0, &e), 0);
	assert_file("fs/c1/memory.max", "max");
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
	host(V1_MOUNTS, V1_OWN);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		put(files[i], "");
	put("cpuset/cpuset.cpus", "0-3\n");
	put("cpuset/cpuset.mems", "0\n");
	assert_int_equal(
		create(&cg,
			"{\"memory\":{\"limit\":67108864,\"swap\":67108864,\"reservation\":5},"
			"\"cpu\":{\"shares\":2,\"quota\":-1,\"period\":1000},\"blockIO\":{"
			"\"weight\":10}}",
			MIB, &e),
		0);
	assert_int_equal(cg.n, 4); /* no cgroup.procs in systemd's: gone on without */
	assert_file("memory/user/me/c1/memory.limit_in_bytes", "68157440");
	assert_file("memory/user/me/c1/memory.memsw.limit_in_bytes", "68157440");
	assert_file("cpu,cpuacct/c1/cpu.shares", "2");
	assert_file("cpu,cpuacct/c1/cpu.cfs_quota_us", "-1");
	assert_file("cpu,cpuacct/c1/cpu.cfs_period_us", "1000");
	assert_file("blk io/c1/blkio.bfq.weight", "10");
	assert_file("cpuset/c1/cpuset.cpus", "0-3");
	assert_file("cpuset/c1/cpuset.mems", "0");
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
		put("fs/c1/memory.max", "");
		assert_int_equal(create_bounded(&cg, cases[i].resources, MIB, 300 * MIB, &e), 0);
		assert_file("fs/c1/memory.max", cases[i].max);
		assert_int_equal(cg.bounded, cases[i].bounded);
		cgroup_fini(&cg);
	}
	assert_int_equal(create_bounded(&cg, "{}", MIB, 300 * MIB, &e), 0);
	put("fs/c1/memory.max", "");
	update(&cg, "{\"cpu\":{\"shares\":1024}}", 300 * MIB);
	assert_file("fs/c1/memory.max", "");
	update(&cg, "{\"memory\":{\"limit\":67108864}}", 300 * MIB);
	assert_file("fs/c1/memory.max", "68157440");
	put("fs/c1/memory.max", "");
	/* Whatever is in use: more than any honest VM's. */
	put("fs/c1/memory.current", "1000000000\n");
	put("fs/c1/memory.stat", "file 0\nshmem 0\n");
	update(&cg, "{\"memory\":{\"limit\":-1}}", 300 * MIB);
	assert_file("fs/c1/memory.max", "314572800");
	assert_file("fs/c1/memory.swap.max", "max");
	cgroup_fini(&cg);
}

static void test_bound_v1(void **state)
{
	static const char file[] = "memory/user/me/c1/memory.limit_in_bytes";
	struct cgroup cg;
	struct err e;

	(void)state;
	host(V1_MOUNTS, V1_OWN);
	put("cpuset/cpuset.cpus", "0-3\n");
	put("cpuset/cpuset.mems", "0\n");
	put("cpu,cpuacct/c1/cgroup.procs", "");
	put("memory/user/me/c1/cgroup.procs", "");
	put("blk io/c1/cgroup.procs", "");
	put("cpuset/c1/cgroup.procs", "");
	put("cpuset/c1/cpuset.cpus", "0-3");
	put("cpuset/c1/cpuset.mems", "0");
	/* No such file: the container does without. */
	assert_int_equal(create_bounded(&cg, "{}", MIB, 300 * MIB, &e), 0);
	cgroup_fini(&cg);
	put(file, "");
	assert_int_equal(create_bounded(&cg, "{}", MIB, 300 * MIB, &e), 0);
	assert_file(file, "314572800");
	update(&cg, "{\"memory\":{\"limit\":67108864}}", 300 * MIB);
	put(file, "");
	put("memory/user/me/c1/memory.memsw.limit_in_bytes", "");
	update(&cg, "{\"memory\":{\"limit\":-1}}", 300 * MIB);
	assert_file(file, "314572800");
	assert_file("memory/user/me/c1/memory.memsw.limit_in_bytes", "-1");
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
	put("fs/c1/below/cgroup.procs", "77\n");
	assert_int_equal(
		cgroup_plan(&cg, &(struct cgroup_spec){.id = "c1", .proc = proc}, &e), -EBUSY);
	assert_int_equal(cg.n, 0);
	assert_int_equal(create(&cg, "{}", 0, &e), -EBUSY);
	assert_non_null(strstr(e.text, "container's cgroup is not empty: 1 process(es) found"));
	cgroup_fini(&cg);
	put("fs/c1/below/cgroup.procs", "");
	put("fs/c1/cgroup.events", "populated 0\nfrozen 1\n");
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
	host(V2_MOUNTS, "0::/a/b\n");
	put("fs/cgroup.controllers", "");
	put("fs/a/c1/cgroup.procs", "");
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
	host(V2_MOUNTS, "0::/a/b\n");
	put("fs/cgroup.controllers", "");
	put("fs/a/c1/cgroup.procs", "");
	snprintf(path, sizeof(path), "%s/fs/a/c1/cgroup.procs", root);
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
	host(V2_MOUNTS, "0::/a/b\n");
	put("fs/cgroup.controllers", "");
	assert_int_equal(create(&cg, "{}", 0, &e), -ENOENT);
	assert_non_null(strstr(e.text, "cgroup.procs"));
	snprintf(path, sizeof(path), "%s/fs/a", root);
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
		cmocka_unit_test_setup_teardown(test_paths_v1, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths_nested, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths_v2, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths_hybrid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths_bad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_paths_systemd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values_v2, setup, teardown),
		cmocka_unit_test_setup_teardown(test_values_v1, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bound_v2, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bound_v1, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_race, setup, teardown),
		cmocka_unit_test_setup_teardown(test_locked_by_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_undo, setup, teardown),
		cmocka_unit_test(test_json_bad),
		cmocka_unit_test(test_weights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
