/* SPDX-License-Identifier: Apache-2.0 */
/* The user's terminal; see terminal.h. */
#include "microvm/vmm/terminal.h"

#include <errno.h>
#include <fcntl.h>
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

void terminal_restore(struct terminal *terminal)
{
	if (terminal->fd < 0)
		return;
	/* Not TCSADRAIN: output that nobody takes (Ctrl-S) would hold this program up for ever. */
	(void)tcsetattr(terminal->fd, TCSANOW, &terminal->saved);
	fd_closep(&terminal->fd);
}
