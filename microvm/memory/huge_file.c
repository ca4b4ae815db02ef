/* SPDX-License-Identifier: Apache-2.0 */
/* See huge_file.h. */
#include "microvm/memory/huge_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/fd.h"

int huge_file_create(uint64_t size_bytes)
{
	char size[24];

	snprintf(size, sizeof(size), "%" PRIu64, size_bytes);
	cleanup_close int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -errno;
	if (fsconfig(fs, FSCONFIG_SET_STRING, "huge", "advise", 0) < 0 ||
		fsconfig(fs, FSCONFIG_SET_STRING, "size", size, 0) < 0 ||
		fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	cleanup_close int mount = fsmount(
		fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (mount < 0)
		return -errno;
	cleanup_close int file = openat(mount, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (file < 0 || ftruncate(file, (off_t)size_bytes) < 0)
		return -errno;
	return steal_fd(&file);
}
