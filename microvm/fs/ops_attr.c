/* SPDX-License-Identifier: Apache-2.0 */
/* GETATTR, STATX, SETATTR. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "microvm/fs/ops.h"

/* statx of a node, through an open handle if the guest names one (the file may be unlinked). */
static int node_statx(const struct op_call *c, const struct node_use *use, bool by_handle,
	uint64_t fh, unsigned mask, struct statx *stx)
{
	cleanup_handle struct handle_use h = {0};
	int fd = use->fd;

	if (!use->node) {
		attr_root_statx(c->s, stx);
		return 0;
	}
	if (by_handle) {
		int ret = handle_use(&c->s->handles, fh, node_id(use->node), false, &h);
		if (ret < 0)
			return ret;
		fd = h.handle->fd;
	}
	if (statx(fd, "", AT_EMPTY_PATH, mask, stx) < 0)
		return -errno;
	node_tell(&c->s->nodes, use->node, stx);
	return 0;
}

static int reply_attr(const struct op_call *c, const struct node_use *use, const struct statx *stx)
{
	struct fuse_attr_out out = {.attr_valid = attr_valid_s(use->node)};

	attr_fill(c->s, use->node, stx, &out.attr);
	return request_reply(c->r, &out, sizeof(out));
}

int op_getattr(const struct op_call *c)
{
	const struct fuse_getattr_in *in = request_take(c->r, sizeof(*in));
	cleanup_node struct node_use use = {0};
	struct statx stx;

	if (!in)
		return -EINVAL;
	int ret = node_use(&c->s->nodes, c->r->header.nodeid, &use);
	if (!ret)
		ret = node_statx(c, &use, in->getattr_flags & FUSE_GETATTR_FH, in->fh,
			STATX_BASIC_STATS, &stx);
	return ret ? ret : reply_attr(c, &use, &stx);
}

static struct fuse_sx_time sx_time(const struct statx_timestamp *t)
{
	return (struct fuse_sx_time){.tv_sec = t->tv_sec, .tv_nsec = t->tv_nsec};
}

int op_statx(const struct op_call *c)
{
	const struct fuse_statx_in *in = request_take(c->r, sizeof(*in));
	cleanup_node struct node_use use = {0};
	struct fuse_statx_out out = {0};
	struct statx stx = {0};

	if (!in)
		return -EINVAL;
	int ret = node_use(&c->s->nodes, c->r->header.nodeid, &use);
	if (!ret)
		ret = node_statx(c, &use, in->getattr_flags & FUSE_GETATTR_FH, in->fh,
			STATX_BASIC_STATS | STATX_BTIME, &stx);
	if (ret)
		return ret;
	out.attr_valid = attr_valid_s(use.node);
	out.stat = (struct fuse_statx){
		.mask = stx.stx_mask & (STATX_BASIC_STATS | STATX_BTIME),
		.blksize = stx.stx_blksize,
		.nlink = stx.stx_nlink,
		.uid = attr_uid_to_guest(c->s, stx.stx_uid),
		.gid = attr_gid_to_guest(c->s, stx.stx_gid),
		.mode = stx.stx_mode,
		.ino = use.node ? node_guest_ino(use.node, stx.stx_ino) : stx.stx_ino,
		.size = stx.stx_size,
		.blocks = stx.stx_blocks,
		.atime = sx_time(&stx.stx_atime),
		.btime = sx_time(&stx.stx_btime),
		.ctime = sx_time(&stx.stx_ctime),
		.mtime = sx_time(&stx.stx_mtime),
		.rdev_major = stx.stx_rdev_major,
		.rdev_minor = stx.stx_rdev_minor,
	};
	return request_reply(c->r, &out, sizeof(out));
}

static int set_mode(const struct op_call *c, const struct node_use *use, uint32_t mode)
{
	struct fd_path path = {""};

	mode = attr_mode_allowed(node_export(use->node), use->node->type, mode);
	/* fchmod refuses O_PATH descriptors; a symlink's mode can't be set, as everywhere. */
	if (S_ISLNK(use->node->type))
		return -EOPNOTSUPP;
	return chmod(op_node_path(c, use, &path), mode) < 0 ? -errno : 0;
}

static int set_owner(
	const struct op_call *c, const struct node_use *use, const struct fuse_setattr_in *in)
{
	uint32_t uid = in->valid & FATTR_UID ? in->uid : UINT32_MAX;
	uint32_t gid = in->valid & FATTR_GID ? in->gid : UINT32_MAX;

	int ret = attr_ids_to_host(c->s, &uid, &gid);
	/* set-group-ID without group execution survives a chown by root alone. */
	if (!ret)
		ret = cred_keep_setid(&c->t->cred, c->r->header.uid == 0);
	if (ret)
		return ret;
	return fchownat(use->fd, "", uid, gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int set_size(
	const struct op_call *c, const struct node_use *use, const struct fuse_setattr_in *in)
{
	cleanup_handle struct handle_use h = {0};
	struct fd_path path = {""};

	if (!S_ISREG(use->node->type))
		return S_ISDIR(use->node->type) ? -EISDIR : -EINVAL;
	if (in->size > INT64_MAX)
		return -EINVAL;
	int ret = cred_keep_setid(&c->t->cred, !(in->valid & FATTR_KILL_SUIDGID));
	if (ret)
		return ret;
	if (in->valid & FATTR_FH) {
		ret = handle_use(&c->s->handles, in->fh, node_id(use->node), false, &h);
		if (ret < 0)
			return ret;
		return ftruncate(h.handle->fd, (off_t)in->size) < 0 ? -errno : 0;
	}
	return truncate(op_node_path(c, use, &path), (off_t)in->size) < 0 ? -errno : 0;
}

static struct timespec set_time(
	uint32_t valid, uint32_t set, uint32_t now, uint64_t sec, uint32_t nsec)
{
	if (!(valid & set))
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	if (valid & now)
		return (struct timespec){.tv_nsec = UTIME_NOW};
	return (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = nsec};
}

static int set_times(const struct node_use *use, const struct fuse_setattr_in *in)
{
	struct timespec times[2] = {
		set_time(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
		set_time(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec),
	};

	if (in->atimensec >= 1000000000 || in->mtimensec >= 1000000000)
		return -EINVAL;
	return utimensat(use->fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int op_setattr(const struct op_call *c)
{
	const struct fuse_setattr_in *in = request_take(c->r, sizeof(*in));
	cleanup_node struct node_use use = {0};
	struct statx stx;

	if (!in)
		return -EINVAL;
	int ret = op_use_writable(c, c->r->header.nodeid, &use);
	/* Owner before mode: a new owner clears bits that a mode beside it wants set. */
	if (!ret && in->valid & (FATTR_UID | FATTR_GID))
		ret = set_owner(c, &use, in);
	if (!ret && in->valid & FATTR_SIZE)
		ret = set_size(c, &use, in);
	if (!ret && in->valid & FATTR_MODE) {
		ret = cred_keep_setid(&c->t->cred, true);
		if (!ret)
			ret = set_mode(c, &use, in->mode);
	}
	if (!ret && in->valid & (FATTR_ATIME | FATTR_MTIME))
		ret = set_times(&use, in);
	if (!ret)
		ret = node_statx(c, &use, false, 0, STATX_BASIC_STATS, &stx);
	return ret ? ret : reply_attr(c, &use, &stx);
}
