/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-fs device on a fake transport: requests by the queues, several at once, stop with
 * requests under way; and several threads in one session (worth most under ThreadSanitizer).
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "microvm/fs/server.h"
#include "tests/unit/support/fake_transport.h"
#include "tests/unit/support/fuse_client.h"

#define ROOT	   FUSE_ROOT_ID
#define QUEUE	   1u
#define QUEUE_SIZE 128u

struct fixture {
	struct loop loop;
	struct exports exports;
	struct fs_server *server;
	struct fake_transport fake;
	char dir[64];
	uint64_t unique;
	/* Of the request whose head is the index. */
	uint8_t *replies[QUEUE_SIZE * 4];
	uint8_t *slots; /* of 8 KiB, reused in turn */
	unsigned turn;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e = {0};

	strcpy(f->dir, "/tmp/hvrun-fs-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(loop_init(&f->loop), 0);
	assert_int_equal(exports_init(&f->exports), 0);
	struct export x = {
		.name = (char *)"x", .path = f->dir, .fd = open(f->dir, O_PATH | O_CLOEXEC)};
	assert_int_equal(exports_add(&f->exports, &x, &e), 0);
	x.name = (char *)"locked";
	x.fd = open(f->dir, O_PATH | O_CLOEXEC);
	x.host_locks = true;
	assert_int_equal(exports_add(&f->exports, &x, &e), 0);
	assert_int_equal(cred_process_init(cred_is_privileged()), 0);
	struct fuse_session_config config = {
		.exports = &f->exports,
		.fd_prefix = "/proc/self/fd/",
		.node_fds_max = 100,
		.nodes_max = 1000,
		.handles_max = 100,
	};
	if (fs_server_create(&f->server, &f->loop, &config, 3, &e) < 0)
		fail_msg("%s", e.text);
	struct virtio_device *dev = fs_server_device(f->server);
	assert_int_equal(
		fake_transport_init(&f->fake, dev, QUEUE_SIZE, FAKE_F_VERSION_1 | FAKE_F_EVENT_IDX),
		0);
	f->slots = fake_alloc(&f->fake, 256 * 8192);
	assert_non_null(f->slots);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];

	fake_transport_fini(&f->fake);
	fs_server_free(f->server);
	exports_fini(&f->exports);
	loop_fini(&f->loop);
	snprintf(command, sizeof(command), "rm -rf %s", f->dir);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

/* Puts a request in the ring, without kick; its head. */
static int add(struct fixture *f, unsigned queue, uint32_t opcode, uint64_t nodeid,
	const void *args, size_t len, const void *more, size_t more_len, uint32_t room)
{
	uint8_t *slot = f->slots + (f->turn++ % 256) * 8192;
	struct fuse_in_header h = {
		.len = (uint32_t)(sizeof(h) + len + more_len),
		.opcode = opcode,
		.unique = ++f->unique,
		.nodeid = nodeid,
	};
	struct fake_segment segments[3] = {
		{slot, 40, false},
		{slot + 40, h.len - 40, false},
		{slot + 4096, room + 16, true},
	};

	memcpy(slot, &h, sizeof(h));
	if (len)
		memcpy(slot + 40, args, len);
	if (more_len)
		memcpy(slot + 40 + len, more, more_len);
	if (h.len == 40)
		segments[1] = segments[2];
	int head = fake_add(&f->fake, queue, segments, h.len == 40 ? 2 : 3);
	if (head >= 0)
		f->replies[head] = slot + 4096;
	return head;
}

/* Waits for a used chain; its reply (header first). */
static uint8_t *reap(struct fixture *f, unsigned queue)
{
	uint32_t len;

	for (int i = 0; i < 3000; i++) {
		int head = fake_used(&f->fake, queue, &len);
		if (head >= 0) {
			struct fuse_out_header *out = (void *)f->replies[head];
			assert_int_equal(out->len, len);
			return f->replies[head];
		}
		assert_int_equal(loop_run_once(&f->loop, 1), 0);
	}
	fail_msg("no reply");
	return NULL;
}

static int call(struct fixture *f, uint32_t opcode, uint64_t nodeid, const void *args, size_t len,
	const void *more, size_t more_len, uint32_t room, void *payload)
{
	assert_true(add(f, QUEUE, opcode, nodeid, args, len, more, more_len, room) >= 0);
	fake_kick(&f->fake, QUEUE);
	uint8_t *reply = reap(f, QUEUE);
	struct fuse_out_header out;
	memcpy(&out, reply, sizeof(out));
	if (!out.error && payload)
		memcpy(payload, reply + sizeof(out), room);
	return out.error;
}

static uint64_t begin(struct fixture *f)
{
	struct fuse_init_in in = {.major = 7, .minor = 38, .flags = UINT32_MAX};
	struct fuse_entry_out entry;

	assert_int_equal(call(f, FUSE_INIT, 0, &in, sizeof(in), NULL, 0, 64, NULL), 0);
	assert_int_equal(call(f, FUSE_LOOKUP, ROOT, "x", 2, NULL, 0, sizeof(entry), &entry), 0);
	return entry.nodeid;
}

static uint64_t create(struct fixture *f, uint64_t dir, const char *name, uint64_t *fh)
{
	struct fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | 0644};
	struct {
		struct fuse_entry_out entry;
		struct fuse_open_out open;
	} out;

