/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One FUSE request: a list of readable buffers in guest memory with the question, and one of
 * writable buffers for the answer. Guest memory changes under the reader, so header and arguments
 * are copied once, in bounds, and only the copies are looked at; the data of READ and WRITE go
 * straight between guest memory and files.
 */
#ifndef MICROVM_FS_REQUEST_H
#define MICROVM_FS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "microvm/fs/proto.h"

#define REQUEST_ARGS_INLINE 512u
#define REQUEST_ARGS_MAX    (FS_XATTR_MAX_BYTES + 1024u)
#define REQUEST_IOV_MAX	    1024u /* per request; also the system's bound for readv(2) */

struct fuse_request {
	/* The transport's part: readable buffers first, then writable ones. */
	struct iovec *iov;
	unsigned n_readable, n_writable;
	size_t readable_bytes, writable_bytes;

	/* Copies. */
	struct fuse_in_header header;
	uint8_t *args;
	size_t args_bytes, args_at; /* at: what has been taken */
	size_t payload_bytes;	    /* of WRITE: readable bytes behind the arguments */

	struct fuse_request *next; /* of those that are parked together (op_syncfs) */
	uint32_t reply_bytes;	   /* what was written; 0: nothing to say */
	_Alignas(8) uint8_t inline_args[REQUEST_ARGS_INLINE];
};

/*
 * Copies header and arguments. -EINVAL when even the header is not there or lies about the length
 * (header.unique is set when it could be read), -ENOMEM. Frees with request_fini.
 */
int request_decode(struct fuse_request *r) must_check;
void request_fini(struct fuse_request *r);

/* The next size bytes of the arguments, NULL when there are fewer. */
const void *request_take(struct fuse_request *r, size_t size);

/* The next string with its NUL, at most max_len bytes long: -EINVAL, -ENAMETOOLONG. */
int request_take_string(struct fuse_request *r, size_t max_len, const char **out) must_check;

/* The next string as one path component: not empty, no '/', neither "." nor "..". */
int request_take_name(struct fuse_request *r, const char **out) must_check;
int name_check(const char *name) must_check; /* the same for a string that one has */

size_t request_room(const struct fuse_request *r); /* bytes that fit behind the reply's header */

/* Compose the reply: header and len bytes, 0; -EINVAL (nothing written) when they don't fit. */
int request_reply(struct fuse_request *r, const void *data, size_t len) must_check;
void request_reply_error(struct fuse_request *r, int error); /* negative errno */

/*
 * The part [0, len) of the reply's room, or of WRITE's payload from offset on, as buffers in
 * iov (REQUEST_IOV_MAX of them): their number. len must be within room or payload.
 */
unsigned request_room_iov(
	const struct fuse_request *r, size_t offset, size_t len, struct iovec *iov);
unsigned request_payload_iov(
	const struct fuse_request *r, size_t offset, size_t len, struct iovec *iov);

/* After filling len bytes of the room through request_room_iov: the header in front of them. */
void request_reply_filled(struct fuse_request *r, size_t len);

#endif
