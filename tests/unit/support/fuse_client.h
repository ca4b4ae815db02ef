/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's FUSE client in this process: a session over a fresh directory, and calls that build a
 * request in split buffers and hand back what came out. It says what a test says, wrong things
 * included.
 */
#ifndef TESTS_UNIT_SUPPORT_FUSE_CLIENT_H
#define TESTS_UNIT_SUPPORT_FUSE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "microvm/fs/session.h"

#define CLIENT_BUF_BYTES (2u << 20)

struct fuse_client {
	struct exports exports;
	struct fuse_session *session;
	struct fuse_thread *thread;
	char dir[64]; /* the fresh directory; exported as "x", read-only as "ro" */
	int dir_fd;
	uint64_t unique;
	uint32_t uid, gid; /* of the caller */
	uint8_t *in, *out; /* CLIENT_BUF_BYTES each */
	size_t out_bytes;  /* of the last reply's payload */
	/* Parked requests that completed, counted; the last one's error. */
	int completed, completed_error;
	struct fuse_request *parked;
};

struct client_options {
	uint32_t node_fds_max, nodes_max, handles_max; /* 0: plenty */
	enum cache_policy cache;
	bool host_locks, nodev, nosuid;
	uint64_t without; /* INIT flags that this guest lacks */
	bool no_init;
};

void client_start(struct fuse_client *c, const struct client_options *options);
void client_stop(struct fuse_client *c); /* removes the directory */

/*
 * One request: args of len bytes, and room for the reply's payload of out_room bytes (the header
 * comes on top). The error of the reply (0 or negative), 1 when there was none. A reply that breaks
 * the protocol ends the test.
 */
int client_call(struct fuse_client *c, uint32_t opcode, uint64_t nodeid, const void *args,
	size_t len, size_t out_room);

/* The same with a second part of arguments behind the first (a name, data). */
int client_call2(struct fuse_client *c, uint32_t opcode, uint64_t nodeid, const void *args,
	size_t len, const void *more, size_t more_len, size_t out_room);

/* SETLKW and the like: true while it is parked. */
bool client_call_parking(struct fuse_client *c, uint32_t opcode, uint64_t nodeid, const void *args,
	size_t len, int *error);

/* Calls in short; 0 or the error. Ids and handles come out where a pointer is given. */
int client_lookup(struct fuse_client *c, uint64_t dir, const char *name, uint64_t *node);
int client_open(struct fuse_client *c, uint64_t node, uint32_t flags, uint64_t *fh);
int client_create(struct fuse_client *c, uint64_t dir, const char *name, uint32_t flags,
	uint32_t mode, uint64_t *node, uint64_t *fh);
int client_write(struct fuse_client *c, uint64_t node, uint64_t fh, uint64_t offset,
	const void *data, uint32_t len, uint32_t flags);
int client_read(struct fuse_client *c, uint64_t node, uint64_t fh, uint64_t offset, uint32_t len);
int client_getattr(struct fuse_client *c, uint64_t node, struct fuse_attr *attr);
void client_forget(struct fuse_client *c, uint64_t node, uint64_t n);
void client_release(struct fuse_client *c, uint64_t node, uint64_t fh);

/* A file in the fresh directory, made behind the session's back. */
void client_put(struct fuse_client *c, const char *name, const char *text);

#endif
