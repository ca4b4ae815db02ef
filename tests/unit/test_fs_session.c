/* SPDX-License-Identifier: Apache-2.0 */
/* FUSE sessions: negotiation, requests that break the protocol, what is forgotten. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/support/fuse_client.h"

#define ROOT FUSE_ROOT_ID

static const struct client_options plain = {0};

static int init(struct fuse_client *c, uint32_t major, uint32_t minor, uint64_t flags,
	struct fuse_init_out *out)
{
	struct fuse_init_in in = {.major = major,
		.minor = minor,
		.flags = (uint32_t)flags,
		.flags2 = (uint32_t)(flags >> 32)};
	int ret = client_call(c, FUSE_INIT, 0, &in, sizeof(in), sizeof(*out));

	if (!ret)
		memcpy(out, c->out, sizeof(*out));
	return ret;
}

static void test_init(void **state)
{
	const struct client_options options = {.no_init = true};
	struct fuse_client c;
	struct fuse_init_out out;

	(void)state;
	client_start(&c, &options);
	assert_int_equal(client_lookup(&c, ROOT, "x", NULL), -EIO); /* nothing before INIT */
	assert_int_equal(init(&c, 7, 30, UINT64_MAX, &out), -EPROTO);
	assert_int_equal(init(&c, 6, 41, UINT64_MAX, &out), -EPROTO);
	assert_int_equal(init(&c, 8, 0, UINT64_MAX, &out), 0);
	assert_int_equal(out.major, 7);
	assert_int_equal(client_lookup(&c, ROOT, "x", NULL), -EIO); /* it has to ask again */
	assert_int_equal(init(&c, 7, 41, UINT64_MAX, &out), 0);
	assert_int_equal(out.minor, FS_FUSE_MINOR);
	assert_int_equal(out.max_write, 1 << 20);
	assert_int_equal(out.max_pages, 256);
	assert_true(out.flags & FUSE_HANDLE_KILLPRIV_V2);
	assert_true(out.flags2 & (uint32_t)(FUSE_DIRECT_IO_ALLOW_MMAP >> 32));
	assert_false(out.flags & (FUSE_WRITEBACK_CACHE | FUSE_NO_OPEN_SUPPORT | FUSE_SUBMOUNTS));
	assert_false(out.flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS));
	assert_int_equal(client_lookup(&c, ROOT, "x", NULL), 0);
	/* It costs the callers' names, so it is only for who asks. */
	assert_false(out.flags2 & (uint32_t)(FUSE_ALLOW_IDMAP >> 32));
	c.session->config.map_ids = true;
	assert_int_equal(init(&c, 7, 41, UINT64_MAX, &out), 0);
	assert_true(out.flags2 & (uint32_t)(FUSE_ALLOW_IDMAP >> 32));
	assert_int_equal(init(&c, 7, 36, 0, &out), 0); /* nothing offered, nothing taken */
	assert_int_equal(out.flags | out.flags2, 0);
	assert_int_equal(out.minor, 36);
	client_stop(&c);
}

static void test_init_forgets(void **state)
{
	struct fuse_client c;
	struct fuse_init_out out;
	uint64_t node, fh, file;

	(void)state;
	client_start(&c, &plain);
	assert_int_equal(client_lookup(&c, ROOT, "x", &node), 0);
	assert_int_equal(client_create(&c, node, "f", O_RDWR, 0644, &file, &fh), 0);
	assert_int_equal(init(&c, 7, 41, UINT64_MAX, &out), 0);
	assert_int_equal(client_getattr(&c, node, NULL), -ESTALE);
	assert_int_equal(client_read(&c, file, fh, 0, 10), -EBADF);
	assert_int_equal(client_lookup(&c, ROOT, "x", &node), 0);
	assert_int_equal(client_call(&c, FUSE_DESTROY, 0, NULL, 0, 0), 0);
	assert_int_equal(client_getattr(&c, node, NULL), -EIO);
	assert_int_equal(c.session->nodes.count, 0);
	assert_int_equal(c.session->handles.count, 0);
	client_stop(&c);
}

static void test_unknown(void **state)
{
	struct fuse_client c;
	uint32_t opcodes[] = {0, 7, 19, 63, 64, 4096, UINT32_MAX, FUSE_ACCESS, FUSE_BMAP, FUSE_POLL,
		FUSE_SETUPMAPPING, FUSE_FLUSH};

	(void)state;
	client_start(&c, &plain);
	for (size_t i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++)
		assert_int_equal(client_call(&c, opcodes[i], ROOT, c.dir, 32, 128), -ENOSYS);
	assert_int_equal(client_call(&c, FUSE_INTERRUPT, 0, c.dir, 8, 0), 1);
	assert_int_equal(client_call(&c, FUSE_NOTIFY_REPLY, 0, c.dir, 8, 0), 1);
	client_stop(&c);
}

