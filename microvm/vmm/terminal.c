/* SPDX-License-Identifier: Apache-2.0 */
/* The user's terminal; see terminal.h. */
#include "microvm/vmm/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"

int terminal_make_raw(struct terminal *terminal, int fd)
{
	struct termios raw;

	terminal_restore(terminal);
	if (tcgetattr(fd, &terminal->saved) < 0)
		return errno == ENOTTY ? 0 : -errno;
	cleanup_close int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	raw = terminal->saved;
	cfmakeraw(&raw);
	if (tcsetattr(fd, TCSANOW, &raw) < 0)
		return -errno;
	terminal->fd = steal_fd(&copy);
	return 0;
}

int terminal_make_own(int fd)
{
	/* -EPERM: a session's leader already, which is as good. */
	if (setsid() < 0 && errno != EPERM)
		return -errno;
	return ioctl(fd, TIOCSCTTY, 0) < 0 ? -errno : 0;
}

bool terminal_size(int fd, unsigned *rows, unsigned *columns)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col)
		return false;
	*rows = size.ws_row;
	*columns = size.ws_col;
	return true;
}

void terminal_restore(struct terminal *terminal)
{
	if (terminal->fd < 0)
		return;
	/* Not TCSADRAIN: output that nobody takes (Ctrl-S) would hold this program up for ever. */
	(void)tcsetattr(terminal->fd, TCSANOW, &terminal->saved);
	fd_closep(&terminal->fd);
}
