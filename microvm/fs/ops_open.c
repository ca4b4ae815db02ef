/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening, creating and closing files. Only regular files are ever opened here: the guest opens
 * fifos, sockets and devices itself, and what they would do on the host must not happen.
 *
 * The node's O_PATH descriptor says what the inode is, and an inode's type never changes, so
 * reopening that descriptor can't be tricked into something else by a rename.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/fs/ops.h"

/*
 * Flags of the guest that mean something on the host. O_APPEND is left out: mapped pages are
 * written back through any handle, at their own offset; op_write appends when a request says so.
 * O_DIRECT gets a descriptor of its own, see handle_io_fd.
 */
#define OPEN_FLAGS_KEPT (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME)

static int open_flags_check(const struct export *export, uint32_t flags)
{
	if ((flags & O_ACCMODE) == O_ACCMODE)
		return -EINVAL;
	if (export->readonly && ((flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC))
		return -EROFS;
	return 0;
}

/* What the guest may keep of this file in its page cache. */
static uint32_t open_reply_flags(const struct op_call *c, struct node *node, int fd)
{
	struct statx stx;

	switch (node_export(node)->cache) {
	case CACHE_NEVER:
		/* Older guests can't map a file shared then; they drop their cache at each open. */
		if (session_flags(c->s) & SESSION_DIRECT_MMAP)
			return FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES;
		return 0;
	case CACHE_ALWAYS:
		return FOPEN_KEEP_CACHE;
	case CACHE_AUTO:
		break;
	}
	if (statx(fd, "", AT_EMPTY_PATH, STATX_SIZE | STATX_MTIME | STATX_CTIME, &stx) < 0)
		return 0;
	return node_is_told(&c->s->nodes, node, &stx) ? FOPEN_KEEP_CACHE : 0;
}

/* A handle for fd (taken over), open on node. */
static int open_handle(const struct op_call *c, struct node *node, int fd, uint32_t flags,
	struct fuse_open_out *out)
{
	out->open_flags = open_reply_flags(c, node, fd);
	out->padding = 0;
	int ret = handle_open(&c->s->handles, node, fd, false, &out->fh);
	if (ret < 0 || !(flags & O_DIRECT))
		return ret;
	/* A file system without O_DIRECT says so when the file is opened, not later. */
	cleanup_handle struct handle_use use = {0};
	ret = handle_use(&c->s->handles, out->fh, node_id(node), false, &use);
	if (!ret)
		ret = handle_io_fd(&c->s->handles, use.handle, flags);
	if (ret < 0)
		handle_close(&c->s->handles, out->fh);
	return ret < 0 ? ret : 0;
}

/* Opens a node that exists. */
static int open_node(const struct op_call *c, const struct node_use *use, uint32_t flags,
	uint32_t open_flags, struct fuse_open_out *out)
{
	struct fd_path path = {""};

	if (!use->node || S_ISDIR(use->node->type))
		return -EISDIR;
	if (!S_ISREG(use->node->type))
		return -ENXIO;
	int ret = open_flags_check(node_export(use->node), flags);
	if (!ret && flags & O_TRUNC)
		ret = cred_keep_setid(&c->t->cred, !(open_flags & FUSE_OPEN_KILL_SUIDGID));
	if (ret)
		return ret;
	int host_flags = (int)(flags & OPEN_FLAGS_KEPT);
	int fd = op_openat(c, AT_FDCWD, op_node_path(c, use, &path), host_flags, 0);
	if (fd == -EPERM && flags & O_NOATIME && !c->s->privileged)
		fd = op_openat(c, AT_FDCWD, path.text, host_flags & ~O_NOATIME, 0);
	return fd < 0 ? fd : open_handle(c, use->node, fd, flags, out);
}

int op_open(const struct op_call *c)
{
	const struct fuse_open_in *in = request_take(c->r, sizeof(*in));
	cleanup_node struct node_use use = {0};
	struct fuse_open_out out;

	if (!in)
		return -EINVAL;
	int ret = node_use(&c->s->nodes, c->r->header.nodeid, &use);
	if (!ret)
		ret = open_node(c, &use, in->flags, in->open_flags, &out);
	if (ret)
		return ret;
	ret = request_reply(c->r, &out, sizeof(out));
	if (ret < 0)
		handle_close(&c->s->handles, out.fh);
	return ret;
}

struct create_reply {
	struct fuse_entry_out entry;
	struct fuse_open_out open;
};

/* The reply for a file that was just made; fd is open on it and taken over. */
static int finish_create(const struct op_call *c, const struct node_use *dir, const char *name,
	int fd, uint32_t flags, struct create_reply *out)
{
	cleanup_close int owned = fd;
	cleanup_node struct node_use use = {0};
	struct fd_path path = {""};

	fd_path_set(&path, c->s->config.fd_prefix, owned);
	int ret = op_openat(c, AT_FDCWD, path.text, O_PATH, 0);
	if (ret >= 0)
		ret = lookup_enter(c, dir->node, name, node_export(dir->node), ret, &out->entry);
	if (ret)
		return ret;
	ret = node_use(&c->s->nodes, out->entry.nodeid, &use);
	if (!ret)
		ret = open_handle(c, use.node, steal_fd(&owned), flags, &out->open);
	if (ret < 0)
		node_forget(&c->s->nodes, out->entry.nodeid, 1);
	return ret;
}

/* Somebody made the name before us: open what is there, without following it. */
static int open_existing(const struct op_call *c, const struct node_use *dir, const char *name,
	const struct fuse_create_in *in, struct create_reply *out)
{
	cleanup_node struct node_use use = {0};

	int ret = lookup_entry(c, dir, name, &out->entry);
	if (ret < 0)
		return ret == -ENOENT ? -ESTALE : ret;
	ret = node_use(&c->s->nodes, out->entry.nodeid, &use);
	/* -ESTALE makes the guest look the name up anew and decide for itself. */
	if (!ret && !S_ISREG(use.node->type))
		ret = -ESTALE;
	if (!ret)
		ret = open_node(c, &use, in->flags, in->open_flags, &out->open);
	if (ret < 0)
		node_forget(&c->s->nodes, out->entry.nodeid, 1);
	return ret;
}

static int reply_create(const struct op_call *c, const struct create_reply *out)
{
	int ret = request_reply(c->r, out, sizeof(*out));

	if (ret < 0) {
		handle_close(&c->s->handles, out->open.fh);
		node_forget(&c->s->nodes, out->entry.nodeid, 1);
	}
	return ret;
}

static int create_prepare(const struct op_call *c, const struct fuse_create_in *in,
	struct node_use *dir, mode_t *mode)
{
	int ret = op_use_dir(c, c->r->header.nodeid, dir);

	if (!ret)
		ret = open_flags_check(node_export(dir->node), in->flags);
	if (ret)
		return ret;
	*mode = attr_mode_allowed(node_export(dir->node), S_IFREG, in->mode);
	cred_umask(&c->t->cred, in->umask);
	return 0;
}

int op_create(const struct op_call *c)
{
	const struct fuse_create_in *in = request_take(c->r, sizeof(*in));
	cleanup_node struct node_use dir = {0};
	struct create_reply out;
	const char *name;
	mode_t mode;

	if (!in)
		return -EINVAL;
	int ret = request_take_name(c->r, &name);
	if (!ret)
		ret = create_prepare(c, in, &dir, &mode);
	if (ret)
		return ret;
	int flags = (int)(in->flags & OPEN_FLAGS_KEPT) & ~O_TRUNC;
	int fd = op_openat(c, dir.fd, name, flags | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
	if (fd >= 0)
		ret = finish_create(c, &dir, name, fd, in->flags, &out);
	else if (fd == -EEXIST && !(in->flags & O_EXCL))
		ret = open_existing(c, &dir, name, in, &out);
	else
		ret = fd;
	return ret ? ret : reply_create(c, &out);
}

int op_tmpfile(const struct op_call *c)
{
	const struct fuse_create_in *in = request_take(c->r, sizeof(*in));
	cleanup_node struct node_use dir = {0};
	struct create_reply out;
	mode_t mode;

	if (!in)
		return -EINVAL;
	int ret = create_prepare(c, in, &dir, &mode);
	if (ret)
		return ret;
	int flags = (int)(in->flags & (OPEN_FLAGS_KEPT | O_EXCL)) & ~O_TRUNC;
	int fd = op_openat(c, dir.fd, ".", flags | O_TMPFILE, mode);
	ret = fd < 0 ? fd : finish_create(c, &dir, NULL, fd, in->flags, &out);
	return ret ? ret : reply_create(c, &out);
}

int op_release(const struct op_call *c)
{
	const struct fuse_release_in *in = request_take(c->r, sizeof(*in));

	if (!in)
		return -EINVAL;
	if (session_flags(c->s) & SESSION_HOST_LOCKS) {
		cleanup_handle struct handle_use use = {0};
		if (!handle_use(&c->s->handles, in->fh, c->r->header.nodeid, false, &use))
			locks_release_handle(c->s, use.handle);
	}
	handle_close(&c->s->handles, in->fh);
	return request_reply(c->r, NULL, 0);
}

/*
 * Data are written through before FLUSH comes, so it matters only for the locks that a process
 * gives up when it closes a file. ENOSYS tells the guest to save itself the message.
 */
int op_flush(const struct op_call *c)
{
	const struct fuse_flush_in *in = request_take(c->r, sizeof(*in));
	cleanup_handle struct handle_use use = {0};

	if (!(session_flags(c->s) & SESSION_HOST_LOCKS))
		return -ENOSYS;
	if (!in)
		return -EINVAL;
	int ret = handle_use(&c->s->handles, in->fh, c->r->header.nodeid, false, &use);
	if (ret)
		return ret;
	locks_release_owner(c->s, use.handle, in->lock_owner);
	return request_reply(c->r, NULL, 0);
}
