/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of system calls as programs, their effect in a process, and what is said of a violation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/confine/privileges.h"
#include "microvm/confine/thread.h"
#include "microvm/confine/violation.h"
#include "tests/unit/support/bpf_run.h"

#define CAP 1024

static const struct call first_calls[] = {
	CALL(write),
	CALL(read),
	CALL(exit_group),
	CALL_IF_EQUAL(fcntl, 1, F_GETFL),
	CALL_IF_EQUAL(fcntl, 1, F_GETFD),
	CALL_IF_WITHOUT(mmap, 2, PROT_EXEC),
};
static const struct call second_calls[] = {
	CALL(read),
	CALL(futex),
	CALL_FAILS(clone3, ENOSYS),
	CALL_IF_OWN(tgkill, 0),
};
static const struct call third_calls[] = {
	CALL_IF_EQUAL(socket, 0, 2),
	CALL_AND_EQUAL(socket, 1, 1),
	CALL_IF_EQUAL(socket, 0, 1),
	CALL_AND_EQUAL(socket, 2, 7),
	CALL_AND_EQUAL(socket, 1, 2),
	CALL_IF_EQUAL(socket, 0, 3),
	CALL_IF_EQUAL(socket, 0, 4),
};
static const struct calls first = CALLS(first_calls), second = CALLS(second_calls),
			  third = CALLS(third_calls);
static const struct filter both = {
	.kind = "test", .parts = {&first, &second}, .denied = DENIED(THREAD_DISK)};

static uint32_t fate(const struct filter *filter, int nr, unsigned arg, uint64_t value)
{
	struct sock_filter program[CAP];
	struct seccomp_data data = {.nr = nr, .arch = AUDIT_ARCH_X86_64};
	unsigned steps;
	int n = filter_compile(filter, program, CAP);

	assert_true(n > 0);
	data.args[arg] = value;
	uint32_t action = bpf_run(program, (unsigned)n, &data, &steps);
	assert_true(steps < 24);
	return action;
}

static void test_program(void **state)
{
	const uint32_t denied = SECCOMP_RET_TRAP | THREAD_DISK;

	(void)state;
	for (int nr = 0; nr < 600; nr++) {
		bool is_allowed = nr == SYS_write || nr == SYS_read || nr == SYS_exit_group ||
			nr == SYS_futex || nr == SYS_mmap;
		uint32_t wanted = is_allowed ? SECCOMP_RET_ALLOW
			: nr == SYS_clone3   ? SECCOMP_RET_ERRNO | ENOSYS
					     : denied;
		assert_int_equal(fate(&both, nr, 0, 0), wanted);
	}
	assert_int_equal(fate(&both, SYS_fcntl, 1, F_GETFL), SECCOMP_RET_ALLOW);
	assert_int_equal(fate(&both, SYS_fcntl, 1, F_GETFD), SECCOMP_RET_ALLOW);
	assert_int_equal(fate(&both, SYS_fcntl, 1, F_SETFL), denied);
	assert_int_equal(fate(&both, SYS_mmap, 2, PROT_READ | PROT_WRITE), SECCOMP_RET_ALLOW);
	assert_int_equal(fate(&both, SYS_mmap, 2, PROT_READ | PROT_EXEC), denied);
	assert_int_equal(fate(&both, SYS_tgkill, 0, (uint64_t)getpid()), SECCOMP_RET_ALLOW);
	assert_int_equal(fate(&both, SYS_tgkill, 0, (uint64_t)getppid()), denied);
	/* Numbers of another ABI, and another architecture. */
	assert_int_equal(fate(&both, SYS_read | 0x40000000, 0, 0), denied);
	assert_int_equal(fate(&both, -1, 0, 0), denied);
	struct sock_filter program[CAP];
	struct seccomp_data data = {.nr = SYS_read, .arch = AUDIT_ARCH_I386};
	unsigned steps;
	int n = filter_compile(&both, program, CAP);
	assert_int_equal(bpf_run(program, (unsigned)n, &data, &steps), SECCOMP_RET_KILL_PROCESS);
}

