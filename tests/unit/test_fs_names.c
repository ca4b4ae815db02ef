/* SPDX-License-Identifier: Apache-2.0 */
/* Names from a hostile guest, and a host directory that changes meanwhile: nothing leads out. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/fuse_client.h"

#define ROOT FUSE_ROOT_ID

static const struct client_options plain = {0};

/* What the tests must never reach: a directory beside the export, with a secret. */
static char outside[64];

static int setup(void **state)
{
	char path[96];

	(void)state;
	strcpy(outside, "/tmp/hvrun-fs-outside-XXXXXX");
	if (!mkdtemp(outside))
		return -1;
	snprintf(path, sizeof(path), "%s/secret", outside);
	int fd = open(path, O_WRONLY | O_CREAT, 0644);
	close(fd);
	return fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	char path[96];

	(void)state;
	snprintf(path, sizeof(path), "%s/secret", outside);
	/* Nothing was removed, and nothing beside it made. */
	return unlink(path) || rmdir(outside);
}

static void start(struct fuse_client *c, uint64_t *dir)
{
	client_start(c, &plain);
	assert_int_equal(client_lookup(c, ROOT, "x", dir), 0);
}

/* Below an export that is one mount of a tree of them, the others can't be entered. */
static void test_other_mounts(void **state)
{
	struct fuse_client c;
	uint64_t dir, root;
	struct err e;

	(void)state;
	start(&c, &dir);
	struct export x = {.name = (char *)"all",
		.path = (char *)"/",
		.fd = open("/", O_PATH),
		.recursive = true};
	assert_int_equal(exports_add(&c.exports, &x, &e), 0);
	assert_int_equal(client_lookup(&c, ROOT, "all", &root), 0);
	assert_int_equal(client_lookup(&c, root, "proc", NULL), 0);
	x.name = (char *)"one";
	x.fd = open("/", O_PATH);
	x.recursive = false;
	x.one_mount = true;
	assert_int_equal(exports_add(&c.exports, &x, &e), 0);
	assert_int_equal(client_lookup(&c, ROOT, "one", &root), 0);
	assert_int_equal(client_lookup(&c, root, "proc", NULL), -EXDEV);
	assert_int_equal(client_lookup(&c, root, "usr", NULL), 0);
	client_stop(&c);
}

static void test_bad_names(void **state)
{
	const char *names[] = {"", ".", "..", "/", "a/b", "../x", "/etc", "a/", "./a", "..//"};
	struct fuse_client c;
	struct fuse_mkdir_in mkdir_in = {.mode = 0755};
	struct fuse_mknod_in mknod_in = {.mode = S_IFREG | 0644};
	struct fuse_rename_in rename_in;
	struct fuse_link_in link_in;
	char two[64];
	uint64_t dir, node, fh;

	(void)state;
	start(&c, &dir);
	client_put(&c, "a", "");
	rename_in.newdir = dir;
	assert_int_equal(client_lookup(&c, dir, "a", &link_in.oldnodeid), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *n = names[i];
		size_t len = strlen(n) + 1;
		assert_int_equal(client_lookup(&c, dir, n, NULL), -EINVAL);
		assert_int_equal(client_lookup(&c, ROOT, n, NULL), -EINVAL);
		assert_int_equal(client_create(&c, dir, n, O_RDWR, 0644, &node, &fh), -EINVAL);
		assert_int_equal(
			client_call2(&c, FUSE_MKDIR, dir, &mkdir_in, sizeof(mkdir_in), n, len, 200),
			-EINVAL);
		assert_int_equal(
			client_call2(&c, FUSE_MKNOD, dir, &mknod_in, sizeof(mknod_in), n, len, 200),
			-EINVAL);
		assert_int_equal(client_call(&c, FUSE_UNLINK, dir, n, len, 0), -EINVAL);
		assert_int_equal(client_call(&c, FUSE_RMDIR, dir, n, len, 0), -EINVAL);
		assert_int_equal(
			client_call2(&c, FUSE_LINK, dir, &link_in, sizeof(link_in), n, len, 200),
			-EINVAL);
		memcpy(two, "a", 2);
		memcpy(two + 2, n, len);
		assert_int_equal(client_call2(&c, FUSE_RENAME, dir, &rename_in, sizeof(rename_in),
					 two, len + 2, 0),
			-EINVAL);
		memcpy(two, n, len);
		memcpy(two + len, "b", 2);
		assert_int_equal(client_call2(&c, FUSE_RENAME, dir, &rename_in, sizeof(rename_in),
					 two, len + 2, 0),
			-EINVAL);
		assert_int_equal(client_call(&c, FUSE_SYMLINK, dir, two, len + 2, 200), -EINVAL);
	}
	client_stop(&c);
}

