/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvmbox: the initramfs of one run. See initrd.h.
 */
#include "initrd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define LINK_DEPTH_MAX 40

static int initrd_pad(struct initrd *rd)
{
	long at = ftell(rd->file);

	while (at++ % 4)
		if (putc(0, rd->file) < 0)
			return -EIO;
	return 0;
}

static int initrd_add_header(
	struct initrd *rd, const char *name, const struct stat *st, size_t len_bytes)
{
	if (len_bytes > UINT_MAX)
		return -EFBIG;
	fprintf(rd->file, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		rd->next_ino++, st->st_mode, st->st_uid, st->st_gid, 1U, (unsigned int)st->st_mtime,
		(unsigned int)len_bytes, 0U, 0U, major(st->st_rdev), minor(st->st_rdev),
		(unsigned int)strlen(name) + 1, 0U);
	fwrite(name, 1, strlen(name) + 1, rd->file);
	return initrd_pad(rd);
}

static int initrd_add(struct initrd *rd, const char *name, const struct stat *st, const void *data,
	size_t len_bytes)
{
	int r = initrd_add_header(rd, name, st, len_bytes);

	if (r)
		return r;
	if (len_bytes && fwrite(data, 1, len_bytes, rd->file) != len_bytes)
		return -EIO;
	return initrd_pad(rd);
}

int initrd_add_bytes(struct initrd *rd, const char *name, const void *data, size_t len_bytes)
{
	struct stat st = {.st_mode = S_IFREG | 0644};

	return initrd_add(rd, name, &st, data, len_bytes);
}

int initrd_add_dir(struct initrd *rd, const char *name)
{
	struct stat st = {.st_mode = S_IFDIR | 0755};

	return initrd_add(rd, name, &st, NULL, 0);
}

static int initrd_copy(FILE *to, const char *path, size_t len_bytes)
{
	char buf[65536];
	FILE *from = fopen(path, "re");
	size_t n, done = 0;

	if (!from)
		return -errno;
	while (done < len_bytes && (n = fread(buf, 1, sizeof(buf), from)) > 0) {
		if (n > len_bytes - done)
			n = len_bytes - done;
		if (fwrite(buf, 1, n, to) != n)
			break;
		done += n;
	}
	fclose(from);
	return done == len_bytes ? 0 : -EIO;
}

