/* SPDX-License-Identifier: Apache-2.0 */
/* Copying a directory into a fresh tmpfs; see copyup.h. */
#include "guestinit/copyup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* An image decides on the depth; each level costs a descriptor or two and stack. */
#define COPYUP_DEPTH_MAX   64
#define COPYUP_CHUNK_BYTES (1u << 20)

static int copyup_attributes(int fd, const struct stat *st)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};

	if (fchown(fd, st->st_uid, st->st_gid) < 0 || fchmod(fd, st->st_mode & 07777) < 0 ||
		futimens(fd, times) < 0)
		return -errno;
	return 0;
}

static int copyup_file(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	cleanup_close int from =
		openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	cleanup_close int to =
		openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (from < 0 || to < 0)
		return -errno;
	ssize_t n;
	while ((n = sendfile(to, from, NULL, COPYUP_CHUNK_BYTES)) > 0)
		;
	if (n < 0)
		return -errno;
	return copyup_attributes(to, st);
}

static int copyup_other(int from_dir, int to_dir, const char *name, const struct stat *st)
{
	if (S_ISLNK(st->st_mode)) {
		char target[PATH_MAX];
		ssize_t len = readlinkat(from_dir, name, target, sizeof(target) - 1);
		if (len < 0)
			return -errno;
		target[len] = '\0';
		if (symlinkat(target, to_dir, name) < 0)
			return -errno;
	} else if (mknodat(to_dir, name, st->st_mode, st->st_rdev) < 0) {
		return -errno;
	}
	if (fchownat(to_dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISLNK(st->st_mode) && fchmodat(to_dir, name, st->st_mode & 07777, 0) < 0)
		return -errno;
	return 0;
}

static int copyup_dir(int from_fd, int to_fd, unsigned depth, struct err *e);

static int copyup_subdir(int from_dir, int to_dir, const char *name, unsigned depth, struct err *e)
{
	cleanup_close int from =
		openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (from < 0 || mkdirat(to_dir, name, 0700) < 0)
		return err_sys(e, errno, "%s", name);
	cleanup_close int to =
		openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return err_sys(e, errno, "%s", name);
	int ret = copyup_dir(from, to, depth + 1, e);
	return ret < 0 ? err_add(e, "%s", name) : 0;
}

static int copyup_entry(int from_dir, int to_dir, const char *name, unsigned depth, struct err *e)
{
	struct stat st;
	int ret;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	if (fstatat(from_dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "%s", name);
	if (S_ISDIR(st.st_mode))
		return copyup_subdir(from_dir, to_dir, name, depth, e);
	if (S_ISREG(st.st_mode))
		ret = copyup_file(from_dir, to_dir, name, &st);
	else
		ret = copyup_other(from_dir, to_dir, name, &st);
	return ret < 0 ? err_sys(e, -ret, "%s", name) : 0;
}

static void copyup_closedir(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

static int copyup_dir(int from_fd, int to_fd, unsigned depth, struct err *e)
{
	struct stat st;
	int ret = 0;

	if (depth > COPYUP_DEPTH_MAX)
		return err_set(e, ELOOP, "nested deeper than %d directories", COPYUP_DEPTH_MAX);
	int listing = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	__attribute__((cleanup(copyup_closedir))) DIR *dir =
		listing < 0 ? NULL : fdopendir(listing);
	if (!dir || fstat(from_fd, &st) < 0) {
		ret = err_sys(e, errno, "can't read the directory");
		if (!dir && listing >= 0)
			close(listing);
		return ret;
	}
	for (;;) {
		errno = 0;
		const struct dirent *entry = readdir(dir);
		if (!entry)
			break;
		ret = copyup_entry(from_fd, to_fd, entry->d_name, depth, e);
		if (ret < 0)
			return ret;
	}
	if (errno)
		return err_sys(e, errno, "can't read the directory");
	if (!depth)
		return 0; /* the mount's options decide */
	ret = copyup_attributes(to_fd, &st);
	return ret < 0 ? err_sys(e, -ret, "can't set owner and mode") : 0;
}

int copyup_tree(int from_fd, int to_fd, struct err *e)
{
	cleanup_close int from = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_close int to = openat(to_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (from < 0 || to < 0)
		return err_sys(e, errno, "can't open the directory");
	return copyup_dir(from, to, 0, e);
}
