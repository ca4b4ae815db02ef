/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of a cgroup; see cgroup_procs.h. */
#include "guestinit/cgroup_procs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/cgroup.h"
#include "guestinit/sysfile.h"

#define CGROUP_DEPTH_MAX 32
#define CGROUP_TEXT_MAX	 (CGROUP_PROCS_MAX * 8)

struct procs {
	pid_t *v;
	size_t n, cap;
};

static int procs_add(struct procs *procs, pid_t pid)
{
	if (procs->n == CGROUP_PROCS_MAX)
		return -E2BIG;
	if (procs->n == procs->cap) {
		size_t cap = procs->cap ? 2 * procs->cap : 64;
		pid_t *v = reallocarray(procs->v, cap, sizeof(*v));
		if (!v)
			return -ENOMEM;
		procs->v = v;
		procs->cap = cap;
	}
	procs->v[procs->n++] = pid;
	return 0;
}

static int procs_read(struct procs *procs, int dir_fd)
{
	cleanup_free char *text = NULL;
	cleanup_close int fd = openat(dir_fd, "cgroup.procs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int ret = fd_slurp(fd, CGROUP_TEXT_MAX, &text, NULL);
	for (char *p = text; ret == 0 && *p;) {
		long pid = strtol(p, &p, 10);
		if (pid > 0) /* 0: not in our pid namespace */
			ret = procs_add(procs, (pid_t)pid);
		p += strspn(p, "\n");
	}
	/* A cgroup of threads has no list; its processes are those of the cgroup above. */
	return ret == -EOPNOTSUPP ? 0 : ret;
}

/* Takes dir_fd. A cgroup that is gone by now is empty. */
static int procs_walk(struct procs *procs, int dir_fd, unsigned depth)
{
	int ret = procs_read(procs, dir_fd);
	DIR *dir = ret == 0 && depth < CGROUP_DEPTH_MAX ? fdopendir(dir_fd) : NULL;

	if (!dir) {
		close(dir_fd);
		return ret == -ENODEV || ret == -ENOENT ? 0 : ret;
	}
	for (struct dirent *entry; ret == 0 && (entry = readdir(dir));) {
		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		int child = openat(
			dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child >= 0)
			ret = procs_walk(procs, child, depth + 1);
	}
	closedir(dir);
	return ret;
}

int cgroup_procs_list(int dir_fd, pid_t **pids, size_t *n)
{
	struct procs procs = {0};
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = fd < 0 ? -errno : procs_walk(&procs, fd, 0);

	if (ret < 0) {
		free(procs.v);
		return ret;
	}
	*pids = procs.v;
	*n = procs.n;
	return 0;
}

static pid_t procs_session(int proc_fd, pid_t pid)
{
	char path[64], text[512];
	int session = 0;

	snprintf(path, sizeof(path), "%d/stat", (int)pid);
	if (sysfile_read(proc_fd, path, text, sizeof(text)) <= 0)
		return 0;
	/* The name may contain anything; it ends at the last parenthesis. */
	const char *p = strrchr(text, ')');
	return p && sscanf(p, ") %*c %*d %*d %d", &session) == 1 ? session : 0;
}

void cgroup_procs_signal(int dir_fd, int proc_fd, int signal, pid_t session)
{
	cleanup_free pid_t *pids = NULL;
	size_t n = 0;

	if (!session && signal == SIGKILL) {
		guest_cgroup_kill(dir_fd);
		return;
	}
	if (cgroup_procs_list(dir_fd, &pids, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (!session || procs_session(proc_fd, pids[i]) == session)
			kill(pids[i], signal);
}
