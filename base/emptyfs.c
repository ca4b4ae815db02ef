/* SPDX-License-Identifier: Apache-2.0 */
/* A file system with nothing in it; see emptyfs.h. */
#include "base/emptyfs.h"

#include <errno.h>
#include <sys/mount.h>

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
