/* SPDX-License-Identifier: Apache-2.0 */
/* What a container is doing, from its state file, its processes and its monitor. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/container.h"
#include "runtime/monitor.h"

#define STATUS_PATIENCE_MS 10000
#define DEATH_PATIENCE_MS  10000
#define END_PATIENCE_MS	   1000 /* it may have output to deliver for longer */
#define STAT_BYTES	   1024

static const char *const names[] = {
	[CONTAINER_CREATING] = "creating",
	[CONTAINER_CREATED] = "created",
	[CONTAINER_RUNNING] = "running",
	[CONTAINER_PAUSED] = "paused",
	[CONTAINER_STOPPED] = "stopped",
};

const char *container_status_name(enum container_status status)
{
	return names[status];
}

/* The letter and the start time of proc(5)'s stat, fields 3 and 22; false when there is none. */
static bool read_stat(pid_t pid, char *letter, uint64_t *start_ticks)
{
	char path[32], text[STAT_BYTES];

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return false;
	text[n] = '\0';
	/* The name may hold anything, parentheses as well. */
	char *p = strrchr(text, ')');
	if (!p || p[1] != ' ')
		return false;
	*letter = p[2];
	p += 2;
	for (int field = 3; field < 22 && p; field++) {
		p = strchr(p, ' ');
		p = p ? p + 1 : NULL;
	}
	if (!p || !isdigit((unsigned char)*p))
		return false;
	*start_ticks = strtoull(p, NULL, 10);
	return true;
}

json_t *container_process_json(pid_t pid)
{
	uint64_t start_ticks = 0;
	char letter;

	if (!read_stat(pid, &letter, &start_ticks))
		start_ticks = 0;
	return json_pack("{s:i, s:I}", "pid", (int)pid, "start", (json_int_t)start_ticks);
}

struct container_process container_process(const struct container *c, const char *name)
{
	const json_t *process = json_object_get(c->state, name);
	json_int_t pid = json_integer_value(json_object_get(process, "pid"));
	json_int_t start = json_integer_value(json_object_get(process, "start"));

	return (struct container_process){
		.pid = pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0,
		.start_ticks = (uint64_t)start,
	};
}

bool container_process_alive(const struct container_process *process)
{
	uint64_t start_ticks;
	char letter;

	return process->pid && read_stat(process->pid, &letter, &start_ticks) &&
		start_ticks == process->start_ticks && letter != 'Z' && letter != 'X';
}

/* A descriptor of the process, or -1 when it lives no longer. */
static int open_process(const struct container_process *process)
{
	if (!process->pid)
		return -1;
	cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);

	/* It is of the process that has the pid now: is it the one that is meant? */
	if (pidfd < 0 || !container_process_alive(process))
		return -1;
	return steal_fd(&pidfd);
}

static void await_end(int pidfd, int patience_ms)
{
	struct pollfd poller = {.fd = pidfd, .events = POLLIN};

	(void)!poll(&poller, 1, patience_ms);
}

void container_process_await(const struct container_process *process, int patience_ms)
{
	cleanup_close int pidfd = open_process(process);

	if (pidfd >= 0)
		await_end(pidfd, patience_ms);
}

void container_process_kill(const struct container_process *process)
{
	cleanup_close int pidfd = open_process(process);

	if (pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0)
		await_end(pidfd, DEATH_PATIENCE_MS);
}

/* The container is over, and so, mostly, is the process that stands for it when this is heard. */
static enum container_status stopped(const struct container_process *monitor)
{
	container_process_await(monitor, END_PATIENCE_MS);
	return CONTAINER_STOPPED;
}

enum container_status container_status(const struct container *c)
{
	struct container_process monitor = container_process(c, "monitor");
	cleanup_json json_t *reply = NULL;
	struct err e;

	if (!monitor.pid)
		return CONTAINER_CREATING;
	if (!container_process_alive(&monitor))
		return CONTAINER_STOPPED;
	int ret = monitor_request(
		c->dir, json_pack("{s:s}", "op", "state"), STATUS_PATIENCE_MS, &reply, NULL, &e);
	const char *word = json_string_value(json_object_get(reply, "status"));
	for (unsigned i = 0; ret == 0 && word && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(word, names[i]) == 0)
			return i == CONTAINER_STOPPED ? stopped(&monitor)
						      : (enum container_status)i;
	/* One that hangs, or has no place for another client, is not stopped for that. */
	if ((ret == -ETIMEDOUT || ret == -EINVAL) && container_process_alive(&monitor))
		return CONTAINER_RUNNING;
	return stopped(&monitor);
}

json_t *container_oci_state(const struct container *c, enum container_status status)
{
	static const char *const copied[] = {"bundle", "annotations"};
	struct container_process monitor = container_process(c, "monitor");
	cleanup_json json_t *out = json_pack("{s:s, s:s, s:s}", "ociVersion", "1.3.0", "id", c->id,
		"status", container_status_name(status));

	if (!out)
		return NULL;
	if (monitor.pid && status != CONTAINER_STOPPED &&
		json_object_set_new(out, "pid", json_integer(monitor.pid)) < 0)
		return NULL;
	for (unsigned i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
		json_t *value = json_object_get(c->state, copied[i]);
		if (value && json_object_set(out, copied[i], value) < 0)
			return NULL;
	}
	return steal_ptr(&out);
}
