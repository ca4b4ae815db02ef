/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers that are created first and started later, and processes executed in them, in
 * namespaces of this machine. Skipped without root.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/guest_group.h"

#define EXEC(name, script, extra, ports)                                                           \
	"{\"type\":\"exec\",\"exec\":\"" name "\",\"process\":{\"args\":[\"sh\",\"-c\",\"" script  \
	"\"],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"]" extra "},\"stdio\":{" ports "}}"

static void expect_event(const char *text)
{
	if (!strstr(result.events, text))
		fail_msg("no %s in:\n%s\nlog: %s", text, result.events, result.log);
}

static void expect_no_event(const char *text)
{
	if (strstr(result.events, text))
		fail_msg("%s in:\n%s", text, result.events);
}

static void test_exec(void **state)
{
	(void)state;
	RUN(CONFIG("sleep 60", "", ""),
		{"started",
			EXEC("e1", "echo out; echo err >&2; cat; exit 42", "",
				"\"stdin\":4096,\"stdout\":4097,\"stderr\":4098"),
			"input\n"},
		{"\"code\":42,\"exec\":\"e1\"",
			EXEC("e2",
				"for n in pid mnt ipc uts net cgroup; do test $(readlink "
				"/proc/1/ns/$n) = $(readlink /proc/self/ns/$n) && echo $n; done; "
				"cat /proc/self/cgroup; ls /proc/self/fd | wc -l; id -u; "
				"ps | grep -c sleep; echo $PPID",
				",\"user\":{\"uid\":1000}", "\"stdout\":4100")},
		{"\"code\":0,\"exec\":\"e2\"", KILL});
	expect_event("\"exec\":\"e1\"");
	expect_event("\"type\":\"exec-started\"");
	assert_string_equal(guest_box_output(&result, 4097), "out\ninput\n");
	assert_string_equal(guest_box_output(&result, 4098), "err\n");
	/* The readlinks of another user's process fail alike on both sides. */
	assert_non_null(strstr(guest_box_output(&result, 4100), "0::/\n4\n1000\n"));
	assert_int_equal(result.code, 137);
}

static void test_namespaces(void **state)
{
	(void)state;
	RUN(CONFIG("sleep 60", "", ""),
		{"started",
			EXEC("e1",
				"for n in pid mnt ipc uts net cgroup; do test $(readlink "
				"/proc/1/ns/$n) = $(readlink /proc/self/ns/$n) && echo $n; done; "
				"cat /proc/self/oom_score_adj; ulimit -n; grep -E "
				"'CapPrm|NoNewPrivs|Seccomp:' /proc/self/status",
				",\"capabilities\":{\"bounding\":[\"CAP_SYS_PTRACE\"],"
				"\"permitted\":[\"CAP_SYS_PTRACE\"],\"effective\":["
				"\"CAP_SYS_PTRACE\"],\"inheritable\":[\"CAP_SYS_PTRACE\"]},"
				"\"oomScoreAdj\":77,\"noNewPrivileges\":true,\"rlimits\":[{"
				"\"type\":\"RLIMIT_NOFILE\",\"hard\":99,\"soft\":88}]",
				"\"stdout\":4100")},
		{"\"code\":0,\"exec\":\"e1\"", EXEC("e2", "ulimit -Hn", "", "\"stdout\":4103")},
		{"\"code\":0,\"exec\":\"e2\"", KILL});
	assert_string_equal(guest_box_output(&result, 4100),
		"pid\nmnt\nipc\nuts\nnet\ncgroup\n77\n88\nCapPrm:\t0000000000080000\n"
		"NoNewPrivs:\t1\nSeccomp:\t0\n");
	assert_int_not_equal(atoi(guest_box_output(&result, 4103)), 65536);
}

static void test_failures(void **state)
{
	(void)state;
	RUN(CONFIG("sleep 60", "", ""),
		{"started",
			"{\"type\":\"exec\",\"exec\":\"e1\",\"process\":{\"args\":[\"nothere\"],"
			"\"cwd\":\"/\",\"env\":[\"PATH=/bin\"]},\"stdio\":{\"stdout\":4096}}"},
		{"\"e1\"",
			"{\"type\":\"exec\",\"exec\":\"e2\",\"process\":{\"args\":[\"/etc\"],"
			"\"cwd\":\"/\"},\"stdio\":{}}"},
		{"\"e2\"",
			"{\"type\":\"exec\",\"exec\":\"e3\",\"process\":{\"args\":[\"sh\"],"
			"\"cwd\":\"/nowhere\"},\"stdio\":{}}"},
		{"\"e3\"", "{\"type\":\"exec\",\"exec\":\"../x\",\"process\":{}}"}, {"../x", KILL});
	expect_event("\"code\":127,\"exec\":\"e1\"");
	expect_event("executable file not found in $PATH");
	expect_event("\"code\":126,\"exec\":\"e2\"");
	expect_event("\"code\":1,\"exec\":\"e3\"");
	expect_event("/nowhere");
	expect_event("stdio: is missing");
	assert_int_equal(result.code, 137);
}