static uint32_t fate_of_socket(uint64_t family, uint64_t type, uint64_t protocol)
{
	const struct filter f = {.parts = {&first, &third}, .denied = SECCOMP_RET_KILL_PROCESS};
	struct seccomp_data data = {
		.nr = SYS_socket, .arch = AUDIT_ARCH_X86_64, .args = {family, type, protocol}};
	struct sock_filter program[CAP];
	unsigned steps;
	int n = filter_compile(&f, program, CAP);

	assert_true(n > 0);
	return bpf_run(program, (unsigned)n, &data, &steps);
}

/* Arguments that have to be so together. */
static void test_together(void **state)
{
	char text[1024] = "";
	const struct filter f = {.kind = "test", .parts = {&third}};

	(void)state;
	for (unsigned i = 0; i < 5 * 4 * 9; i++) {
		unsigned family = i % 5, type = i / 5 % 4, protocol = i / 20;
		bool is_allowed = (family == 2 && type == 1) ||
			(family == 1 && type == 2 && protocol == 7) || family >= 3;
		assert_int_equal(fate_of_socket(family, type, protocol),
			is_allowed ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS);
	}
	FILE *out = fmemopen(text, sizeof(text), "w");
	assert_non_null(out);
	filter_print(out, &f, "-x");
	fclose(out);
	assert_string_equal(text,
		"test-x socket 0 0xffffffff 0x2 1 0xffffffff 0x1\n"
		"test-x socket 0 0xffffffff 0x1 2 0xffffffff 0x7 1 0xffffffff 0x2\n"
		"test-x socket 0 0xffffffff 0x3\n"
		"test-x socket 0 0xffffffff 0x4\n");
}

static void test_wrong_lists(void **state)
{
	static const struct call contrary_calls[] = {CALL(fcntl)};
	static const struct call lone_calls[] = {CALL_AND_EQUAL(socket, 0, 1)};
	static const struct calls contrary = CALLS(contrary_calls), lone = CALLS(lone_calls);
	static struct call many_calls[FILTER_CALLS_MAX];
	static const struct calls many = CALLS(many_calls);
	struct filter f = {.parts = {&first, &contrary}};
	struct sock_filter program[CAP];

	(void)state;
	assert_int_equal(filter_compile(&f, program, CAP), -EINVAL);
	f = (struct filter){.parts = {&first, &lone}};
	assert_int_equal(filter_compile(&f, program, CAP), -EINVAL);
	f = (struct filter){.parts = {&first, &many}};
	assert_int_equal(filter_compile(&f, program, CAP), -E2BIG);
	assert_int_equal(filter_compile(&both, program, 8), -E2BIG);
	/* All of it, with gaps everywhere, has jumps that are long enough. */
	for (unsigned i = 0; i < FILTER_CALLS_MAX; i++)
		many_calls[i] = (struct call){.nr = (uint16_t)(2 * i)};
	f = (struct filter){.parts = {&many}, .denied = DENIED(THREAD_NET)};
	for (int nr = 0; nr < 2 * FILTER_CALLS_MAX + 2; nr++)
		assert_int_equal(fate(&f, nr, 0, 0),
			nr % 2 || nr >= 2 * FILTER_CALLS_MAX ? DENIED(THREAD_NET)
							     : SECCOMP_RET_ALLOW);
}

/* What a list says of a call, without a program. */
static uint32_t meaning(const struct call *calls, unsigned n, const struct seccomp_data *data)
{
	bool holds = false;

	for (unsigned i = 0; i < n; i++) {
		if (calls[i].nr != data->nr)
			continue;
		if (calls[i].rule == CALL_ALLOWED)
			return SECCOMP_RET_ALLOW;
		if (calls[i].rule == CALL_REFUSED)
			return SECCOMP_RET_ERRNO | calls[i].value;
		holds = (holds || !calls[i].also) &&
			((uint32_t)data->args[calls[i].arg] & calls[i].mask) == calls[i].value;
		if (holds && (i + 1 == n || !calls[i + 1].also))
			return SECCOMP_RET_ALLOW;
	}
	return SECCOMP_RET_KILL_PROCESS;
}

