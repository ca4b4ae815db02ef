/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving the host's files; see root.h. */
#include "microvm/vmm/root.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/emptyfs.h"
#include "base/fd.h"

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
	int ret = emptyfs_replace_root(fds, e);
	if (ret == 0 && (fchdir(fds) < 0 || chroot(".") < 0))
		ret = err_sys(e, errno, "root directory");
	return ret;
}
