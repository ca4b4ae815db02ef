/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's FUSE client; see fuse_client.h. */
#include "tests/unit/support/fuse_client.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define CANARY 0xa5

static void client_completed(struct fuse_request *r, void *arg)
{
	struct fuse_client *c = arg;
	struct fuse_out_header out;

	memcpy(&out, r->iov[r->n_readable].iov_base, sizeof(out));
	c->completed_error = out.error;
	__atomic_add_fetch(&c->completed, 1, __ATOMIC_SEQ_CST);
}

static void add_export(
	struct fuse_client *c, const char *name, bool readonly, const struct client_options *o)
{
	struct err e = {0};
	struct export x = {
		.name = (char *)name,
		.path = c->dir,
		.fd = open(c->dir, O_PATH | O_DIRECTORY | O_CLOEXEC),
		.readonly = readonly,
		.nodev = o->nodev,
		.nosuid = o->nosuid,
		.cache = o->cache,
		.host_locks = o->host_locks,
	};

	assert_true(x.fd >= 0);
	if (exports_add(&c->exports, &x, &e) < 0)
		fail_msg("%s", e.text);
}

void client_start(struct fuse_client *c, const struct client_options *o)
{
	struct err e = {0};

	memset(c, 0, sizeof(*c));
	strcpy(c->dir, "/tmp/hvrun-fs-test-XXXXXX");
	assert_non_null(mkdtemp(c->dir));
	c->dir_fd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(cred_process_init(cred_is_privileged()), 0);
	assert_int_equal(exports_init(&c->exports), 0);
	add_export(c, "x", false, o);
	add_export(c, "ro", true, o);
	struct fuse_session_config config = {
		.exports = &c->exports,
		.fd_prefix = "/proc/self/fd/",
		.node_fds_max = o->node_fds_max ? o->node_fds_max : 1000,
		.nodes_max = o->nodes_max ? o->nodes_max : 100000,
		.handles_max = o->handles_max ? o->handles_max : 500,
		.complete = client_completed,
		.arg = c,
	};
	if (fuse_session_create(&c->session, &config, &e) < 0)
		fail_msg("%s", e.text);
	c->thread = fuse_thread_new();
	assert_non_null(c->thread);
	assert_int_equal(fuse_thread_init(c->thread, c->session), 0);
	c->in = malloc(CLIENT_BUF_BYTES);
	c->out = malloc(CLIENT_BUF_BYTES);
	assert_true(c->in && c->out);
	if (o->no_init)
		return;
	struct fuse_init_in init = {
		.major = 7,
		.minor = 41,
		.max_readahead = 131072,
		.flags = (uint32_t)~o->without,
		.flags2 = (uint32_t)(~o->without >> 32),
	};
	assert_int_equal(client_call(c, FUSE_INIT, 0, &init, sizeof(init), 64), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void client_stop(struct fuse_client *c)
{
	if (c->parked) {
		free(c->parked->iov);
		request_fini(c->parked);
		free(c->parked);
	}
	fuse_session_free(c->session);
	exports_fini(&c->exports);
	free(c->thread);
	free(c->in);
	free(c->out);
	close(c->dir_fd);
	nftw(c->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Header and arguments at c->in, cut in uneven pieces; the reply's room likewise. */
static void build(struct fuse_client *c, struct fuse_request *r, uint32_t opcode, uint64_t nodeid,
	const void *args, size_t len, const void *more, size_t more_len, size_t out_room)
{
	struct fuse_in_header h = {
		.len = (uint32_t)(sizeof(h) + len + more_len),
		.opcode = opcode,
		.unique = ++c->unique,
		.nodeid = nodeid,
		.uid = c->uid,
		.gid = c->gid,
	};
	size_t room = sizeof(struct fuse_out_header) + out_room;

	assert_true(h.len <= CLIENT_BUF_BYTES && room + 64 <= CLIENT_BUF_BYTES);
	memcpy(c->in, &h, sizeof(h));
	if (len)
		memcpy(c->in + sizeof(h), args, len);
	if (more_len)
		memcpy(c->in + sizeof(h) + len, more, more_len);
	memset(c->out, CANARY, room + 64);
	memset(r, 0, sizeof(*r));
	r->iov = calloc(5, sizeof(*r->iov));
	assert_non_null(r->iov);
	r->iov[0] = (struct iovec){c->in, 40};
	r->iov[1] = (struct iovec){c->in + 40, (h.len - 40) / 2};
	r->iov[2] = (struct iovec){c->in + 40 + (h.len - 40) / 2, h.len - 40 - (h.len - 40) / 2};
	r->iov[3] = (struct iovec){c->out, room < 7 ? room : 7};
	r->iov[4] = (struct iovec){c->out + 7, room < 7 ? 0 : room - 7};
	r->n_readable = 3;
	r->n_writable = 2;
	r->readable_bytes = h.len;
	r->writable_bytes = room;
}

static int check_reply(struct fuse_client *c, const struct fuse_request *r)
{
	struct fuse_out_header out;

	for (size_t i = 0; i < 64; i++)
		assert_int_equal(c->out[r->writable_bytes + i], CANARY);
	if (!r->reply_bytes)
		return 1;
	memcpy(&out, c->out, sizeof(out));
	assert_int_equal(out.len, r->reply_bytes);
	assert_true(out.len >= sizeof(out) && out.len <= r->writable_bytes);
	assert_int_equal(out.unique, c->unique);
	assert_true(out.error <= 0 && out.error > -512);
	assert_true(!out.error || out.len == sizeof(out));
	c->out_bytes = out.len - sizeof(out);
	memmove(c->out, c->out + sizeof(out), c->out_bytes);
	return out.error;
}

int client_call2(struct fuse_client *c, uint32_t opcode, uint64_t nodeid, const void *args,
	size_t len, const void *more, size_t more_len, size_t out_room)
{
	struct fuse_request r;

	build(c, &r, opcode, nodeid, args, len, more, more_len, out_room);
	assert_int_equal(fuse_session_handle(c->session, c->thread, &r), FUSE_DONE);
	int error = check_reply(c, &r);
	request_fini(&r);
	free(r.iov);
	return error;
}

int client_call(struct fuse_client *c, uint32_t opcode, uint64_t nodeid, const void *args,
	size_t len, size_t out_room)
{
	return client_call2(c, opcode, nodeid, args, len, NULL, 0, out_room);
}

bool client_call_parking(struct fuse_client *c, uint32_t opcode, uint64_t nodeid, const void *args,
	size_t len, int *error)
{
	assert_null(c->parked);
	c->parked = malloc(sizeof(*c->parked));
	assert_non_null(c->parked);
	struct fuse_request *r = c->parked;
	build(c, r, opcode, nodeid, args, len, NULL, 0, 64);
	/* The reply comes when it likes: into buffers that later calls leave alone. */
	static uint8_t in[256], out[256];
	memcpy(in, c->in, 40 + len);
	r->iov[0].iov_base = in;
	r->iov[1].iov_base = in + 40;
	r->iov[2].iov_base = in + 40 + r->iov[1].iov_len;
	r->iov[3] = (struct iovec){out, 80};
	r->iov[4].iov_len = 0;
	enum fuse_result result = fuse_session_handle(c->session, c->thread, r);
	if (result == FUSE_PARKED)
		return true;
	struct fuse_out_header header;
	memcpy(&header, out, sizeof(header));
	*error = header.error;
	request_fini(r);
	free(r->iov);
	free(r);
	c->parked = NULL;
	return false;
}

int client_lookup(struct fuse_client *c, uint64_t dir, const char *name, uint64_t *node)
{
	struct fuse_entry_out entry;
	int ret = client_call(c, FUSE_LOOKUP, dir, name, strlen(name) + 1, sizeof(entry));

	if (!ret) {
		assert_int_equal(c->out_bytes, sizeof(entry));
		memcpy(&entry, c->out, sizeof(entry));
		if (node)
			*node = entry.nodeid;
	}
	return ret;
}

int client_open(struct fuse_client *c, uint64_t node, uint32_t flags, uint64_t *fh)
{
	struct fuse_open_in in = {.flags = flags};
	struct fuse_open_out out;
	int ret = client_call(c, flags & O_DIRECTORY ? FUSE_OPENDIR : FUSE_OPEN, node, &in,
		sizeof(in), sizeof(out));

	if (!ret) {
		memcpy(&out, c->out, sizeof(out));
		*fh = out.fh;
	}
	return ret;
}

int client_create(struct fuse_client *c, uint64_t dir, const char *name, uint32_t flags,
	uint32_t mode, uint64_t *node, uint64_t *fh)
{
	struct fuse_create_in in = {.flags = flags, .mode = S_IFREG | mode, .umask = 022};
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;
	int ret = client_call2(
		c, FUSE_CREATE, dir, &in, sizeof(in), name, strlen(name) + 1, sizeof(out));

	if (!ret) {
		memcpy(&out, c->out, sizeof(out));
		*node = out.entry.nodeid;
		*fh = out.open.fh;
	}
	return ret;
}

int client_write(struct fuse_client *c, uint64_t node, uint64_t fh, uint64_t offset,
	const void *data, uint32_t len, uint32_t flags)
{
	struct fuse_write_in in = {.fh = fh, .offset = offset, .size = len, .flags = flags};

	return client_call2(
		c, FUSE_WRITE, node, &in, sizeof(in), data, len, sizeof(struct fuse_write_out));
}

int client_read(struct fuse_client *c, uint64_t node, uint64_t fh, uint64_t offset, uint32_t len)
{
	struct fuse_read_in in = {.fh = fh, .offset = offset, .size = len};

	return client_call(c, FUSE_READ, node, &in, sizeof(in), len);
}

int client_getattr(struct fuse_client *c, uint64_t node, struct fuse_attr *attr)
{
	struct fuse_getattr_in in = {0};
	struct fuse_attr_out out;
	int ret = client_call(c, FUSE_GETATTR, node, &in, sizeof(in), sizeof(out));

	if (!ret) {
		memcpy(&out, c->out, sizeof(out));
		if (attr)
			*attr = out.attr;
	}
	return ret;
}

void client_forget(struct fuse_client *c, uint64_t node, uint64_t n)
{
	struct fuse_forget_in in = {.nlookup = n};

	assert_int_equal(client_call(c, FUSE_FORGET, node, &in, sizeof(in), 0), 1);
}

void client_release(struct fuse_client *c, uint64_t node, uint64_t fh)
{
	struct fuse_release_in in = {.fh = fh};

	assert_int_equal(client_call(c, FUSE_RELEASE, node, &in, sizeof(in), 0), 0);
}

void client_put(struct fuse_client *c, const char *name, const char *text)
{
	int fd = openat(c->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}
