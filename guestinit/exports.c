/* SPDX-License-Identifier: Apache-2.0 */
/* Exports of the host; see exports.h. */
#include "guestinit/exports.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

int exports_attach(const struct exports *exports, struct err *e)
{
	if (!exports->tag)
		return 0;
	if (mkdir(exports->dir, 0700) < 0 && errno != EEXIST)
		return err_sys(e, errno, "%s", exports->dir);
	if (mount(exports->tag, exports->dir, "virtiofs", 0, NULL) == 0)
		return 0;
	if (errno == ENODEV)
		return err_set(e, ENODEV, "the guest's kernel has no virtiofs");
	return err_sys(e, errno, "can't mount the virtio-fs device \"%s\"", exports->tag);
}

void exports_detach(const struct exports *exports)
{
	if (exports->tag)
		umount2(exports->dir, MNT_DETACH);
}

int exports_clone(const struct exports *exports, const char *name, struct err *e)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", exports->dir, name) >= (int)sizeof(path))
		return err_set(e, ENAMETOOLONG, "export \"%.64s\"", name);
	int tree = open_tree(AT_FDCWD, path,
		OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);
	if (tree < 0)
		return err_sys(e, errno, "export \"%s\"", name);
	return tree;
}
