/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that others have started; see descendants.h. */
#include "runtime/descendants.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

pid_t descendants_parent_of(pid_t pid)
{
	char path[32], text[128];
	int parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	/* The name may hold anything, parentheses as well. */
	const char *p = strrchr(text, ')');
	return p && sscanf(p, ") %*c %d", &parent) == 1 ? parent : 0;
}

static bool has(const pid_t *list, size_t n, pid_t pid)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == pid)
			return true;
	return false;
}

/* Not by /proc/PID/task/TID/children, which not every kernel has. */
int descendants_add(pid_t *list, size_t *n, size_t max)
{
	DIR *dir = opendir("/proc");
	int ret = 0;

	if (!dir)
		return -errno;
	for (struct dirent *entry; ret == 0 && (entry = readdir(dir));) {
		pid_t pid = atoi(entry->d_name);
		pid_t parent = pid > 0 ? descendants_parent_of(pid) : 0;
		if (parent <= 0 || !has(list, *n, parent) || has(list, *n, pid))
			continue;
		if (*n < max)
			list[(*n)++] = pid;
		else
			ret = -E2BIG;
	}
	closedir(dir);
	return ret;
}
