/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: what they get, in which order, and every way in which they fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/hooks.h"

static char dir[] = "/tmp/hvrun-hooks-XXXXXX";

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command); /* NOLINT */
}

/* What the hooks wrote into a file of the directory, removed with it. */
static const char *written(const char *name)
{
	static char text[8192];
	char path[64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return "";
	ssize_t n = read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	unlink(path);
	return text;
}

static json_t *script(const char *text)
{
	return json_pack("{s:s, s:[s, s, s]}", "path", "/bin/sh", "args", "sh", "-c", text);
}

/* Runs hooks of a kind, taking the list over. */
static int run(const char *kind, json_t *list, struct err *e)
{
	struct hooks_env env = {.bundle = dir, .netns = -1};
	cleanup_json json_t *hooks = json_pack("{s:o}", kind, list);
	cleanup_json json_t *state = json_pack("{s:s, s:i}", "id", "box", "pid", 4242);

	e->text[0] = '\0';
	assert_non_null(hooks);
	return hooks_run(hooks, kind, state, &env, e);
}

static void run_good(const char *kind, json_t *list)
{
	struct err e;

	if (run(kind, list, &e) < 0)
		fail_msg("%s", e.text);
}

static void expect_fault(const char *kind, json_t *list, int code, const char *text)
{
	struct err e;

	assert_int_equal(run(kind, list, &e), -code);
	assert_string_equal(e.text, text);
}

static void test_none(void **state)
{
	struct hooks_env env = {.bundle = dir, .netns = -1};
	cleanup_json json_t *empty = json_object();
	struct err e;

	(void)state;
	assert_int_equal(hooks_run(NULL, "prestart", empty, &env, &e), 0);
	assert_int_equal(hooks_run(empty, "prestart", empty, &env, &e), 0);
	run_good("prestart", json_array());
}

static void test_order_and_state(void **state)
{
	char want[128];

	(void)state;
	run_good("createRuntime",
		json_pack("[o, o, o]", script("cat >>out; echo \" first\" >>out"),
			script("pwd >>out"), script("echo third >>out")));
	snprintf(want, sizeof(want), "{\"id\":\"box\",\"pid\":4242} first\n%s\nthird\n", dir);
	assert_string_equal(written("out"), want);
}

/* Arguments and environment are exactly those of the configuration. */
static void test_words(void **state)
{
	(void)state;
	char path[64], text[128];
	snprintf(path, sizeof(path), "%s/show", dir);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	fprintf(file,
		"#!/bin/sh\ntr '\\0' '|' </proc/$$/cmdline >%s/out\n"
		"tr '\\0' '|' </proc/$$/environ >%s/env\n",
		dir, dir);
	fclose(file);
	assert_int_equal(chmod(path, 0755), 0);
	setenv("HVRUN_TEST_SECRET", "1", 1);
	run_good("prestart", json_pack("[{s:s}]", "path", path));
	/* The kernel puts the interpreter and the script's path in place of argv[0]. */
	snprintf(text, sizeof(text), "/bin/sh|%s|", path);
	assert_string_equal(written("out"), text);
	assert_string_equal(written("env"), "");
	run_good("prestart",
		json_pack("[{s:s, s:[s, s, s], s:[s, s]}]", "path", path, "args", "zero", "a b", "",
			"env", "ONE=1 2", "TWO="));
	snprintf(text, sizeof(text), "/bin/sh|%s|a b||", path);
	assert_string_equal(written("out"), text);
	assert_string_equal(written("env"), "ONE=1 2|TWO=|");
}

/* The two signals that belong to the C library, 32 and 33, stay as our caller had them. */
static uint64_t ignored_by_libc(void)
{
	unsigned long long mask = 0;
	char line[128];
	FILE *file = fopen("/proc/self/status", "re");

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "SigIgn: %llx", &mask) == 1)
			break;
	fclose(file);
	return mask & (UINT64_C(3) << 31);
}