/* Every operation with too few arguments and with too little room: an error, nothing else. */
static void test_short(void **state)
{
	struct fuse_client c;
	uint8_t zeros[256] = {0};
	uint64_t node;

	(void)state;
	client_start(&c, &plain);
	assert_int_equal(client_lookup(&c, ROOT, "x", &node), 0);
	for (uint32_t op = 1; op < 64; op++) {
		if (op == FUSE_INIT || op == FUSE_DESTROY)
			continue;
		for (size_t len = 0; len < 48; len += 4) {
			int ret = client_call(&c, op, node, zeros, len, 0);
			assert_true(ret == 1 || ret <= 0);
			(void)client_call(&c, op, node, zeros, len, 200);
		}
		/* Handle 0 and names full of nothing. */
		(void)client_call(&c, op, node, zeros, sizeof(zeros), 200);
		memset(zeros, 0xff, sizeof(zeros));
		(void)client_call(&c, op, node, zeros, sizeof(zeros), 200);
		memset(zeros, 0, sizeof(zeros));
	}
	assert_int_equal(client_lookup(&c, ROOT, "x", &node), 0); /* a FORGET was among them */
	/* No room for an entry: the file must not come into being. */
	struct fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | 0644};
	assert_int_equal(
		client_call2(&c, FUSE_CREATE, node, &in, sizeof(in), "f", 2, 100), -EINVAL);
	assert_int_equal(client_lookup(&c, node, "f", NULL), -ENOENT);
	client_stop(&c);
}

static void handle_raw(
	struct fuse_client *c, size_t readable, size_t writable, uint32_t len, uint32_t *reply)
{
	struct fuse_in_header h = {.len = len, .opcode = FUSE_STATFS, .unique = 7, .nodeid = ROOT};
	struct iovec iov[2] = {{c->in, readable}, {c->out, writable}};
	struct fuse_request r = {.iov = iov,
		.n_readable = readable ? 1 : 0,
		.n_writable = writable ? 1 : 0,
		.readable_bytes = readable,
		.writable_bytes = writable};

	if (!readable)
		iov[0] = iov[1];
	memcpy(c->in, &h, sizeof(h));
	assert_int_equal(fuse_session_handle(c->session, c->thread, &r), FUSE_DONE);
	*reply = r.reply_bytes;
	request_fini(&r);
}

static void test_lengths(void **state)
{
	struct fuse_client c;
	uint32_t reply;

	(void)state;
	client_start(&c, &plain);
	handle_raw(&c, 40, 96, 40, &reply);
	assert_int_equal(reply, 96);
	handle_raw(&c, 40, 96, 41, &reply); /* more than there is */
	assert_int_equal(reply, 16);
	handle_raw(&c, 40, 96, 39, &reply);
	assert_int_equal(reply, 16);
	handle_raw(&c, 40, 96, UINT32_MAX, &reply);
	assert_int_equal(reply, 16);
	handle_raw(&c, 39, 96, 40, &reply); /* not even a header */
	assert_int_equal(reply, 16);
	handle_raw(&c, 0, 96, 40, &reply);
	assert_int_equal(reply, 16);
	handle_raw(&c, 40, 95, 40, &reply); /* no room for the reply */
	assert_int_equal(reply, 16);
	handle_raw(&c, 40, 15, 40, &reply); /* not even for an error */
	assert_int_equal(reply, 0);
	handle_raw(&c, 40, 0, 40, &reply);
	assert_int_equal(reply, 0);
	client_stop(&c);
}

/* READ fills the room behind the header itself: a header's part is no room. */
static void test_read_room(void **state)
{
	struct fuse_client c;
	uint64_t dir, file;
	struct {
		struct fuse_in_header h;
		struct fuse_read_in in;
	} q = {.h = {.len = sizeof(q), .opcode = FUSE_READ, .unique = 7}, .in = {.size = 4096}};

	(void)state;
	client_start(&c, &plain);
	assert_int_equal(client_lookup(&c, ROOT, "x", &dir), 0);
	assert_int_equal(client_create(&c, dir, "f", O_RDWR, 0644, &file, &q.in.fh), 0);
	q.h.nodeid = file;
	for (size_t room = 0; room < 16; room++) {
		struct iovec iov[2] = {{&q, sizeof(q)}, {c.out, room}};
		struct fuse_request r = {.iov = iov,
			.n_readable = 1,
			.n_writable = 1,
			.readable_bytes = sizeof(q),
			.writable_bytes = room};
		assert_int_equal(fuse_session_handle(c.session, c.thread, &r), FUSE_DONE);
		assert_int_equal(r.reply_bytes, 0);
		request_fini(&r);
	}
	client_stop(&c);
}

