/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals; see pty.h. */
#include "guestinit/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "guestinit/mount.h"
#include "guestinit/path.h"
#include "guestinit/syscalls.h"

int pty_resize(int master_fd, uint32_t rows, uint32_t columns)
{
	struct winsize size = {
		.ws_row = rows > UINT16_MAX ? UINT16_MAX : (uint16_t)rows,
		.ws_col = columns > UINT16_MAX ? UINT16_MAX : (uint16_t)columns,
	};

	if (!rows && !columns)
		return 0;
	return ioctl(master_fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int pty_bind_console(int root_fd, int slave_fd)
{
	cleanup_close int target = path_make(root_fd, "/dev/console", S_IFREG);

	if (target < 0)
		return target;
	cleanup_close int tree = mount_clone(slave_fd, 0);
	if (tree < 0)
		return tree;
	return mount_attach(tree, target);
}

int pty_open(int root_fd, uint32_t rows, uint32_t columns, struct pty *pty, struct err *e)
{
	struct statfs fs;
	int unlock = 0;
	cleanup_close int master = sys_openat2(root_fd, "dev/pts/ptmx",
		O_RDWR | O_NOCTTY | O_CLOEXEC, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

	if (master < 0)
		return err_sys(e, errno, "terminal: /dev/pts/ptmx (is there a devpts mount?)");
	if (fstatfs(master, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
		return err_set(e, ENODEV, "terminal: /dev/pts is not a devpts mount");
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return err_sys(e, errno, "terminal: can't unlock it");
	cleanup_close int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return err_sys(e, errno, "terminal: can't open its other end");
	int ret = pty_resize(master, rows, columns);
	if (ret < 0)
		return err_sys(e, -ret, "terminal: can't set its size");
	pty->master_fd = steal_fd(&master);
	pty->slave_fd = steal_fd(&slave);
	return 0;
}
