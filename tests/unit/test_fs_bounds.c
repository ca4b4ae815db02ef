/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest can make the server keep, asked for a million times: each kind has a bound, reaching
 * it is an error and not an end, and memory, counted by the allocator, stays where the bounds put
 * it.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/fuse_client.h"

#if defined(__SANITIZE_ADDRESS__)
size_t __sanitizer_get_current_allocated_bytes(void); /* Debian's gcc comes without the header */
#endif

#define ROOT	    FUSE_ROOT_ID
#define OPENS	    1000000u
#define HANDLES_MAX 10000u
#define NODES_MAX   5000u
#define KEPT	    500u

/* fs/session.c tells the kernel so much for each; here it is held to it. */
#define HANDLE_BYTES 320u
#define NODE_BYTES   768u
#define SLACK_BYTES  (64u << 10)

static size_t memory_used(void)
{
#if defined(__SANITIZE_ADDRESS__)
	return __sanitizer_get_current_allocated_bytes();
#else
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
#endif
}

static void start(struct fuse_client *c, uint64_t *dir)
{
	const struct client_options options = {
		.nodes_max = NODES_MAX, .handles_max = HANDLES_MAX, .node_fds_max = 100};
	struct rlimit limit;

	client_start(c, &options);
	assert_int_equal(client_lookup(c, ROOT, "x", dir), 0);
	/* As many as the test needs, and no more than it may have. */
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max < HANDLES_MAX + 1000 ? limit.rlim_max : HANDLES_MAX + 1000;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Never closed, then closed again and again: one million in all. */
static void test_opens(void **state)
{
	static uint64_t kept[KEPT];
	struct fuse_client c;
	uint64_t dir, node, fh;
	unsigned opened = 0, refused = 0;

	(void)state;
	start(&c, &dir);
	client_put(&c, "file", "text");
	assert_int_equal(client_lookup(&c, dir, "file", &node), 0);
	size_t before = memory_used();
	for (unsigned i = 0; i < OPENS / 2; i++) {
		int ret = client_open(&c, node, O_RDONLY, &fh);
		if (!ret) {
			if (opened < KEPT)
				kept[opened] = fh;
			opened++;
			continue;
		}
		assert_true(ret == -ENFILE || ret == -EMFILE);
		refused++;
	}
	assert_true(opened >= KEPT && opened <= HANDLES_MAX);
	assert_int_equal(opened + refused, OPENS / 2);
	assert_true(memory_used() - before <= (size_t)opened * HANDLE_BYTES + SLACK_BYTES);
	/* The oldest makes room for the newest, and both work. */
	for (unsigned i = 0; i < OPENS / 2; i++) {
		client_release(&c, node, kept[i % KEPT]);
		assert_int_equal(client_open(&c, node, O_RDONLY, &kept[i % KEPT]), 0);
	}
	assert_int_equal(client_read(&c, node, kept[0], 0, 4), 0);
	assert_memory_equal(c.out, "text", 4);
	assert_true(memory_used() - before <= (size_t)opened * HANDLE_BYTES + SLACK_BYTES);
	print_message("%u opens: %u at once, %u refused; %zu bytes\n", OPENS, opened, refused,
		memory_used() - before);
	/* A guest that begins anew leaves nothing behind. */
	assert_int_equal(client_call(&c, FUSE_DESTROY, 0, NULL, 0, 0), 0);
	assert_int_equal(c.session->handles.count, 0);
	assert_int_equal(c.session->nodes.count, 0);
	client_stop(&c);
}

/* More names than it may know, by path and by handle. */
static void lookups(bool no_handles)
{
	struct fuse_client c;
	uint64_t dir, node, first = 0;
	unsigned known = 0, refused = 0;
	char name[32];

	start(&c, &dir);
	c.session->nodes.no_handles |= no_handles;
	size_t before = memory_used();
	for (unsigned i = 0; i < 2 * NODES_MAX; i++) {
		snprintf(name, sizeof(name), "%u", i);
		client_put(&c, name, "");
		int ret = client_lookup(&c, dir, name, &node);
		if (!ret) {
			first = first ? first : node;
			known++;
			continue;
		}
		assert_int_equal(ret, -ENOMEM);
		refused++;
	}
	assert_int_equal(known + refused, 2 * NODES_MAX);
	assert_true(known <= NODES_MAX && c.session->nodes.count <= NODES_MAX);
	assert_true(c.session->nodes.open_fds <= 200);
	assert_true(memory_used() - before <= (size_t)known * NODE_BYTES + SLACK_BYTES);
	client_forget(&c, first, 1);
	assert_int_equal(client_lookup(&c, dir, name, &node), 0);
	client_stop(&c);
}

static void test_lookups(void **state)
{
	(void)state;
	lookups(false);
	lookups(true);
}

/* One entry that is read of each leaves the others to be kept, but only so many. */
static void test_directories(void **state)
{
	enum { DIRS = HANDLE_ENTRIES_MAX + 2000 };
	static uint64_t handles[DIRS];
	struct fuse_read_in in = {.size = 64};
	struct fuse_client c;
	uint64_t dir;
	char name[64];

	(void)state;
	start(&c, &dir);
	for (unsigned i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "a-file-with-quite-a-name-%02u", i);
		client_put(&c, name, "");
	}
	size_t before = memory_used();
	unsigned n = 0;
	while (n < DIRS && !client_open(&c, dir, O_RDONLY | O_DIRECTORY, &handles[n]))
		n++;
	for (unsigned i = 0; i < n; i++) {
		in.fh = handles[i];
		assert_int_equal(client_call(&c, FUSE_READDIR, dir, &in, sizeof(in), 64), 0);
	}
	assert_true(c.session->handles.n_entries <= HANDLE_ENTRIES_MAX);
	assert_true(memory_used() - before <= (size_t)n * HANDLE_BYTES +
			HANDLE_ENTRIES_MAX * (HANDLE_ENTRIES_BYTES + 64u) + SLACK_BYTES);
	/* Those that lost theirs go on where they were: all 52, each once. */
	for (unsigned i = 0; i < n; i += n - 1) {
		unsigned entries = 0;
		in = (struct fuse_read_in){.fh = handles[i], .size = 128};
		for (;;) {
			assert_int_equal(
				client_call(&c, FUSE_READDIR, dir, &in, sizeof(in), 128), 0);
			if (!c.out_bytes)
				break;
			for (size_t at = 0; at < c.out_bytes;) {
				struct fuse_dirent *d = (void *)(c.out + at);
				in.offset = d->off;
				at += FUSE_DIRENT_SIZE(d);
				entries++;
			}
		}
		assert_int_equal(entries, 52);
	}
	client_stop(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opens),
		cmocka_unit_test(test_lookups),
		cmocka_unit_test(test_directories),
	};

	return cmocka_run_group_tests_name("fs_bounds", tests, NULL, NULL);
}
