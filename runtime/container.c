/* SPDX-License-Identifier: Apache-2.0 */
/* A container's directory; see container.h. */
#include "runtime/container.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"

#define STATE_FILE	"state.json"
#define STATE_MAX_BYTES (1u << 20)
#define STATE_MAX_DEPTH 16
#define TEMPORARY	".tmp-" /* directories that are being made or removed: no id begins so */
#define REMOVED		TEMPORARY "gone-"
#define NAME_TRIES	16
#define SWEEP_AGE_S	60
#define SWEEP_MAX	256 /* leftovers looked at per run: the cost must not grow with the host */

void container_init(struct container *c)
{
	*c = (struct container){.root = -1, .dir = -1, .lock = -1, .run = -1};
}

void container_close(struct container *c)
{
	fd_closep(&c->lock);
	fd_closep(&c->run);
	fd_closep(&c->dir);
	fd_closep(&c->root);
	json_decref(c->state);
	c->state = NULL;
}

int container_check_id(const char *id, struct err *e)
{
	size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.");

	if (!*id)
		return err_set(e, EINVAL, "container id cannot be empty");
	if (id[n] || strcmp(id, ".") == 0 || strcmp(id, "..") == 0 ||
		strncmp(id, TEMPORARY, strlen(TEMPORARY)) == 0)
		return err_set(e, EINVAL,
			"invalid container ID format: \"%.64s\": use letters, digits and _ + - .",
			id);
	if (n > CONTAINER_ID_MAX_BYTES)
		return err_set(e, EINVAL, "invalid container ID: longer than %d bytes",
			CONTAINER_ID_MAX_BYTES);
	return 0;
}

static int random_name(char *name, size_t cap, const char *prefix, struct err *e)
{
	unsigned char random[6];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return err_sys(e, errno, "getrandom");
	snprintf(name, cap, "%s%02x%02x%02x%02x%02x%02x", prefix, random[0], random[1], random[2],
		random[3], random[4], random[5]);
	return 0;
}

int container_make_id(char *id, struct err *e)
{
	return random_name(id, CONTAINER_ID_MAX_BYTES + 1, "hvrun-", e);
}

int container_root_path(const char *path, char out[PATH_MAX], struct err *e)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	if (path || geteuid() == 0) {
		if (snprintf(out, PATH_MAX, "%s", path ? path : "/run/hvrun") >= PATH_MAX)
			return err_sys(e, ENAMETOOLONG, "--root");
		return 0;
	}
	if (!dir || dir[0] != '/')
		return err_set(e, EINVAL,
			"XDG_RUNTIME_DIR is not set; name a directory of your own with --root DIR");
	if (snprintf(out, PATH_MAX, "%s/hvrun", dir) >= PATH_MAX)
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

int container_common_path(const char *root, const char *name, char out[PATH_MAX], struct err *e)
{
	char dir[PATH_MAX];

	if (container_root_path(NULL, dir, e) < 0 || make_dirs(dir) < 0 ||
		faccessat(AT_FDCWD, dir, W_OK, AT_EACCESS) < 0)
		snprintf(dir, sizeof(dir), "%s", root);
	if (snprintf(out, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		return err_sys(e, ENAMETOOLONG, "%s/%s", dir, name);
	return 0;
}

/* Opens the lock file `name` of the directory and takes it; -EWOULDBLOCK when it is held. */
static int lock_file(int dir, const char *name, int flags, bool wait)
{
	cleanup_close int fd =
		openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags, 0600);

	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX | (wait ? 0 : LOCK_NB)) < 0)
		if (errno != EINTR)
			return -errno;
	return steal_fd(&fd);
}