static void test_unterminated(void **state)
{
	struct fuse_client c;
	char name[300];
	uint64_t dir;

	(void)state;
	start(&c, &dir);
	client_put(&c, "abc", "");
	assert_int_equal(client_call(&c, FUSE_LOOKUP, dir, "abc", 3, 200), -EINVAL);
	assert_int_equal(client_call(&c, FUSE_LOOKUP, dir, "", 0, 200), -EINVAL);
	assert_int_equal(client_call(&c, FUSE_LOOKUP, dir, "abc\0garbage", 11, 200), 0);
	memset(name, 'n', sizeof(name));
	assert_int_equal(client_call(&c, FUSE_LOOKUP, dir, name, 300, 200), -EINVAL);
	name[256] = '\0';
	assert_int_equal(client_call(&c, FUSE_LOOKUP, dir, name, 257, 200), -ENAMETOOLONG);
	name[255] = '\0';
	assert_int_equal(client_call(&c, FUSE_LOOKUP, dir, name, 256, 200), -ENOENT);
	client_stop(&c);
}

static void test_symlinks(void **state)
{
	struct fuse_client c;
	uint64_t dir, link, node, fh;
	struct fuse_attr attr;

	(void)state;
	start(&c, &dir);
	assert_int_equal(symlinkat(outside, c.dir_fd, "link"), 0);
	assert_int_equal(client_lookup(&c, dir, "link", &link), 0);
	assert_int_equal(client_getattr(&c, link, &attr), 0);
	assert_true(S_ISLNK(attr.mode));
	assert_int_equal(client_lookup(&c, link, "secret", NULL), -ENOTDIR);
	assert_int_equal(client_open(&c, link, O_RDONLY, &fh), -ENXIO);
	assert_int_equal(client_open(&c, link, O_RDONLY | O_DIRECTORY, &fh), -ENOTDIR);
	assert_int_equal(client_create(&c, link, "new", O_RDWR, 0644, &node, &fh), -ENOTDIR);
	assert_int_equal(client_call(&c, FUSE_UNLINK, link, "secret", 7, 0), -ENOTDIR);
	/* A symlink appears where the guest wants to create: it must not be followed. */
	char target[96];
	snprintf(target, sizeof(target), "%s/made", outside);
	assert_int_equal(symlinkat(target, c.dir_fd, "trap"), 0);
	assert_int_equal(client_create(&c, dir, "trap", O_RDWR, 0644, &node, &fh), -ESTALE);
	assert_int_equal(
		client_create(&c, dir, "trap", O_RDWR | O_EXCL, 0644, &node, &fh), -EEXIST);
	assert_int_equal(access(target, F_OK), -1);
	/* chown and utimens of a link are the link's; chmod of one is refused. */
	struct fuse_setattr_in set = {.valid = FATTR_MTIME, .mtime = 5};
	struct stat st;
	assert_int_equal(client_call(&c, FUSE_SETATTR, link, &set, sizeof(set), 200), 0);
	assert_int_equal(stat(outside, &st), 0);
	assert_int_not_equal(st.st_mtime, 5);
	set.valid = FATTR_MODE;
	set.mode = 0777;
	assert_int_equal(client_call(&c, FUSE_SETATTR, link, &set, sizeof(set), 200), -EOPNOTSUPP);
	set.valid = FATTR_SIZE;
	assert_int_equal(client_call(&c, FUSE_SETATTR, link, &set, sizeof(set), 200), -EINVAL);
	client_stop(&c);
}

