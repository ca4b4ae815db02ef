/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of the container; see streams.h. */
#include "runtime/streams.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

int streams_sanitise(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		/* The lowest free number is this one, for those below are open. */
		if (open("/dev/null", O_RDWR) != fd)
			return -EBADF;
	}
	return 0;
}

int streams_reopen(int fd, int access_mode)
{
	struct stat st;
	char path[32];

	if (fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || (S_ISCHR(st.st_mode) && isatty(fd)))) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		int own = open(path, access_mode | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		if (own >= 0)
			return own;
	}
	/* A pipe without a reader, a terminal of another user: shared, and left as it is. */
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int open_terminal(struct streams *streams, struct err *e)
{
	for (int fd = 0; fd <= 2 && streams->terminal < 0; fd++)
		if (isatty(fd))
			streams->terminal = streams_reopen(fd, O_RDWR);
	if (streams->terminal < 0)
		streams->terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (streams->terminal < 0)
		return err_set(e, ENOTTY,
			"config.json: process.terminal: provided file is not a console: run hvrun "
			"in "
			"a terminal, or set it to false");
	streams->saved = tcgetattr(streams->terminal, &streams->settings) == 0;
	streams_size(streams, &streams->rows, &streams->columns);
	return 0;
}

int streams_open(struct streams *streams, bool want_terminal, struct err *e)
{
	streams->in = streams->out = streams->err = streams->terminal = -1;
	streams->saved = false;
	if (want_terminal)
		return open_terminal(streams, e);
	streams->in = streams_reopen(STDIN_FILENO, O_RDONLY);
	streams->out = streams_reopen(STDOUT_FILENO, O_WRONLY);
	streams->err = streams_reopen(STDERR_FILENO, O_WRONLY);
	if (streams->in >= 0 && streams->out >= 0 && streams->err >= 0)
		return 0;
	int ret = err_sys(e, errno, "standard streams");
	streams_close(streams);
	return ret;
}

void streams_hand_over(struct streams *streams)
{
	if (streams->terminal >= 0)
		return;
	fd_closep(&streams->in);
	fd_closep(&streams->out);
	fd_closep(&streams->err);
	/* stderr stays open: what goes wrong is still to be said there. */
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0 && (dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0))
		return;
}

bool streams_size(const struct streams *streams, uint16_t *rows, uint16_t *columns)
{
	struct winsize size;

	if (ioctl(streams->terminal, TIOCGWINSZ, &size) < 0 || !size.ws_row || !size.ws_col)
		return false;
	*rows = size.ws_row;
	*columns = size.ws_col;
	return true;
}

void streams_close(struct streams *streams)
{
	if (streams->saved)
		tcsetattr(streams->terminal, TCSANOW, &streams->settings);
	streams->saved = false;
	fd_closep(&streams->terminal);
	fd_closep(&streams->in);
	fd_closep(&streams->out);
	fd_closep(&streams->err);
}