/* Many at once, each with its own end; and one that the container takes along. */
static void test_many(void **state)
{
	(void)state;
	RUN(CONFIG("sleep 60", "", ""),
		{"started", EXEC("e1", "sleep 50; exit 1", "", "\"stdout\":4096")},
		{"started", EXEC("e2", "sleep 0.2; echo two; exit 2", "", "\"stdout\":4099")},
		{"started", EXEC("e3", "echo three; exit 3", "", "\"stdout\":4102")},
		{"\"code\":2,\"exec\":\"e2\"", "{\"type\":\"kill\",\"signal\":15,\"exec\":\"e1\"}"},
		{"\"code\":143,\"exec\":\"e1\"", EXEC("e4", "sleep 50", "", "\"stdout\":4105")},
		{"{\"exec\":\"e4\"", KILL});
	expect_event("\"code\":143,\"exec\":\"e1\"");
	expect_event("\"code\":3,\"exec\":\"e3\"");
	expect_event("\"code\":137,\"exec\":\"e4\"");
	assert_string_equal(guest_box_output(&result, 4099), "two\n");
	assert_int_equal(result.code, 137);
}

/* What an exec leaves behind neither delays its end nor survives its kill. */
static void test_leftovers(void **state)
{
	(void)state;
	RUN(CONFIG("sleep 60", "", ""),
		{"started",
			EXEC("e1",
				"echo before; sleep 44 & (while :; do echo noise; done) & exit 9",
				"", "\"stdout\":4096")},
		{"\"code\":9,\"exec\":\"e1\"",
			EXEC("e2", "echo up; sleep 33 & sleep 34", "", "\"stdout\":4099")},
		{"{\"exec\":\"e2\"", "{\"type\":\"kill\",\"signal\":9,\"exec\":\"e2\"}"},
		{"\"code\":137,\"exec\":\"e2\"",
			EXEC("e3", "ps | grep -c 'sleep 3[34]$'; ps | grep -c 'sleep 44$'", "",
				"\"stdout\":4102")},
		{"\"code\":0,\"exec\":\"e3\"", KILL});
	assert_memory_equal(guest_box_output(&result, 4096), "before\n", 7);
	assert_true(result.ports[0].ended);
	assert_string_equal(guest_box_output(&result, 4102), "0\n1\n");
}

#define DROP(name) "{\"type\":\"kill\",\"signal\":9,\"drop\":true,\"exec\":\"" name "\"}"

/* Nobody ever connects their output: they end when the host says that nobody waits for it. */
static void test_dropped(void **state)
{
	(void)state;
	RUN(CONFIG("sleep 60", "", ""),
		{"started", EXEC("e1", "echo lost; exit 5", "", "\"stdout\":4096"),
			.unconnected = true},
		{"{\"exec\":\"e1\"",
			EXEC("e2", "sleep 0.3; ps | grep -c lost", "", "\"stdout\":4099")},
		{"\"code\":0,\"exec\":\"e2\"", DROP("e1")},
		{"\"code\":5,\"exec\":\"e1\"", EXEC("e3", "sleep 50", "", "\"stdout\":4102"),
			.unconnected = true},
		{"{\"exec\":\"e3\"", DROP("e3")}, {"\"code\":137,\"exec\":\"e3\"", DROP("e1")},
		{"\"code\":137,\"exec\":\"e3\"", KILL});
	assert_int_equal(result.code, 137);
	assert_string_equal(result.log, "");
}

