/* SPDX-License-Identifier: Apache-2.0 */
/* More inodes than descriptors, inode numbers used again, and reading directories. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/fuse_client.h"

#define ROOT  FUSE_ROOT_ID
#define FILES 300

static void name_of(char *name, int i)
{
	snprintf(name, 32, "file%d", i);
}

static void start(struct fuse_client *c, uint32_t fds, bool by_path, uint64_t *dir)
{
	const struct client_options options = {.node_fds_max = fds};

	client_start(c, &options);
	c->session->nodes.no_handles |= by_path;
	assert_int_equal(client_lookup(c, ROOT, "x", dir), 0);
}

static void evict(bool by_path)
{
	struct fuse_client c;
	uint64_t dir, nodes[FILES], sub, fh;
	struct fuse_attr attr;
	char name[32];

	start(&c, 8, by_path, &dir);
	assert_int_equal(mkdirat(c.dir_fd, "sub", 0755), 0);
	assert_int_equal(client_lookup(&c, dir, "sub", &sub), 0);
	for (int i = 0; i < FILES; i++) {
		name_of(name, i);
		client_put(&c, name, name);
		assert_int_equal(client_lookup(&c, dir, name, &nodes[i]), 0);
	}
	assert_true(c.session->nodes.evicted);
	assert_true(c.session->nodes.open_fds < 20);
	for (int i = 0; i < FILES; i++) {
		name_of(name, i);
		assert_int_equal(client_getattr(&c, nodes[i], &attr), 0);
		assert_int_equal(attr.size, strlen(name));
		assert_int_equal(client_open(&c, nodes[i], O_RDONLY, &fh), 0);
		assert_int_equal(client_read(&c, nodes[i], fh, 0, 100), 0);
		assert_memory_equal(c.out, name, strlen(name));
		client_release(&c, nodes[i], fh);
	}
	assert_int_equal(client_lookup(&c, sub, "nothing", NULL), -ENOENT);
	assert_int_equal(client_lookup(&c, dir, "file7", &nodes[8]), 0);
	assert_int_equal(nodes[8], nodes[7]); /* found again, though without a descriptor */
	client_stop(&c);
}

/*
 * The host deletes files that have no descriptor and makes others: some get the numbers of the
 * deleted. No old id may lead to a new file.
 */
static void reuse_numbers(struct fuse_client *c, uint64_t dir, const uint64_t *nodes)
{
	struct fuse_attr attr;
	uint64_t fresh;
	char name[32];

	for (int i = 50; i < 250; i++) {
		name_of(name, i);
		assert_int_equal(unlinkat(c->dir_fd, name, 0), 0);
	}
	for (int i = 1000; i < 1200; i++) {
		name_of(name, i);
		client_put(c, name, "a new file of another size");
		assert_int_equal(client_lookup(c, dir, name, &fresh), 0);
		for (int k = 50; k < 250; k++)
			assert_int_not_equal(fresh, nodes[k]);
	}
	for (int i = 50; i < 250; i++) {
		int ret = client_getattr(c, nodes[i], &attr);
		assert_true(ret == -ESTALE || (!ret && attr.nlink == 0));
		client_forget(c, nodes[i], 1);
	}
}

