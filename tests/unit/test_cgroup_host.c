/* SPDX-License-Identifier: Apache-2.0 */
/* Host cgroups on this machine's own hierarchies: made, entered, limited, emptied, removed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/cgroup_internal.h"
#include "tests/unit/support/family.h"

#define OVERHEAD (32ull << 20)

static char id[32], path[64];

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	assert_non_null(json);
	return json;
}

/* A child that is in the cgroup by its own writes, and sleeps. */
static pid_t enter(const struct cgroup *cg)
{
	int fds[CGROUP_PLACES_MAX];
	size_t n = cgroup_fds(cg, fds);
	pid_t pid;

	assert_int_equal(n, cg->n);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		for (size_t i = 0; i < n; i++) {
			if (write(fds[i], "0", 1) != 1)
				_exit(1);
		}
		for (;;)
			pause();
	}
	for (unsigned i = 0; i < 1000; i++) {
		size_t in = 0;
		for (size_t j = 0; j < n; j++)
			in += cgroup_count_processes(cg->places[j].path) > 0;
		if (in == n)
			return pid;
		usleep(1000);
	}
	fail_msg("the child is not in its cgroups");
	return -1;
}

static int reap(pid_t pid)
{
	int status = 0;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

static void assert_value(const struct cgroup *cg, const char *controller, const char *v1,
	const char *v2, const char *v1_text, const char *v2_text)
{
	const struct cgroup_place *place = cgroup_place_of(cg, controller);
	char text[256];

	assert_non_null(place);
	assert_int_equal(
		cgroup_read(place->path, cgroup_place_v2(place) ? v2 : v1, text, sizeof(text)), 0);
	assert_string_equal(text, cgroup_place_v2(place) ? v2_text : v1_text);
}

/* Plans and makes; skips the test where this machine doesn't let us, which takes resources. */
static void make(struct cgroup *cg, const struct cgroup_spec *spec, json_t *resources)
{
	struct err e;
	int r = cgroup_plan(cg, spec, &e);

	if (r < 0)
		fail_msg("%s", e.text);
	r = cg->n ? cgroup_create(cg, spec, &e) : -EACCES;
	if (r == -EACCES || r == -EPERM || r == -EROFS) {
		cgroup_fini(cg);
		json_decref(resources);
		skip();
	}
	if (r < 0)
		fail_msg("%s", e.text);
}

static void test_life(void **state)
{
	json_t *resources = parse("{\"memory\":{\"limit\":67108864,\"reservation\":33554432},"
				  "\"cpu\":{\"shares\":512,\"quota\":50000,\"period\":100000},"
				  "\"pids\":{\"limit\":7}}");
	struct cgroup_spec spec = {
		.path = path, .id = id, .resources = resources, .overhead_bytes = OVERHEAD};
	struct cgroup cg, again;
	struct err e;
	json_t *json;
	char inner[PATH_MAX];
	pid_t one, two;

	(void)state;
	make(&cg, &spec, resources);
	assert_value(
		&cg, "memory", "memory.limit_in_bytes", "memory.max", "100663296", "100663296");
	assert_value(
		&cg, "memory", "memory.soft_limit_in_bytes", "memory.low", "67108864", "67108864");
	assert_value(&cg, "cpu", "cpu.shares", "cpu.weight", "512", "20");
	assert_value(&cg, "cpu", "cpu.cfs_quota_us", "cpu.max", "50000", "50000 100000");
	assert_value(&cg, "pids", "pids.max", "pids.max", "max", "max");
	one = enter(&cg);

	/* The same cgroup for another one is refused, and this one is left alone. */
	assert_int_equal(cgroup_plan(&again, &spec, &e), -EBUSY);
	assert_int_equal(cgroup_locate(&again, &spec, &e), 0);
	assert_int_equal(cgroup_create(&again, &spec, &e), -EBUSY);
	assert_non_null(strstr(e.text, "container's cgroup is not empty: 1 process(es) found"));
	cgroup_fini(&again);

	json = cgroup_to_json(&cg);
	cgroup_settle(&cg);
	cgroup_fini(&cg);
	assert_int_equal(cgroup_from_json(&cg, json), 0);
	json_decref(json);
	json_decref(resources);

	/* From another process: more moved in with their children, other limits, numbers. */
	two = family();
	assert_int_equal(cgroup_attach_trees(&cg, (pid_t[]){one, 0, two}, 3, &e), 0);
	for (size_t i = 0; i < cg.n; i++)
		assert_int_equal(cgroup_count_processes(cg.places[i].path), 1 + FAMILY);
	assert_int_equal(cgroup_attach_trees(&cg, &(pid_t){INT_MAX}, 1, &e), -ESRCH);
	resources = parse("{\"memory\":{\"limit\":134217728},\"cpu\":{\"period\":50000}}");
	assert_int_equal(cgroup_update(&cg, resources, OVERHEAD, 0, &e), 0);
	assert_value(
		&cg, "memory", "memory.limit_in_bytes", "memory.max", "167772160", "167772160");
	assert_value(&cg, "cpu", "cpu.cfs_period_us", "cpu.max", "50000", "50000 50000");
	assert_value(&cg, "cpu", "cpu.shares", "cpu.weight", "512", "20");
	json_decref(resources);

	/* A cgroup that somebody made below goes too. */
	snprintf(inner, sizeof(inner), "%s/inner", cg.places[0].path);
	assert_int_equal(mkdir(inner, 0755), 0);
	assert_int_equal(cgroup_remove(&cg, &e), 0);
	assert_int_equal(reap(one), SIGKILL);
	assert_int_equal(reap(two), SIGKILL);
	for (size_t i = 0; i < cg.n; i++)
		assert_int_equal(access(cg.places[i].path, F_OK), -1);
	assert_int_equal(cgroup_remove(&cg, &e), 0);
	cgroup_fini(&cg);
}

/* A limit that the kernel refuses leaves nothing. */
static void test_undo(void **state)
{
	json_t *resources = parse("{\"cpu\":{\"cpus\":\"100000\"}}");
	struct cgroup_spec spec = {.path = path, .id = id, .resources = resources};
	struct cgroup cg;
	struct err e;
	int r;

	(void)state;
	assert_int_equal(cgroup_plan(&cg, &spec, &e), 0);
	if (!cg.n)
		skip();
	r = cgroup_create(&cg, &spec, &e);
	json_decref(resources);
	if (r != -EACCES && r != -EPERM && r != -EROFS)
		assert_true(r < 0 && strstr(e.text, "cpuset.cpus"));
	for (size_t i = 0; i < cg.n; i++)
		assert_int_equal(access(cg.places[i].path, F_OK), -1);
	cgroup_fini(&cg);
}

/* Frozen processes have to be killed too, and the one that removes must not be. */
static void test_frozen(void **state)
{
	struct cgroup_spec spec = {.path = path, .id = id};
	const struct cgroup_place *freezer;
	struct cgroup cg;
	struct err e;
	pid_t pid;

	(void)state;
	make(&cg, &spec, NULL);
	pid = enter(&cg);
	freezer = cgroup_place_of(&cg, "freezer");
	if (freezer)
		assert_int_equal(cgroup_place_v2(freezer)
				? cgroup_write(freezer->path, "cgroup.freeze", "1")
				: cgroup_write(freezer->path, "freezer.state", "FROZEN"),
			0);
	assert_int_equal(cgroup_remove(&cg, &e), 0);
	assert_int_equal(reap(pid), SIGKILL);
	cgroup_fini(&cg);
}

/* Less than what is in use is refused; on v2 the kernel would kill instead. */
static void test_update_in_use(void **state)
{
	json_t *resources = parse("{\"memory\":{\"limit\":67108864}}");
	struct cgroup_spec spec = {.path = path, .id = id, .resources = resources};
	struct cgroup cg;
	struct err e;
	int status, sync[2];
	pid_t pid;
	char c;

	(void)state;
	make(&cg, &spec, resources);
	assert_int_equal(pipe(sync), 0);
	pid = fork();
	if (pid == 0) {
		int fds[CGROUP_PLACES_MAX];
		size_t n = cgroup_fds(&cg, fds);
		char *memory;
		for (size_t i = 0; i < n; i++)
			(void)!write(fds[i], "0", 1);
		memory = malloc(24 << 20);
		memset(memory, 1, 24 << 20);
		(void)!write(sync[1], memory, 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(sync[0], &c, 1), 1);
	json_decref(resources);
	resources = parse("{\"memory\":{\"limit\":1048576}}");
	if (cgroup_place_of(&cg, "memory")) {
		assert_int_equal(cgroup_update(&cg, resources, 0, 0, &e), -EBUSY);
		assert_non_null(strstr(e.text, "unable to set memory limit to 1048576"));
	}
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(cgroup_update(&cg, resources, 64 << 20, 0, &e), 0);
	json_decref(resources);
	assert_int_equal(cgroup_remove(&cg, &e), 0);
	reap(pid);
	cgroup_fini(&cg);
	close(sync[0]);
	close(sync[1]);
}

/* The parent that cgroup_create made stays, as with runc; the test's own goes here. */
static int teardown(void **state)
{
	struct cgroup_spec spec = {.path = path, .id = id};
	struct cgroup cg;
	struct err e;

	(void)state;
	if (cgroup_plan(&cg, &spec, &e) < 0)
		return -1;
	for (size_t i = 0; i < cg.n; i++)
		*strrchr(cg.places[i].path, '/') = '\0';
	if (cgroup_remove(&cg, &e) < 0)
		print_message("%s\n", e.text);
	cgroup_fini(&cg);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_undo),
		cmocka_unit_test(test_frozen),
		cmocka_unit_test(test_update_in_use),
	};

	snprintf(id, sizeof(id), "test-%d", (int)getpid());
	snprintf(path, sizeof(path), "/hvrun-test-%d/%s", (int)getpid(), id);
	return cmocka_run_group_tests(tests, NULL, teardown);
}
