/* SPDX-License-Identifier: Apache-2.0 */
/* What commands share: the container that one is about, and what none can do. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/commands.h"

#define FIRST_FD      3	    /* behind the standard streams */
#define INHERITED_MAX 1024u /* as many as can be asked for */

int command_open_container(
	const struct context *context, const char *id, struct container *c, struct err *e)
{
	char root[PATH_MAX];

	container_init(c);
	int ret = container_root_path(context->options.root, root, e);
	if (ret == 0)
		ret = container_open(c, root, id, e);
	return ret;
}

unsigned command_inherited_fds(void)
{
	unsigned n = 0;

	while (n < INHERITED_MAX && fcntl((int)(FIRST_FD + n), F_GETFD) >= 0)
		n++;
	return n;
}

/* What a descriptor is, and what can take its place. */
static const char *describe(int fd, const char **instead)
{
	int listens = 0;
	socklen_t len = sizeof(listens);
	struct stat st;

	*instead = "a bind mount of it";
	if (fstat(fd, &st) < 0)
		return "unknown";
	if (S_ISREG(st.st_mode))
		return "a file";
	if (S_ISDIR(st.st_mode))
		return "a directory";
	*instead = "linux.devices";
	if (S_ISBLK(st.st_mode))
		return "a block device";
	*instead = "process.terminal";
	if (S_ISCHR(st.st_mode))
		return isatty(fd) ? "a terminal" : "a character device";
	*instead = "a standard stream or a bind-mounted Unix socket";
	if (S_ISFIFO(st.st_mode))
		return "a pipe";
	if (!S_ISSOCK(st.st_mode))
		return "an object of the kernel"; /* eventfd, memfd of old, pidfd and the like */
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens)
		return "a socket";
	*instead = "a socket that listens in the container, with a published port,";
	return "a listening socket";
}

int command_check_fds(unsigned inherited, unsigned preserve_fds, struct err *e)
{
	const char *instead;

	if (!preserve_fds)
		return 0;
	if (!inherited)
		return err_set(e, EBADF,
			"--preserve-fds %u: unable to stat preserved-fd 0 (of %u): descriptor %d "
			"is not open",
			preserve_fds, preserve_fds, FIRST_FD);
	const char *kind = describe(FIRST_FD, &instead);
	return err_set(e, ENOTSUP,
		"--preserve-fds %u: descriptor %d is %s: open files of the host can't be passed "
		"into a virtual machine; %s can take its place",
		preserve_fds, FIRST_FD, kind, instead);
}
