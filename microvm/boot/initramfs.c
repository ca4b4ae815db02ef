/* SPDX-License-Identifier: Apache-2.0 */
/* newc cpio writer; see initramfs.h. Measuring is writing to nowhere, so the two can't differ. */
#include "microvm/boot/initramfs.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"

#define NEWC_HEADER_BYTES 110

struct cpio {
	uint8_t *dst; /* NULL while measuring */
	uint64_t cap_bytes, used_bytes;
	uint32_t inode;
};

/* Room for len bytes: where to write them; NULL (fine) while measuring. */
static int cpio_reserve(struct cpio *cpio, uint64_t len_bytes, uint8_t **at)
{
	if (len_bytes > cpio->cap_bytes - cpio->used_bytes)
		return -EFBIG;
	*at = cpio->dst ? cpio->dst + cpio->used_bytes : NULL;
	cpio->used_bytes += len_bytes;
	return 0;
}

static int cpio_put(struct cpio *cpio, const void *src, uint64_t len_bytes)
{
	uint8_t *at;
	int ret = cpio_reserve(cpio, len_bytes, &at);

	if (ret == 0 && at)
		memcpy(at, src, len_bytes);
	return ret;
}

static int cpio_align(struct cpio *cpio)
{
	static const uint8_t zero[4];

	return cpio_put(cpio, zero, -cpio->used_bytes & 3);
}

/* A header and the name: everything of an entry but the data. */
static int cpio_entry(
	struct cpio *cpio, const char *name, unsigned mode, uint32_t len_bytes, unsigned rdev_minor)
{
	char header[NEWC_HEADER_BYTES + 1];
	size_t name_bytes = strlen(name) + 1;

	snprintf(header, sizeof(header),
		"070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", ++cpio->inode, mode,
		0u, 0u, S_ISDIR(mode) ? 2u : 1u, 0u, len_bytes, 0u, 0u, rdev_minor ? 5u : 0u,
		rdev_minor, (unsigned)name_bytes, 0u);
	int ret = cpio_put(cpio, header, NEWC_HEADER_BYTES);
	if (ret == 0)
		ret = cpio_put(cpio, name, name_bytes);
	return ret < 0 ? ret : cpio_align(cpio);
}

static int path_check(const char *path)
{
	size_t len = strlen(path);

	if (!len || len >= PATH_MAX || path[len - 1] == '/')
		return -EINVAL;
	for (const char *p = path; *p; p++) {
		size_t component = strcspn(p, "/");
		if (!component || (component == 1 && *p == '.') ||
			(component == 2 && !strncmp(p, "..", 2)))
			return -EINVAL;
		p += component;
		if (!*p)
			break;
	}
	return 0;
}

/* Whether one of the files before n lies below the same directory, which is then there already. */
static bool directory_known(const struct vm_file *files, unsigned n, const char *path, size_t len)
{
	if (len == 3 && !strncmp(path, "dev", 3))
		return true;
	for (unsigned i = 0; i < n; i++)
		if (!strncmp(files[i].path, path, len) && files[i].path[len] == '/')
			return true;
	return false;
}

static int cpio_directories(struct cpio *cpio, const struct vm_file *files, unsigned n)
{
	const char *path = files[n].path;
	char name[PATH_MAX];

	for (size_t len = strcspn(path, "/"); path[len]; len += 1 + strcspn(path + len + 1, "/")) {
		if (directory_known(files, n, path, len))
			continue;
		memcpy(name, path, len);
		name[len] = '\0';
		int ret = cpio_entry(cpio, name, S_IFDIR | 0755, 0, 0);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int cpio_file(struct cpio *cpio, const struct vm_file *file, struct err *e)
{
	struct stat st;
	uint8_t *at;

	if (fstat(file->fd, &st) < 0)
		return err_sys(e, errno, "initramfs: %s", file->path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, EINVAL, "initramfs: %s: not a regular file", file->path);
	if ((uint64_t)st.st_size > cpio->cap_bytes)
		return err_set(e, EFBIG, "initramfs: %s: too large", file->path);
	int ret = cpio_entry(
		cpio, file->path, S_IFREG | (file->mode_perms & 07777), (uint32_t)st.st_size, 0);
	if (ret == 0)
		ret = cpio_reserve(cpio, (uint64_t)st.st_size, &at);
	if (ret == 0 && at)
		ret = fd_pread_all(file->fd, at, (size_t)st.st_size, 0);
	if (ret == 0)
		ret = cpio_align(cpio);
	return ret < 0 ? err_sys(e, -ret, "initramfs: %s", file->path) : 0;
}

static int cpio_archive(
	struct cpio *cpio, const struct vm_file *files, unsigned n_files, struct err *e)
{
	if (n_files > INITRAMFS_FILES_MAX)
		return err_set(e, EFBIG, "initramfs: more than %u files", INITRAMFS_FILES_MAX);
	int ret = cpio_entry(cpio, "dev", S_IFDIR | 0755, 0, 0);
	if (ret == 0)
		ret = cpio_entry(cpio, "dev/console", S_IFCHR | 0600, 0, 1);
	if (ret < 0)
		return err_sys(e, -ret, "initramfs");
	for (unsigned i = 0; i < n_files; i++) {
		if (path_check(files[i].path) < 0)
			return err_set(e, EINVAL,
				"initramfs: \"%s\" is no relative path below the root",
				files[i].path);
		ret = cpio_directories(cpio, files, i);
		if (ret < 0)
			return err_sys(e, -ret, "initramfs: %s", files[i].path);
		ret = cpio_file(cpio, &files[i], e);
		if (ret < 0)
			return ret;
	}
	ret = cpio_entry(cpio, "TRAILER!!!", 0, 0, 0);
	return ret < 0 ? err_sys(e, -ret, "initramfs") : 0;
}

int initramfs_measure(
	const struct vm_file *files, unsigned n_files, uint64_t *len_bytes, struct err *e)
{
	struct cpio cpio = {.cap_bytes = INITRAMFS_MAX_BYTES};
	int ret = cpio_archive(&cpio, files, n_files, e);

	*len_bytes = cpio.used_bytes;
	return ret;
}

int initramfs_write(
	const struct vm_file *files, unsigned n_files, void *dst, uint64_t len_bytes, struct err *e)
{
	struct cpio cpio = {.dst = dst, .cap_bytes = len_bytes};
	int ret = cpio_archive(&cpio, files, n_files, e);

	if (ret == 0 && cpio.used_bytes != len_bytes)
		return err_set(e, EBUSY, "initramfs: a file changed while it was read");
	return ret;
}