/* Lists with neighbours and gaps, and several checks of a call. */
static void test_random_lists(void **state)
{
	static struct call calls[FILTER_CALLS_MAX];
	unsigned seed = 1;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		unsigned n = 0, nr = 0, len, steps,
			 wanted = 1 + (unsigned)rand_r(&seed) % (FILTER_CALLS_MAX - 12);
		struct sock_filter program[CAP];
		while (n < wanted) {
			uint8_t rule = (uint8_t)(rand_r(&seed) % 3);
			unsigned rules =
				rule == CALL_CHECKED ? 1 + (unsigned)rand_r(&seed) % 12 : 1;
			nr += 1 + (unsigned)rand_r(&seed) % 3;
			for (unsigned i = 0; i < rules; i++)
				calls[n++] = (struct call){.nr = (uint16_t)nr,
					.rule = rule,
					.also = i > 0 && rand_r(&seed) % 3 == 0,
					.arg = (uint8_t)(rand_r(&seed) % 3),
					.mask = rand_r(&seed) % 2 ? UINT32_MAX : 1,
					.value = (uint32_t)(rand_r(&seed) % 2)};
		}
		const struct calls list = {.table = calls, .n = n};
		const struct filter f = {.parts = {&list}, .denied = SECCOMP_RET_KILL_PROCESS};
		int ret = filter_compile(&f, program, CAP);
		assert_true(ret > 0);
		len = (unsigned)ret;
		for (unsigned i = 0; i < 8 * (nr + 2); i++) {
			const struct seccomp_data data = {.nr = (int)(i / 8),
				.arch = AUDIT_ARCH_X86_64,
				.args = {i & 1, i >> 1 & 1, i >> 2 & 1}};
			assert_int_equal(
				bpf_run(program, len, &data, &steps), meaning(calls, n, &data));
		}
	}
}

/* Whoever is allowed or denied alike shares the program's end. */
static void test_short_program(void **state)
{
	static const struct call apart_calls[] = {CALL(read), CALL(open), CALL(stat), CALL(lseek)};
	static const struct calls apart = CALLS(apart_calls);
	const struct filter f = {.parts = {&apart}, .denied = SECCOMP_RET_KILL_PROCESS};
	struct sock_filter program[CAP];

	(void)state;
	/* Two loads, one check of the architecture, 7 jumps among 8 spans, 2 ends. */
	assert_int_equal(filter_compile(&f, program, CAP), 12);
}

/* The filter's effect in a process of its own, which has a violation; its last words to text. */
static int violate(void (*act)(void), char *text, size_t cap)
{
	int pipes[2], status;

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(pipes[1], STDERR_FILENO);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (violation_watch() < 0 || filter_install(&both) < 0)
			_exit(1);
		act();
		_exit(2);
	}
	close(pipes[1]);
	size_t n = 0;
	for (ssize_t got; n < cap - 1 && (got = read(pipes[0], text + n, cap - 1 - n)) > 0;)
		n += (size_t)got;
	text[n] = '\0';
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void act_getcwd(void)
{
	(void)!syscall(SYS_getcwd, (void *)0x1234, 56L);
}

static void act_unknown(void)
{
	(void)!syscall(9999);
}

