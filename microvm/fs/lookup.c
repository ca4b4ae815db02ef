/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a name to a node. A name is one component, checked by request_take_name, and is resolved in
 * the directory that the parent's descriptor holds, so no name can lead out of an export. openat2
 * says so once more: beneath the parent, through no magic link, and into no other mount where
 * those are not part of the export. The component itself is opened
 * with O_PATH and O_NOFOLLOW: nothing happens to a device or a fifo, and a symbolic link is a link.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/fs/ops.h"

static int open_beneath(const struct node_use *dir, const char *name)
{
	bool stay = node_export(dir->node)->one_mount;
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | (stay ? RESOLVE_NO_XDEV : 0u),
	};
	int fd = (int)syscall(SYS_openat2, dir->fd, name, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

int lookup_enter(const struct op_call *c, struct node *dir, const char *name, struct export *export,
	int fd, struct fuse_entry_out *out)
{
	struct node_entry entry;
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH, NODE_STATX_MASK, &stx) < 0) {
		int ret = -errno;
		close(fd);
		return ret;
	}
	int ret = node_enter(&c->s->nodes, dir, name, export, fd, &stx, true, &entry);
	if (ret < 0)
		return ret;
	memset(out, 0, sizeof(*out));
	attr_fill(c->s, NULL, &stx, &out->attr);
	out->attr.ino = entry.ino;
	out->nodeid = entry.id;
	switch (export->cache) {
	case CACHE_AUTO:
		out->entry_valid = out->attr_valid = 1;
		break;
	case CACHE_NEVER:
		break;
	case CACHE_ALWAYS:
		out->entry_valid = out->attr_valid = ATTR_FOREVER_S;
		break;
	}
	return 0;
}

static int lookup_export(const struct op_call *c, const char *name, struct fuse_entry_out *out)
{
	struct export *export = exports_find(c->s->config.exports, name);

	if (!export)
		return -ENOENT;
	int fd = fcntl(export->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int ret = lookup_enter(c, NULL, NULL, export, fd, out);
	if (!ret)
		out->entry_valid = ATTR_FOREVER_S; /* exports stay */
	return ret;
}

int lookup_entry(const struct op_call *c, const struct node_use *dir, const char *name,
	struct fuse_entry_out *out)
{
	if (!dir->node)
		return lookup_export(c, name, out);
	int fd = open_beneath(dir, name);
	if ((fd == -EMFILE || fd == -ENFILE) && nodes_shrink(&c->s->nodes))
		fd = open_beneath(dir, name);
	if (fd < 0)
		return fd;
	return lookup_enter(c, dir->node, name, node_export(dir->node), fd, out);
}

int op_openat(const struct op_call *c, int dirfd, const char *path, int flags, mode_t mode)
{
	int fd = openat(dirfd, path, flags | O_CLOEXEC | O_NOCTTY, mode);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && nodes_shrink(&c->s->nodes))
		fd = openat(dirfd, path, flags | O_CLOEXEC | O_NOCTTY, mode);
	return fd < 0 ? -errno : fd;
}

int op_use_writable(const struct op_call *c, uint64_t nodeid, struct node_use *use)
{
	int ret = node_use(&c->s->nodes, nodeid, use);

	if (!ret && (!use->node || node_export(use->node)->readonly)) {
		node_unuse(use);
		return -EROFS;
	}
	return ret;
}

int op_use_dir(const struct op_call *c, uint64_t nodeid, struct node_use *use)
{
	int ret = op_use_writable(c, nodeid, use);

	if (!ret && !S_ISDIR(use->node->type)) {
		node_unuse(use);
		return -ENOTDIR;
	}
	return ret;
}

const char *op_node_path(const struct op_call *c, const struct node_use *use, struct fd_path *path)
{
	return fd_path_set(path, c->s->config.fd_prefix, use->fd);
}
