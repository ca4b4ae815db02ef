/* SPDX-License-Identifier: Apache-2.0 */
/* A file system with nothing in it; see emptyfs.h. */
#include "base/emptyfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

int emptyfs_new(struct err *e)
{
	static const char *const options[][2] = {
		{"mode", "0555"}, {"size", "4k"}, {"nr_inodes", "2"}, {"source", "hvrun"}};
	cleanup_close int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);

	for (size_t i = 0; fs >= 0 && i < sizeof(options) / sizeof(options[0]); i++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, options[i][0], options[i][1], 0) < 0)
			return err_sys(e, errno, "tmpfs: %s", options[i][0]);
	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(e, errno, "tmpfs");
	int fd = fsmount(fs, FSMOUNT_CLOEXEC,
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return fd < 0 ? err_sys(e, errno, "tmpfs") : fd;
}

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

int emptyfs_replace_root(int elsewhere, struct err *e)
{
	cleanup_close int empty = emptyfs_new(e);

	if (empty < 0)
		return empty;
	int ret = make_private(elsewhere, e);
	if (ret < 0)
		return ret;
	if (move_mount(empty, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, errno, "empty root directory");
	if (fchdir(empty) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return err_sys(e, errno, "pivot_root");
	/* Both lie at "." now, the old one on top. */
	if (umount2(".", MNT_DETACH) < 0)
		return err_sys(e, errno, "unmounting the host's files");
	return 0;
}