/* A directory that the guest knows is swapped for a symlink: it stays the directory it was. */
static void test_swap(void **state)
{
	struct fuse_client c;
	uint64_t dir, sub, node, fh;

	(void)state;
	start(&c, &dir);
	assert_int_equal(mkdirat(c.dir_fd, "sub", 0755), 0);
	assert_int_equal(client_lookup(&c, dir, "sub", &sub), 0);
	assert_int_equal(renameat(c.dir_fd, "sub", c.dir_fd, "moved"), 0);
	assert_int_equal(symlinkat(outside, c.dir_fd, "sub"), 0);
	assert_int_equal(client_lookup(&c, sub, "secret", NULL), -ENOENT);
	assert_int_equal(client_create(&c, sub, "made", O_RDWR, 0644, &node, &fh), 0);
	assert_int_equal(faccessat(c.dir_fd, "moved/made", F_OK, 0), 0);
	/* The directory leaves the export altogether: still only itself, and no way up from it. */
	char elsewhere[96];
	snprintf(elsewhere, sizeof(elsewhere), "%s/away", outside);
	assert_int_equal(renameat(c.dir_fd, "moved", AT_FDCWD, elsewhere), 0);
	assert_int_equal(client_lookup(&c, sub, "..", NULL), -EINVAL);
	assert_int_equal(client_lookup(&c, sub, "secret", NULL), -ENOENT);
	assert_int_equal(client_lookup(&c, sub, "made", &node), 0);
	assert_int_equal(client_call(&c, FUSE_UNLINK, sub, "made", 5, 0), 0);
	assert_int_equal(rmdir(elsewhere), 0);
	client_stop(&c);
}

/* Special files are never opened on the host: it would block, or worse. */
static void test_special(void **state)
{
	struct fuse_client c;
	uint64_t dir, fifo, node, fh;
	struct fuse_mknod_in in = {.mode = S_IFIFO | 0644};

	(void)state;
	start(&c, &dir);
	assert_int_equal(client_call2(&c, FUSE_MKNOD, dir, &in, sizeof(in), "fifo", 5, 200), 0);
	assert_int_equal(client_lookup(&c, dir, "fifo", &fifo), 0);
	assert_int_equal(client_open(&c, fifo, O_RDONLY, &fh), -ENXIO);
	assert_int_equal(client_open(&c, fifo, O_WRONLY, &fh), -ENXIO);
	assert_int_equal(client_create(&c, dir, "fifo", O_RDWR, 0644, &node, &fh), -ESTALE);
	in.mode = S_IFSOCK | 0644;
	assert_int_equal(client_call2(&c, FUSE_MKNOD, dir, &in, sizeof(in), "socket", 7, 200), 0);
	in.mode = S_IFDIR | 0644;
	assert_int_equal(
		client_call2(&c, FUSE_MKNOD, dir, &in, sizeof(in), "dir", 4, 200), -EINVAL);
	in.mode = S_IFLNK | 0644;
	assert_int_equal(
		client_call2(&c, FUSE_MKNOD, dir, &in, sizeof(in), "lnk", 4, 200), -EINVAL);
	in.mode = 0170000 | 0644;
	assert_int_equal(
		client_call2(&c, FUSE_MKNOD, dir, &in, sizeof(in), "bad", 4, 200), -EINVAL);
	client_stop(&c);
}

static void test_devices(void **state)
{
	const struct client_options options = {.nodev = true};
	struct fuse_client c;
	uint64_t dir, node, fh;
	struct fuse_mknod_in in = {.mode = S_IFCHR | 0666, .rdev = 0x103};
	struct stat st;

	(void)state;
	client_start(&c, &options);
	assert_int_equal(client_lookup(&c, ROOT, "x", &dir), 0);
	assert_int_equal(client_call2(&c, FUSE_MKNOD, dir, &in, sizeof(in), "d", 2, 200), -EPERM);
	in.mode = S_IFBLK | 0666;
	assert_int_equal(client_call2(&c, FUSE_MKNOD, dir, &in, sizeof(in), "d", 2, 200), -EPERM);
	in = (struct fuse_mknod_in){.mode = S_IFCHR};
	assert_int_equal(client_call2(&c, FUSE_MKNOD, dir, &in, sizeof(in), "w", 2, 200), 0);
	client_stop(&c);
	if (geteuid())
		skip();
	start(&c, &dir);
	in = (struct fuse_mknod_in){.mode = S_IFCHR | 0666, .rdev = 0x12345678, .umask = 022};
	assert_int_equal(client_call2(&c, FUSE_MKNOD, dir, &in, sizeof(in), "d", 2, 200), 0);
	assert_int_equal(fstatat(c.dir_fd, "d", &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_int_equal(major(st.st_rdev), 0x456);
	assert_int_equal(minor(st.st_rdev), 0x12378);
	assert_int_equal(st.st_mode, S_IFCHR | 0644);
	assert_int_equal(client_lookup(&c, dir, "d", &node), 0);
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), -ENXIO);
	client_stop(&c);
}

