/* SPDX-License-Identifier: Apache-2.0 */
/* Ids in use; see idlock.h. */
#include "runtime/idlock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

#define SUFFIX	  ".lock"
#define SWEEP_MAX 256 /* leftovers looked at per run: the cost must not grow with the host */

int idlock_check_id(const char *id, struct err *e)
{
	size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.");

	if (!*id)
		return err_set(e, EINVAL, "container id cannot be empty");
	if (id[n] || strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		return err_set(e, EINVAL,
			"invalid container ID format: \"%.64s\": use letters, digits and _ + - .",
			id);
	if (n > ID_MAX_BYTES)
		return err_set(
			e, EINVAL, "invalid container ID: longer than %d bytes", ID_MAX_BYTES);
	return 0;
}

int idlock_make_id(char *id, struct err *e)
{
	unsigned char random[6];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_sys(e, errno, "getrandom");
	snprintf(id, ID_MAX_BYTES + 1, "hvrun-%02x%02x%02x%02x%02x%02x", random[0], random[1],
		random[2], random[3], random[4], random[5]);
	return 0;
}

int idlock_default_root(char path[PATH_MAX], struct err *e)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	if (geteuid() == 0) {
		snprintf(path, PATH_MAX, "/run/hvrun");
		return 0;
	}
	if (!dir || dir[0] != '/')
		return err_set(e, EINVAL,
			"XDG_RUNTIME_DIR is not set; name a directory of your own with --root DIR");
	if (snprintf(path, PATH_MAX, "%s/hvrun", dir) >= PATH_MAX)
		return err_sys(e, ENAMETOOLONG, "XDG_RUNTIME_DIR");
	return 0;
}

/* mkdir -p, 0700 as runc does. */
static int make_dirs(const char *path)
{
	char dir[PATH_MAX];

	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	if (errno != ENOENT || snprintf(dir, sizeof(dir), "%s", path) >= PATH_MAX)
		return -errno;
	for (char *c = dir + 1; *c; c++) {
		if (*c != '/')
			continue;
		*c = '\0';
		if (mkdir(dir, 0700) < 0 && errno != EEXIST)
			return -errno;
		*c = '/';
	}
	return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

/* Whether the name in the directory is still the file that we have open. */
static bool same_file(int root, const char *name, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(root, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
		a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void sweep(int root)
{
	int copy = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	unsigned seen = 0;

	if (!dir) {
		fd_closep(&copy);
		return;
	}
	while ((entry = readdir(dir)) && seen < SWEEP_MAX) {
		size_t n = strlen(entry->d_name);
		if (n <= strlen(SUFFIX) || strcmp(entry->d_name + n - strlen(SUFFIX), SUFFIX) != 0)
			continue;
		seen++;
		cleanup_close int fd =
			openat(root, entry->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
			same_file(root, entry->d_name, fd))
			unlinkat(root, entry->d_name, 0);
	}
	closedir(dir);
}

static int take(struct idlock *lock, const char *root_path, const char *id, struct err *e)
{
	int ret = make_dirs(root_path);

	if (ret < 0)
		return err_sys(e, -ret, "--root: %s", root_path);
	lock->root = open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock->root < 0)
		return err_sys(e, errno, "--root: %s", root_path);
	sweep(lock->root);
	snprintf(lock->name, sizeof(lock->name), "%s" SUFFIX, id);
	for (;;) {
		cleanup_close int fd = openat(lock->root, lock->name,
			O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
		if (fd < 0)
			return err_sys(e, errno, "--root: %s/%s", root_path, lock->name);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			if (errno == EWOULDBLOCK)
				return err_set(e, EEXIST,
					"container with given ID already exists: %s", id);
			return err_sys(e, errno, "--root: %s/%s", root_path, lock->name);
		}
		/* Somebody may have swept it between our open and our lock: then once more. */
		if (same_file(lock->root, lock->name, fd)) {
			lock->fd = steal_fd(&fd);
			return 0;
		}
	}
}

int idlock_take(struct idlock *lock, const char *root_path, const char *id, struct err *e)
{
	*lock = (struct idlock){.root = -1, .fd = -1};
	int ret = take(lock, root_path, id, e);
	if (ret < 0)
		fd_closep(&lock->root);
	return ret;
}

void idlock_release(struct idlock *lock)
{
	if (lock->fd >= 0)
		unlinkat(lock->root, lock->name, 0);
	fd_closep(&lock->fd);
	fd_closep(&lock->root);
}
