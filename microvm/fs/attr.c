/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes, ids and times of validity as the guest sees them. */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "microvm/fs/ops.h"

#define OVERFLOW_ID 65534u

uint32_t attr_uid_to_guest(const struct fuse_session *s, uint32_t uid)
{
	if (s->privileged)
		return uid;
	return uid == s->own_uid ? 0 : OVERFLOW_ID;
}

uint32_t attr_gid_to_guest(const struct fuse_session *s, uint32_t gid)
{
	if (s->privileged)
		return gid;
	return gid == s->own_gid ? 0 : OVERFLOW_ID;
}

int attr_ids_to_host(const struct fuse_session *s, uint32_t *uid, uint32_t *gid)
{
	if (s->privileged)
		return 0;
	if ((*uid != UINT32_MAX && *uid) || (*gid != UINT32_MAX && *gid))
		return -EPERM;
	*uid = *uid ? *uid : s->own_uid;
	*gid = *gid ? *gid : s->own_gid;
	return 0;
}

uint32_t attr_mode_allowed(const struct export *export, mode_t type, uint32_t mode)
{
	mode &= 07777;
	if (export->nosuid && !S_ISDIR(type)) {
		mode &= ~(uint32_t)S_ISUID;
		if (mode & S_IXGRP)
			mode &= ~(uint32_t)S_ISGID;
	}
	return mode;
}

/* The kernel's encoding of a device number in 32 bits (new_encode_dev). */
static uint32_t encode_dev(uint32_t maj, uint32_t min)
{
	return (min & 0xff) | (maj & 0xfff) << 8 | (min & ~0xffu) << 12;
}

void attr_fill(const struct fuse_session *s, const struct node *node, const struct statx *stx,
	struct fuse_attr *attr)
{
	*attr = (struct fuse_attr){
		.ino = node ? node_guest_ino(node, stx->stx_ino) : stx->stx_ino,
		.size = stx->stx_size,
		.blocks = stx->stx_blocks,
		.atime = (uint64_t)stx->stx_atime.tv_sec,
		.mtime = (uint64_t)stx->stx_mtime.tv_sec,
		.ctime = (uint64_t)stx->stx_ctime.tv_sec,
		.atimensec = stx->stx_atime.tv_nsec,
		.mtimensec = stx->stx_mtime.tv_nsec,
		.ctimensec = stx->stx_ctime.tv_nsec,
		.mode = stx->stx_mode,
		.nlink = stx->stx_nlink,
		.uid = attr_uid_to_guest(s, stx->stx_uid),
		.gid = attr_gid_to_guest(s, stx->stx_gid),
		.rdev = encode_dev(stx->stx_rdev_major, stx->stx_rdev_minor),
		.blksize = stx->stx_blksize,
	};
}

void attr_root_statx(const struct fuse_session *s, struct statx *stx)
{
	memset(stx, 0, sizeof(*stx));
	stx->stx_mask = STATX_BASIC_STATS;
	stx->stx_mode = S_IFDIR | 0755;
	stx->stx_nlink = 2;
	stx->stx_ino = FUSE_ROOT_ID;
	stx->stx_blksize = 4096;
	stx->stx_atime.tv_sec = stx->stx_mtime.tv_sec = stx->stx_ctime.tv_sec = s->start_sec;
	if (!s->privileged) {
		stx->stx_uid = s->own_uid;
		stx->stx_gid = s->own_gid;
	}
}

uint64_t attr_valid_s(const struct node *node)
{
	if (!node)
		return ATTR_FOREVER_S;
	switch (node_export(node)->cache) {
	case CACHE_AUTO:
		return 1;
	case CACHE_NEVER:
		return 0;
	case CACHE_ALWAYS:
		break;
	}
	return ATTR_FOREVER_S;
}
