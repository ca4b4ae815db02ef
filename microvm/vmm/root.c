/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving the host's files; see root.h. */
#include "microvm/vmm/root.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/emptyfs.h"
#include "base/fd.h"

/* The new namespace is a copy of the host's: everything in it goes but the new root. */
static int replace_root(int empty, struct err *e)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, errno, "private mounts");
	if (move_mount(empty, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, errno, "empty root directory");
	if (fchdir(empty) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return err_sys(e, errno, "pivot_root");
	/* Both lie at "." now, the old one on top. */
	if (umount2(".", MNT_DETACH) < 0)
		return err_sys(e, errno, "unmounting the host's files");
	return 0;
}

int root_own(struct err *e)
{
	return unshare(CLONE_NEWNS) < 0 ? err_sys(e, errno, "mount namespace") : 0;
}

int root_leave(struct err *e)
{
	cleanup_close int fds =
		open_tree(AT_FDCWD, "/proc/self/fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fds < 0)
		return err_sys(e, errno, "/proc/self/fd");
	cleanup_close int empty = emptyfs_new(e);
	if (empty < 0)
		return empty;
	int ret = replace_root(empty, e);
	if (ret == 0 && (fchdir(fds) < 0 || chroot(".") < 0))
		ret = err_sys(e, errno, "root directory");
	return ret;
}
