/* SPDX-License-Identifier: Apache-2.0 */
/* Making, removing and renaming directory entries. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "microvm/fs/ops.h"

int op_readlink(const struct op_call *c)
{
	cleanup_node struct node_use use = {0};
	char *buf = (char *)c->t->buf;

	int ret = node_use(&c->s->nodes, c->r->header.nodeid, &use);
	if (ret)
		return ret;
	if (!use.node || !S_ISLNK(use.node->type))
		return -EINVAL;
	ssize_t n = readlinkat(use.fd, "", buf, PATH_MAX);
	if (n < 0)
		return -errno;
	return request_reply(c->r, buf, (size_t)n);
}

/* The reply to an operation that made name in dir. */
static int reply_entry(const struct op_call *c, const struct node_use *dir, const char *name)
{
	struct fuse_entry_out out;
	int ret = lookup_entry(c, dir, name, &out);

	return ret ? ret : request_reply(c->r, &out, sizeof(out));
}

int op_symlink(const struct op_call *c)
{
	cleanup_node struct node_use dir = {0};
	const char *name, *target;

	int ret = request_take_name(c->r, &name);
	if (!ret)
		ret = request_take_string(c->r, PATH_MAX - 1, &target);
	if (!ret)
		ret = op_use_dir(c, c->r->header.nodeid, &dir);
	if (ret)
		return ret;
	if (symlinkat(target, dir.fd, name) < 0)
		return -errno;
	return reply_entry(c, &dir, name);
}

/* The kernel's 32-bit encoding of a device number (new_decode_dev). */
static dev_t decode_dev(uint32_t dev)
{
	return makedev((dev & 0xfff00) >> 8, (dev & 0xff) | ((dev >> 12) & 0xfff00));
}

static int mknod_allowed(const struct export *export, mode_t type, dev_t dev)
{
	switch (type) {
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	case S_IFCHR:
		if (!dev)
			return 0; /* overlayfs's whiteout is no device */
		return export->nodev ? -EPERM : 0;
	case S_IFBLK:
		return export->nodev ? -EPERM : 0;
	}
	return -EINVAL;
}

int op_mknod(const struct op_call *c)
{
	const struct fuse_mknod_in *in = request_take(c->r, sizeof(*in));
	cleanup_node struct node_use dir = {0};
	const char *name;

	if (!in)
		return -EINVAL;
	int ret = request_take_name(c->r, &name);
	if (!ret)
		ret = op_use_dir(c, c->r->header.nodeid, &dir);
	if (ret)
		return ret;
	mode_t type = in->mode & S_IFMT;
	dev_t dev = S_ISCHR(type) || S_ISBLK(type) ? decode_dev(in->rdev) : 0;
	ret = mknod_allowed(node_export(dir.node), type, dev);
	if (ret)
		return ret;
	mode_t mode = attr_mode_allowed(node_export(dir.node), type, in->mode);
	cred_umask(&c->t->cred, in->umask);
	if (mknodat(dir.fd, name, type | mode, dev) < 0)
		return -errno;
	return reply_entry(c, &dir, name);
}

int op_mkdir(const struct op_call *c)
{
	const struct fuse_mkdir_in *in = request_take(c->r, sizeof(*in));
	cleanup_node struct node_use dir = {0};
	const char *name;

	if (!in)
		return -EINVAL;
	int ret = request_take_name(c->r, &name);
	if (!ret)
		ret = op_use_dir(c, c->r->header.nodeid, &dir);
	if (ret)
		return ret;
	cred_umask(&c->t->cred, in->umask);
	if (mkdirat(dir.fd, name, in->mode & 07777) < 0)
		return -errno;
	return reply_entry(c, &dir, name);
}

static int remove_name(const struct op_call *c, int flags)
{
	cleanup_node struct node_use dir = {0};
	const char *name;

	int ret = request_take_name(c->r, &name);
	if (!ret)
		ret = op_use_dir(c, c->r->header.nodeid, &dir);
	if (ret)
		return ret;
	node_pin_name(&c->s->nodes, &dir, name);
	if (unlinkat(dir.fd, name, flags) < 0)
		return -errno;
	return request_reply(c->r, NULL, 0);
}

int op_unlink(const struct op_call *c)
{
	return remove_name(c, 0);
}

int op_rmdir(const struct op_call *c)
{
	return remove_name(c, AT_REMOVEDIR);
}

static int rename_entry(const struct op_call *c, uint64_t newdir, uint32_t flags)
{
	cleanup_node struct node_use from = {0}, to = {0};
	const char *name, *newname;

	if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT))
		return -EINVAL;
	int ret = request_take_name(c->r, &name);
	if (!ret)
		ret = request_take_name(c->r, &newname);
	if (!ret)
		ret = op_use_dir(c, c->r->header.nodeid, &from);
	if (!ret)
		ret = op_use_dir(c, newdir, &to);
	if (ret)
		return ret;
	if (node_export(from.node) != node_export(to.node))
		return -EXDEV;
	if (!(flags & (RENAME_NOREPLACE | RENAME_EXCHANGE)))
		node_pin_name(&c->s->nodes, &to, newname);
	if (renameat2(from.fd, name, to.fd, newname, flags) < 0)
		return -errno;
	node_renamed(&c->s->nodes, &from, name, &to, newname, flags & RENAME_EXCHANGE);
	return request_reply(c->r, NULL, 0);
}

int op_rename(const struct op_call *c)
{
	const struct fuse_rename_in *in = request_take(c->r, sizeof(*in));

	return in ? rename_entry(c, in->newdir, 0) : -EINVAL;
}

int op_rename2(const struct op_call *c)
{
	const struct fuse_rename2_in *in = request_take(c->r, sizeof(*in));

	return in ? rename_entry(c, in->newdir, in->flags) : -EINVAL;
}

int op_link(const struct op_call *c)
{
	const struct fuse_link_in *in = request_take(c->r, sizeof(*in));
	cleanup_node struct node_use old = {0}, dir = {0};
	struct fd_path path = {""};
	const char *name;

	if (!in)
		return -EINVAL;
	int ret = request_take_name(c->r, &name);
	if (!ret)
		ret = op_use_writable(c, in->oldnodeid, &old);
	if (!ret)
		ret = op_use_dir(c, c->r->header.nodeid, &dir);
	if (ret)
		return ret;
	if (node_export(old.node) != node_export(dir.node))
		return -EXDEV;
	/* Follows the magic link of the descriptor to the inode, and no further if that is a link.
	 */
	if (linkat(AT_FDCWD, op_node_path(c, &old, &path), dir.fd, name, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	return reply_entry(c, &dir, name);
}
