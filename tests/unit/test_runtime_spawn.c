/* SPDX-License-Identifier: Apache-2.0 */
/* Starting programs: their descriptors, signals, CPUs, and what can't be started. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/spawn.h"

/* Runs a shell script; its stdout is returned in out. */
static int shell(const char *script, struct spawn *spawn, char *out, size_t cap)
{
	char *argv[] = {"sh", "-c", (char *)(uintptr_t)script, NULL};
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int ends[2], status;
	size_t used = 0;
	ssize_t n;
	struct err e;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	spawn->path = "/bin/sh";
	spawn->argv = argv;
	spawn->out = ends[1];
	spawn->err = 2;
	pid_t pid = spawn_start(spawn, null, &e);
	if (pid < 0)
		fail_msg("%s", e.text);
	close(ends[1]);
	while (used + 1 < cap && (n = read(ends[0], out + used, cap - used - 1)) > 0)
		used += (size_t)n;
	out[used] = '\0';
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void test_descriptors(void **state)
{
	sigset_t mask;
	char out[512];

	(void)state;
	sigemptyset(&mask);
	/* One to be kept, one marked, and one that a careless caller left open. */
	cleanup_close int kept = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	cleanup_close int marked = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	cleanup_close int left = open("/dev/zero", O_RDONLY);
	int fds[] = {-1, kept};
	struct spawn spawn = {.fds = fds, .n_fds = 2, .mask = &mask};
	char want[64];
	snprintf(want, sizeof(want), "0\n1\n2\n%d\n", kept);
	assert_true(marked >= 0 && left >= 0);
	assert_int_equal(
		shell("for i in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$i ] && echo $i; done; "
		      "exit 0",
			&spawn, out, sizeof(out)),
		0);
	assert_string_equal(out, want);
	/* The marks here are untouched. */
	assert_int_equal(fcntl(kept, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(left, F_GETFD), 0);
	shell("readlink /proc/$$/fd/0", &spawn, out, sizeof(out));
	assert_string_equal(out, "/dev/null\n");
}

static void test_signals(void **state)
{
	unsigned long ignored, blocked;
	sigset_t mask;
	char out[4096];

	(void)state;
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	struct spawn spawn = {.mask = &mask};
	/* The shell's own status: it clears the mask for what it starts. */
	shell("while read -r line; do echo \"$line\"; done </proc/$$/status", &spawn, out,
		sizeof(out));
	assert_int_equal(sscanf(strstr(out, "SigIgn:"), "SigIgn: %lx", &ignored), 1);
	assert_int_equal(sscanf(strstr(out, "SigBlk:"), "SigBlk: %lx", &blocked), 1);
	static const int theirs[] = {SIGINT, SIGQUIT, SIGHUP, SIGTERM, SIGTSTP};
	for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++)
		assert_true(ignored & 1ul << (theirs[i] - 1));
	assert_false(ignored & 1ul << (SIGPIPE - 1));
	assert_true(blocked == 1ul << (SIGUSR1 - 1));
}

static void test_cpus(void **state)
{
	cpu_set_t mine, one;
	unsigned long mems = 1;
	sigset_t mask;
	char out[4096], want[64];
	size_t cpu = 0;

	(void)state;
	sigemptyset(&mask);
	assert_int_equal(sched_getaffinity(0, sizeof(mine), &mine), 0);
	while (!CPU_ISSET(cpu, &mine))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	struct spawn spawn = {.mask = &mask, .cpus = &one, .mems = &mems, .mems_bits = 64};
	shell("cat /proc/self/status", &spawn, out, sizeof(out));
	snprintf(want, sizeof(want), "Cpus_allowed_list:\t%zu\n", cpu);
	assert_non_null(strstr(out, want));
}

/* Limits are of what is started; one that is lower already stays. */
static void test_limits(void **state)
{
	static const char script[] = "ulimit -Hn; ulimit -Sn; ulimit -Hc; ulimit -Sc";
	struct rlimit files, low = {64, 64};
	sigset_t mask;
	char out[256], want[128];

	(void)state;
	sigemptyset(&mask);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	assert_true(files.rlim_max > 100);
	struct spawn spawn = {.mask = &mask, .files_max = 100, .no_core = true};
	assert_int_equal(shell(script, &spawn, out, sizeof(out)), 0);
	assert_string_equal(out, "100\n100\n0\n0\n");
	spawn.files_max = 0;
	spawn.no_core = false;
	assert_int_equal(shell("ulimit -Hn", &spawn, out, sizeof(out)), 0);
	snprintf(want, sizeof(want), "%llu\n", (unsigned long long)files.rlim_max);
	if (files.rlim_max != RLIM_INFINITY)
		assert_string_equal(out, want);
	pid_t pid = fork();
	if (pid == 0) {
		spawn.files_max = 100;
		if (setrlimit(RLIMIT_NOFILE, &low) < 0 ||
			shell("ulimit -Hn", &spawn, out, sizeof(out)) != 0)
			_exit(1);
		_exit(strcmp(out, "64\n") == 0 ? 0 : 2);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_own_pids(void **state)
{
	sigset_t mask;
	char out[256];

	(void)state;
	sigemptyset(&mask);
	struct spawn spawn = {.mask = &mask, .own_pids = true, .death_signal = SIGKILL};
	int status = shell("echo $$ $PPID; exit 9", &spawn, out, sizeof(out));
	assert_int_equal(WEXITSTATUS(status), 9);
	/* An ordinary user's process starts without one. */
	if (geteuid() == 0)
		assert_string_equal(out, "1 0\n");
	/* What comes next is where it always was. */
	spawn.own_pids = false;
	shell("echo $PPID", &spawn, out, sizeof(out));
	assert_int_equal(atoi(out), getpid());

	char *argv[] = {"none", NULL};
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct err e;
	spawn.path = "/no/such/program";
	spawn.argv = argv;
	spawn.own_pids = true;
	spawn.out = null;
	assert_int_equal(spawn_start(&spawn, null, &e), -ENOENT);
}

static void test_death_signal(void **state)
{
	int ends[2];
	char byte;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t middle = fork();
	if (middle == 0) {
		char *argv[] = {"sleep", "100", NULL};
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		sigset_t mask;
		struct err e;
		sigemptyset(&mask);
		struct spawn spawn = {.path = "/bin/sleep",
			.argv = argv,
			.fds = &ends[1],
			.n_fds = 1,
			.out = null,
			.err = 2,
			.death_signal = SIGKILL,
			.mask = &mask};
		_exit(spawn_start(&spawn, null, &e) > 0 ? 0 : 1);
	}
	int status;
	assert_int_equal(waitpid(middle, &status, 0), middle);
	assert_int_equal(status, 0);
	close(ends[1]);
	/* The grandchild's end of the pipe closes with it. */
	alarm(10);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	alarm(0);
	close(ends[0]);
}

static void test_faults(void **state)
{
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char *argv[] = {"x", NULL};
	sigset_t mask;
	struct err e;

	(void)state;
	sigemptyset(&mask);
	struct spawn spawn = {
		.path = "/no/such/program", .argv = argv, .out = 1, .err = 2, .mask = &mask};
	assert_int_equal(spawn_start(&spawn, null, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/no/such/program: can't start: no such file"));
	spawn.path = "/etc/passwd";
	assert_int_equal(spawn_start(&spawn, null, &e), -EACCES);
	int closed = 1000;
	spawn.path = "/bin/true";
	spawn.fds = &closed;
	spawn.n_fds = 1;
	assert_int_equal(spawn_start(&spawn, null, &e), -EBADF);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_own_pids),
		cmocka_unit_test(test_death_signal),
		cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
