/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting for a container: forked children play the monitor and the file server, by every way in
 * which these can end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "runtime/supervise.h"

/* What a child does with its ends: the control socket, and the one that ties both together. */
typedef void part(int control, int link);

struct result {
	int code;
	bool failed, oom;
	char text[256];
	long ms;
};

static void say(int control, const char *text)
{
	if (fd_send_packet(control, text, strlen(text), NULL, 0) < 0)
		_exit(99);
}

static void await_end(int fd)
{
	char buf[256];

	while (read(fd, buf, sizeof(buf)) > 0)
		;
}

static pid_t start(part *play, int control, int link, const sigset_t *mask)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	/* As spawn.c leaves it: these are hvrun's to forward. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	sigprocmask(SIG_SETMASK, mask, NULL);
	for (int fd = 3; fd < 64; fd++)
		if (fd != control && fd != link)
			close(fd);
	play(control, link);
	_exit(0);
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Runs both; signal is sent to this process itself beforehand (0: none). */
static struct result run(part *vmm, part *fs, int signal)
{
	struct supervise s;
	struct streams streams = {.terminal = -1};
	int control[2], fs_control[2], link[2];
	struct result result = {0};
	struct err e;

	assert_int_equal(supervise_init(&s, &e), 0);
	s.streams = &streams;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fs_control), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link), 0);
	s.fs = start(fs, fs_control[1], link[1], &s.old_mask);
	s.vmm = start(vmm, control[1], link[0], &s.old_mask);
	pid_t pids[2] = {s.fs, s.vmm};
	close(control[1]);
	close(fs_control[1]);
	close(link[0]);
	close(link[1]);
	if (signal)
		kill(getpid(), signal);
	long begin = now_ms();
	assert_int_equal(supervise_run(&s, control[0], fs_control[0], &e), 0);
	result.ms = now_ms() - begin;
	result.code = s.code;
	result.failed = s.failed;
	result.oom = s.oom;
	if (s.failed)
		snprintf(result.text, sizeof(result.text), "%.250s", s.err.text);
	supervise_fini(&s);
	for (int i = 0; i < 2; i++)
		assert_int_equal(kill(pids[i], 0), -1);
	return result;
}

/* Ends with its socket, after something that takes a moment, of which the link hears. */
static void vmm_restores(int control, int link)
{
	struct timespec moment = {.tv_nsec = 20000000};

	await_end(control);
	nanosleep(&moment, NULL);
	(void)!write(link, "x", 1);
}

