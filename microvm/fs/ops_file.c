/* SPDX-License-Identifier: Apache-2.0 */
/* Data of open files. READ and WRITE move them between guest memory and file without a copy. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/uio.h>
#include <unistd.h>

#include "microvm/fs/ops.h"

/* One copy_file_range at most: the guest asks again for the rest, and others get their turn. */
#define COPY_MAX_BYTES (256u << 20)

#define SECTOR_BYTES 512u

int op_read(const struct op_call *c)
{
	const struct fuse_read_in *in = request_take(c->r, sizeof(*in));
	cleanup_handle struct handle_use use = {0};
	size_t done = 0;

	if (!in)
		return -EINVAL;
	size_t size = in->size < request_room(c->r) ? in->size : request_room(c->r);
	if (in->offset > INT64_MAX || in->offset + size > INT64_MAX)
		return -EINVAL;
	int ret = handle_use(&c->s->handles, in->fh, c->r->header.nodeid, false, &use);
	if (ret)
		return ret;
	int fd = handle_io_fd(&c->s->handles, use.handle, in->flags);
	if (fd < 0)
		return fd;
	int flags = c->t->nowait && !(in->flags & O_DIRECT) ? RWF_NOWAIT : 0;
	while (done < size) {
		unsigned n_iov = request_room_iov(c->r, done, size - done, c->t->iov);
		ssize_t n = preadv2(fd, c->t->iov, (int)n_iov, (off_t)(in->offset + done), flags);
		if (n < 0 && flags && errno == EOPNOTSUPP) {
			flags = 0;
			continue;
		}
		if (n < 0 && flags && errno == EAGAIN)
			return OP_AGAIN;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !done)
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
		/*
		 * Short: most likely the end of the file, which saves asking again. Not so at a
		 * page's end, where the cached part may end, or a sector's.
		 */
		if (done < size && (in->offset + done) % SECTOR_BYTES)
			break;
		if (done < size && flags)
			return OP_AGAIN;
	}
	request_reply_filled(c->r, done);
	return 0;
}

int op_write(const struct op_call *c)
{
	const struct fuse_write_in *in = request_take(c->r, sizeof(*in));
	cleanup_handle struct handle_use use = {0};
	struct fuse_write_out out = {0};

	if (!in || in->size > c->r->payload_bytes)
		return -EINVAL;
	if (in->offset > INT64_MAX || in->offset + in->size > INT64_MAX)
		return -EFBIG;
	bool cached = in->write_flags & FUSE_WRITE_CACHE;
	int ret = handle_use(&c->s->handles, in->fh, c->r->header.nodeid, false, &use);
	if (!ret)
		ret = cred_keep_setid(&c->t->cred, !(in->write_flags & FUSE_WRITE_KILL_SUIDGID));
	if (ret)
		return ret;
	int fd = handle_io_fd(&c->s->handles, use.handle, cached ? 0 : in->flags);
	if (fd < 0)
		return fd;
	/* The guest's idea of the end of the file may be old: append where it is now. */
	int flags = in->flags & O_APPEND && !cached ? RWF_APPEND : 0;
	while (out.size < in->size) {
		unsigned n_iov =
			request_payload_iov(c->r, out.size, in->size - out.size, c->t->iov);
		ssize_t n =
			pwritev2(fd, c->t->iov, (int)n_iov, (off_t)(in->offset + out.size), flags);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && !out.size)
			return -errno;
		if (n <= 0)
			break;
		out.size += (uint32_t)n;
	}
	return request_reply(c->r, &out, sizeof(out));
}

int op_fsync(const struct op_call *c)
{
	const struct fuse_fsync_in *in = request_take(c->r, sizeof(*in));
	cleanup_handle struct handle_use use = {0};

	if (!in)
		return -EINVAL;
	int ret = handle_use(&c->s->handles, in->fh, c->r->header.nodeid, false, &use);
	if (ret)
		return ret;
	bool data = in->fsync_flags & FUSE_FSYNC_FDATASYNC;
	if ((data ? fdatasync(use.handle->fd) : fsync(use.handle->fd)) < 0)
		return -errno;
	return request_reply(c->r, NULL, 0);
}

int op_fallocate(const struct op_call *c)
{
	const struct fuse_fallocate_in *in = request_take(c->r, sizeof(*in));
	cleanup_handle struct handle_use use = {0};

	if (!in || in->offset > INT64_MAX || in->length > INT64_MAX)
		return -EINVAL;
	int ret = handle_use(&c->s->handles, in->fh, c->r->header.nodeid, false, &use);
	/* The request does not say whether the caller may keep set-user-ID; root may. */
	if (!ret)
		ret = cred_keep_setid(&c->t->cred, c->r->header.uid == 0);
	if (ret)
		return ret;
	if (fallocate(use.handle->fd, (int)in->mode, (off_t)in->offset, (off_t)in->length) < 0)
		return -errno;
	return request_reply(c->r, NULL, 0);
}

int op_lseek(const struct op_call *c)
{
	const struct fuse_lseek_in *in = request_take(c->r, sizeof(*in));
	cleanup_handle struct handle_use use = {0};

	if (!in || (in->whence != SEEK_DATA && in->whence != SEEK_HOLE))
		return -EINVAL;
	if (in->offset > INT64_MAX)
		return -ENXIO;
	int ret = handle_use(&c->s->handles, in->fh, c->r->header.nodeid, false, &use);
	if (ret)
		return ret;
	off_t at = lseek(use.handle->fd, (off_t)in->offset, (int)in->whence);
	if (at < 0)
		return -errno;
	struct fuse_lseek_out out = {.offset = (uint64_t)at};
	return request_reply(c->r, &out, sizeof(out));
}

int op_copy_file_range(const struct op_call *c)
{
	const struct fuse_copy_file_range_in *in = request_take(c->r, sizeof(*in));
	cleanup_handle struct handle_use from = {0}, to = {0};

	if (!in || in->flags || in->off_in > INT64_MAX || in->off_out > INT64_MAX)
		return -EINVAL;
	int ret = handle_use(&c->s->handles, in->fh_in, c->r->header.nodeid, false, &from);
	if (!ret)
		ret = handle_use(&c->s->handles, in->fh_out, in->nodeid_out, false, &to);
	if (!ret)
		ret = cred_keep_setid(&c->t->cred, c->r->header.uid == 0);
	if (ret)
		return ret;
	off_t off_in = (off_t)in->off_in, off_out = (off_t)in->off_out;
	size_t len = in->len < COPY_MAX_BYTES ? in->len : COPY_MAX_BYTES;
	ssize_t n = copy_file_range(from.handle->fd, &off_in, to.handle->fd, &off_out, len, 0);
	if (n < 0)
		return -errno;
	struct fuse_write_out out = {.size = (uint32_t)n};
	return request_reply(c->r, &out, sizeof(out));
}
