/* SPDX-License-Identifier: Apache-2.0 */
/*
 * startContainer hooks; see start_hooks.h. The container's seccomp filter may be in force already,
 * so what is used here is what any program uses.
 */
#include "guestinit/start_hooks.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "guestinit/create.h"

#define HOOKS_QUOTE_BYTES 512

/* The state with the pid that this process has for itself and its hooks. */
static int hooks_state(const struct create *c, struct err *e)
{
	cleanup_json json_t *state = c->state ? json_copy((json_t *)(uintptr_t)c->state)
					      : json_pack("{ss}", "id", c->id);

	if (!state || json_object_set_new(state, "pid", json_integer(getpid())) < 0)
		return err_set(e, ENOMEM, "hooks: out of memory");
	cleanup_free char *text = json_dumps(state, JSON_COMPACT);
	if (!text)
		return err_set(e, ENOMEM, "hooks: out of memory");
	int fd = fd_memfile("state", text, strlen(text));
	return fd < 0 ? err_sys(e, -fd, "hooks: state") : fd;
}

int start_hooks_prepare(struct start_hooks *hooks, const struct create *c, struct err *e)
{
	hooks->state_fd = hooks_state(c, e);
	if (hooks->state_fd < 0)
		return hooks->state_fd;
	hooks->output_fd = fd_memfile("output", "", 0);
	return hooks->output_fd < 0 ? err_sys(e, -hooks->output_fd, "hooks: output") : 0;
}

static _Noreturn void hook_exec(
	const struct start_hooks *hooks, const struct cfg_hook *hook, const sigset_t *mask)
{
	char reason[ERR_REASON_BYTES];
	char *plain[] = {(char *)(uintptr_t)hook->path, NULL}, *none[] = {NULL};
	char **args = hook->args.n ? (char **)(uintptr_t)hook->args.v : plain;
	char **env = hook->env.n ? (char **)(uintptr_t)hook->env.v : none;

	/* What is preserved is the program's, not theirs. */
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0 &&
		lseek(hooks->state_fd, 0, SEEK_SET) == 0 && dup2(hooks->state_fd, 0) == 0 &&
		dup2(hooks->output_fd, 1) == 1 && dup2(hooks->output_fd, 2) == 2 &&
		sigprocmask(SIG_SETMASK, mask, NULL) == 0)
		execve(hook->path, args, env);
	dprintf(hooks->output_fd, "fork/exec %s: %s", hook->path, err_reason(errno, reason));
	_exit(127);
}

/* Waits until the hook ends or the time is over; the wait status, or -ETIMEDOUT. */
static int hook_wait(pid_t pid, const struct opt_i64 *timeout, const sigset_t *child)
{
	struct timespec now, end, left;
	int status;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += timeout->set ? timeout->value : 0;
	for (;;) {
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
		if (!timeout->set || timeout->value <= 0) {
			sigwaitinfo(child, NULL);
			continue;
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
		left = (struct timespec){end.tv_sec - now.tv_sec, end.tv_nsec - now.tv_nsec};
		if (left.tv_nsec < 0) {
			left.tv_sec--;
			left.tv_nsec += 1000000000;
		}
		if (left.tv_sec < 0) {
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -ETIMEDOUT;
		}
		sigtimedwait(child, NULL, &left);
	}
}

/* What the hook said last, in one line. */
static void hook_quote(const struct start_hooks *hooks, char *text, size_t cap_bytes)
{
	off_t size = lseek(hooks->output_fd, 0, SEEK_END);
	off_t from = size < (off_t)cap_bytes ? 0 : size - (off_t)cap_bytes + 1;
	ssize_t n = size > 0 ? pread(hooks->output_fd, text, cap_bytes - 1, from) : 0;

	if (n < 0)
		n = 0;
	while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\n' || text[i] == '\0')
			text[i] = ' ';
	text[n] = '\0';
}

static int hook_run(const struct start_hooks *hooks, const struct cfg_hook *hook,
	const sigset_t *child, const sigset_t *mask, struct err *e)
{
	char said[HOOKS_QUOTE_BYTES];

	if (ftruncate(hooks->output_fd, 0) < 0 || lseek(hooks->output_fd, 0, SEEK_SET) < 0)
		return err_sys(e, errno, "output");
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(e, errno, "can't start it");
	if (pid == 0)
		hook_exec(hooks, hook, mask);
	int status = hook_wait(pid, &hook->timeout, child);
	if (status == -ETIMEDOUT)
		return err_set(e, ETIMEDOUT, "hook ran past specified timeout of %lld.0s",
			(long long)hook->timeout.value);
	if (status == 0)
		return 0;
	hook_quote(hooks, said, sizeof(said));
	return err_set(e, EIO, "%s %d, output: %s", WIFSIGNALED(status) ? "signal" : "exit status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), said);
}

int start_hooks_run(struct start_hooks *hooks, const struct create *c, struct err *e)
{
	sigset_t child, mask;
	int ret = 0;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &child, &mask) < 0)
		return err_sys(e, errno, "hooks: signals");
	for (size_t i = 0; i < c->start_hooks.n && ret == 0; i++) {
		const struct cfg_hook *hook = &c->start_hooks.v[i];
		ret = hook_run(hooks, hook, &child, &mask, e);
		if (ret < 0)
			ret = err_add(e, "error running startContainer hook #%zu", i);
	}
	fd_closep(&hooks->state_fd);
	fd_closep(&hooks->output_fd);
	if (sigprocmask(SIG_SETMASK, &mask, NULL) < 0 && ret == 0)
		ret = err_sys(e, errno, "hooks: signals");
	return ret;
}