/* A monitor that is given up while it runs can put the terminal in order before it ends. */
static void test_given_up(void **state)
{
	struct supervise s;
	int control[2], link[2];
	struct err e;
	char byte;

	(void)state;
	assert_int_equal(supervise_init(&s, &e), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
	assert_int_equal(pipe2(link, O_CLOEXEC), 0);
	s.vmm = start(vmm_restores, control[1], link[1], &s.old_mask);
	pid_t pid = s.vmm;
	close(control[1]);
	close(link[1]);
	s.control_fd = control[0];
	supervise_fini(&s);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(read(link[0], &byte, 1), 1);
	close(link[0]);
}

static void fs_normal(int control, int link)
{
	(void)control;
	await_end(link);
}

static void vmm_exits(int control, int link)
{
	(void)link;
	say(control, "{\"event\":\"booted\",\"tsc\":1}");
	say(control, "{\"event\":\"started\"}");
	say(control, "{\"event\":\"exited\",\"code\":42,\"oom\":true}");
	_exit(42);
}

static void vmm_fails(int control, int link)
{
	(void)link;
	say(control, "{\"event\":\"failed\",\"code\":127,\"message\":\"x: not found\"}");
	_exit(127);
}

static void vmm_dies(int control, int link)
{
	(void)control;
	(void)link;
	raise(SIGKILL);
}

static void vmm_vanishes(int control, int link)
{
	(void)control;
	(void)link;
	_exit(3);
}

/* Says that it is done, and does not go. */
static void vmm_lingers(int control, int link)
{
	(void)link;
	say(control, "{\"event\":\"started\"}");
	say(control, "{\"event\":\"exited\",\"code\":5,\"oom\":false}");
	for (;;)
		pause();
}

static void vmm_deaf(int control, int link)
{
	(void)link;
	say(control, "{\"event\":\"started\"}");
	for (;;)
		pause();
}

/* Ends when told to, or with the code of the signal that it is told to deliver. */
static void vmm_obeys(int control, int link)
{
	char packet[256];

	(void)link;
	for (;;) {
		ssize_t n = recv(control, packet, sizeof(packet) - 1, 0);
		if (n <= 0)
			_exit(90);
		packet[n] = '\0';
		if (strstr(packet, "\"stop\""))
			_exit(0);
		const char *number = strstr(packet, "\"signal\":");
		if (!number)
			continue;
		snprintf(packet, sizeof(packet), "{\"event\":\"exited\",\"code\":%d,\"oom\":false}",
			128 + atoi(number + 9));
		say(control, packet);
		_exit(0);
	}
}

static void vmm_obeys_started(int control, int link)
{
	say(control, "{\"event\":\"started\"}");
	vmm_obeys(control, link);
}

static void vmm_babbles(int control, int link)
{
	say(control, "{\"event\":");
	say(control, "[]");
	say(control, "{\"event\":7}");
	say(control, "{\"event\":\"news\"}");
	say(control, "{\"event\":\"exited\",\"code\":99999}");
	(void)link;
}

static void fs_dies(int control, int link)
{
	(void)control;
	(void)link;
	usleep(50000);
	raise(SIGKILL);
}

static void fs_lingers(int control, int link)
{
	(void)control;
	(void)link;
	for (;;)
		pause();
}

/* Sees the file server's socket end, as it does when that dies, and is gone before it is reaped. */
static void vmm_mourns(int control, int link)
{
	say(control, "{\"event\":\"started\"}");
	await_end(link);
	say(control, "{\"event\":\"failed\",\"code\":125,\"message\":\"hvrun-fs ended\"}");
}

static void die_by_filter(void)
{
	signal(SIGSYS, SIG_DFL); /* else it is cmocka's */
	raise(SIGSYS);
}

/* Its control socket ends when hvrun has seen the monitor's end. */
static void fs_dies_last(int control, int link)
{
	close(link);
	await_end(control);
	die_by_filter();
}

static void fs_dies_late(int control, int link)
{
	(void)link;
	await_end(control);
	die_by_filter();
}

static void test_ends(void **state)
{
	(void)state;
	struct result r = run(vmm_exits, fs_normal, 0);
	assert_int_equal(r.code, 42);
	assert_true(r.oom);
	assert_false(r.failed);
	assert_true(r.ms < 1500);
	r = run(vmm_fails, fs_normal, 0);
	assert_int_equal(r.code, 127);
	assert_true(r.failed);
	assert_string_equal(r.text, "x: not found");
	r = run(vmm_babbles, fs_normal, 0);
	assert_int_equal(r.code, 125);
}

static void test_deaths(void **state)
{
	(void)state;
	struct result r = run(vmm_dies, fs_normal, 0);
	assert_int_equal(r.code, 125);
	assert_non_null(strstr(r.text, "hvrun-vmm) was killed by signal 9"));
	assert_true(r.ms < 1500);
	r = run(vmm_vanishes, fs_normal, 0);
	assert_int_equal(r.code, 125);
	assert_non_null(strstr(r.text, "hvrun-vmm) ended early, with code 3"));
	r = run(vmm_obeys_started, fs_dies, 0);
	assert_int_equal(r.code, 125);
	assert_non_null(strstr(r.text, "hvrun-fs) was killed by signal 9"));
	assert_true(r.ms < 1500);
	r = run(vmm_mourns, fs_dies_last, 0);
	assert_int_equal(r.code, 125);
	assert_string_equal(r.text,
		"hvrun-fs ended; the file server (hvrun-fs) was killed by signal 31 (Bad system "
		"call)");
	/* After the container's own end, which it does not change. */
	r = run(vmm_exits, fs_dies_late, 0);
	assert_int_equal(r.code, 42);
	assert_false(r.failed);
	r = run(vmm_deaf, fs_dies, 0);
	assert_int_equal(r.code, 125);
	assert_true(r.ms < 1500);
}

/* Whoever does not go is made to, and what was said before counts. */
static void test_lingering(void **state)
{
	(void)state;
	struct result r = run(vmm_lingers, fs_normal, 0);
	assert_int_equal(r.code, 5);
	assert_false(r.failed);
	r = run(vmm_exits, fs_lingers, 0);
	assert_int_equal(r.code, 42);
	assert_true(r.ms < 1500);
}

static void test_signals(void **state)
{
	(void)state;
	/* Pending before the container runs: the run ends, by the rules of a shell. */
	struct result r = run(vmm_obeys, fs_normal, SIGTERM);
	assert_int_equal(r.code, 143);
	assert_non_null(strstr(r.text, "before the container had started"));
	/* SIGUSR1 before the start is nothing; later ones are forwarded. */
	pid_t self = getpid();
	pid_t sender = fork();
	if (sender == 0) {
		usleep(300000);
		kill(self, SIGUSR2);
		_exit(0);
	}
	r = run(vmm_obeys_started, fs_normal, SIGUSR1);
	waitpid(sender, NULL, 0);
	assert_int_equal(r.code, 128 + SIGUSR2);
	assert_false(r.failed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_deaths),
		cmocka_unit_test(test_lingering),
		cmocka_unit_test(test_signals),
		cmocka_unit_test(test_given_up),
	};

	log_init("test", 2, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
