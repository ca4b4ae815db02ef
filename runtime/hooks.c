/* SPDX-License-Identifier: Apache-2.0 */
/* Running hooks; see hooks.h. */
#include "runtime/hooks.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "runtime/report.h"

/* What is kept of a hook's output: its end, where the reason of a failure is. */
#define HOOK_OUTPUT_BYTES 400
#define NS_PER_S	  1000000000ll
#define NS_PER_MS	  1000000ll
/* Longer is for ever. */
#define TIMEOUT_MAX_S (1ll << 30)

struct output {
	int fd; /* reading end, -1 after the end */
	char text[HOOK_OUTPUT_BYTES + 1];
	size_t used;
};

struct hook {
	const char *path;
	char **argv, **envp;
	json_int_t timeout_s; /* 0: none */
	bool interruptible;
	int netns;
	const char *bundle;
	pid_t pid;
	int pidfd;
	struct output out, err;
};

/* What went wrong in the child before the hook's program began. */
struct fault {
	volatile int code;
	const char *volatile what;
};

static void output_read(struct output *output)
{
	char buf[4096];

	ssize_t n = read(output->fd, buf, sizeof(buf));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		fd_closep(&output->fd);
		return;
	}
	size_t len = (size_t)n, skip = len > HOOK_OUTPUT_BYTES ? len - HOOK_OUTPUT_BYTES : 0;
	len -= skip;
	if (output->used + len > HOOK_OUTPUT_BYTES) {
		size_t drop = output->used + len - HOOK_OUTPUT_BYTES;
		output->used -= drop;
		memmove(output->text, output->text + drop, output->used);
	}
	memcpy(output->text + output->used, buf + skip, len);
	output->used += len;
}

/* What is in the pipe when the hook has ended; not what something it left behind may still say. */
static void output_drain(struct output *output)
{
	for (int i = 0; i < 64 && output->fd >= 0; i++) {
		struct pollfd poll_fd = {.fd = output->fd, .events = POLLIN};
		if (poll(&poll_fd, 1, 0) <= 0)
			return;
		output_read(output);
	}
}

/* One line, for a message. */
static const char *output_line(struct output *output)
{
	while (output->used && isspace((unsigned char)output->text[output->used - 1]))
		output->used--;
	output->text[output->used] = '\0';
	for (char *c = output->text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	return output->text;
}

/* A list of strings as the kernel takes it; the strings stay the list's. NULL: no memory. */
static char **strings_of(const json_t *list, const char *fallback)
{
	size_t n = json_array_size(list), used = 0;
	char **strings = calloc(n + 2, sizeof(*strings));

	if (!strings)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		if (text)
			strings[used++] = (char *)(uintptr_t)text;
	}
	if (!used && fallback)
		strings[used++] = (char *)(uintptr_t)fallback;
	return strings;
}

/*
 * Runs in the child of vfork: on the parent's memory, so it calls nothing but the kernel and
 * changes nothing but *fault.
 */
