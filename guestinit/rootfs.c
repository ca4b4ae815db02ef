/* SPDX-License-Identifier: Apache-2.0 */
/* A container's root; see rootfs.h. */
#include "guestinit/rootfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/child.h"
#include "guestinit/create.h"
#include "guestinit/devices.h"
#include "guestinit/path.h"

/*
 * guestinit lives in the kernel's first root file system, which pivot_root(2) can't move. A mount
 * on top of "/" does the same: it is what every later look-up in this namespace starts from, and
 * its ".." is itself.
 */
int rootfs_enter(struct rootfs *r, const struct child *ch, struct err *e)
{
	memset(r, 0, sizeof(*r));
	r->mounts.root_fd = r->null_fd = -1;
	r->nodes_fd = open(ch->nodes_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r->nodes_fd < 0)
		return err_sys(e, errno, "%s", ch->nodes_dir);
	if (ch->create->os.masked_paths.n) {
		r->null_fd = open(ch->null_path, O_PATH | O_CLOEXEC);
		if (r->null_fd < 0)
			return err_sys(e, errno, "%s", ch->null_path);
	}
	/* Private already, unless the kernel's default changes; what follows relies on it. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(e, errno, "root: can't make it private");
	if (move_mount(ch->root_tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(e, errno, "root: can't mount it");
	if (fchdir(ch->root_tree) < 0 || chroot(".") < 0)
		return err_sys(e, errno, "root: can't enter it");
	r->mounts.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r->mounts.root_fd < 0)
		return err_sys(e, errno, "root");
	return 0;
}

/* A /dev bound from outside is its owner's to furnish. */
static bool rootfs_furnishes_dev(const struct create *c)
{
	for (size_t i = 0; i < c->mounts.n; i++) {
		char clean[PATH_MAX];
		const struct cfg_mount *m = &c->mounts.v[i];
		if (m->options.bind && !m->options.remount &&
			path_clean(m->destination, clean, sizeof(clean)) == 0 &&
			strcmp(clean, "/dev") == 0)
			return false;
	}
	return true;
}

int rootfs_furnish(struct rootfs *r, const struct child *ch, struct err *e)
{
	const struct create *c = ch->create;

	for (size_t i = 0; i < c->mounts.n; i++) {
		const struct cfg_mount *m = &c->mounts.v[i];
		if (mount_make(&r->mounts, m, ch->mount_trees[i], e) < 0)
			return err_add(e, "config.mounts[%zu] (%s)", i, m->destination);
	}
	if (!rootfs_furnishes_dev(c))
		return 0;
	int ret = devices_make(r->mounts.root_fd, r->nodes_fd, ch->devices, e);
	fd_closep(&r->nodes_fd);
	return ret < 0 ? ret : devices_link(r->mounts.root_fd, e);
}

int rootfs_finish(struct rootfs *r, const struct create *c, struct err *e)
{
	int ret = mount_finish(&r->mounts, e);

	if (ret < 0)
		return ret;
	if (c->root_readonly) {
		ret = mount_set_attr(r->mounts.root_fd, 0, MOUNT_ATTR_RDONLY, 0);
		if (ret < 0)
			return err_sys(e, -ret, "root: can't make it read-only");
	}
	if (c->os.propagation) {
		ret = mount_set_propagation(r->mounts.root_fd, c->os.propagation);
		if (ret < 0)
			return err_sys(e, -ret, "config.linux.rootfsPropagation");
	}
	return 0;
}

/* A directory is covered by an empty read-only one; the first is made, the others are its clones.
 */
static int rootfs_mask_dir(int target, int *empty_fd, struct err *e)
{
	static const char *const words[] = {"nr_blocks=1", "nr_inodes=1", "mode=0755"};
	cleanup_close int tree = -1;

	if (*empty_fd >= 0) {
		tree = mount_clone(*empty_fd, 0);
	} else {
		tree = mount_new("tmpfs",
			MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
				MOUNT_ATTR_NOEXEC,
			words, sizeof(words) / sizeof(words[0]), e);
		if (tree < 0)
			return tree;
	}
	int ret = tree < 0 ? tree : mount_attach(tree, target);
	if (ret < 0)
		return err_sys(e, -ret, "can't cover the directory");
	if (*empty_fd < 0)
		*empty_fd = steal_fd(&tree);
	return 0;
}

/*
 * A file is covered by guestinit's null device, read-only, so that its mode can't be changed for
 * all. The first such mount is the one to clone for the others.
 */
static int rootfs_mask_file(struct rootfs *r, int target, bool *first, struct err *e)
{
	cleanup_close int tree = mount_clone(r->null_fd, 0);
	int ret = tree < 0 ? tree : 0;

	if (ret == 0 && *first)
		ret = mount_set_attr(
			tree, 0, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0);
	if (ret == 0)
		ret = mount_attach(tree, target);
	if (ret < 0)
		return err_sys(e, -ret, "can't cover the file");
	if (*first) {
		fd_closep(&r->null_fd);
		r->null_fd = steal_fd(&tree);
		*first = false;
	}
	return 0;
}

static int rootfs_mask(
	struct rootfs *r, const char *path, int *empty_fd, bool *first, struct err *e)
{
	cleanup_close int target = path_open(r->mounts.root_fd, path);
	struct stat st;

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0)
		return err_sys(e, -target, "can't open it");
	if (fstat(target, &st) < 0)
		return err_sys(e, errno, "can't look at it");
	return S_ISDIR(st.st_mode) ? rootfs_mask_dir(target, empty_fd, e)
				   : rootfs_mask_file(r, target, first, e);
}

/* The path bound onto itself, read-only. */
static int rootfs_make_readonly(const struct rootfs *r, const char *path, struct err *e)
{
	cleanup_close int target = path_open(r->mounts.root_fd, path);

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0)
		return err_sys(e, -target, "can't open it");
	cleanup_close int tree = mount_clone(target, AT_RECURSIVE);
	int ret = tree < 0 ? tree : mount_set_attr(tree, 0, MOUNT_ATTR_RDONLY, 0);
	if (ret == 0)
		ret = mount_attach(tree, target);
	return ret < 0 ? err_sys(e, -ret, "can't make it read-only") : 0;
}

int rootfs_restrict(struct rootfs *r, const struct create *c, struct err *e)
{
	const struct strings *masked = &c->os.masked_paths, *readonly = &c->os.readonly_paths;
	cleanup_close int empty = -1;
	bool first = true;

	for (size_t i = 0; i < readonly->n; i++)
		if (rootfs_make_readonly(r, readonly->v[i], e) < 0)
			return err_add(
				e, "config.linux.readonlyPaths[%zu] (%s)", i, readonly->v[i]);
	for (size_t i = 0; i < masked->n; i++)
		if (rootfs_mask(r, masked->v[i], &empty, &first, e) < 0)
			return err_add(e, "config.linux.maskedPaths[%zu] (%s)", i, masked->v[i]);
	fd_closep(&r->nodes_fd);
	fd_closep(&r->null_fd);
	fd_closep(&r->mounts.root_fd);
	return 0;
}