static int open_dir(int root, const char *name)
{
	int fd = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

/* The files in it and the directory itself; there are no directories below. */
static int remove_tree(int root, const char *name, int dir_fd)
{
	int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!dir) {
		int ret = -errno;
		fd_closep(&copy);
		return ret;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(dir_fd, entry->d_name, 0);
	closedir(dir);
	return unlinkat(root, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Nobody needs as long as this between one step and the next. */
static bool is_old(int dir)
{
	struct stat st;

	return fstat(dir, &st) == 0 && time(NULL) - st.st_mtime > SWEEP_AGE_S;
}

/*
 * Whether a directory under a temporary name is left by something killed; *lock is its lock then,
 * or -1. One that is being made has no lock at first, one that is being removed none at last; who
 * removes it with us is not harmed.
 */
static bool is_leftover(int dir, const char *name, int *lock)
{
	bool removed = strncmp(name, REMOVED, strlen(REMOVED)) == 0;

	*lock = lock_file(dir, "lock", !removed && is_old(dir) ? O_CREAT : 0, false);
	return *lock >= 0 || (removed && *lock == -ENOENT);
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
		if (strncmp(entry->d_name, TEMPORARY, strlen(TEMPORARY)) != 0)
			continue;
		seen++;
		cleanup_close int fd = open_dir(root, entry->d_name);
		cleanup_close int lock = -1;
		if (fd >= 0 && is_leftover(fd, entry->d_name, &lock))
			(void)!remove_tree(root, entry->d_name, fd);
	}
	closedir(dir);
}

void container_sweep(const char *root_path)
{
	char path[PATH_MAX];
	struct err e;

	if (container_root_path(root_path, path, &e) < 0)
		return;
	cleanup_close int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root >= 0)
		sweep(root);
}

/* Takes the directory from its name, so that the name is free at once, and then away. */
static int take_away(int root, const char *name, int dir)
{
	char temporary[64];
	struct err e;

	if (random_name(temporary, sizeof(temporary), REMOVED, &e) < 0)
		return -e.code;
	if (renameat(root, name, root, temporary) < 0)
		return -errno;
	return remove_tree(root, temporary, dir);
}

/* Whether the name is still that of the directory. Who holds its lock can rely on it. */
static bool still_there(int root, const char *id, int dir)
{
	struct stat a, b;

	return fstat(dir, &a) == 0 && fstatat(root, id, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
		a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/*
 * A directory of that name whose `run` nobody holds any more is a leftover of something killed
 * together with its janitor. -EEXIST when it is none.
 */
static int take_leftover(int root, const char *id)
{
	cleanup_close int dir = open_dir(root, id);

	if (dir < 0)
		return dir == -ENOENT ? 0 : -EEXIST;
	cleanup_close int lock = lock_file(dir, "lock", 0, false);
	cleanup_close int run = lock < 0 ? -1 : lock_file(dir, "run", 0, false);
	if (run < 0)
		return -EEXIST;
	return still_there(root, id, dir) ? take_away(root, id, dir) : 0;
}

static int open_root(const char *root_path, struct err *e)
{
	int root = open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return root < 0 ? err_sys(e, errno, "--root: %s", root_path) : root;
}

static int new_dir(struct container *c, const char *name)
{
	if (mkdirat(c->root, name, 0700) < 0)
		return -errno;
	c->dir = open_dir(c->root, name);
	if (c->dir < 0)
		return c->dir;
	c->lock = lock_file(c->dir, "lock", O_CREAT | O_EXCL, false);
	if (c->lock < 0)
		return c->lock;
	c->run = lock_file(c->dir, "run", O_CREAT | O_EXCL, false);
	if (c->run < 0)
		return c->run;
	for (int tries = 0;; tries++) {
		if (renameat2(c->root, name, c->root, c->id, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST || tries == 2)
			return -errno;
		int ret = take_leftover(c->root, c->id);
		if (ret < 0)
			return ret;
	}
}

int container_new(struct container *c, const char *root_path, const char *id, struct err *e)
{
	char name[64];

	container_init(c);
	snprintf(c->id, sizeof(c->id), "%s", id);
	int ret = make_dirs(root_path);
	if (ret < 0)
		return err_sys(e, -ret, "--root: %s", root_path);
	c->root = open_root(root_path, e);
	if (c->root < 0)
		return c->root;
	sweep(c->root);
	/* Somebody who sweeps may find it in the moment before its lock is taken, and take it. */
	bool swept = true;
	for (int tries = 0; swept && tries < NAME_TRIES; tries++) {
		ret = random_name(name, sizeof(name), TEMPORARY, e);
		if (ret < 0)
			return ret;
		ret = new_dir(c, name);
		if (ret == 0) {
			c->state = json_object();
			return c->state ? 0 : err_sys(e, ENOMEM, "%s", id);
		}
		if (c->dir >= 0)
			(void)!remove_tree(c->root, name, c->dir);
		fd_closep(&c->run);
		fd_closep(&c->lock);
		fd_closep(&c->dir);
		swept = ret == -EWOULDBLOCK || ret == -ENOENT;
	}
	if (ret == -EEXIST)
		return err_set(e, EEXIST, "container with given ID already exists: %s", id);
	return err_sys(e, -ret, "--root: %s/%s", root_path, id);
}

int container_keep(struct container *c, struct err *e)
{
	if (unlinkat(c->dir, "run", 0) < 0)
		return err_sys(e, errno, "%s/run", c->id);
	fd_closep(&c->run);
	return 0;
}

static int not_there(const char *id, struct err *e)
{
	return err_set(e, ENOENT, "container \"%s\" does not exist", id);
}

static int read_state(struct container *c, struct err *e)
{
	cleanup_close int fd = openat(c->dir, STATE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	/* Between its first moment and its first state, it has an empty one. */
	json_t *state = fd < 0 && errno == ENOENT
		? json_object()
		: json_parse_fd(fd, STATE_MAX_BYTES, STATE_MAX_DEPTH, STATE_FILE, e);
	if (!state)
		return err_add(e, "%s", c->id);
	json_decref(c->state);
	c->state = state;
	return 0;
}

int container_open(struct container *c, const char *root_path, const char *id, struct err *e)
{
	container_init(c);
	int ret = container_check_id(id, e);
	if (ret < 0)
		return ret;
	snprintf(c->id, sizeof(c->id), "%s", id);
	c->root = open(root_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->root < 0)
		return errno == ENOENT ? not_there(id, e) : open_root(root_path, e);
	c->dir = open_dir(c->root, id);
	if (c->dir < 0)
		return c->dir == -ENOENT ? not_there(id, e) : err_sys(e, -c->dir, "%s", id);
	return read_state(c, e);
}

int container_lock(struct container *c, struct err *e)
{
	int fd = lock_file(c->dir, "lock", 0, true);

	if (fd < 0)
		return fd == -ENOENT ? not_there(c->id, e) : err_sys(e, -fd, "%s/lock", c->id);
	c->lock = fd;
	return still_there(c->root, c->id, c->dir) ? read_state(c, e) : not_there(c->id, e);
}

void container_unlock(struct container *c)
{
	if (c->lock >= 0)
		flock(c->lock, LOCK_UN);
	fd_closep(&c->lock);
}

int container_save(struct container *c, struct err *e)
{
	cleanup_free char *text = json_dumps(c->state, JSON_COMPACT);
	cleanup_close int fd = openat(c->dir, STATE_FILE ".new",
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (!text)
		return err_sys(e, ENOMEM, "%s", c->id);
	if (fd < 0)
		return err_sys(e, errno, "%s/" STATE_FILE, c->id);
	int ret = fd_write_all(fd, text, strlen(text));
	if (ret == 0 && renameat(c->dir, STATE_FILE ".new", c->dir, STATE_FILE) < 0)
		ret = -errno;
	return ret < 0 ? err_sys(e, -ret, "%s/" STATE_FILE, c->id) : 0;
}

int container_remove_dir(struct container *c, struct err *e)
{
	int ret = take_away(c->root, c->id, c->dir);

	sweep(c->root);
	return ret < 0 && ret != -ENOENT ? err_sys(e, -ret, "%s: its directory", c->id) : 0;
}