static void test_forget(void **state)
{
	struct fuse_client c;
	uint64_t dir, a, b;
	struct {
		struct fuse_batch_forget_in in;
		struct fuse_forget_one one[3];
	} batch = {.in.count = 1000000};

	(void)state;
	client_start(&c, &plain);
	client_put(&c, "a", "");
	client_put(&c, "b", "");
	assert_int_equal(client_lookup(&c, ROOT, "x", &dir), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(client_lookup(&c, dir, "a", &a), 0);
	client_forget(&c, a, 2);
	assert_int_equal(client_getattr(&c, a, NULL), 0);
	client_forget(&c, a, 1);
	assert_int_equal(client_getattr(&c, a, NULL), -ESTALE);
	assert_int_equal(client_lookup(&c, dir, "b", &b), 0);
	assert_int_not_equal(b, a); /* a slot comes back with another generation */
	assert_int_equal(client_getattr(&c, a, NULL), -ESTALE);
	client_forget(&c, b, UINT64_MAX); /* more than it has */
	assert_int_equal(client_getattr(&c, b, NULL), -ESTALE);
	client_forget(&c, ROOT, 5);
	client_forget(&c, 0, 5);
	client_forget(&c, UINT64_MAX, 5);
	assert_int_equal(client_lookup(&c, dir, "a", &a), 0);
	assert_int_equal(client_lookup(&c, dir, "b", &b), 0);
	batch.one[0] = (struct fuse_forget_one){a, 1};
	batch.one[1] = (struct fuse_forget_one){12345, 1};
	batch.one[2] = (struct fuse_forget_one){b, 1};
	assert_int_equal(client_call(&c, FUSE_BATCH_FORGET, 0, &batch, sizeof(batch), 0), 1);
	assert_int_equal(c.session->nodes.count, 1);
	client_stop(&c);
}

static void test_nodes_max(void **state)
{
	const struct client_options options = {.nodes_max = 5};
	struct fuse_client c;
	uint64_t dir, nodes[5];
	char name[8];

	(void)state;
	client_start(&c, &options);
	assert_int_equal(client_lookup(&c, ROOT, "x", &dir), 0);
	for (int i = 0; i < 5; i++) {
		name[0] = (char)('a' + i);
		name[1] = 0;
		client_put(&c, name, "");
		assert_int_equal(client_lookup(&c, dir, name, &nodes[i]), i < 4 ? 0 : -ENOMEM);
	}
	client_forget(&c, nodes[0], 1);
	assert_int_equal(client_lookup(&c, dir, "e", &nodes[4]), 0);
	client_stop(&c);
}

static void test_root(void **state)
{
	struct fuse_client c;
	struct fuse_attr attr;
	uint64_t fh;
	struct fuse_mkdir_in mkdir_in = {.mode = 0755};
	struct fuse_setattr_in setattr = {.valid = FATTR_MODE, .mode = 0777};
	struct fuse_getxattr_in get = {.size = 100};
	struct fuse_read_in read = {.size = 4096};

	(void)state;
	client_start(&c, &plain);
	assert_int_equal(client_getattr(&c, ROOT, &attr), 0);
	assert_int_equal(attr.mode, S_IFDIR | 0755);
	assert_int_equal(client_lookup(&c, ROOT, "nothing", NULL), -ENOENT);
	assert_int_equal(
		client_call2(&c, FUSE_MKDIR, ROOT, &mkdir_in, sizeof(mkdir_in), "d", 2, 200),
		-EROFS);
	assert_int_equal(client_call(&c, FUSE_RMDIR, ROOT, "x", 2, 0), -EROFS);
	assert_int_equal(
		client_call(&c, FUSE_SETATTR, ROOT, &setattr, sizeof(setattr), 200), -EROFS);
	assert_int_equal(client_open(&c, ROOT, O_RDONLY, &fh), -EISDIR);
	assert_int_equal(client_call(&c, FUSE_READLINK, ROOT, NULL, 0, 200), -EINVAL);
	assert_int_equal(client_call2(&c, FUSE_GETXATTR, ROOT, &get, sizeof(get), "user.x", 7, 100),
		-ENODATA);
	assert_int_equal(client_call(&c, FUSE_LISTXATTR, ROOT, &get, sizeof(get), 100), 0);
	assert_int_equal(client_open(&c, ROOT, O_RDONLY | O_DIRECTORY, &fh), 0);
	read.fh = fh;
	assert_int_equal(client_call(&c, FUSE_READDIR, ROOT, &read, sizeof(read), 4096), 0);
	assert_int_equal(c.out_bytes, 4 * 32); /* ".", "..", "x", "ro" */
	read.offset = 3;
	assert_int_equal(client_call(&c, FUSE_READDIRPLUS, ROOT, &read, sizeof(read), 4096), 0);
	assert_int_equal(c.out_bytes, 160);
	read.offset = UINT64_MAX;
	assert_int_equal(client_call(&c, FUSE_READDIR, ROOT, &read, sizeof(read), 4096), 0);
	assert_int_equal(c.out_bytes, 0);
	assert_int_equal(client_call(&c, FUSE_SYNCFS, ROOT, &read, 8, 0), 0);
	client_stop(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_init_forgets),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_read_room),
		cmocka_unit_test(test_forget),
		cmocka_unit_test(test_nodes_max),
		cmocka_unit_test(test_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
