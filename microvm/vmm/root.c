/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving the host's files; see root.h. */
#include "microvm/vmm/root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/emptyfs.h"
#include "base/fd.h"

/* More than a path has. */
#define DEPTH_MAX PATH_MAX

/*
 * Out of a chroot: whose root is no mount point, neither it nor what lies above it could be made
 * private by name. With the root elsewhere, ".." leads up from the old one to the namespace's.
 */
static int find_namespace_root(int elsewhere, struct err *e)
{
	cleanup_close int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (old < 0 || fchdir(elsewhere) < 0 || chroot(".") < 0 || fchdir(old) < 0)
		return err_sys(e, errno, "leaving a chroot");
	for (int i = 0; i < DEPTH_MAX; i++)
		if (chdir("..") < 0)
			return err_sys(e, errno, "leaving a chroot");
	return chroot(".") < 0 ? err_sys(e, errno, "leaving a chroot") : 0;
}

static int make_private(int elsewhere, struct err *e)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
		return 0;
	int ret = errno == EINVAL ? find_namespace_root(elsewhere, e)
				  : err_sys(e, errno, "private mounts");
	if (ret == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		ret = err_sys(e, errno, "private mounts");
	return ret;
}

/* The new namespace is a copy of the host's: everything in it goes but the new root. */
static int replace_root(int empty, struct err *e)
{
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
	int ret = make_private(fds, e);
	if (ret == 0)
		ret = replace_root(empty, e);
	if (ret == 0 && (fchdir(fds) < 0 || chroot(".") < 0))
		ret = err_sys(e, errno, "root directory");
	return ret;
}