	assert_int_equal(call(f, FUSE_CREATE, dir, &in, sizeof(in), name, strlen(name) + 1,
				 sizeof(out), &out),
		0);
	*fh = out.open.fh;
	return out.entry.nodeid;
}

static void test_requests(void **state)
{
	struct fixture *f = *state;
	uint64_t dir = begin(f), fh, file = create(f, dir, "f", &fh);
	struct fuse_write_in w = {.fh = fh, .size = 1000};
	struct fuse_read_in r = {.fh = fh, .size = 1000};
	struct fuse_fsync_in s = {.fh = fh};
	char data[1000], back[1000];

	memset(data, 'q', sizeof(data));
	assert_int_equal(call(f, FUSE_WRITE, file, &w, sizeof(w), data, 1000, 8, NULL), 0);
	assert_int_equal(call(f, FUSE_FSYNC, file, &s, sizeof(s), NULL, 0, 0, NULL), 0);
	assert_int_equal(call(f, FUSE_READ, file, &r, sizeof(r), NULL, 0, 1000, back), 0);
	assert_memory_equal(data, back, 1000);
	/* FORGET has no reply: its chain comes back empty. */
	struct fuse_forget_in forget = {.nlookup = 1};
	uint8_t *slot = f->slots;
	struct fuse_in_header h = {.len = 48, .opcode = FUSE_FORGET, .nodeid = file};
	memcpy(slot, &h, sizeof(h));
	memcpy(slot + 40, &forget, 8);
	struct fake_segment segment = {slot, 48, false};
	assert_true(fake_add(&f->fake, 0, &segment, 1) >= 0);
	fake_kick(&f->fake, 0);
	uint32_t len = 1;
	assert_true(fake_used(&f->fake, 0, &len) >= 0);
	assert_int_equal(len, 0);
	struct fuse_getattr_in g = {0};
	assert_int_equal(call(f, FUSE_GETATTR, file, &g, sizeof(g), NULL, 0, 104, NULL), -ESTALE);
}

/* Many at once, slow and quick: each answered once. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	uint64_t dir = begin(f), fh, file = create(f, dir, "f", &fh);
	struct fuse_fsync_in s = {.fh = fh};
	struct fuse_getattr_in g = {0};
	struct fuse_read_in r = {.fh = fh, .size = 1000};
	unsigned added = 0, done = 0;

	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < 30; i++) {
			int head;
			if (i % 5 == 0)
				head = add(f, QUEUE, FUSE_FSYNC, file, &s, sizeof(s), NULL, 0, 0);
			else if (i % 5 == 1)
				head = add(f, QUEUE, FUSE_READ, file, &r, sizeof(r), NULL, 0, 1000);
			else
				head = add(
					f, QUEUE, FUSE_GETATTR, file, &g, sizeof(g), NULL, 0, 104);
			added += head >= 0;
		}
		fake_kick(&f->fake, QUEUE);
		while (done < added) {
			struct fuse_out_header out;
			memcpy(&out, reap(f, QUEUE), sizeof(out));
			assert_int_equal(out.error, 0);
			done++;
		}
	}
	assert_int_equal(done, 1200);
}

/* Stopping answers what was taken; the session goes on where it was. */
static void test_stop(void **state)
{
	struct fixture *f = *state;
	uint64_t dir = begin(f), fh, file = create(f, dir, "f", &fh);
	struct fuse_fsync_in s = {.fh = fh};
	struct fuse_lk_in lock = {.fh = fh, .owner = 1, .lk = {.end = 10, .type = F_WRLCK}};
	struct fuse_getattr_in g = {0};

	assert_int_equal(call(f, FUSE_SETLK, file, &lock, sizeof(lock), NULL, 0, 0, NULL), 0);
	lock.owner = 2;
	int head = add(f, QUEUE, FUSE_SETLKW, file, &lock, sizeof(lock), NULL, 0, 0);
	assert_true(head >= 0);
	struct fuse_out_header *parked = (void *)f->replies[head];
	struct fuse_out_header *syncs[8];
	for (int i = 0; i < 8; i++) {
		struct fuse_write_in w = {.fh = fh, .offset = (uint64_t)i * 4096, .size = 4};
		assert_true(add(f, QUEUE, FUSE_WRITE, file, &w, sizeof(w), "data", 4, 8) >= 0);
		head = add(f, QUEUE, FUSE_FSYNC, file, &s, sizeof(s), NULL, 0, 0);
		assert_true(head >= 0);
		syncs[i] = (void *)f->replies[head];
	}
	fake_kick(&f->fake, QUEUE);
	fake_transport_stop(&f->fake);
	assert_int_equal(parked->error, -EINTR); /* the guest asks again */
	for (int i = 0; i < 8; i++)
		assert_int_equal(syncs[i]->len, sizeof(*syncs[i]));
	assert_int_equal(fake_transport_start(&f->fake, FAKE_F_VERSION_1), 0);
	assert_int_equal(call(f, FUSE_GETATTR, file, &g, sizeof(g), NULL, 0, 104, NULL), 0);
}

