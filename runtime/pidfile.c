/* SPDX-License-Identifier: Apache-2.0 */
/* Pid files; see pidfile.h. */
#include "runtime/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

int pidfile_write(const char *path, pid_t pid, struct err *e)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char draft[PATH_MAX], text[16];

	/* As runc: a hidden file beside it, which then takes the name. */
	if (snprintf(draft, sizeof(draft), "%.*s.%s", (int)(name - path), path, name) >=
		(int)sizeof(draft))
		return err_sys(e, ENAMETOOLONG, "--pid-file: %s", path);
	cleanup_close int fd =
		open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0)
		return err_sys(e, errno, "--pid-file: %s", path);
	int n = snprintf(text, sizeof(text), "%d", (int)pid);
	int ret = fd_write_all(fd, text, (size_t)n);
	if (ret == 0 && rename(draft, path) == 0)
		return 0;
	int code = ret < 0 ? -ret : errno;
	unlink(draft);
	return err_sys(e, code, "--pid-file: %s", path);
}