/* Renames on the host do not disturb handles, and unlinking through the guest keeps the inode. */
static void change_evicted(bool by_path)
{
	struct fuse_client c;
	uint64_t dir, nodes[FILES], fresh;
	struct fuse_attr attr;
	struct fuse_rename_in rename_in;
	char name[32];

	start(&c, 8, by_path, &dir);
	for (int i = 0; i < FILES; i++) {
		name_of(name, i);
		client_put(&c, name, name);
		assert_int_equal(client_lookup(&c, dir, name, &nodes[i]), 0);
	}
	assert_true(c.session->nodes.evicted);
	/* One of two names goes, the one by which the node was found. */
	uint64_t two;
	struct fuse_link_in link_in;
	client_put(&c, "one", "x");
	assert_int_equal(client_lookup(&c, dir, "one", &two), 0);
	link_in.oldnodeid = two;
	assert_int_equal(
		client_call2(&c, FUSE_LINK, dir, &link_in, sizeof(link_in), "two", 4, 200), 0);
	assert_int_equal(client_lookup(&c, dir, "one", &two), 0);
	assert_int_equal(client_call(&c, FUSE_UNLINK, dir, "one", 4, 0), 0);
	/* Unlinked while it has its descriptor: that one must not be taken any more. */
	uint64_t unlinked;
	client_put(&c, "unlinked", "x");
	assert_int_equal(client_lookup(&c, dir, "unlinked", &unlinked), 0);
	assert_int_equal(unlinkat(c.dir_fd, "unlinked", 0), 0);
	for (int i = 0; i < FILES; i++)
		assert_int_equal(client_getattr(&c, nodes[i], &attr), 0);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "more%d", i);
		client_put(&c, name, "");
		assert_int_equal(client_lookup(&c, dir, name, &fresh), 0);
	}
	assert_int_equal(client_getattr(&c, unlinked, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(client_getattr(&c, two, &attr), 0);
	assert_int_equal(attr.nlink, 1);
	assert_int_equal(renameat(c.dir_fd, "file1", c.dir_fd, "elsewhere"), 0);
	if (c.session->nodes.no_handles) {
		/* Lost by its name, found again by the next lookup. */
		assert_int_equal(client_getattr(&c, nodes[1], &attr), -ESTALE);
		assert_int_equal(client_lookup(&c, dir, "elsewhere", &fresh), 0);
		assert_int_equal(fresh, nodes[1]);
	}
	assert_int_equal(client_getattr(&c, nodes[1], &attr), 0);
	for (int i = 2; i < 40; i++) {
		name_of(name, i);
		assert_int_equal(client_call(&c, FUSE_UNLINK, dir, name, strlen(name) + 1, 0), 0);
		assert_int_equal(client_getattr(&c, nodes[i], &attr), 0);
		assert_int_equal(attr.nlink, 0);
	}
	rename_in.newdir = dir;
	assert_int_equal(client_call2(&c, FUSE_RENAME, dir, &rename_in, sizeof(rename_in),
				 "file41\0file42", 14, 0),
		0);
	assert_int_equal(client_getattr(&c, nodes[42], &attr), 0);
	assert_int_equal(attr.nlink, 0);
	reuse_numbers(&c, dir, nodes);
	client_stop(&c);
}

static void test_eviction(void **state)
{
	(void)state;
	evict(false);
	evict(true);
}

static void test_evicted_changes(void **state)
{
	(void)state;
	change_evicted(false);
	change_evicted(true);
}

/* A tree of which nearly all is evicted, renamed about by the guest: found by names all the same.
 */
static void test_renamed_tree(void **state)
{
	struct fuse_client c;
	uint64_t dir, nodes[40][6], fh;
	struct fuse_mkdir_in mkdir_in = {.mode = 0755};
	struct fuse_rename2_in rename_in = {0};
	struct fuse_attr attr;
	char name[32], path[64];

	(void)state;
	start(&c, 6, true, &dir);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		assert_int_equal(client_call2(&c, FUSE_MKDIR, dir, &mkdir_in, sizeof(mkdir_in),
					 name, strlen(name) + 1, 200),
			0);
		assert_int_equal(client_lookup(&c, dir, name, &nodes[i][0]), 0);
		for (int k = 1; k < 6; k++) {
			snprintf(name, sizeof(name), "f%d", k);
			assert_int_equal(client_create(&c, nodes[i][0], name, O_RDWR, 0644,
						 &nodes[i][k], &fh),
				0);
			client_release(&c, nodes[i][k], fh);
		}
	}
	assert_true(c.session->nodes.open_fds < 20);
	/* d0 into d1, d1 into d2 ...: a chain of 40; then files change places. */
	for (int i = 0; i < 39; i++) {
		rename_in.newdir = nodes[i + 1][0];
		int n = snprintf(path, sizeof(path), "d%d%cin", i, 0);
		assert_int_equal(client_call2(&c, FUSE_RENAME2, dir, &rename_in, sizeof(rename_in),
					 path, (size_t)n + 1, 0),
			0);
	}
	rename_in.newdir = nodes[39][0];
	rename_in.flags = RENAME_EXCHANGE;
	assert_int_equal(client_call2(&c, FUSE_RENAME2, nodes[0][0], &rename_in, sizeof(rename_in),
				 "f1\0f2", 6, 0),
		0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 40; i++) {
			for (int k = 0; k < 6; k++) {
				assert_int_equal(client_getattr(&c, nodes[i][k], &attr), 0);
				assert_int_equal(!k, S_ISDIR(attr.mode));
			}
		}
	}
	assert_int_equal(client_lookup(&c, nodes[39][0], "f2", &nodes[0][0]), 0);
	assert_int_equal(nodes[0][0], nodes[0][1]);
	/* What the guest forgets goes, though children hold it; all goes in the end. */
	for (int i = 1; i < 40; i++)
		client_forget(&c, nodes[i][0], 2);
	assert_int_equal(client_getattr(&c, nodes[20][3], &attr), 0);
	for (int i = 0; i < 40; i++)
		for (int k = i ? 1 : 2; k < 6; k++)
			client_forget(&c, nodes[i][k], 1);
	assert_true(c.session->nodes.count <= 42);
	client_stop(&c);
}

/* Reads all of a directory with buffers of that size; entries seen, or with PLUS also looked up. */
static int read_all(
	struct fuse_client *c, uint64_t dir, uint64_t fh, uint32_t size, bool plus, int *nodes)
{
	struct fuse_read_in in = {.fh = fh, .size = size};
	int n = 0;

