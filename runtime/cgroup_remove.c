/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a container's cgroup: what is in it is killed, and its directories are removed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "runtime/cgroup_internal.h"

#define WAIT_MAX_MS	10000 /* a monitor has to give its guest's memory back */
#define STEP_MAX_MS	100
#define PROCS_MAX_BYTES (4u << 20)

typedef int visit_fn(const char *path, void *arg);

/*
 * Calls visit for a cgroup and those below it, those below first. 0, or the first -errno; what is
 * gone meanwhile is none.
 */
static int walk(const char *path, unsigned depth, visit_fn *visit, void *arg)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int r = 0;

	if (!dir)
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	while (r == 0 && (entry = readdir(dir))) {
		char child[PATH_MAX];
		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0)
			continue;
		if (depth == 0 ||
			snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) >=
				(int)sizeof(child))
			r = -ENAMETOOLONG;
		else
			r = walk(child, depth - 1, visit, arg);
	}
	closedir(dir);
	return r < 0 ? r : visit(path, arg);
}

struct members {
	long n;
	bool kill;
};

/* Counts the processes of one cgroup, and kills them where that is wanted. */
static int visit_members(const char *path, void *arg)
{
	struct members *members = arg;
	cleanup_close int fd = -1;
	cleanup_free char *text = NULL;
	char file[PATH_MAX], *save = NULL;
	size_t len;
	int r;

	if (snprintf(file, sizeof(file), "%s/cgroup.procs", path) >= (int)sizeof(file))
		return -ENAMETOOLONG;
	fd = open(file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	r = fd < 0 ? -errno : fd_slurp(fd, PROCS_MAX_BYTES, &text, &len);
	if (r < 0)
		return r == -ENOENT || r == -ENODEV || r == -EOPNOTSUPP ? 0 : r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		long pid = strtol(line, NULL, 10);
		members->n++;
		/* 0 stands for a process that this pid namespace doesn't see. */
		if (members->kill && pid > 1 && pid != getpid())
			kill((pid_t)pid, SIGKILL);
	}
	return 0;
}

long cgroup_count_processes(const char *path)
{
	struct members members = {0};
	int r = walk(path, CGROUP_DEPTH_MAX, visit_members, &members);

	return r < 0 ? r : members.n;
}

/* The signal, then what keeps it from being taken. A kernel without the files knows the other. */
static int kill_place(const struct cgroup_place *place)
{
	struct members members = {.kill = true};
	int r = cgroup_write(place->path, "cgroup.kill", "1");

	if (r < 0)
		r = walk(place->path, CGROUP_DEPTH_MAX, visit_members, &members);
	if (cgroup_place_v2(place))
		(void)!cgroup_write(place->path, "cgroup.freeze", "0");
	else if (cgroup_list_has(place->controllers, "freezer"))
		(void)!cgroup_write(place->path, "freezer.state", "THAWED");
	return r;
}

static int visit_rmdir(const char *path, void *arg)
{
	(void)arg;
	return rmdir(path) < 0 && errno != ENOENT && errno != ENODEV ? -errno : 0;
}

/* 0 when every place is gone; else -errno with e. */
static int remove_once(const struct cgroup *cg, struct err *e)
{
	int result = 0;

	for (size_t i = 0; i < cg->n; i++) {
		const char *path = cg->places[i].path;
		int r = walk(path, CGROUP_DEPTH_MAX, visit_rmdir, NULL);
		if (r < 0) {
			(void)!kill_place(&cg->places[i]);
			result = err_sys(e, -r, "cgroup: rmdir %s", path);
		}
	}
	return result;
}

int cgroup_remove(struct cgroup *cg, struct err *e)
{
	unsigned step_ms = 1, waited_ms = 0;
	struct err why;
	int r;

	cgroup_settle(cg);
	for (size_t i = 0; i < cg->n; i++)
		(void)!kill_place(&cg->places[i]); /* what stays is seen below */
	if (cg->unit && cgroup_systemd_stop(cg, &why) < 0)
		log_warn("%s", why.text);
	while ((r = remove_once(cg, e)) == -EBUSY && waited_ms < WAIT_MAX_MS) {
		struct timespec step = {.tv_nsec = step_ms * 1000000l};
		nanosleep(&step, NULL);
		waited_ms += step_ms;
		step_ms = step_ms * 2 > STEP_MAX_MS ? STEP_MAX_MS : step_ms * 2;
	}
	return r;
}
