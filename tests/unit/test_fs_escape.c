/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that wants out of its exports, and a host whose names change under the server: beside the
 * export lies a directory that nothing may be read from, written to or listed of. It has numbers
 * that nothing else has, so that any reply about it is known.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/fuse_client.h"

#define ROOT	     FUSE_ROOT_ID
#define SECRET	     "what nobody may read"
#define HIDDEN	     "unlisted"
#define SECRET_BYTES 54321 /* SECRET, and zeroes */
#define RACE_STEPS   3000u

struct escape {
	struct fuse_client c;
	char outside[64];
	uint64_t dir; /* the export's node */
	int inner;    /* a directory in it, wherever it is */
	atomic_bool stop;
	unsigned swaps, reads; /* that worked: the test is about something */
};

static void write_file(int dirfd, const char *name, const char *text, off_t size)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(ftruncate(fd, size), 0);
	close(fd);
}

static void add_export(struct fuse_client *c, const char *name, const char *path)
{
	struct err e = {0};
	struct export x = {.name = (char *)name, .path = (char *)path};

	x.fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(x.fd >= 0);
	if (exports_add(&c->exports, &x, &e) < 0)
		fail_msg("%s", e.text);
}

static void begin(struct escape *x, const struct client_options *options)
{
	memset(x, 0, sizeof(*x));
	strcpy(x->outside, "/tmp/hvrun-fs-outside-XXXXXX");
	assert_non_null(mkdtemp(x->outside));
	int fd = open(x->outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	write_file(fd, HIDDEN, SECRET, SECRET_BYTES);
	assert_int_equal(mkdirat(fd, "sub", 0700), 0);
	close(fd);
	client_start(&x->c, options);
	assert_int_equal(client_lookup(&x->c, ROOT, "x", &x->dir), 0);
}

/* Nothing outside was made, removed or changed. */
static void finish(struct escape *x)
{
	char path[96], text[sizeof(SECRET)] = "";
	struct stat st;
	unsigned n = 0;

	client_stop(&x->c);
	DIR *dir = opendir(x->outside);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	assert_int_equal(n, 4); /* with "." and ".." */
	snprintf(path, sizeof(path), "%s/" HIDDEN, x->outside);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	assert_int_equal(st.st_size, SECRET_BYTES);
	assert_int_equal(st.st_mode, S_IFREG | 0640);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(read(fd, text, strlen(SECRET)), strlen(SECRET));
	assert_string_equal(text, SECRET);
	close(fd);
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/sub", x->outside);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(x->outside), 0);
}

/* No reply holds the secret or its size, which stands in attributes alone. */
static void check_reply(const struct fuse_client *c)
{
	const uint64_t size = SECRET_BYTES;

	assert_null(memmem(c->out, c->out_bytes, SECRET, strlen(SECRET)));
	assert_null(memmem(c->out, c->out_bytes, &size, sizeof(size)));
}

/* What looked like a directory is a link to the one outside, and so on, as fast as it goes. */
static void *swap_names(void *arg)
{
	struct escape *x = arg;

	while (!atomic_load(&x->stop)) {
		for (unsigned i = 0; i < 2; i++) {
			int dir = i ? x->inner : x->c.dir_fd;
			const char *sub = i ? "sub" : "dir";
			x->swaps += !renameat2(dir, sub, dir, "to-outside", RENAME_EXCHANGE);
			x->swaps += !renameat2(dir, "file", dir, "to-secret", RENAME_EXCHANGE);
		}
	}
	return NULL;
}

static uint64_t rng_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* With a file that was opened, or what a swap made of it. */
static void use_file(struct escape *x, uint64_t node, uint64_t how)
{
	struct fuse_client *c = &x->c;
	struct fuse_setattr_in set = {.valid = FATTR_MODE | FATTR_MTIME, .mode = 0600};
	uint64_t fh;

	if (how & 1 && !client_call(c, FUSE_SETATTR, node, &set, sizeof(set), 200))
		check_reply(c);
	if (client_open(c, node, how & 2 ? O_RDWR : O_RDONLY, &fh))
		return;
	if (how & 2)
		client_write(c, node, fh, 0, "scribble", 8, 0);
	if (!client_read(c, node, fh, 0, 4096)) {
		check_reply(c);
		x->reads++;
	}
	client_release(c, node, fh);
}

static void list(struct fuse_client *c, uint64_t node)
{
	struct fuse_read_in in = {.size = 16384};
	struct fuse_direntplus *entry;

	if (client_open(c, node, O_RDONLY | O_DIRECTORY, &in.fh))
		return;
	if (!client_call(c, FUSE_READDIRPLUS, node, &in, sizeof(in), in.size)) {
		assert_null(memmem(c->out, c->out_bytes, HIDDEN, strlen(HIDDEN)));
		check_reply(c);
		/* Each entry is a lookup; without a FORGET the guest would know it for good. */
		static uint8_t copy[16384];
		size_t len = c->out_bytes;
		memcpy(copy, c->out, len);
		for (size_t at = 0; at + sizeof(*entry) <= len; at += FUSE_DIRENTPLUS_SIZE(entry)) {
			entry = (void *)(copy + at);
			if (entry->entry_out.nodeid)
				client_forget(c, entry->entry_out.nodeid, 1);
		}
	}
	struct fuse_release_in release = {.fh = in.fh};
	assert_int_equal(client_call(c, FUSE_RELEASEDIR, node, &release, sizeof(release), 0), 0);
}

/* No name goes away, so that there is always something to swap. */
static void change_names(struct fuse_client *c, uint64_t from, uint64_t to, uint64_t how)
{
	static const char names[][16] = {"file", "dir", "sub", "to-secret", "to-outside"};
	const char *a = names[how % 5], *b = names[how / 8 % 5];
	struct fuse_rename2_in rename = {.newdir = to, .flags = RENAME_EXCHANGE};
	char two[32];
	size_t len = strlen(a) + 1;

	memcpy(two, a, len);
	memcpy(two + len, b, strlen(b) + 1);
	(void)client_call2(
		c, FUSE_RENAME2, from, &rename, sizeof(rename), two, len + strlen(b) + 1, 0);
}

static void race_step(struct escape *x, uint64_t *rng)
{
	static const char *const names[] = {"dir", "file", "to-outside", "to-secret"};
	static const char *const below[] = {HIDDEN, "file", "sub", "made"};
	struct fuse_client *c = &x->c;
	uint64_t how = rng_next(rng), node, inner, fh;
	const char *name = below[how / 16 % 4];

	if (client_lookup(c, x->dir, names[how % 4], &node))
		return;
	check_reply(c);
	switch (how / 4 % 4) {
	case 0:
		use_file(x, node, how >> 8);
		break;
	case 1:
		list(c, node);
		break;
	case 2:
		if (!client_create(c, node, "made", O_RDWR, 0600, &inner, &fh)) {
			check_reply(c);
			client_release(c, inner, fh);
			client_forget(c, inner, 1);
			if (how & 256)
				(void)client_call(c, FUSE_UNLINK, node, "made", 5, 0);
		}
		break;
	case 3:
		change_names(c, x->dir, how & 256 ? node : x->dir, how >> 9);
	}
	if (!client_lookup(c, node, name, &inner)) {
		check_reply(c);
		use_file(x, inner, how >> 20);
		client_forget(c, inner, 1);
	}
	client_forget(c, node, 1);
}

static void race(const struct client_options *options, bool no_handles)
{
	struct escape x;
	pthread_t thread;
	char path[96];
	uint64_t rng = 88172645463325252u;

	begin(&x, options);
	x.c.session->nodes.no_handles |= no_handles;
	assert_int_equal(mkdirat(x.c.dir_fd, "dir", 0755), 0);
	x.inner = openat(x.c.dir_fd, "dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(x.inner >= 0);
	assert_int_equal(mkdirat(x.inner, "sub", 0755), 0);
	snprintf(path, sizeof(path), "%s/" HIDDEN, x.outside);
	for (unsigned i = 0; i < 2; i++) {
		int dir = i ? x.inner : x.c.dir_fd;
		write_file(dir, "file", "plain", 5);
		assert_int_equal(symlinkat(x.outside, dir, "to-outside"), 0);
		assert_int_equal(symlinkat(path, dir, "to-secret"), 0);
	}
	assert_int_equal(pthread_create(&thread, NULL, swap_names, &x), 0);
	for (unsigned i = 0; i < RACE_STEPS; i++)
		race_step(&x, &rng);
	atomic_store(&x.stop, true);
	pthread_join(thread, NULL);
	close(x.inner);
	assert_true(x.swaps > 0 && x.reads > 0);
	print_message("%u steps, %u swaps, %u reads\n", RACE_STEPS, x.swaps, x.reads);
	finish(&x);
}

static void test_race(void **state)
{
	const struct client_options plenty = {0}, scarce = {.node_fds_max = 2};

	(void)state;
	race(&plenty, false);
	race(&scarce, false);
	race(&scarce, true);
}

/* Links of /proc lead where no path does; exported, they are links like others. */
static void test_magic_links(void **state)
{
	static const char *const names[] = {"root", "cwd", "exe"};
	const struct client_options plain = {0};
	struct fuse_setattr_in set = {.valid = FATTR_SIZE};
	struct fuse_link_in link_in;
	struct escape x;
	uint64_t proc, node, fh, fds;
	char name[16];

	(void)state;
	begin(&x, &plain);
	add_export(&x.c, "proc", "/proc/self");
	assert_int_equal(client_lookup(&x.c, ROOT, "proc", &proc), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(client_lookup(&x.c, proc, names[i], &node), 0);
		assert_int_equal(client_lookup(&x.c, node, "etc", NULL), -ENOTDIR);
		assert_int_equal(client_open(&x.c, node, O_RDONLY, &fh), -ENXIO);
		assert_int_equal(client_open(&x.c, node, O_RDONLY | O_DIRECTORY, &fh), -ENOTDIR);
		assert_int_equal(
			client_call(&x.c, FUSE_SETATTR, node, &set, sizeof(set), 200), -EINVAL);
		assert_int_equal(client_call(&x.c, FUSE_UNLINK, node, "x", 2, 0), -ENOTDIR);
		link_in.oldnodeid = node;
		assert_int_equal(client_call2(&x.c, FUSE_LINK, x.dir, &link_in, sizeof(link_in),
					 names[i], strlen(names[i]) + 1, 200),
			-EXDEV);
	}
	/* The server's own descriptors, that of the directory outside among them. */
	int fd = open(x.outside, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(client_lookup(&x.c, proc, "fd", &fds), 0);
	snprintf(name, sizeof(name), "%d", fd);
	assert_int_equal(client_lookup(&x.c, fds, name, &node), 0);
	assert_int_equal(client_lookup(&x.c, node, HIDDEN, NULL), -ENOTDIR);
	assert_int_equal(client_create(&x.c, node, "made", O_RDWR, 0600, &node, &fh), -ENOTDIR);
	close(fd);
	finish(&x);
}

/* One file system on the host, two exports: what is in one does not get into the other. */
static void test_across_exports(void **state)
{
	const struct client_options plain = {0};
	struct fuse_rename_in rename_in;
	struct fuse_link_in link_in;
	struct escape x;
	uint64_t other, ro;

	(void)state;
	begin(&x, &plain);
	add_export(&x.c, "other", x.outside);
	client_put(&x.c, "file", "plain");
	assert_int_equal(client_lookup(&x.c, ROOT, "other", &other), 0);
	assert_int_equal(client_lookup(&x.c, ROOT, "ro", &ro), 0);
	assert_int_equal(client_lookup(&x.c, other, HIDDEN, &link_in.oldnodeid), 0);
	assert_int_equal(
		client_call2(&x.c, FUSE_LINK, x.dir, &link_in, sizeof(link_in), "got", 4, 200),
		-EXDEV);
	rename_in.newdir = x.dir;
	assert_int_equal(client_call2(&x.c, FUSE_RENAME, other, &rename_in, sizeof(rename_in),
				 HIDDEN "\0got", sizeof(HIDDEN) + 4, 0),
		-EXDEV);
	/* Nor from a read-only one into the same directory, exported writable. */
	assert_int_equal(client_lookup(&x.c, ro, "file", &link_in.oldnodeid), 0);
	assert_int_equal(
		client_call2(&x.c, FUSE_LINK, x.dir, &link_in, sizeof(link_in), "got", 4, 200),
		-EROFS);
	assert_int_equal(client_call2(&x.c, FUSE_RENAME, ro, &rename_in, sizeof(rename_in),
				 "file\0got", 9, 0),
		-EROFS);
	assert_int_equal(faccessat(x.c.dir_fd, "got", F_OK, 0), -1);
	finish(&x);
}

/* A file's number comes back with another file; the ids that the guest has do not. */
static void test_deleted(void **state)
{
	const struct client_options scarce = {.node_fds_max = 1};
	struct escape x;
	uint64_t old, fh, node, other;

	(void)state;
	begin(&x, &scarce);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(client_create(&x.c, x.dir, "file", O_RDWR, 0600, &old, &fh), 0);
		assert_int_equal(client_write(&x.c, old, fh, 0, "old", 3, 0), 0);
		/* Deleted by the guest, or behind its back. */
		if (i & 1)
			assert_int_equal(client_call(&x.c, FUSE_UNLINK, x.dir, "file", 5, 0), 0);
		else
			assert_int_equal(unlinkat(x.c.dir_fd, "file", 0), 0);
		client_put(&x.c, "file", "new");
		assert_int_equal(client_lookup(&x.c, x.dir, "file", &node), 0);
		assert_int_not_equal(node, old);
		/* The open one is still itself; the handle fits no other node. */
		assert_int_equal(client_read(&x.c, old, fh, 0, 3), 0);
		assert_memory_equal(x.c.out, "old", 3);
		assert_int_equal(client_read(&x.c, node, fh, 0, 3), -EBADF);
		client_release(&x.c, old, fh);
		assert_int_equal(client_read(&x.c, old, fh, 0, 3), -EBADF);
		client_forget(&x.c, old, 1);
		assert_int_equal(client_open(&x.c, old, O_RDONLY, &fh), -ESTALE);
		assert_int_equal(client_lookup(&x.c, old, HIDDEN, &other), -ESTALE);
		client_forget(&x.c, node, 1);
		assert_int_equal(unlinkat(x.c.dir_fd, "file", 0), 0);
	}
	finish(&x);
}

static void test_names(void **state)
{
	const struct client_options plain = {0};
	struct escape x;
	uint64_t node, fh;
	char name[300];

	(void)state;
	begin(&x, &plain);
	/* Every byte but '/' and NUL is one of a name, and comes back as it was. */
	for (unsigned first = 1; first < 256; first += 51) {
		size_t len = 0;
		for (unsigned i = 0; len < 255; i++) {
			char byte = (char)(1 + (first + i) % 255);
			if (byte != '/')
				name[len++] = byte;
		}
		name[len] = '\0';
		assert_int_equal(client_create(&x.c, x.dir, name, O_RDWR, 0600, &node, &fh), 0);
		client_release(&x.c, node, fh);
		assert_int_equal(faccessat(x.c.dir_fd, name, F_OK, 0), 0);
		struct fuse_read_in in = {.size = 4096};
		assert_int_equal(client_open(&x.c, x.dir, O_RDONLY | O_DIRECTORY, &in.fh), 0);
		assert_int_equal(
			client_call(&x.c, FUSE_READDIR, x.dir, &in, sizeof(in), in.size), 0);
		assert_non_null(memmem(x.c.out, x.c.out_bytes, name, len));
		assert_int_equal(client_call(&x.c, FUSE_UNLINK, x.dir, name, len + 1, 0), 0);
		assert_int_equal(faccessat(x.c.dir_fd, name, F_OK, 0), -1);
	}
	memset(name, '\xff', sizeof(name));
	name[256] = '\0';
	assert_int_equal(client_create(&x.c, x.dir, name, O_RDWR, 0600, &node, &fh), -ENAMETOOLONG);
	finish(&x);
}

static void deep_tree(bool no_handles)
{
	const struct client_options scarce = {.node_fds_max = 16};
	struct fuse_mkdir_in mkdir_in = {.mode = 0755};
	enum { DEPTH = 600 };
	static uint64_t nodes[DEPTH + 1];
	struct escape x;
	uint64_t node, fh;

	begin(&x, &scarce);
	x.c.session->nodes.no_handles |= no_handles;
	nodes[0] = x.dir;
	for (unsigned i = 0; i < DEPTH; i++) {
		assert_int_equal(client_call2(&x.c, FUSE_MKDIR, nodes[i], &mkdir_in,
					 sizeof(mkdir_in), "d", 2, 200),
			0);
		assert_int_equal(client_lookup(&x.c, nodes[i], "d", &nodes[i + 1]), 0);
	}
	assert_true(x.c.session->nodes.open_fds <= DEPTH + 2);
	/* Anywhere in it, in no order: found again, or stale, but never somewhere else. */
	for (unsigned i = 0; i < DEPTH; i++) {
		unsigned at = i * 7919 % (DEPTH + 1);
		int ret = client_create(&x.c, nodes[at], "f", O_RDWR, 0600, &node, &fh);
		if (ret == -ESTALE)
			continue;
		assert_int_equal(ret, 0);
		client_release(&x.c, node, fh);
		client_forget(&x.c, node, 1);
		assert_int_equal(client_call(&x.c, FUSE_UNLINK, nodes[at], "f", 2, 0), 0);
		assert_int_equal(client_lookup(&x.c, nodes[at], "..", NULL), -EINVAL);
	}
	/* And moved up, with all that the guest remembers of it. */
	struct fuse_rename_in rename_in = {.newdir = x.dir};
	assert_int_equal(client_call2(&x.c, FUSE_RENAME, nodes[1], &rename_in, sizeof(rename_in),
				 "d\0e", 4, 0),
		0);
	int ret = client_lookup(&x.c, nodes[DEPTH], "d", NULL);
	assert_true(ret == -ENOENT || ret == -ESTALE);
	finish(&x);
}

static void test_deep(void **state)
{
	(void)state;
	deep_tree(false);
	deep_tree(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_magic_links),
		cmocka_unit_test(test_across_exports),
		cmocka_unit_test(test_deleted),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_deep),
	};

	return cmocka_run_group_tests_name("fs_escape", tests, NULL, NULL);
}