static void test_clean_process(void **state)
{
	static const char show[] =
		"while read -r key value; do case $key in "
		"SigBlk:|SigIgn:|PPid:|NSpgid:) echo $key $value;; "
		"esac; done </proc/$$/status >out; "
		"for i in 0 1 2 3 4 5 6 7 8 9; do "
		"[ -e /proc/$$/fd/$i ] && echo $i >>out; done; echo pid $$ >>out";
	sigset_t all, saved;
	char want[256];
	int pid = 0;

	(void)state;
	cleanup_close int left = open("/dev/zero", O_RDONLY); /* that a careless caller left open */
	assert_true(left >= 0);
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &saved);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	run_good("prestart", json_pack("[o]", script(show)));
	signal(SIGPIPE, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_SETMASK, &saved, NULL);
	const char *text = written("out");
	const char *last = strstr(text, "pid ");
	assert_non_null(last);
	assert_int_equal(sscanf(last, "pid %d", &pid), 1);
	snprintf(want, sizeof(want),
		"PPid: %d\nNSpgid: %d\nSigBlk: 0000000000000000\nSigIgn: %016llx\n"
		"0\n1\n2\npid %d\n",
		getpid(), pid, (unsigned long long)ignored_by_libc(), pid);
	assert_string_equal(text, want);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_exit_codes(void **state)
{
	(void)state;
	expect_fault("createRuntime",
		json_pack("[o, o, o]", script("exit 0"),
			script("echo said; echo 'a\nb\tc' >&2; exit 3"), script("echo no >out")),
		ECANCELED,
		"error running createRuntime hook #1: exit status 3, stdout: said, stderr: a b c");
	assert_string_equal(written("out"), "");
	expect_fault("prestart", json_pack("[o]", script("kill -KILL $$")), ECANCELED,
		"error running prestart hook #0: signal: killed, stdout: , stderr: ");
	expect_fault("poststart", json_pack("[o]", script("kill -34 $$")), ECANCELED,
		"error running poststart hook #0: signal: signal 34, stdout: , stderr: ");
}

static void test_not_started(void **state)
{
	(void)state;
	expect_fault("prestart", json_pack("[{s:s}]", "path", "/no/such/hook"), ENOENT,
		"error running prestart hook #0: fork/exec /no/such/hook: no such file or "
		"directory");
	expect_fault("prestart", json_pack("[{s:s}]", "path", "/etc/passwd"), EACCES,
		"error running prestart hook #0: fork/exec /etc/passwd: permission denied");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* A hook may say more than a pipe holds, and more than is kept: the end counts. */
static void test_output(void **state)
{
	struct err e;

	(void)state;
	run_good("prestart",
		json_pack("[o]",
			script("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); "
			       "echo 0123456789012345678901234567890123456789; "
			       "echo 0123456789012345678901234567890123456789 >&2; done")));
	assert_int_equal(run("prestart",
				 json_pack("[o]",
					 script("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); "
						"echo 01234567890123456789; done >&2; "
						"echo the end >&2; exit 1")),
				 &e),
		-ECANCELED);
	assert_true(strlen(e.text) < 600);
	assert_non_null(strstr(e.text, "0123456789 the end"));
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The hook and what it started are killed, at its time and not before. */
static void test_timeout(void **state)
{
	json_t *hook = script("sleep 100 & echo $! >out; sleep 100");
	double before = seconds();
	int pid = 0;

	(void)state;
	json_object_set_new(hook, "timeout", json_integer(1));
	expect_fault("createRuntime", json_pack("[o]", hook), ETIMEDOUT,
		"error running createRuntime hook #0: hook ran past specified timeout of 1.0s");
	assert_true(seconds() - before >= 1.0);
	assert_int_equal(sscanf(written("out"), "%d", &pid), 1);
	/* An orphan: whoever takes it in may be slow to. */
	for (int i = 0; i < 100; i++) {
		char path[64], comm = 'R';
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		FILE *file = fopen(path, "r");
		if (!file)
			return;
		assert_int_equal(fscanf(file, "%*d %*s %c", &comm), 1);
		fclose(file);
		if (comm == 'Z')
			return;
		usleep(20000);
	}
	fail_msg("process %d is still there", pid);
}

/* Something that a hook leaves behind holds nobody up. */
static void test_daemon(void **state)
{
	double before = seconds();

	(void)state;
	run_good("prestart", json_pack("[o]", script("sleep 3 & exit 0")));
	assert_true(seconds() - before < 2.5);
}

/* A signal that the caller keeps for later ends a hook that hangs, and is still there then. */
static void test_interrupt(void **state)
{
	sigset_t term, saved, pending;
	struct err e;

	(void)state;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, &saved);
	int ret = run("prestart", json_pack("[o]", script("kill -TERM $PPID; sleep 100")), &e);
	assert_int_equal(ret, -EINTR);
	assert_string_equal(e.text, "error running prestart hook #0: hook interrupted by a signal");
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGTERM));
	/* After the container's life it is no reason to leave things lying about. */
	run_good("poststop", json_pack("[o]", script("sleep 0.1; echo done >out")));
	assert_string_equal(written("out"), "done\n");
	signal(SIGTERM, SIG_IGN);
	signal(SIGTERM, SIG_DFL);
	sigprocmask(SIG_SETMASK, &saved, NULL);
}