static void test_broken_ring(void **state)
{
	struct fixture *f = *state;
	uint64_t dir = begin(f);
	struct fuse_getattr_in g = {0};

	f->fake.queues[QUEUE].desc[5] =
		(struct fake_desc){.gpa = UINT64_MAX - 4096, .len_bytes = 4096};
	fake_publish(&f->fake, QUEUE, 5);
	fake_kick(&f->fake, QUEUE);
	assert_int_equal(f->fake.n_needs_reset, 1);
	fake_transport_stop(&f->fake);
	assert_int_equal(fake_transport_start(&f->fake, FAKE_F_VERSION_1), 0);
	assert_int_equal(call(f, FUSE_GETATTR, dir, &g, sizeof(g), NULL, 0, 104, NULL), 0);
}

/* Chains that are no requests: returned, and nothing happens. */
static void test_garbage(void **state)
{
	struct fixture *f = *state;
	uint32_t len;

	begin(f);
	struct fake_segment writable = {f->slots, 64, true}, tiny = {f->slots, 3, false};
	assert_true(fake_add(&f->fake, QUEUE, &writable, 1) >= 0);
	assert_true(fake_add(&f->fake, QUEUE, &tiny, 1) >= 0);
	fake_kick(&f->fake, QUEUE);
	assert_true(fake_used(&f->fake, QUEUE, &len) >= 0);
	assert_int_equal(len, 16); /* an error fits */
	assert_true(fake_used(&f->fake, QUEUE, &len) >= 0);
	assert_int_equal(len, 0);
}

struct many {
	struct fuse_client *main;
	uint64_t dir;
	int id;
};

/* One of several clients in the same session: its own files, and some that all share. */
static void *hammer(void *arg)
{
	struct many *m = arg;
	struct fuse_client c = *m->main;
	uint64_t node, fh, dfh;
	char name[32];

	c.in = malloc(CLIENT_BUF_BYTES);
	c.out = malloc(CLIENT_BUF_BYTES);
	c.thread = fuse_thread_new();
	c.uid = c.gid = cred_is_privileged() ? 1000 + (uint32_t)m->id : 0;
	assert_int_equal(fuse_thread_init(c.thread, c.session), 0);
	for (int i = 0; i < 150; i++) {
		snprintf(name, sizeof(name), "t%d.%d", m->id, i % 20);
		if (!client_create(&c, m->dir, name, O_RDWR, 0666, &node, &fh)) {
			assert_int_equal(client_write(&c, node, fh, 0, name, 8, 0), 0);
			assert_int_equal(client_read(&c, node, fh, 0, 8), 0);
			assert_memory_equal(c.out, name, 4);
			client_release(&c, node, fh);
			client_forget(&c, node, 1);
		}
		snprintf(name, sizeof(name), "shared%d", i % 5);
		if (!client_create(&c, m->dir, name, O_RDWR, 0666, &node, &fh)) {
			(void)client_getattr(&c, node, NULL);
			(void)client_write(&c, node, fh, (uint64_t)i, "x", 1, O_APPEND);
			client_release(&c, node, fh);
			client_forget(&c, node, 1);
		}
		if (i % 7 == 0)
			(void)client_call(&c, FUSE_UNLINK, m->dir, name, strlen(name) + 1, 0);
		if (i % 10 == 0 && !client_open(&c, m->dir, O_RDONLY | O_DIRECTORY, &dfh)) {
			struct fuse_read_in in = {.fh = dfh, .size = 4096};
			assert_int_equal(
				client_call(&c, FUSE_READDIR, m->dir, &in, sizeof(in), 4096), 0);
			struct fuse_release_in rel = {.fh = dfh};
			assert_int_equal(
				client_call(&c, FUSE_RELEASEDIR, m->dir, &rel, sizeof(rel), 0), 0);
		}
	}
	free(c.in);
	free(c.out);
	free(c.thread);
	return NULL;
}

static void hammer_together(bool by_path)
{
	const struct client_options options = {.node_fds_max = 6};
	struct fuse_client c;
	struct many many[4];
	pthread_t threads[4];
	uint64_t dir;

	client_start(&c, &options);
	c.session->nodes.no_handles |= by_path;
	assert_int_equal(client_lookup(&c, ROOT, "x", &dir), 0);
	assert_int_equal(fchmod(c.dir_fd, 0777), 0);
	for (int i = 0; i < 4; i++) {
		many[i] = (struct many){&c, dir, i};
		assert_int_equal(pthread_create(&threads[i], NULL, hammer, &many[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(c.session->nodes.count, 1);
	assert_int_equal(c.session->handles.count, 0);
	client_stop(&c);
}

static void test_threads(void **state)
{
	(void)state;
	hammer_together(false);
	hammer_together(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_requests, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_broken_ring, setup, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
