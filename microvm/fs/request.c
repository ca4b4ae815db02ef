/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE requests: copying in, slicing, replying; see request.h. */
#include "microvm/fs/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IN_HEADER_BYTES	 sizeof(struct fuse_in_header)
#define OUT_HEADER_BYTES sizeof(struct fuse_out_header)

/* Copies between a buffer and [offset, offset + len) of an iovec list; the bytes copied. */
static size_t iov_copy(
	const struct iovec *iov, unsigned n, size_t offset, void *buf, size_t len, bool to_iov)
{
	size_t done = 0;

	for (unsigned i = 0; i < n && done < len; i++) {
		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		size_t part = iov[i].iov_len - offset;
		if (part > len - done)
			part = len - done;
		uint8_t *guest = (uint8_t *)iov[i].iov_base + offset;
		uint8_t *host = (uint8_t *)buf + done;
		memcpy(to_iov ? guest : host, to_iov ? host : guest, part);
		done += part;
		offset = 0;
	}
	return done;
}

static unsigned iov_slice(
	const struct iovec *iov, unsigned n, size_t offset, size_t len, struct iovec *out)
{
	unsigned count = 0;

	for (unsigned i = 0; i < n && len && count < REQUEST_IOV_MAX; i++) {
		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		size_t part = iov[i].iov_len - offset;
		if (part > len)
			part = len;
		out[count].iov_base = (uint8_t *)iov[i].iov_base + offset;
		out[count++].iov_len = part;
		len -= part;
		offset = 0;
	}
	return count;
}

int request_decode(struct fuse_request *r)
{
	r->args = r->inline_args;
	r->args_bytes = r->args_at = r->payload_bytes = 0;
	r->reply_bytes = 0;
	memset(&r->header, 0, sizeof(r->header));
	if (iov_copy(r->iov, r->n_readable, 0, &r->header, IN_HEADER_BYTES, false) <
		IN_HEADER_BYTES)
		return -EINVAL;
	if (r->header.len < IN_HEADER_BYTES || r->header.len > r->readable_bytes)
		return -EINVAL;

	size_t len = r->header.len - IN_HEADER_BYTES;
	if (r->header.opcode == FUSE_WRITE && len > sizeof(struct fuse_write_in)) {
		r->payload_bytes = len - sizeof(struct fuse_write_in);
		len = sizeof(struct fuse_write_in);
	} else {
		/* Extensions (7.38) come last; none is negotiated, so none is looked at. */
		size_t ext = (size_t)r->header.total_extlen * 8;
		len -= ext < len ? ext : len;
	}
	if (len > REQUEST_ARGS_MAX)
		return -EINVAL;
	if (len > sizeof(r->inline_args)) {
		r->args = malloc(len);
		if (!r->args) {
			r->args = r->inline_args;
			return -ENOMEM;
		}
	}
	r->args_bytes = iov_copy(r->iov, r->n_readable, IN_HEADER_BYTES, r->args, len, false);
	return 0;
}

void request_fini(struct fuse_request *r)
{
	if (r->args != r->inline_args)
		free(r->args);
	r->args = r->inline_args;
}

const void *request_take(struct fuse_request *r, size_t size)
{
	if (size > r->args_bytes - r->args_at)
		return NULL;
	const void *taken = r->args + r->args_at;
	r->args_at += size;
	return taken;
}

int request_take_string(struct fuse_request *r, size_t max_len, const char **out)
{
	const char *start = (const char *)r->args + r->args_at;
	size_t left = r->args_bytes - r->args_at;
	const char *end = memchr(start, '\0', left);

	if (!end)
		return -EINVAL;
	if ((size_t)(end - start) > max_len)
		return -ENAMETOOLONG;
	r->args_at += (size_t)(end - start) + 1;
	*out = start;
	return 0;
}

int name_check(const char *name)
{
	if (!name[0] || strchr(name, '/') || !strcmp(name, ".") || !strcmp(name, ".."))
		return -EINVAL;
	return 0;
}

int request_take_name(struct fuse_request *r, const char **out)
{
	int ret = request_take_string(r, FS_NAME_MAX, out);

	return ret < 0 ? ret : name_check(*out);
}

size_t request_room(const struct fuse_request *r)
{
	return r->writable_bytes < OUT_HEADER_BYTES ? 0 : r->writable_bytes - OUT_HEADER_BYTES;
}

static void reply_header(struct fuse_request *r, size_t len, int error)
{
	struct fuse_out_header out = {
		.len = (uint32_t)(OUT_HEADER_BYTES + len),
		.error = error,
		.unique = r->header.unique,
	};

	iov_copy(r->iov + r->n_readable, r->n_writable, 0, &out, sizeof(out), true);
	r->reply_bytes = out.len;
}

int request_reply(struct fuse_request *r, const void *data, size_t len)
{
	if (r->writable_bytes < OUT_HEADER_BYTES || len > request_room(r))
		return -EINVAL;
	if (len)
		iov_copy(r->iov + r->n_readable, r->n_writable, OUT_HEADER_BYTES, (void *)data, len,
			true);
	reply_header(r, len, 0);
	return 0;
}

void request_reply_error(struct fuse_request *r, int error)
{
	if (r->writable_bytes < OUT_HEADER_BYTES)
		return;
	reply_header(r, 0, error);
}

void request_reply_filled(struct fuse_request *r, size_t len)
{
	reply_header(r, len, 0);
}

unsigned request_room_iov(
	const struct fuse_request *r, size_t offset, size_t len, struct iovec *iov)
{
	return iov_slice(
		r->iov + r->n_readable, r->n_writable, OUT_HEADER_BYTES + offset, len, iov);
}

unsigned request_payload_iov(
	const struct fuse_request *r, size_t offset, size_t len, struct iovec *iov)
{
	return iov_slice(r->iov, r->n_readable,
		IN_HEADER_BYTES + sizeof(struct fuse_write_in) + offset, len, iov);
}
