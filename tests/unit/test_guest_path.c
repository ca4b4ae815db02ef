/* SPDX-License-Identifier: Apache-2.0 */
/* Paths in a hostile root, and the search for programs. No root needed. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "guestinit/modules.h"
#include "guestinit/path.h"
#include "guestinit/process.h"

static char dir[64];
static int root_fd = -1;

static int begin(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/guest-path-XXXXXX");
	if (!mkdtemp(dir) || chdir(dir) < 0 || mkdir("root", 0755) < 0 ||
		mkdir("root/real", 0755) < 0)
		return -1;
	root_fd = open("root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return root_fd < 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int end(void **state)
{
	(void)state;
	fd_closep(&root_fd);
	return chdir("/") < 0 || nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0;
}

/* Makes path and says whether it is now `expected`, a path below the root, of this type. */
static void expect_made(const char *path, mode_t type, const char *expected)
{
	cleanup_close int fd = path_make(root_fd, path, type);
	struct stat made, there;
	char host[256];

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &made), 0);
	snprintf(host, sizeof(host), "root/%s", expected);
	assert_int_equal(lstat(host, &there), 0);
	assert_true(made.st_ino == there.st_ino && made.st_dev == there.st_dev);
	assert_true((made.st_mode & S_IFMT) == type);
}

static void test_make(void **state)
{
	(void)state;
	expect_made("/a/b/c", S_IFDIR, "a/b/c");
	expect_made("a/f", S_IFREG, "a/f");
	expect_made("/a//b/./c/../d/", S_IFDIR, "a/b/d");
	expect_made("/../../x/y", S_IFREG, "x/y");
	expect_made("/new/../other", S_IFDIR, "other");
	assert_int_equal(path_make(root_fd, "/a/f/under", S_IFDIR), -ENOTDIR);
}

static void test_symlinks(void **state)
{
	(void)state;
	assert_int_equal(symlink("/", "root/top"), 0);
	assert_int_equal(symlink("../../../..", "root/up"), 0);
	assert_int_equal(symlink("/etc/nowhere/file", "root/dangling"), 0);
	assert_int_equal(symlink("nowhere", "root/real/rel"), 0);
	assert_int_equal(symlink("loop", "root/loop"), 0);
	expect_made("/top/m1", S_IFDIR, "m1");
	expect_made("/up/tmp/m2", S_IFDIR, "tmp/m2");
	expect_made("/dangling", S_IFREG, "etc/nowhere/file");
	expect_made("/real/rel/sub", S_IFDIR, "real/nowhere/sub");
	assert_int_equal(path_make(root_fd, "/loop/x", S_IFDIR), -ELOOP);
	assert_int_not_equal(access("/etc/nowhere", F_OK), 0);
}

static void test_parent(void **state)
{
	const char *name;
	cleanup_close int fd = path_make_parent(root_fd, "/dev/net/tun", &name);

	(void)state;
	assert_true(fd >= 0);
	assert_string_equal(name, "tun");
	assert_int_equal(access("root/dev/net", F_OK), 0);
	assert_int_equal(path_make_parent(root_fd, "/dev/..", &name), -EINVAL);
	assert_int_equal(path_make_parent(root_fd, "/", &name), -EINVAL);
}

static void test_clean(void **state)
{
	static const char *const pairs[][2] = {
		{"/proc", "/proc"},
		{"//proc/./sys/", "/proc/sys"},
		{"/a/../proc", "/proc"},
		{"/../..", "/"},
		{"proc/..", "/"},
		{"", "/"},
		{"/a/b/../../c", "/c"},
	};
	char out[64], tiny[4];

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		assert_int_equal(path_clean(pairs[i][0], out, sizeof(out)), 0);
		assert_string_equal(out, pairs[i][1]);
	}
	assert_int_equal(path_clean("/abc", tiny, sizeof(tiny)), -ENAMETOOLONG);
}

static void touch(const char *path, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(chmod(path, mode), 0);
}

static void test_find(void **state)
{
	char one[128], both[300];
	const char *env[] = {"X=y", both, NULL};
	cleanup_free char *path = NULL;
	struct err e = {0};
	int code = 0;

	(void)state;
	assert_int_equal(mkdir("one", 0755) | mkdir("two", 0755), 0);
	touch("one/prog", 0644);
	touch("two/prog", 0755);
	touch("one/plain", 0644);
	snprintf(one, sizeof(one), "%s/one", dir);
	snprintf(both, sizeof(both), "PATH=%s:%s/two", one, dir);
	assert_int_equal(process_find("prog", env, &path, &code, &e), 0);
	assert_non_null(strstr(path, "/two/prog"));
	free(steal_ptr(&path));
	assert_int_equal(process_find("plain", env, &path, &code, &e), -EACCES);
	assert_int_equal(code, 126);
	assert_string_equal(e.text, "exec: \"plain\": permission denied");
	assert_int_equal(process_find("none", env, &path, &code, &e), -ENOENT);
	assert_int_equal(code, 127);
	assert_int_equal(process_find("./one", env, &path, &code, &e), -EACCES);
	assert_string_equal(e.text, "exec: \"./one\": permission denied");
	assert_int_equal(code, 126);
	/* On the way through $PATH, a directory is nothing. */
	assert_int_equal(mkdir("one/dir", 0755), 0);
	assert_int_equal(process_find("dir", env, &path, &code, &e), -ENOENT);
	assert_int_equal(process_find("./one/plain/x", env, &path, &code, &e), -ENOTDIR);
	assert_int_equal(code, 127);
}

static void test_home(void **state)
{
	static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\nbroken\n:::::\n"
				     "a:x:12:12:::\nb:x:13:13::/home/b:/bin/sh\nc:x:14:1::/c";
	static const struct {
		uid_t uid;
		const char *home;
	} cases[] = {{0, "/root"}, {13, "/home/b"}, {14, "/c"}};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		cleanup_free char *home = process_home(passwd, cases[i].uid);
		assert_non_null(home);
		assert_string_equal(home, cases[i].home);
	}
	assert_null(process_home(passwd, 12));
	assert_null(process_home(passwd, 99));
	assert_null(process_home("", 0));
}

static void test_modules(void **state)
{
	struct err e = {0};

	(void)state;
	assert_int_equal(modules_flags("000-virtio.ko"), 0);
	assert_int_equal(modules_flags("000-virtio.ko.xz"), 4);
	assert_int_equal(modules_flags("000-virtio.ko.zst"), 4);
	assert_int_equal(modules_flags(".xz"), 0);
	assert_int_equal(modules_load("no-such-directory", &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_make, begin, end),
		cmocka_unit_test_setup_teardown(test_symlinks, begin, end),
		cmocka_unit_test_setup_teardown(test_parent, begin, end),
		cmocka_unit_test(test_clean),
		cmocka_unit_test_setup_teardown(test_find, begin, end),
		cmocka_unit_test(test_home),
		cmocka_unit_test(test_modules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