int initrd_open(struct initrd *rd, const char *base_path)
{
	struct stat st;
	int fd;

	/* Far from the inode numbers of the first archive. */
	*rd = (struct initrd){.fd = -1, .next_ino = 1U << 24};
	if (stat(base_path, &st))
		return -errno;
	/* Open in QEMU too, by its number in /proc. */
	rd->fd = memfd_create("kvmbox-initrd", MFD_CLOEXEC);
	fd = rd->fd < 0 ? -1 : fcntl(rd->fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	rd->file = fdopen(fd, "w");
	if (!rd->file)
		return -errno;
	int r = initrd_copy(rd->file, base_path, (size_t)st.st_size);

	return r ? r : initrd_pad(rd);
}

static int initrd_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* True the first time that it is asked about a name. */
static bool initrd_is_new(struct initrd *rd, const char *name)
{
	char *copy = strdup(name);
	char **slot = copy ? tsearch(copy, &rd->seen, initrd_compare) : NULL;

	if (slot && *slot == copy)
		return true;
	free(copy);
	return false;
}

static int initrd_add_file(struct initrd *rd, const char *path, const struct stat *st)
{
	char name[PATH_MAX + 8];
	int r;

	snprintf(name, sizeof(name), "box%s", path);
	r = initrd_add_header(rd, name, st, (size_t)st->st_size);
	if (!r)
		r = initrd_copy(rd->file, path, (size_t)st->st_size);
	return r ? r : initrd_pad(rd);
}

static int initrd_add_depth(struct initrd *rd, const char *path, bool whole, int depth);

static int initrd_add_link(struct initrd *rd, const char *path, const struct stat *st, int depth)
{
	char target[PATH_MAX], next[2 * PATH_MAX], name[PATH_MAX + 8];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	struct stat to;
	int r;

	if (n < 0)
		return -errno;
	target[n] = 0;
	snprintf(name, sizeof(name), "box%s", path);
	r = initrd_add(rd, name, st, target, (size_t)n);
	/* A dangling link is copied as what it is. */
	if (r || stat(path, &to))
		return r;
	if (target[0] == '/')
		snprintf(next, sizeof(next), "%s", target);
	else
		snprintf(next, sizeof(next), "%.*s/%s", (int)(strrchr(path, '/') - path), path,
			target);
	/* The target of a link to a directory is made, but filled only by what is asked for. */
	return initrd_add_depth(rd, next, !S_ISDIR(to.st_mode), depth + 1);
}

static int initrd_add_tree(struct initrd *rd, const char *path, int depth)
{
	DIR *dir = opendir(path);
	struct dirent *de;
	char child[PATH_MAX];
	int r = 0;

	if (!dir)
		return -errno;
	while (!r && (de = readdir(dir))) {
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		snprintf(child, sizeof(child), "%s/%s", path, de->d_name);
		r = initrd_add_depth(rd, child, true, depth);
	}
	closedir(dir);
	return r;
}

/* Adds one object whose parents are there; sets *via when it is a link on the way further. */
static int initrd_add_node(struct initrd *rd, const char *path, bool whole, int depth)
{
	char name[PATH_MAX + 8];
	struct stat st;
	bool is_new;

	if (lstat(path, &st))
		return -errno;
	is_new = initrd_is_new(rd, path);
	if (S_ISLNK(st.st_mode))
		return is_new ? initrd_add_link(rd, path, &st, depth) : 0;
	if (S_ISREG(st.st_mode))
		return is_new ? initrd_add_file(rd, path, &st) : 0;
	snprintf(name, sizeof(name), "box%s", path);
	if (is_new) {
		int r = initrd_add(rd, name, &st, NULL, 0);

		if (r)
			return r;
	}
	return S_ISDIR(st.st_mode) && whole ? initrd_add_tree(rd, path, depth) : 0;
}

/*
 * Walks down the path's components, adding each; a link on the way adds what it leads to, and the
 * walk goes on there, so that the path's real place comes to be as well.
 */
static int initrd_add_depth(struct initrd *rd, const char *path, bool whole, int depth)
{
	char done[PATH_MAX], real[PATH_MAX];
	size_t len = strlen(path);

	if (depth > LINK_DEPTH_MAX)
		return -ELOOP;
	if (path[0] != '/' || len >= sizeof(done))
		return -EINVAL;
	for (size_t i = 1; i < len; i++) {
		struct stat st;
		int r;

		if (path[i] != '/' || path[i - 1] == '/')
			continue;
		memcpy(done, path, i);
		done[i] = 0;
		if (lstat(done, &st))
			return -errno;
		r = initrd_add_node(rd, done, false, depth);
		if (r)
			return r;
		if (!S_ISLNK(st.st_mode) && !strstr(path, "/../") && !strstr(path, "/./"))
			continue;
		if (!realpath(done, real))
			return -errno;
		if (strcmp(real, done) == 0)
			continue;
		if (strlen(real) + len - i >= sizeof(done))
			return -ENAMETOOLONG;
		snprintf(done, sizeof(done), "%s%s", real, path + i);
		return initrd_add_depth(rd, done, whole, depth + 1);
	}
	return initrd_add_node(rd, path, whole, depth);
}

int initrd_add_path(struct initrd *rd, const char *path)
{
	char name[PATH_MAX];
	size_t len;

	snprintf(name, sizeof(name), "%s", path);
	for (len = strlen(name); len > 1 && name[len - 1] == '/'; len--)
		name[len - 1] = 0;
	return initrd_add_depth(rd, name, true, 0);
}

int initrd_finish(struct initrd *rd)
{
	struct stat st = {.st_mode = 0};
	int r = initrd_add(rd, "TRAILER!!!", &st, NULL, 0);

	tdestroy(rd->seen, free);
	rd->seen = NULL;
	if (fclose(rd->file))
		r = r ? r : -EIO;
	rd->file = NULL;
	return r;
}
