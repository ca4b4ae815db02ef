/* SPDX-License-Identifier: Apache-2.0 */
/*
 * systemd's scopes, with a real systemd (a user's manager) and D-Bus daemon of the test's own. A
 * manager takes the cgroup that it is started in for its own, with all that is in it, so this runs
 * on a machine of its own only: in kvmbox.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/cgroup_internal.h"
#include "tests/unit/support/family.h"

#define SYSTEMD	 "/lib/systemd/systemd"
#define DBUS	 "/usr/bin/dbus-daemon"
#define HOME	 "/sys/fs/cgroup/hvrun-test-systemd"
#define OVERHEAD (32ull << 20)
#define WAIT_MS	 60000

static char dir[] = "/tmp/hvrun-systemd.XXXXXX", address[64];
static pid_t daemons[2];

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	assert_non_null(json);
	return json;
}

static pid_t start(const char *const *argv, bool own_cgroup)
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (null < 0 || (own_cgroup && cgroup_write(HOME, "cgroup.procs", "0") < 0))
			_exit(1);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		execv(argv[0], (char *const *)argv);
		_exit(1);
	}
	return pid;
}

/* What a command prints, without its last newline; "" when it fails. */
static const char *output(const char *command)
{
	static char text[256];
	FILE *pipe = popen(command, "r");
	size_t n = pipe ? fread(text, 1, sizeof(text) - 1, pipe) : 0;

	text[n] = '\0';
	if (!pipe || pclose(pipe) != 0)
		return "";
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static bool wait_for(const char *command, const char *want)
{
	for (unsigned ms = 0; ms < WAIT_MS; ms += 100) {
		if (strcmp(output(command), want) == 0)
			return true;
		usleep(100000);
	}
	return false;
}

static int setup(void **state)
{
	char option[96];
	const char *const dbus[] = {DBUS, "--session", "--nofork", option, NULL};
	const char *const systemd[] = {SYSTEMD, "--user", NULL};

	(void)state;
	if (!getenv("KVMBOX") || access(SYSTEMD, X_OK) < 0 || access(DBUS, X_OK) < 0)
		return 0;
	if (!mkdtemp(dir) || mkdir(HOME, 0755) < 0 ||
		(mkdir("/run/systemd", 0755) < 0 && errno != EEXIST) ||
		(mkdir("/run/systemd/system", 0755) < 0 && errno != EEXIST))
		return -1;
	snprintf(address, sizeof(address), "unix:path=%s/bus", dir);
	snprintf(option, sizeof(option), "--address=%s", address);
	setenv("XDG_RUNTIME_DIR", dir, 1);
	setenv("DBUS_SESSION_BUS_ADDRESS", address, 1);
	/* The same one stands in for the system's: only the address differs. */
	setenv("DBUS_SYSTEM_BUS_ADDRESS", address, 1);
	daemons[0] = start(dbus, false);
	daemons[1] = start(systemd, true);
	return wait_for("systemctl --user is-system-running", "running") ? 0 : -1;
}

static int teardown(void **state)
{
	struct cgroup home = {
		.n = 1, .places = {{.controllers = strdup(""), .path = strdup(HOME)}}};
	struct err e;

	(void)state;
	for (size_t i = 2; i-- > 0;) {
		if (daemons[i] <= 0)
			continue;
		kill(daemons[i], SIGKILL);
		waitpid(daemons[i], NULL, 0);
	}
	home.places[0].procs_fd = -1;
	if (daemons[1] > 0 && cgroup_remove(&home, &e) < 0)
		print_message("%s\n", e.text);
	cgroup_fini(&home);
	return 0;
}

static void assert_file(const struct cgroup *cg, const char *file, const char *want)
{
	char text[256];

	assert_int_equal(cgroup_read(cg->places[0].path, file, text, sizeof(text)), 0);
	assert_string_equal(text, want);
}

static pid_t sleeper(int procs)
{
	pid_t pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (procs >= 0 && write(procs, "0", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	return pid;
}

static void life(bool rootless)
{
	json_t *resources;
	struct cgroup_spec spec = {.path = "app-hvtest.slice:hv:one",
		.id = "one",
		.systemd = true,
		.rootless = rootless,
		.overhead_bytes = OVERHEAD,
		.overhead_pids = 100};
	struct cgroup cg, again;
	struct err e;
	int fds[CGROUP_PLACES_MAX], status;
	json_t *json;
	pid_t one, two, three;

	if (!daemons[1])
		skip();
	resources = parse("{\"memory\":{\"limit\":67108864,\"swap\":134217728},"
			  "\"cpu\":{\"shares\":512,\"quota\":50000,\"period\":100000,"
			  "\"cpus\":\"0\"},\"pids\":{\"limit\":7}}");
	spec.resources = resources;
	if (cgroup_plan(&cg, &spec, &e) < 0 || cgroup_create(&cg, &spec, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(cg.n, 1);
	assert_string_equal(cg.unit, "hv-one.scope");
	assert_string_equal(cg.places[0].path, HOME "/app.slice/app-hvtest.slice/hv-one.scope");
	assert_false(cg.attach_late);
	assert_file(&cg, "memory.max", "100663296");
	assert_file(&cg, "memory.swap.max", "67108864");
	assert_file(&cg, "cpu.weight", "20");
	assert_file(&cg, "cpu.max", "50000 100000");
	assert_file(&cg, "pids.max", "100");
	assert_file(&cg, "cpuset.cpus", "0");
	assert_string_equal(
		output("systemctl --user show -p MemoryMax hv-one.scope"), "MemoryMax=100663296");
	assert_string_equal(
		output("systemctl --user show -p Delegate hv-one.scope"), "Delegate=yes");
	assert_int_equal(cgroup_fds(&cg, fds), 1);
	one = sleeper(fds[0]);
	while (cgroup_count_processes(cg.places[0].path) < 2)
		usleep(1000);
	cgroup_settle(&cg);
	assert_int_equal(cgroup_count_processes(cg.places[0].path), 1);
	assert_string_equal(output("systemctl --user is-active hv-one.scope"), "active");

	/* A unit of the name is somebody's: it is neither taken nor harmed. */
	assert_int_equal(cgroup_plan(&again, &spec, &e), -EBUSY);
	assert_int_equal(cgroup_locate(&again, &spec, &e), 0);
	assert_true(cgroup_create(&again, &spec, &e) < 0);
	assert_non_null(strstr(e.text, "hv-one.scope"));
	cgroup_fini(&again);
	assert_int_equal(waitpid(one, &status, WNOHANG), 0);

	json = cgroup_to_json(&cg);
	cgroup_fini(&cg);
	assert_int_equal(cgroup_from_json(&cg, json), 0);
	json_decref(json);
	json_decref(resources);
	resources = parse("{\"memory\":{\"limit\":134217728},\"cpu\":{\"quota\":-1}}");
	assert_int_equal(cgroup_update(&cg, resources, OVERHEAD, 0, &e), 0);
	json_decref(resources);
	assert_file(&cg, "memory.max", "167772160");
	assert_file(&cg, "cpu.max", "max 100000");
	assert_string_equal(
		output("systemctl --user show -p MemoryMax hv-one.scope"), "MemoryMax=167772160");
	two = sleeper(-1);
	assert_int_equal(cgroup_attach(&cg, two, &e), 0);
	assert_int_equal(cgroup_count_processes(cg.places[0].path), 2);
	/* Where systemd alone may do it; programs have started others by then. */
	cg.attach_late = true;
	three = family();
	assert_int_equal(cgroup_attach_trees(&cg, (pid_t[]){two, 0, three}, 3, &e), 0);
	assert_int_equal(cgroup_count_processes(cg.places[0].path), 2 + FAMILY);
	assert_int_equal(cgroup_remove(&cg, &e), 0);
	waitpid(one, &status, 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	waitpid(two, &status, 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	waitpid(three, &status, 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_int_equal(access(cg.places[0].path, F_OK), -1);
	assert_int_equal(cgroup_remove(&cg, &e), 0);
	cgroup_fini(&cg);
	assert_true(
		wait_for("systemctl --user show -p LoadState hv-one.scope", "LoadState=not-found"));
}

static void test_user_manager(void **state)
{
	(void)state;
	life(true);
}

static void test_system_manager(void **state)
{
	(void)state;
	life(false);
}

/* hvrun killed half-way, with no more than what cgroup_plan knew written down. */
static void test_killed(void **state)
{
	struct cgroup_spec spec = {.id = "two", .systemd = true, .rootless = true};
	struct cgroup cg;
	struct err e;
	json_t *json;
	int status;
	pid_t pid;

	(void)state;
	if (!daemons[1])
		skip();
	assert_int_equal(cgroup_plan(&cg, &spec, &e), 0);
	assert_string_equal(cg.unit, "hvrun-two.scope");
	json = cgroup_to_json(&cg);
	pid = fork();
	if (pid == 0) {
		if (cgroup_create(&cg, &spec, &e) < 0)
			_exit(1);
		raise(SIGKILL);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	cgroup_fini(&cg);
	assert_int_equal(cgroup_from_json(&cg, json), 0);
	json_decref(json);
	assert_int_equal(cgroup_remove(&cg, &e), 0);
	cgroup_fini(&cg);
	assert_true(wait_for(
		"systemctl --user show -p LoadState hvrun-two.scope", "LoadState=not-found"));
	assert_int_equal(access(HOME "/user.slice/hvrun-two.scope", F_OK), -1);
}

/* A container without a limit; systemd knows of the bound, and does not undo it. */
static void test_bound(void **state)
{
	struct cgroup_spec spec = {
		.id = "four", .systemd = true, .rootless = true, .bound_bytes = 300 << 20};
	struct cgroup cg;
	struct err e;

	(void)state;
	if (!daemons[1])
		skip();
	if (cgroup_plan(&cg, &spec, &e) < 0 || cgroup_create(&cg, &spec, &e) < 0)
		fail_msg("%s", e.text);
	assert_file(&cg, "memory.max", "314572800");
	assert_string_equal(output("systemctl --user show -p MemoryMax hvrun-four.scope"),
		"MemoryMax=314572800");
	cgroup_settle(&cg);
	assert_int_equal(cgroup_remove(&cg, &e), 0);
	cgroup_fini(&cg);
}

/* A value that systemd or the kernel refuses leaves no unit. */
static void test_undo(void **state)
{
	json_t *resources = parse("{\"cpu\":{\"cpus\":\"1000\"}}");
	struct cgroup_spec spec = {
		.id = "three", .systemd = true, .rootless = true, .resources = resources};
	struct cgroup cg;
	struct err e;

	(void)state;
	if (!daemons[1]) {
		json_decref(resources);
		skip();
	}
	assert_int_equal(cgroup_plan(&cg, &spec, &e), 0);
	assert_true(cgroup_create(&cg, &spec, &e) < 0);
	assert_int_equal(cg.holder, 0);
	cgroup_fini(&cg);
	json_decref(resources);
	assert_true(wait_for(
		"systemctl --user show -p LoadState hvrun-three.scope", "LoadState=not-found"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_user_manager),
		cmocka_unit_test(test_system_manager),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_undo),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
