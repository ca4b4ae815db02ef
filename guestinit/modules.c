/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel modules; see modules.h. */
#include "guestinit/modules.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/module.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "guestinit/syscalls.h"

static bool modules_ends(const char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	return len > end_len && strcmp(name + len - end_len, end) == 0;
}

int modules_flags(const char *name)
{
	bool packed = modules_ends(name, ".xz") || modules_ends(name, ".zst") ||
		modules_ends(name, ".gz");

	return packed ? MODULE_INIT_COMPRESSED_FILE : 0;
}

static int modules_load_one(int dir_fd, const char *name)
{
	cleanup_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* EEXIST: it is built in, or another one brought it. */
	if (sys_finit_module(fd, "", modules_flags(name)) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

static int modules_filter(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

int modules_load(const char *dir, struct err *e)
{
	cleanup_close int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent **names;

	if (dir_fd < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "%s", dir);
	int n = scandirat(dir_fd, ".", &names, modules_filter, alphasort);
	if (n < 0)
		return err_sys(e, errno, "%s", dir);
	for (int i = 0; i < n; i++) {
		int ret = modules_load_one(dir_fd, names[i]->d_name);
		if (ret < 0)
			log_error("%s/%s: can't load the module: %s", dir, names[i]->d_name,
				strerror(-ret));
		unlinkat(dir_fd, names[i]->d_name, 0);
		free(names[i]);
	}
	free(names);
	return 0;
}
