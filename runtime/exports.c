/* SPDX-License-Identifier: Apache-2.0 */
/* Exported files of the host; see exports.h. */
#include "runtime/exports.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/support.h"

void exports_mount_name(size_t index, char *name)
{
	snprintf(name, EXPORT_NAME_BYTES, "mount-%zu", index);
}

/* Of two opposite options the last counts, as for mount(8). */
static bool option_last(const json_t *mount, const char *on, const char *off)
{
	const json_t *options = json_object_get(mount, "options");
	bool is_on = false;

	for (size_t i = 0; i < json_array_size(options); i++) {
		const char *option = json_string_value(json_array_get(options, i));
		/* "rro" is "ro" for the whole tree. */
		const char *word = option[0] == 'r' && option[1] == 'r' ? option + 1 : option;
		if (strcmp(word, on) == 0)
			is_on = true;
		else if (strcmp(word, off) == 0)
			is_on = false;
	}
	return is_on;
}

static int export_open(
	struct export *export, int bundle, const char *bundle_path, const char *path, struct err *e)
{
	export->fd = openat(bundle, path, O_PATH | O_CLOEXEC);
	if (export->fd < 0)
		return errno == ENOENT ? err_set(e, ENOENT, "%s: no such file or directory", path)
				       : err_sys(e, errno, "%s", path);
	bool absolute = path[0] == '/';
	if (asprintf(&export->path, "%s%s%s", absolute ? "" : bundle_path, absolute ? "" : "/",
		    path) < 0)
		export->path = NULL;
	return export->path ? 0 : err_sys(e, ENOMEM, "%s", path);
}

/* Files that mean something else on the other side of the boundary, or nothing. */
static int check_type(struct export *export, struct err *e)
{
	struct stat st;

	if (fstat(export->fd, &st) < 0)
		return err_sys(e, errno, "%s", export->path);
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
	case S_IFREG:
		return 0;
	case S_IFSOCK:
		export->socket = true;
		return 0;
	case S_IFIFO:
		return err_set(e, ENOTSUP,
			"%s: is a named pipe, which can't reach into a virtual machine",
			export->path);
	case S_IFBLK:
		return err_set(e, ENOTSUP,
			"%s: is a block device; list it in linux.devices instead", export->path);
	case S_IFCHR:
		if (support_char_device(major(st.st_rdev), minor(st.st_rdev)))
			return 0;
		return err_set(e, ENOTSUP,
			"%s: is character device %u:%u, which is not passed into the virtual "
			"machine",
			export->path, major(st.st_rdev), minor(st.st_rdev));
	default:
		return err_set(e, ENOTSUP, "%s: is neither a file nor a directory", export->path);
	}
}

/* Whether path exists below the directory root, symlinks taken as the container would. */
static bool exists_below(int root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	cleanup_close int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd >= 0;
}

static bool below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	while (n && dir[n - 1] == '/')
		n--;
	return strncmp(path, dir, n) == 0 && path[n] == '/';
}

/*
 * A root file system that is to be read-only is exported read-only, so that not even the guest's
 * kernel can change it, if there is nothing to be made in it first: all mount points are there,
 * and /dev is a mount of its own.
 */
static bool root_complete(const struct oci_config *config, int root)
{
	bool dev = false;

	for (size_t i = 0; i < json_array_size(config->mounts); i++) {
		const char *destination = json_string_value(
			json_object_get(json_array_get(config->mounts, i), "destination"));
		bool covered = false;
		dev |= strcmp(destination, "/dev") == 0;
		for (size_t k = 0; k < i && !covered; k++)
			covered = below(destination,
				json_string_value(json_object_get(
					json_array_get(config->mounts, k), "destination")));
		if (!covered && !exists_below(root, destination))
			return false;
	}
	return dev;
}

/* With an image for the root file system, root.path is only where one would mount it. */
static int check_empty(const struct export *export, struct err *e)
{
	int fd = openat(export->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), names = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		int code = errno;
		fd_closep(&fd);
		return err_sys(e, code, "%s", export->path);
	}
	while (names <= 2 && readdir(dir))
		names++; /* "." and ".." are two */
	closedir(dir);
	if (names > 2)
		return err_set(e, ENOTEMPTY,
			"%s: is not empty, but the root file system is that of vm.image",
			export->path);
	return 0;
}

static int open_root(struct export *export, const struct oci_config *config, int bundle,
	const char *bundle_path, struct err *e)
{
	struct stat st;

	snprintf(export->name, sizeof(export->name), EXPORT_ROOTFS);
	int ret = export_open(export, bundle, bundle_path, config->root_path, e);
	if (ret == 0 && fstat(export->fd, &st) == 0 && !S_ISDIR(st.st_mode))
		ret = err_sys(e, ENOTDIR, "%s", export->path);
	bool image = oci_lookup(config->json, "vm.image");
	if (ret == 0 && image)
		ret = check_empty(export, e);
	if (ret < 0)
		return err_add(e, "config.json: root.path");
	export->recursive = true; /* as runc, which binds it so */
	export->readonly = image || (config->root_readonly && root_complete(config, export->fd));
	return 0;
}

static int open_mount(struct export *export, const json_t *mount, size_t index, int bundle,
	const char *bundle_path, struct err *e)
{
	exports_mount_name(index, export->name);
	int ret = export_open(export, bundle, bundle_path,
		json_string_value(json_object_get(mount, "source")), e);
	if (ret == 0)
		ret = check_type(export, e);
	if (ret == 0 && export->socket && support_maps_ids(mount))
		ret = err_set(e, ENOTSUP, "%s: is a Unix socket, which can't have mapped ids",
			export->path);
	if (ret < 0)
		return err_add(e, "config.json: mounts[%zu].source", index);
	export->readonly = option_last(mount, "ro", "rw");
	export->nodev = option_last(mount, "nodev", "dev");
	export->nosuid = option_last(mount, "nosuid", "suid");
	export->recursive = support_has_option(mount, "rbind");
	return 0;
}

int exports_open(struct exports *exports, const struct oci_config *config, int bundle,
	const char *bundle_path, struct err *e)
{
	size_t n_mounts = json_array_size(config->mounts);

	exports->n = 0;
	exports->map_ids = false;
	exports->list = calloc(n_mounts + 1, sizeof(*exports->list));
	if (!exports->list)
		return err_sys(e, ENOMEM, "config.json: mounts");
	exports->list[0].fd = -1;
	exports->n = 1;
	int ret = open_root(&exports->list[0], config, bundle, bundle_path, e);
	for (size_t i = 0; i < n_mounts && ret == 0; i++) {
		const json_t *mount = json_array_get(config->mounts, i);
		if (!support_is_bind(mount))
			continue;
		struct export *export = &exports->list[exports->n++];
		export->fd = -1;
		ret = open_mount(export, mount, i, bundle, bundle_path, e);
		exports->map_ids |= support_maps_ids(mount);
	}
	if (ret < 0)
		exports_close(exports);
	return ret;
}

void exports_close(struct exports *exports)
{
	for (size_t i = 0; i < exports->n; i++) {
		fd_closep(&exports->list[i].fd);
		free(exports->list[i].path);
	}
	free(exports->list);
	exports->list = NULL;
	exports->n = 0;
}