static void test_terminal(void **state)
{
	(void)state;
	RUN(CONFIG("sleep 60", "", ""),
		{"started",
			EXEC("t1",
				"stty size; readlink /proc/self/fd/0; read x; echo got-$x; exit 6",
				",\"user\":{\"uid\":1000}",
				"\"terminal\":4096,\"rows\":30,\"columns\":90"),
			"word\n"},
		{"\"code\":6,\"exec\":\"t1\"",
			EXEC("t2", "trap 'stty size; exit 7' WINCH; sleep 20 & wait", "",
				"\"terminal\":4099")},
		{"{\"exec\":\"t2\"", EXEC("e", "sleep 0.3", "", "\"stdout\":4102")},
		{"{\"exec\":\"e\"", "{\"type\":\"start\"}"},
		{"\"code\":0,\"exec\":\"e\"",
			"{\"type\":\"resize\",\"exec\":\"t2\",\"rows\":11,\"columns\":22}"},
		{"\"code\":7,\"exec\":\"t2\"", KILL});
	/* The terminal's echo of the input may come between any two lines. */
	assert_non_null(strstr(guest_box_output(&result, 4096), "30 90\r\n"));
	assert_non_null(strstr(guest_box_output(&result, 4096), "/dev/pts/"));
	assert_non_null(strstr(guest_box_output(&result, 4096), "got-word\r\n"));
	assert_non_null(strstr(guest_box_output(&result, 4099), "11 22\r\n"));
	assert_non_null(strstr(result.log, "start: the container is not created"));
}

static void test_seccomp(void **state)
{
	(void)state;
	RUN(CONFIG("sleep 60", "",
		    ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":["
		    "\"mkdir\",\"mkdirat\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":95}]}"),
		{"started",
			EXEC("e1", "mkdir /d 2>&1; grep Seccomp: /proc/self/status",
				",\"noNewPrivileges\":true,\"user\":{\"uid\":8}",
				"\"stdout\":4096")},
		{"\"code\":0,\"exec\":\"e1\"", KILL});
	assert_string_equal(guest_box_output(&result, 4096),
		"mkdir: can't create directory '/d': Operation not supported\nSeccomp:\t2\n");
}

static void test_user_namespace(void **state)
{
	char command[256];

	snprintf(command, sizeof(command), "chown -R -h 100000:100000 %s/rootfs",
		(const char *)*state);
	assert_int_equal(system(command), 0);
	RUN("{\"process\":{\"args\":[\"sleep\",\"60\"],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"]},"
	    "\"mounts\":[" MOUNTS "],\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":"
	    "\"user\"},{\"type\":\"ipc\"},{\"type\":\"network\"},{\"type\":\"time\"},{\"type\":"
	    "\"uts\"},{\"type\":"
	    "\"cgroup\"}],\"timeOffsets\":{\"boottime\":{\"secs\":1000000}},\"uidMappings\":[{"
	    "\"containerID\":0,\"hostID\":100000,\"size\":1000}],"
	    "\"gidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":1000}]}}",
		{"started",
			EXEC("e1",
				"id -u; cat /proc/self/uid_map | tr -s ' '; ulimit -Hn; cat "
				"/proc/self/oom_score_adj; touch /made && stat -c %u /made; echo x "
				">/dev/stdout; test $(readlink /proc/1/ns/user) = $(readlink "
				"/proc/self/ns/user) && echo same; rm /made; read up x "
				"</proc/uptime; test ${up%%.*} -ge 1000000 && echo late",
				",\"oomScoreAdj\":5,\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\","
				"\"hard\":2047,\"soft\":1024}]",
				"\"stdout\":4096")},
		{"\"code\":0,\"exec\":\"e1\"",
			EXEC("e2", "id -u; tty", ",\"user\":{\"uid\":7,\"gid\":7}",
				"\"terminal\":4099")},
		{"\"code\":0,\"exec\":\"e2\"", KILL});
	assert_string_equal(
		guest_box_output(&result, 4096), "0\n 0 100000 1000\n2047\n5\n0\nx\nsame\nlate\n");
	assert_memory_equal(guest_box_output(&result, 4099), "7\r\n", 3);
	snprintf(command, sizeof(command), "chown -R -h 0:0 %s/rootfs", (const char *)*state);
	assert_int_equal(system(command), 0);
}

/* Without a pid namespace, and with cgroups of the container's own making. */
static void test_shared_pids(void **state)
{
	(void)state;
	RUN("{\"process\":{\"args\":[\"sh\",\"-c\",\"sleep 60\"],\"cwd\":\"/\",\"env\":["
	    "\"PATH=/bin\"]},\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}}",
		{"started", EXEC("e1", "setsid sleep 50 & sleep 51", "", "\"stdout\":4096")},
		{"exec-started", KILL});
	expect_event("\"code\":137,\"exec\":\"e1\"");
	assert_int_equal(result.code, 137);
}

static void run_created(
	const char *config, const struct guest_box_step *steps, int n, const char *extra)
{
	struct guest_box_run run = {.config = config,
		.steps = steps,
		.n_steps = n,
		.created = true,
		.create_extra = extra};

	guest_box_run(&run, &result);
}