static _Noreturn void child(
	const struct hook *hook, const int stdio[3], pid_t parent, volatile struct fault *fault)
{
	struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int signal = 1; signal < NSIG; signal++)
		sigaction(signal, &action, NULL); /* fails for those that have no handlers */
	fault->what = hook->path;
	if (setpgid(0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		goto failed;
	if (getppid() != parent)
		_exit(1);
	if (hook->netns >= 0 && setns(hook->netns, CLONE_NEWNET) < 0) {
		fault->what = "the container's network namespace";
		goto failed;
	}
	if ((!hook->bundle || chdir(hook->bundle) < 0) && chdir("/") < 0)
		goto failed;
	for (int fd = 0; fd < 3; fd++)
		if (dup2(stdio[fd], fd) < 0)
			goto failed;
	if (syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		goto failed;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(hook->path, hook->argv, hook->envp);
failed:
	fault->code = errno;
	_exit(1);
}

static int hook_fail(struct err *e, int code, const char *what)
{
	char reason[ERR_REASON_BYTES];

	return err_set(e, code, "fork/exec %s: %s", what, err_reason(code, reason));
}

static int hook_start(struct hook *hook, const json_t *state, struct err *e)
{
	cleanup_free char *text = json_dumps(state, JSON_COMPACT);
	int out[2], err[2];

	if (!text)
		return err_sys(e, ENOMEM, "the container's state");
	cleanup_close int in = fd_memfile("state", text, strlen(text));
	if (in < 0)
		return err_sys(e, -in, "the container's state");
	if (pipe2(out, O_CLOEXEC) < 0)
		return hook_fail(e, errno, hook->path);
	hook->out.fd = out[0];
	cleanup_close int out_end = out[1];
	if (pipe2(err, O_CLOEXEC) < 0)
		return hook_fail(e, errno, hook->path);
	hook->err.fd = err[0];
	cleanup_close int err_end = err[1];

	volatile struct fault fault = {0};
	const int stdio[3] = {in, out_end, err_end};
	pid_t parent = getpid();
	sigset_t all, saved;
	/* A handler must not run in the child, where it would work on the parent's memory. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &saved);
	hook->pid = vfork(); /* NOLINT: as cheap as it gets, see child() */
	if (hook->pid == 0)
		child(hook, stdio, parent, &fault); /* NOLINT */
	int code = errno;
	sigprocmask(SIG_SETMASK, &saved, NULL);
	if (hook->pid < 0)
		return hook_fail(e, code, hook->path);
	if (fault.code) {
		waitpid(hook->pid, NULL, 0);
		return hook_fail(e, fault.code, fault.what);
	}
	return 0;
}

/* What must not be forgotten while a hook hangs; readable while one of them is pending. */
static int interrupt_fd(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGQUIT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

/* Until the hook ends, reading what it says: 0; -ETIMEDOUT, -EINTR or another -errno. */
static int hook_watch(struct hook *hook)
{
	cleanup_close int interrupt = hook->interruptible ? interrupt_fd() : -1;
	int64_t deadline_ns = hook->timeout_s > 0 && hook->timeout_s < TIMEOUT_MAX_S
		? now_ns() + hook->timeout_s * NS_PER_S
		: -1;

	for (;;) {
		struct pollfd fds[] = {
			{.fd = hook->pidfd, .events = POLLIN},
			{.fd = hook->out.fd, .events = POLLIN},
			{.fd = hook->err.fd, .events = POLLIN},
			{.fd = interrupt, .events = POLLIN},
		};
		int wait_ms = -1;
		if (deadline_ns >= 0) {
			int64_t left_ns = deadline_ns - now_ns();
			if (left_ns <= 0)
				return -ETIMEDOUT;
			/* Rounded up: not before its time. An hour at a time fits. */
			int64_t left_ms = (left_ns + NS_PER_MS - 1) / NS_PER_MS;
			wait_ms = (int)(left_ms < 3600000 ? left_ms : 3600000);
		}
		if (poll(fds, sizeof(fds) / sizeof(fds[0]), wait_ms) < 0 && errno != EINTR)
			return -errno;
		if (fds[0].revents)
			return 0;
		if (fds[1].revents)
			output_read(&hook->out);
		if (fds[2].revents)
			output_read(&hook->err);
		if (fds[3].revents)
			return -EINTR;
	}
}

/* As Go's os.ProcessState says it. */
static void status_text(int status, char *text, size_t cap)
{
	int signal = WTERMSIG(status);

	if (WIFEXITED(status)) {
		snprintf(text, cap, "exit status %d", WEXITSTATUS(status));
		return;
	}
	if (signal <= SIGTERM) {
		snprintf(text, cap, "signal: %s", strsignal(signal));
		text[8] = (char)tolower((unsigned char)text[8]);
	} else {
		snprintf(text, cap, "signal: signal %d", signal);
	}
	if (WCOREDUMP(status))
		strncat(text, " (core dumped)", cap - strlen(text) - 1);
}

static int hook_wait(struct hook *hook, struct err *e)
{
	char how[80];
	int status = 0;

	hook->pidfd = (int)syscall(SYS_pidfd_open, hook->pid, 0);
	int ret = hook->pidfd < 0 ? -errno : hook_watch(hook);
	if (ret < 0) {
		kill(-hook->pid, SIGKILL);
		kill(hook->pid, SIGKILL); /* should it have left its group */
	}
	while (waitpid(hook->pid, &status, 0) < 0)
		if (errno != EINTR)
			return hook_fail(e, errno, hook->path);
	if (ret == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "hook ran past specified timeout of %lld.0s",
			(long long)hook->timeout_s);
	if (ret == -EINTR)
		return err_set(e, EINTR, "hook interrupted by a signal");
	if (ret < 0)
		return hook_fail(e, -ret, hook->path);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	output_drain(&hook->out);
	output_drain(&hook->err);
	status_text(status, how, sizeof(how));
	return err_set(e, ECANCELED, "%s, stdout: %s, stderr: %s", how, output_line(&hook->out),
		output_line(&hook->err));
}

static int hook_run(struct hook *hook, const json_t *json, const json_t *state, struct err *e)
{
	hook->path = json_string_value(json_object_get(json, "path"));
	if (!hook->path)
		return err_set(e, EINVAL, "there is no path");
	hook->timeout_s = json_integer_value(json_object_get(json, "timeout"));
	hook->pidfd = hook->out.fd = hook->err.fd = -1;
	hook->out.used = hook->err.used = 0;
	hook->argv = strings_of(json_object_get(json, "args"), hook->path);
	hook->envp = strings_of(json_object_get(json, "env"), NULL);
	int ret = hook->argv && hook->envp ? hook_start(hook, state, e)
					   : hook_fail(e, ENOMEM, hook->path);
	if (ret == 0)
		ret = hook_wait(hook, e);
	fd_closep(&hook->pidfd);
	fd_closep(&hook->out.fd);
	fd_closep(&hook->err.fd);
	mem_freep(&hook->argv);
	mem_freep(&hook->envp);
	return ret;
}

int hooks_run(const json_t *hooks, const char *kind, const json_t *state,
	const struct hooks_env *env, struct err *e)
{
	const json_t *list = json_object_get(hooks, kind);
	bool in_container = strcmp(kind, "createContainer") == 0;
	bool lenient = strcmp(kind, "poststop") == 0;
	struct hook hook = {
		.interruptible = strncmp(kind, "post", 4) != 0,
		.netns = in_container ? env->netns : -1,
		.bundle = env->bundle,
	};

	for (size_t i = 0; i < json_array_size(list); i++) {
		struct err fault;
		log_debug("running %s hook #%zu", kind, i);
		int ret = hook_run(&hook, json_array_get(list, i), state, &fault);
		if (ret == 0)
			continue;
		err_add(&fault, "error running %s hook #%zu", kind, i);
		if (!lenient) {
			if (e)
				*e = fault;
			return ret;
		}
		if (env->report)
			report_line(env->report, "warning", fault.text);
		else
			log_warn("%s", fault.text);
	}
	return 0;
}