static void act_mmap(void)
{
	(void)!mmap(NULL, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void act_fine(void)
{
	if (fcntl(0, F_GETFL) >= 0 && syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS)
		(void)!syscall(SYS_exit_group, 7); /* not what sanitizers do at an exit */
}

static void test_violation(void **state)
{
	char text[1024];

	(void)state;
	int status = violate(act_getcwd, text, sizeof(text));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	assert_non_null(strstr(text,
		"hvrun-vmm: killed: a thread of a disk made the system call getcwd(0x1234, "
		"0x38, "));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* said once */
	status = violate(act_unknown, text, sizeof(text));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	assert_non_null(strstr(text, "system call 9999("));
	status = violate(act_mmap, text, sizeof(text));
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	assert_non_null(strstr(text, "system call mmap(0x0, 0x1000, 0x4)"));
	status = violate(act_fine, text, sizeof(text));
	assert_string_equal(text, "");
	assert_int_equal(status, 7 << 8);
}

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(filter_call_name(SYS_read), "read");
	assert_string_equal(filter_call_name(SYS_landlock_restrict_self), "landlock_restrict_self");
	assert_null(filter_call_name(9999));
}

static void *note(void *arg)
{
	char name[16] = "";
	sigset_t mask;

	prctl(PR_GET_NAME, name);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	*(bool *)arg = !strcmp(name, "tested") && sigismember(&mask, SIGTERM) &&
		!sigismember(&mask, SIGUSR1) && !sigismember(&mask, SIGSYS);
	return arg;
}

static void test_thread(void **state)
{
	bool as_wanted = false;
	struct thread_config config = {
		.name = "tested", .main = note, .arg = &as_wanted, .signal = SIGUSR1};
	pthread_t thread;

	(void)state;
	assert_int_equal(thread_start(&thread, &config), 0);
	pthread_join(thread, NULL);
	assert_true(as_wanted);
	/* One that can't have its filter does not begin. */
	static const struct call wrong_calls[] = {CALL(read), CALL_IF_EQUAL(read, 0, 1)};
	static const struct calls wrong = CALLS(wrong_calls);
	static const struct filter refused = {.parts = {&wrong}};
	as_wanted = false;
	config.filter = &refused;
	assert_int_equal(thread_start(&thread, &config), -EINVAL);
	assert_false(as_wanted);
}

/* A line of an open /proc/PID/status, without its key. */
static void status_of(int fd, const char *key, char *value, size_t cap)
{
	char text[4096];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	const char *line = strstr(text, key);
	snprintf(value, cap, "%.*s", line ? (int)strcspn(line + strlen(key), "\n") : 0,
		line ? line + strlen(key) : "");
}

static long landlock_is(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

/* Bits of what is not as it should be, for the exit code. */
static int dropped(uid_t uid, uint64_t keep)
{
	static const char none[] = "\t0000000000000000";
	const char *effective = keep ? "\t0000000000000002" : none;
	char value[128], expected[64];
	struct err e;
	int wrong = 0;

	snprintf(expected, sizeof(expected), "\t%u\t%u\t%u\t%u", uid, uid, uid, uid);
	/* Landlock is going to forbid it. */
	cleanup_close int status = open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
	if (privileges_drop(uid, keep, &e) < 0)
		return 128;
	status_of(status, "CapEff:", value, sizeof(value));
	wrong |= strcmp(value, effective) ? 1 : 0;
	status_of(status, "CapPrm:", value, sizeof(value));
	wrong |= strcmp(value, effective) ? 2 : 0;
	status_of(status, "CapBnd:", value, sizeof(value));
	wrong |= strcmp(value, none) ? 4 : 0;
	status_of(status, "NoNewPrivs:", value, sizeof(value));
	wrong |= strcmp(value, "\t1") ? 8 : 0;
	status_of(status, "Uid:", value, sizeof(value));
	wrong |= strcmp(value, expected) ? 16 : 0;
	wrong |= prctl(PR_GET_DUMPABLE) ? 32 : 0;
	wrong |= open("/", O_RDONLY | O_CLOEXEC) >= 0 && landlock_is() > 0 ? 64 : 0;
	return wrong;
}

static void expect_dropped(uid_t uid, uint64_t keep)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(dropped(uid, keep));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static bool may_connect(int port)
{
	const struct sockaddr_in name = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	cleanup_close int sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return sock >= 0 &&
		(connect(sock, (const struct sockaddr *)&name, sizeof(name)) == 0 ||
			errno != EACCES);
}

/* A port that may be connected to: the others may not where Landlock knows them (Linux 6.7). */
static void test_privileges_but_tcp(void **state)
{
	struct err e;
	int status;

	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		bool know_ports = landlock_is() >= 4;
		(void)unshare(CLONE_NEWNET); /* with nobody to reach */
		if (privileges_drop_but_tcp(0, 0, 53, &e) < 0)
			_exit(128);
		_exit((may_connect(53) ? 0 : 1) | (may_connect(54) == know_ports ? 2 : 0));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_privileges(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	expect_dropped(0, 0);
	expect_dropped(0, 2); /* CAP_DAC_OVERRIDE */
	expect_dropped(1879048192u + 5, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_program),
		cmocka_unit_test(test_together),
		cmocka_unit_test(test_wrong_lists),
		cmocka_unit_test(test_random_lists),
		cmocka_unit_test(test_short_program),
		cmocka_unit_test(test_violation),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_thread),
		cmocka_unit_test(test_privileges),
		cmocka_unit_test(test_privileges_but_tcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