static void test_nosuid(void **state)
{
	const struct client_options options = {.nosuid = true};
	struct fuse_client c;
	uint64_t dir, node, fh;
	struct fuse_setattr_in set = {.valid = FATTR_MODE, .mode = 06755};
	struct fuse_setxattr_in cap = {.size = 20};
	struct fuse_attr attr;
	char cap_name[40] = "security.capability\0\1\0\0\2\0\x20";

	(void)state;
	client_start(&c, &options);
	assert_int_equal(client_lookup(&c, ROOT, "x", &dir), 0);
	assert_int_equal(client_create(&c, dir, "f", O_RDWR, 06755, &node, &fh), 0);
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 0755);
	assert_int_equal(client_call(&c, FUSE_SETATTR, node, &set, sizeof(set), 200), 0);
	assert_int_equal(client_getattr(&c, node, &attr), 0);
	assert_int_equal(attr.mode, S_IFREG | 0755);
	assert_int_equal(
		client_call2(&c, FUSE_SETXATTR, node, &cap, sizeof(cap), cap_name, 40, 0), -EPERM);
	assert_int_equal(client_call(&c, FUSE_SETATTR, dir, &set, sizeof(set), 200), 0);
	assert_int_equal(client_getattr(&c, dir, &attr), 0);
	assert_int_equal(attr.mode, S_IFDIR | 06755); /* inheritance of groups is no privilege */
	client_stop(&c);
}

/* Every change through a read-only export fails, whatever the guest's mount says. */
static void test_readonly(void **state)
{
	struct fuse_client c;
	uint64_t ro, rw, f, fh, node;
	struct fuse_mkdir_in mkdir_in = {.mode = 0755};
	struct fuse_mknod_in mknod_in = {.mode = S_IFIFO | 0644};
	struct fuse_setattr_in set = {.valid = FATTR_MODE, .mode = 0777};
	struct fuse_setxattr_in xattr = {.size = 1};
	struct fuse_rename_in rename_in;
	struct fuse_link_in link_in;
	struct fuse_create_in tmp = {.flags = O_RDWR, .mode = 0644};

	(void)state;
	client_start(&c, &plain);
	client_put(&c, "f", "data");
	assert_int_equal(client_lookup(&c, ROOT, "ro", &ro), 0);
	assert_int_equal(client_lookup(&c, ROOT, "x", &rw), 0);
	assert_int_not_equal(ro, rw); /* one inode, two exports */
	assert_int_equal(client_lookup(&c, ro, "f", &f), 0);
	assert_int_equal(client_open(&c, f, O_WRONLY, &fh), -EROFS);
	assert_int_equal(client_open(&c, f, O_RDWR, &fh), -EROFS);
	assert_int_equal(client_open(&c, f, O_RDONLY | O_TRUNC, &fh), -EROFS);
	assert_int_equal(client_open(&c, f, 3, &fh), -EINVAL);
	assert_int_equal(client_create(&c, ro, "g", O_RDWR, 0644, &node, &fh), -EROFS);
	assert_int_equal(client_create(&c, ro, "f", O_RDONLY, 0644, &node, &fh), -EROFS);
	assert_int_equal(
		client_call2(&c, FUSE_TMPFILE, ro, &tmp, sizeof(tmp), "/", 2, 200), -EROFS);
	assert_int_equal(
		client_call2(&c, FUSE_MKDIR, ro, &mkdir_in, sizeof(mkdir_in), "d", 2, 200), -EROFS);
	assert_int_equal(
		client_call2(&c, FUSE_MKNOD, ro, &mknod_in, sizeof(mknod_in), "d", 2, 200), -EROFS);
	assert_int_equal(client_call(&c, FUSE_SYMLINK, ro, "s\0t", 4, 200), -EROFS);
	assert_int_equal(client_call(&c, FUSE_UNLINK, ro, "f", 2, 0), -EROFS);
	assert_int_equal(client_call(&c, FUSE_RMDIR, ro, "f", 2, 0), -EROFS);
	assert_int_equal(client_call(&c, FUSE_SETATTR, f, &set, sizeof(set), 200), -EROFS);
	set.valid = 0;
	assert_int_equal(client_call(&c, FUSE_SETATTR, f, &set, sizeof(set), 200), -EROFS);
	assert_int_equal(
		client_call2(&c, FUSE_SETXATTR, f, &xattr, sizeof(xattr), "user.x\0v", 8, 0),
		-EROFS);
	assert_int_equal(client_call(&c, FUSE_REMOVEXATTR, f, "user.x", 7, 0), -EROFS);
	rename_in.newdir = ro;
	assert_int_equal(
		client_call2(&c, FUSE_RENAME, ro, &rename_in, sizeof(rename_in), "f\0g", 4, 0),
		-EROFS);
	assert_int_equal(
		client_call2(&c, FUSE_RENAME, rw, &rename_in, sizeof(rename_in), "f\0g", 4, 0),
		-EROFS);
	rename_in.newdir = rw;
	assert_int_equal(
		client_call2(&c, FUSE_RENAME, ro, &rename_in, sizeof(rename_in), "f\0g", 4, 0),
		-EROFS);
	link_in.oldnodeid = f;
	assert_int_equal(
		client_call2(&c, FUSE_LINK, ro, &link_in, sizeof(link_in), "l", 2, 200), -EROFS);
	assert_int_equal(
		client_call2(&c, FUSE_LINK, rw, &link_in, sizeof(link_in), "l", 2, 200), -EROFS);
	/* Reading works, and a handle opened for reading writes nothing. */
	assert_int_equal(client_open(&c, f, O_RDONLY, &fh), 0);
	assert_int_equal(client_read(&c, f, fh, 0, 10), 0);
	assert_memory_equal(c.out, "data", 4);
	assert_int_equal(client_write(&c, f, fh, 0, "x", 1, 0), -EBADF);
	client_stop(&c);
}