	for (;;) {
		int ret = client_call(
			c, plus ? FUSE_READDIRPLUS : FUSE_READDIR, dir, &in, sizeof(in), size);
		assert_int_equal(ret, 0);
		if (!c->out_bytes)
			return n;
		assert_true(c->out_bytes <= size);
		for (size_t at = 0; at < c->out_bytes;) {
			struct fuse_direntplus *p = (void *)(c->out + at);
			struct fuse_dirent *d = plus ? &p->dirent : (void *)(c->out + at);
			if (plus && p->entry_out.nodeid) {
				assert_int_equal(p->entry_out.attr.ino, d->ino);
				++*nodes;
			}
			in.offset = d->off;
			at += plus ? FUSE_DIRENTPLUS_SIZE(p) : FUSE_DIRENT_SIZE(d);
			n++;
		}
	}
}

static void test_readdir(void **state)
{
	struct fuse_client c;
	uint64_t dir, fh;
	char name[32];
	int nodes = 0;

	(void)state;
	start(&c, 100000, false, &dir);
	for (int i = 0; i < FILES; i++) {
		name_of(name, i);
		client_put(&c, name, "");
	}
	assert_int_equal(client_open(&c, dir, O_RDONLY | O_DIRECTORY, &fh), 0);
	uint32_t sizes[] = {4096, 100, 65536, 1 << 20, 320};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_int_equal(read_all(&c, dir, fh, sizes[i], false, NULL), FILES + 2);
	assert_int_equal(read_all(&c, dir, fh, 4096, true, &nodes), FILES + 2);
	assert_int_equal(nodes, FILES);
	assert_int_equal(c.session->nodes.count, FILES + 1);
	/* No room for a single entry: nothing, and nothing looked up. */
	struct fuse_read_in in = {.fh = fh, .size = 30};
	assert_int_equal(client_call(&c, FUSE_READDIRPLUS, dir, &in, sizeof(in), 4096), 0);
	assert_int_equal(c.out_bytes, 0);
	in.size = 4096;
	in.offset = UINT64_MAX;
	assert_int_equal(client_call(&c, FUSE_READDIR, dir, &in, sizeof(in), 4096), -EINVAL);
	in.offset = 0;
	in.size = UINT32_MAX;
	assert_int_equal(client_call(&c, FUSE_READDIR, dir, &in, sizeof(in), 1 << 20), 0);
	client_stop(&c);
}

/* Two file systems beneath one export: equal inode numbers come out different. */
static void test_mounts(void **state)
{
	struct fuse_client c;
	uint64_t dir, a, b, f;
	struct fuse_attr attr_a, attr_b;
	char path[128];
	struct fuse_rename_in rename_in;
	struct fuse_link_in link_in;

	(void)state;
	if (geteuid())
		skip();
	start(&c, 100, false, &dir);
	mkdirat(c.dir_fd, "a", 0755);
	mkdirat(c.dir_fd, "b", 0755);
	snprintf(path, sizeof(path), "%s/a", c.dir);
	int ret = mount("tmpfs", path, "tmpfs", 0, NULL);
	if (ret < 0) {
		client_stop(&c);
		skip();
	}
	snprintf(path, sizeof(path), "%s/b", c.dir);
	assert_int_equal(mount("tmpfs", path, "tmpfs", 0, NULL), 0);
	assert_int_equal(client_lookup(&c, dir, "a", &a), 0);
	assert_int_equal(client_lookup(&c, dir, "b", &b), 0);
	assert_int_equal(client_getattr(&c, a, &attr_a), 0);
	assert_int_equal(client_getattr(&c, b, &attr_b), 0);
	assert_int_not_equal(attr_a.ino, attr_b.ino);
	assert_int_equal(attr_a.ino & 0xffff, attr_b.ino & 0xffff); /* root of a tmpfs: 1 */
	client_put(&c, "a/f", "x");
	assert_int_equal(client_lookup(&c, a, "f", &f), 0);
	rename_in.newdir = b;
	link_in.oldnodeid = f;
	assert_int_equal(
		client_call2(&c, FUSE_RENAME, a, &rename_in, sizeof(rename_in), "f\0f", 4, 0),
		-EXDEV);
	assert_int_equal(
		client_call2(&c, FUSE_LINK, b, &link_in, sizeof(link_in), "f", 2, 200), -EXDEV);
	assert_int_equal(client_call(&c, FUSE_RMDIR, dir, "a", 2, 0), -EBUSY);
	struct fuse_syncfs_in sync_in = {0};
	assert_int_equal(client_call(&c, FUSE_SYNCFS, ROOT, &sync_in, sizeof(sync_in), 0), 0);
	fuse_session_free(c.session); /* its descriptors keep the mounts busy */
	c.session = NULL;
	snprintf(path, sizeof(path), "%s/a", c.dir);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	snprintf(path, sizeof(path), "%s/b", c.dir);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	client_stop(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_eviction),
		cmocka_unit_test(test_evicted_changes),
		cmocka_unit_test(test_renamed_tree),
		cmocka_unit_test(test_readdir),
		cmocka_unit_test(test_mounts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
