/* SPDX-License-Identifier: Apache-2.0 */
/* Open files: handles that are not the guest's, offsets and sizes that don't fit, caching. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/fuse_client.h"

#define ROOT FUSE_ROOT_ID

static const struct client_options plain = {0};

static void start(struct fuse_client *c, const struct client_options *options, uint64_t *dir)
{
	client_start(c, options);
	assert_int_equal(client_lookup(c, ROOT, "x", dir), 0);
}

static void test_handles(void **state)
{
	struct fuse_client c;
	uint64_t dir, a, b, fa, fb, fd;
	struct fuse_read_in read = {.size = 100};
	struct fuse_fsync_in fsync_in = {0};

	(void)state;
	start(&c, &plain, &dir);
	assert_int_equal(client_create(&c, dir, "a", O_RDWR, 0644, &a, &fa), 0);
	assert_int_equal(client_create(&c, dir, "b", O_RDWR, 0644, &b, &fb), 0);
	assert_int_equal(client_open(&c, dir, O_RDONLY | O_DIRECTORY, &fd), 0);
	assert_int_equal(client_write(&c, a, fa, 0, "hello", 5, 0), 0);
	assert_int_equal(client_read(&c, a, fa, 1, 100), 0);
	assert_int_equal(c.out_bytes, 4);
	assert_memory_equal(c.out, "ello", 4);
	/* A handle of another file, of a directory, of nobody. */
	assert_int_equal(client_read(&c, a, fb, 0, 10), -EBADF);
	assert_int_equal(client_read(&c, a, fd, 0, 10), -EBADF);
	assert_int_equal(client_read(&c, dir, fd, 0, 10), -EBADF);
	assert_int_equal(client_read(&c, a, 0, 0, 10), -EBADF);
	assert_int_equal(client_read(&c, a, UINT64_MAX, 0, 10), -EBADF);
	assert_int_equal(client_read(&c, a, fa | UINT64_C(1) << 40, 0, 10), -EBADF);
	read.fh = fa;
	assert_int_equal(client_call(&c, FUSE_READDIR, a, &read, sizeof(read), 100), -EBADF);
	fsync_in.fh = fd;
	assert_int_equal(client_call(&c, FUSE_FSYNC, dir, &fsync_in, sizeof(fsync_in), 0), -EBADF);
	assert_int_equal(client_call(&c, FUSE_FSYNCDIR, dir, &fsync_in, sizeof(fsync_in), 0), 0);
	client_release(&c, a, fa);
	assert_int_equal(client_read(&c, a, fa, 0, 10), -EBADF);
	client_release(&c, a, fa);
	assert_int_equal(client_open(&c, a, O_RDONLY, &fb), 0);
	assert_int_not_equal(fa, fb);
	/* A file stays readable when the guest has forgotten its inode. */
	client_forget(&c, a, 2);
	assert_int_equal(client_read(&c, a, fb, 0, 10), 0);
	assert_int_equal(client_getattr(&c, a, NULL), -ESTALE);
	client_release(&c, a, fb);
	client_stop(&c);
}