static void test_ids(void **state)
{
	struct fuse_client c;
	uint64_t dir, node, fh;
	struct fuse_mkdir_in in = {.mode = 02777};
	struct stat st;

	(void)state;
	if (!cred_is_privileged())
		skip();
	start(&c, &dir);
	c.uid = 1234;
	c.gid = 5678;
	assert_int_equal(client_create(&c, dir, "f", O_RDWR, 04755, &node, &fh), 0);
	assert_int_equal(fstatat(c.dir_fd, "f", &st, 0), 0);
	assert_int_equal(st.st_uid, 1234);
	assert_int_equal(st.st_gid, 5678);
	assert_int_equal(st.st_mode, S_IFREG | 04755);
	assert_int_equal(client_call2(&c, FUSE_MKDIR, dir, &in, sizeof(in), "d", 2, 200), 0);
	assert_int_equal(fstatat(c.dir_fd, "d", &st, 0), 0);
	assert_int_equal(st.st_uid, 1234);
	/* An id that can't be: refused, not made in another's name. */
	c.uid = UINT32_MAX;
	assert_int_equal(client_create(&c, dir, "g", O_RDWR, 0644, &node, &fh), -EOVERFLOW);
	assert_int_equal(client_lookup(&c, dir, "f", NULL), 0);
	/* Of renames, those that leave something of the caller's behind. */
	struct fuse_rename2_in re = {.newdir = dir, .flags = RENAME_NOREPLACE};
	assert_int_equal(client_call2(&c, FUSE_RENAME2, dir, &re, sizeof(re), "f\0h", 4, 0), 0);
	assert_int_equal(client_call2(&c, FUSE_RENAME2, dir, &re, sizeof(re), "h\0f", 4, 0), 0);
	re.flags = RENAME_WHITEOUT;
	assert_int_equal(
		client_call2(&c, FUSE_RENAME2, dir, &re, sizeof(re), "f\0h", 4, 0), -EOVERFLOW);
	/* A write that asks for it takes set-user-ID away, one that does not leaves it. */
	c.uid = 0;
	c.gid = 0;
	assert_int_equal(client_lookup(&c, dir, "f", &node), 0);
	assert_int_equal(client_open(&c, node, O_RDWR, &fh), 0);
	assert_int_equal(client_write(&c, node, fh, 0, "x", 1, 0), 0);
	assert_int_equal(fstatat(c.dir_fd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 04755);
	struct fuse_write_in w = {.fh = fh, .size = 1, .write_flags = FUSE_WRITE_KILL_SUIDGID};
	assert_int_equal(client_call2(&c, FUSE_WRITE, node, &w, sizeof(w), "y", 1, 8), 0);
	assert_int_equal(fstatat(c.dir_fd, "f", &st, 0), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0755);
	client_stop(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_other_mounts),
		cmocka_unit_test(test_bad_names),
		cmocka_unit_test(test_unterminated),
		cmocka_unit_test(test_symlinks),
		cmocka_unit_test(test_swap),
		cmocka_unit_test(test_special),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_nosuid),
		cmocka_unit_test(test_readonly),
		cmocka_unit_test(test_ids),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