/* What goes wrong in poststop is said, and the rest is done all the same. */
static void test_poststop(void **state)
{
	(void)state;
	run_good("poststop",
		json_pack("[o, {s:s}, o]", script("exit 1"), "path", "/no/such/hook",
			script("echo last >out")));
	assert_string_equal(written("out"), "last\n");
}

/* A bundle that is gone: the hook runs all the same. */
static void test_no_bundle(void **state)
{
	struct hooks_env env = {.bundle = "/no/such/bundle", .netns = -1};
	char text[64];
	struct err e;

	(void)state;
	snprintf(text, sizeof(text), "pwd >%s/out", dir);
	cleanup_json json_t *hooks = json_pack("{s:[o]}", "poststop", script(text));
	assert_int_equal(hooks_run(hooks, "poststop", hooks, &env, &e), 0);
	assert_string_equal(written("out"), "/\n");
}

static void test_namespace(void **state)
{
	static const char *const kinds[] = {"createRuntime", "createContainer"};
	char own[64] = "", other[64] = "";

	(void)state;
	cleanup_close int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0)
		skip();
	struct hooks_env env = {.bundle = dir, .netns = open("/proc/self/ns/net", O_RDONLY)};
	assert_true(readlink("/proc/self/ns/net", other, sizeof(other) - 1) > 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	assert_true(readlink("/proc/self/ns/net", own, sizeof(own) - 1) > 0);
	for (int i = 0; i < 2; i++) {
		struct err e;
		char want[70];
		cleanup_json json_t *hooks =
			json_pack("{s:[o]}", kinds[i], script("readlink /proc/self/ns/net >out"));
		assert_int_equal(hooks_run(hooks, kinds[i], hooks, &env, &e), 0);
		snprintf(want, sizeof(want), "%s\n", i ? other : own);
		assert_string_equal(written("out"), want);
	}
	close(env.netns);
	/* What is no namespace can't be entered. */
	env.netns = STDERR_FILENO;
	struct err e;
	cleanup_json json_t *hooks = json_pack("{s:[o]}", kinds[1], script("exit 0"));
	assert_true(hooks_run(hooks, kinds[1], hooks, &env, &e) < 0);
	assert_non_null(strstr(e.text, "the container's network namespace"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_order_and_state),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_clean_process),
		cmocka_unit_test(test_exit_codes),
		cmocka_unit_test(test_not_started),
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_timeout),
		cmocka_unit_test(test_daemon),
		cmocka_unit_test(test_interrupt),
		cmocka_unit_test(test_poststop),
		cmocka_unit_test(test_no_bundle),
		cmocka_unit_test(test_namespace),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