static void test_handles_max(void **state)
{
	const struct client_options options = {.handles_max = 3};
	struct fuse_client c;
	uint64_t dir, node, fh[4];

	(void)state;
	start(&c, &options, &dir);
	client_put(&c, "f", "x");
	assert_int_equal(client_lookup(&c, dir, "f", &node), 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(client_open(&c, node, O_RDONLY, &fh[i]), i < 3 ? 0 : -ENFILE);
	/* A created file whose handle found no place is no lookup that the guest knows of. */
	uint32_t nodes = c.session->nodes.count;
	uint64_t fresh, fresh_fh;
	assert_int_equal(client_create(&c, dir, "g", O_RDWR, 0644, &fresh, &fresh_fh), -ENFILE);
	assert_int_equal(c.session->nodes.count, nodes);
	client_release(&c, node, fh[0]);
	assert_int_equal(client_open(&c, node, O_RDONLY, &fh[0]), 0);
	client_stop(&c);
}

static void test_bounds(void **state)
{
	struct fuse_client c;
	uint64_t dir, f, fh;
	struct fuse_read_in read = {.size = UINT32_MAX};
	struct fuse_write_in write = {.size = 100};
	struct fuse_fallocate_in alloc = {.length = UINT64_MAX};
	struct fuse_lseek_in seek = {.offset = UINT64_MAX, .whence = SEEK_DATA};
	struct fuse_copy_file_range_in copy = {.len = UINT64_MAX};

	(void)state;
	start(&c, &plain, &dir);
	assert_int_equal(client_create(&c, dir, "f", O_RDWR, 0644, &f, &fh), 0);
	char *data = calloc(1, 1 << 20);
	memset(data, 'd', 1 << 20);
	assert_int_equal(client_write(&c, f, fh, 0, data, 1 << 20, 0), 0);
	read.fh = write.fh = alloc.fh = seek.fh = copy.fh_in = copy.fh_out = fh;
	copy.nodeid_out = f;
	/* More asked for than the chain has room for. */
	assert_int_equal(client_call(&c, FUSE_READ, f, &read, sizeof(read), 5000), 0);
	assert_int_equal(c.out_bytes, 5000);
	assert_int_equal(client_call(&c, FUSE_READ, f, &read, sizeof(read), 0), 0);
	assert_int_equal(client_read(&c, f, fh, 0, 1 << 20), 0);
	assert_int_equal(c.out_bytes, 1 << 20);
	assert_memory_equal(c.out, data, 1 << 20);
	read.offset = INT64_MAX;
	assert_int_equal(client_call(&c, FUSE_READ, f, &read, sizeof(read), 5000), -EINVAL);
	read.offset = UINT64_MAX;
	assert_int_equal(client_call(&c, FUSE_READ, f, &read, sizeof(read), 5000), -EINVAL);
	/* Less there than the request says. */
	assert_int_equal(
		client_call2(&c, FUSE_WRITE, f, &write, sizeof(write), data, 99, 8), -EINVAL);
	write.size = UINT32_MAX;
	assert_int_equal(
		client_call2(&c, FUSE_WRITE, f, &write, sizeof(write), data, 99, 8), -EINVAL);
	write.size = 10;
	assert_int_equal(client_call2(&c, FUSE_WRITE, f, &write, sizeof(write), data, 99, 8), 0);
	write.offset = INT64_MAX - 5;
	assert_int_equal(
		client_call2(&c, FUSE_WRITE, f, &write, sizeof(write), data, 99, 8), -EFBIG);
	assert_int_equal(client_call(&c, FUSE_FALLOCATE, f, &alloc, sizeof(alloc), 0), -EINVAL);
	alloc.length = 10;
	alloc.mode = UINT32_MAX;
	assert_int_equal(client_call(&c, FUSE_FALLOCATE, f, &alloc, sizeof(alloc), 0), -EOPNOTSUPP);
	assert_int_equal(client_call(&c, FUSE_LSEEK, f, &seek, sizeof(seek), 8), -ENXIO);
	seek.offset = 0;
	assert_int_equal(client_call(&c, FUSE_LSEEK, f, &seek, sizeof(seek), 8), 0);
	seek.whence = SEEK_CUR;
	assert_int_equal(client_call(&c, FUSE_LSEEK, f, &seek, sizeof(seek), 8), -EINVAL);
	copy.off_out = UINT64_MAX;
	assert_int_equal(client_call(&c, FUSE_COPY_FILE_RANGE, f, &copy, sizeof(copy), 8), -EINVAL);
	struct fuse_setattr_in set = {.valid = FATTR_SIZE, .size = UINT64_MAX};
	assert_int_equal(client_call(&c, FUSE_SETATTR, f, &set, sizeof(set), 200), -EINVAL);
	set = (struct fuse_setattr_in){.valid = FATTR_ATIME, .atimensec = 1000000000};
	assert_int_equal(client_call(&c, FUSE_SETATTR, f, &set, sizeof(set), 200), -EINVAL);
	free(data);
	client_stop(&c);
}

static void test_append(void **state)
{
	struct fuse_client c;
	uint64_t dir, f, fh;
	char back[32] = "";

	(void)state;
	start(&c, &plain, &dir);
	client_put(&c, "log", "one ");
	assert_int_equal(client_lookup(&c, dir, "log", &f), 0);
	assert_int_equal(client_open(&c, f, O_WRONLY | O_APPEND, &fh), 0);
	/* The host has appended since: the guest's offset is old. */
	client_put(&c, "log", "one two ");
	assert_int_equal(client_write(&c, f, fh, 4, "three ", 6, O_WRONLY | O_APPEND), 0);
	/* A page written back keeps its own place, though the handle appends. */
	struct fuse_write_in w = {.fh = fh,
		.offset = 0,
		.size = 3,
		.write_flags = FUSE_WRITE_CACHE,
		.flags = O_WRONLY | O_APPEND};
	assert_int_equal(client_call2(&c, FUSE_WRITE, f, &w, sizeof(w), "ONE", 3, 8), 0);
	int fd = openat(c.dir_fd, "log", O_RDONLY);
	assert_int_equal(read(fd, back, sizeof(back)), 14);
	assert_string_equal(back, "ONE two three ");
	close(fd);
	client_stop(&c);
}

static uint32_t open_flags_of(struct fuse_client *c, uint64_t node)
{
	struct fuse_open_in in = {.flags = O_RDONLY};
	struct fuse_open_out out;

	assert_int_equal(client_call(c, FUSE_OPEN, node, &in, sizeof(in), sizeof(out)), 0);
	memcpy(&out, c->out, sizeof(out));
	client_release(c, node, out.fh);
	return out.open_flags;
}

static void test_caching(void **state)
{
	struct client_options options = {0};
	struct fuse_client c;
	struct fuse_entry_out entry;
	uint64_t dir, f;

	(void)state;
	start(&c, &options, &dir);
	client_put(&c, "f", "one");
	assert_int_equal(client_lookup(&c, dir, "f", &f), 0);
	memcpy(&entry, c.out, sizeof(entry));
	assert_int_equal(entry.entry_valid, 1);
	assert_int_equal(entry.attr_valid, 1);
	assert_int_equal(open_flags_of(&c, f), FOPEN_KEEP_CACHE);
	client_put(&c, "f", "longer");
	assert_int_equal(open_flags_of(&c, f), 0); /* the guest does not know of that yet */
	assert_int_equal(open_flags_of(&c, f), 0);
	assert_int_equal(client_getattr(&c, f, NULL), 0);
	assert_int_equal(open_flags_of(&c, f), FOPEN_KEEP_CACHE);
	client_stop(&c);

	options.cache = CACHE_NEVER;
	start(&c, &options, &dir);
	client_put(&c, "f", "one");
	assert_int_equal(client_lookup(&c, dir, "f", &f), 0);
	memcpy(&entry, c.out, sizeof(entry));
	assert_int_equal(entry.entry_valid | entry.attr_valid, 0);
	assert_true(open_flags_of(&c, f) & FOPEN_DIRECT_IO);
	client_stop(&c);

	options.without = FUSE_DIRECT_IO_ALLOW_MMAP;
	start(&c, &options, &dir);
	client_put(&c, "f", "one");
	assert_int_equal(client_lookup(&c, dir, "f", &f), 0);
	assert_int_equal(open_flags_of(&c, f), 0);
	client_stop(&c);

	options = (struct client_options){.cache = CACHE_ALWAYS};
	start(&c, &options, &dir);
	client_put(&c, "f", "one");
	assert_int_equal(client_lookup(&c, dir, "f", &f), 0);
	memcpy(&entry, c.out, sizeof(entry));
	assert_true(entry.entry_valid > 3600);
	client_put(&c, "f", "longer");
	assert_int_equal(open_flags_of(&c, f), FOPEN_KEEP_CACHE);
	client_stop(&c);
}

static void test_unlinked(void **state)
{
	struct fuse_client c;
	uint64_t dir, f, fh, node;
	struct fuse_attr attr;

	(void)state;
	start(&c, &plain, &dir);
	assert_int_equal(client_create(&c, dir, "f", O_RDWR, 0644, &f, &fh), 0);
	assert_int_equal(client_call(&c, FUSE_UNLINK, dir, "f", 2, 0), 0);
	assert_int_equal(client_write(&c, f, fh, 0, "still", 5, 0), 0);
	client_release(&c, f, fh);
	/* The inode lives as long as the guest has not forgotten it. */
	assert_int_equal(client_getattr(&c, f, &attr), 0);
	assert_int_equal(attr.nlink, 0);
	assert_int_equal(attr.size, 5);
	assert_int_equal(client_open(&c, f, O_RDWR, &fh), 0);
	assert_int_equal(client_read(&c, f, fh, 0, 10), 0);
	assert_memory_equal(c.out, "still", 5);
	struct fuse_create_in in = {.flags = O_RDWR | O_EXCL, .mode = S_IFREG | 0600};
	assert_int_equal(client_call2(&c, FUSE_TMPFILE, dir, &in, sizeof(in), "/", 2, 144), 0);
	struct fuse_entry_out entry;
	memcpy(&entry, c.out, sizeof(entry));
	node = entry.nodeid;
	struct fuse_link_in link_in = {.oldnodeid = node};
	assert_int_equal(
		client_call2(&c, FUSE_LINK, dir, &link_in, sizeof(link_in), "l", 2, 200), -ENOENT);
	client_stop(&c);
}

static void test_xattr_hidden(void **state)
{
	struct fuse_client c;
	uint64_t dir;
	struct fuse_setxattr_in set = {.size = 1};
	struct fuse_getxattr_in get = {.size = 100};
	char long_name[300];

	(void)state;
	start(&c, &plain, &dir);
	assert_int_equal(client_call2(&c, FUSE_SETXATTR, dir, &set, sizeof(set),
				 "security.selinux\0v", 18, 0),
		-EOPNOTSUPP);
	assert_int_equal(
		client_call2(&c, FUSE_GETXATTR, dir, &get, sizeof(get), "security.ima", 13, 100),
		-ENODATA);
	assert_int_equal(client_call(&c, FUSE_REMOVEXATTR, dir, "security.evm", 13, 0), -ENODATA);
	memset(long_name, 'n', sizeof(long_name));
	long_name[256] = 0;
	assert_int_equal(client_call2(&c, FUSE_SETXATTR, dir, &set, sizeof(set), long_name, 258, 0),
		-ERANGE);
	assert_int_equal(
		client_call2(&c, FUSE_SETXATTR, dir, &set, sizeof(set), "user.x", 7, 0), -EINVAL);
	set.size = UINT32_MAX;
	assert_int_equal(client_call2(&c, FUSE_SETXATTR, dir, &set, sizeof(set), "user.x\0v", 8, 0),
		-EINVAL);
	client_stop(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handles),
		cmocka_unit_test(test_handles_max),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_caching),
		cmocka_unit_test(test_unlinked),
		cmocka_unit_test(test_xattr_hidden),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
