/* SPDX-License-Identifier: Apache-2.0 */
/* The VM's disks; see disk.h. */
#include "guestinit/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/mount.h"
#include "guestinit/sysfile.h"

#define DISK_NODE "root-disk"

/* The kernel's block layer has numbers and names: /sys/block/vdX/dev. */
int disk_number(uint32_t disk, dev_t *number, struct err *e)
{
	char name[16], path[64], text[32];
	char letters[8];
	size_t n = 0;
	unsigned major, minor;

	for (uint64_t rest = (uint64_t)disk + 1; rest && n < sizeof(letters);
		rest = (rest - 1) / 26)
		letters[n++] = (char)('a' + (rest - 1) % 26);
	size_t used = 0;
	while (n)
		name[used++] = letters[--n];
	name[used] = '\0';
	cleanup_close int sys = mount_new("sysfs", 0, NULL, 0, e);
	if (sys < 0)
		return sys;
	snprintf(path, sizeof(path), "block/vd%s/dev", name);
	int ret = sysfile_read(sys, path, text, sizeof(text));
	/* The entry of /sys/block is a symlink, which only the last component must not be. */
	if (ret < 0)
		return err_sys(e, -ret, "the VM's disk number %u (vd%s)", disk, name);
	if (sscanf(text, "%u:%u", &major, &minor) != 2)
		return err_set(e, EIO, "the VM's disk number %u (vd%s)", disk, name);
	*number = makedev(major, minor);
	return 0;
}

static int disk_try(const char *type, const char *node, bool readonly, struct err *e)
{
	static const char *const words[] = {"ro"};

	return mount_new_from(type, node, 0, words, readonly ? 1 : 0, e);
}

int disk_mount(const char *nodes_dir, uint32_t disk, bool readonly, struct err *e)
{
	static const char *const types[] = {"ext4", "erofs", "squashfs", "xfs", "btrfs"};
	char node[PATH_MAX];
	dev_t number = 0;

	int ret = disk_number(disk, &number, e);
	if (ret < 0)
		return ret;
	snprintf(node, sizeof(node), "%s/" DISK_NODE, nodes_dir);
	if (mknod(node, S_IFBLK | 0600, number) < 0)
		return err_sys(e, errno, "%s", node);
	/* Of a type, these two say that it is another's, or that the kernel does not know it. */
	int tree = -EINVAL;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (tree == -EINVAL || tree == -ENODEV)
			tree = disk_try(types[i], node, readonly, e);
	unlink(node);
	if (tree != -EINVAL && tree != -ENODEV)
		return tree;
	return err_set(e, EINVAL,
		"the VM's disk number %u holds no file system that the guest's kernel knows (ext4, "
		"erofs, squashfs)",
		disk);
}
