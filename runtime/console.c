/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals over --console-socket; see console.h. */
#include "runtime/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/fd.h"

/* What runc sends along with the descriptor: the master's name. */
#define MASTER_NAME "/dev/ptmx"

int console_check(bool detach, bool terminal, const char *socket_path, struct err *e)
{
	if (detach && terminal && !socket_path)
		return err_set(e, EINVAL,
			"cannot allocate tty if runc will detach without setting console socket");
	if ((!detach || !terminal) && socket_path)
		return err_set(e, EINVAL,
			"cannot use console socket if runc will not detach or allocate tty");
	return 0;
}

/* By a descriptor: the path may be longer than an address has room for. */
static int console_connect(const char *path, struct err *e)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	cleanup_close int file = open(path, O_PATH | O_CLOEXEC);
	cleanup_close int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (file < 0 || sock < 0)
		return err_sys(e, errno, "dial unix %s: connect", path);
	snprintf(name.sun_path, sizeof(name.sun_path), "/proc/self/fd/%d", file);
	if (connect(sock, (struct sockaddr *)&name, sizeof(name)) < 0)
		return err_sys(e, errno, "dial unix %s: connect", path);
	return steal_fd(&sock);
}

static int console_make(unsigned rows, unsigned columns, int *slave)
{
	struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
	struct termios settings;
	cleanup_close int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	cleanup_close int other = -1;

	if (master < 0 || unlockpt(master) < 0)
		return -errno;
	other = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (other < 0 || tcgetattr(other, &settings) < 0)
		return -errno;
	cfmakeraw(&settings);
	if (tcsetattr(other, TCSANOW, &settings) < 0)
		return -errno;
	if (rows && columns && ioctl(other, TIOCSWINSZ, &size) < 0)
		return -errno;
	*slave = steal_fd(&other);
	return steal_fd(&master);
}

int console_send(
	const char *socket_path, unsigned rows, unsigned columns, int *slave, struct err *e)
{
	cleanup_close int peer = -1;

	*slave = -1;
	cleanup_close int sock = console_connect(socket_path, e);
	if (sock < 0)
		return sock;
	cleanup_close int master = console_make(rows, columns, &peer);
	if (master < 0)
		return err_sys(e, -master, "a terminal of the host");
	int ret = fd_send_packet(sock, MASTER_NAME, sizeof(MASTER_NAME) - 1, &master, 1);
	if (ret < 0)
		return err_sys(e, -ret, "%s: sending the terminal", socket_path);
	*slave = steal_fd(&peer);
	return 0;
}

int console_control(int slave, struct err *e)
{
	if (setsid() < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
		return err_sys(e, errno, "the controlling terminal");
	return 0;
}
