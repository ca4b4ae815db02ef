/* SPDX-License-Identifier: Apache-2.0 */
/* Cleaning up after the killed; see janitor.h. */
#include "runtime/janitor.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "runtime/container.h"
#include "runtime/teardown.h"

#define KEPT_MAX	    8
#define MONITOR_PATIENCE_MS 500

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

void janitor_close_others(const int *kept, size_t n)
{
	int sorted[KEPT_MAX], next = 3;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool errors = false;

	if (n > KEPT_MAX)
		n = KEPT_MAX;
	memcpy(sorted, kept, n * sizeof(kept[0]));
	for (size_t i = 0; i < n; i++)
		errors |= kept[i] == STDERR_FILENO;
	for (int fd = 0; fd <= (errors ? 1 : 2) && null >= 0; fd++)
		(void)!dup2(null, fd);
	qsort(sorted, n, sizeof(sorted[0]), by_number);
	for (size_t i = 0; i < n; i++) {
		if (sorted[i] < next)
			continue;
		if (sorted[i] > next)
			syscall(SYS_close_range, (unsigned)next, (unsigned)sorted[i] - 1, 0u);
		next = sorted[i] + 1;
	}
	syscall(SYS_close_range, (unsigned)next, ~0u, 0u);
}

/* With its creator the monitor's lifeline is gone: it ends, and restores the terminal if let. */
static int take_down(struct container *c, struct err *e)
{
	struct container_process monitor = container_process(c, "monitor");

	container_process_await(&monitor, MONITOR_PATIENCE_MS);
	return teardown(c, -1, NULL, e);
}

static void clean_up(struct container *c, const char *root_path)
{
	struct container again;
	struct err e;

	/* The state as it was written last. */
	if (container_open(&again, root_path, c->id, &e) == 0 && take_down(&again, &e) < 0)
		log_warn("%s", e.text);
	container_close(&again);
}

static _Noreturn void janitor_run(int pipe_fd, struct container *c, const char *root_path)
{
	const int kept[] = {pipe_fd, c->root, c->dir, c->lock, c->run};
	sigset_t all;
	char word;

	setsid(); /* what is sent to the creator's group is not for us */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	prctl(PR_SET_NAME, "hvrun-janitor");
	janitor_close_others(kept, sizeof(kept) / sizeof(kept[0]));
	ssize_t n;
	do
		n = read(pipe_fd, &word, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		clean_up(c, root_path);
	_exit(0);
}

int janitor_start(struct janitor *j, const struct container *c, const char *root_path,
	struct err *e)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, errno, "pipe");
	pid_t pid = fork();
	if (pid == 0) {
		struct container copy = *c;
		close(ends[1]);
		janitor_run(ends[0], &copy, root_path);
	}
	int code = errno;
	close(ends[0]);
	if (pid < 0) {
		close(ends[1]);
		return err_sys(e, code, "fork");
	}
	j->pipe = ends[1];
	j->pid = pid;
	return 0;
}

void janitor_dismiss(struct janitor *j)
{
	if (j->pipe < 0)
		return;
	(void)!write(j->pipe, "x", 1);
	fd_closep(&j->pipe);
	waitpid(j->pid, NULL, 0);
}