#define RUN_CREATED(extra, config, ...)                                                            \
	do {                                                                                       \
		const struct guest_box_step steps_[] = {__VA_ARGS__};                              \
		run_created(config, steps_, (int)(sizeof(steps_) / sizeof(steps_[0])), extra);     \
	} while (0)

#define START "{\"type\":\"start\"}"

static void test_created(void **state)
{
	(void)state;
	RUN_CREATED("", CONFIG("echo hello; cat /tmp/mark; exit 4", "", ""),
		{"created",
			EXEC("e1", "echo first >/tmp/mark; echo $PPID; cat /proc/1/comm", "",
				"\"stdout\":4096")},
		{"\"code\":0,\"exec\":\"e1\"", START});
	assert_true(result.started);
	assert_int_equal(result.code, 4);
	assert_string_equal(result.out, "hello\nfirst\n");
	assert_memory_equal(result.events, "{\"id\"", 5);
	expect_event("\"type\":\"created\"");
}

static void test_created_failures(void **state)
{
	(void)state;
	/* A missing program is told before the start. */
	RUN_CREATED("",
		"{\"process\":{\"args\":[\"nothere\"],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"]}}",
		{"nothing", START});
	assert_true(result.failed);
	assert_int_equal(result.code, 127);
	expect_no_event("\"type\":\"created\"");
	/* A signal ends what was never started. */
	RUN_CREATED("", CONFIG("echo hello", "", ""),
		{"created", "{\"type\":\"kill\",\"signal\":28}"},
		{"created", "{\"type\":\"kill\",\"signal\":15}"});
	assert_false(result.failed);
	assert_false(result.started);
	assert_int_equal(result.code, 137);
	assert_string_equal(result.out, "");
}

static void test_hooks(void **state)
{
	(void)state;
	RUN_CREATED(
		",\"state\":{\"ociVersion\":\"1.2.0\",\"id\":\"x\",\"status\":\"created\",\"pid\":"
		"99,\"bundle\":\"/b\"},\"hooks\":{\"startContainer\":[{\"path\":\"/bin/sh\","
		"\"args\":[\"sh\",\"-c\",\"cat >/tmp/state; echo $K >>/tmp/state\"],\"env\":["
		"\"K=v\"],\"timeout\":10},{\"path\":\"/bin/true\"}]}",
		CONFIG("cat /tmp/state", "", ""), {"created", START});
	assert_int_equal(result.code, 0);
	assert_non_null(strstr(result.out, "\"status\":\"created\""));
	assert_non_null(strstr(result.out, "\"pid\":1,"));
	assert_non_null(strstr(result.out, "}v\n"));
	/* Failures, in containers that are started at once as well. */
	struct guest_box_run run = {.config = CONFIG("echo hello", "", ""),
		.create_extra =
			",\"hooks\":{\"startContainer\":[{\"path\":\"/bin/true\"},{\"path\":"
			"\"/bin/sh\",\"args\":[\"sh\",\"-c\",\"echo no good >&2; exit 3\"]}]}"};
	guest_box_run(&run, &result);
	assert_true(result.failed);
	assert_string_equal(result.message,
		"error running startContainer hook #1: exit status 3, output: no good");
	assert_string_equal(result.out, "");
	run.create_extra = ",\"hooks\":{\"startContainer\":[{\"path\":\"/bin/sleep\",\"args\":["
			   "\"sleep\",\"20\"],\"timeout\":1}]}";
	guest_box_run(&run, &result);
	assert_string_equal(result.message,
		"error running startContainer hook #0: hook ran past specified timeout of 1.0s");
}

static void test_kill_all(void **state)
{
	(void)state;
	RUN(CONFIG("trap 'echo main; sleep 0.3; exit 1' USR1; (trap 'echo sub' USR1; echo ready; "
		   "while :; do sleep 0.1; done) & wait; wait",
		    "", ""),
		{"out:ready", "{\"type\":\"kill\",\"signal\":10,\"all\":true}"});
	assert_non_null(strstr(result.out, "main\n"));
	assert_non_null(strstr(result.out, "sub\n"));
	RUN(CONFIG("sleep 60", "", ""),
		{"started", "{\"type\":\"kill\",\"signal\":9,\"all\":true}"});
	assert_int_equal(result.code, 137);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_exec),
		TEST(test_namespaces),
		TEST(test_failures),
		TEST(test_many),
		TEST(test_leftovers),
		TEST(test_dropped),
		TEST(test_terminal),
		TEST(test_seccomp),
		TEST(test_user_namespace),
		TEST(test_shared_pids),
		TEST(test_created),
		TEST(test_created_failures),
		TEST(test_hooks),
		TEST(test_kill_all),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
