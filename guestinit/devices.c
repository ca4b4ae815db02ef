/* SPDX-License-Identifier: Apache-2.0 */
/* Device nodes of a container; see devices.h. */
#include "guestinit/devices.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/create.h"
#include "guestinit/disk.h"
#include "guestinit/mount.h"
#include "guestinit/path.h"
#include "guestinit/sysfile.h"

static const struct {
	const char *path;
	unsigned major, minor;
} devices_default[] = {
	{"/dev/null", 1, 3},
	{"/dev/zero", 1, 5},
	{"/dev/full", 1, 7},
	{"/dev/random", 1, 8},
	{"/dev/urandom", 1, 9},
	{"/dev/tty", 5, 0},
};

#define DEVICES_DEFAULT (sizeof(devices_default) / sizeof(devices_default[0]))

static int device_type(const char *type, mode_t *mode)
{
	if (strcmp(type, "c") == 0 || strcmp(type, "u") == 0)
		*mode = S_IFCHR;
	else if (strcmp(type, "b") == 0)
		*mode = S_IFBLK;
	else if (strcmp(type, "p") == 0)
		*mode = S_IFIFO;
	else
		return -EINVAL;
	return 0;
}

static int device_from_config(struct create *c, size_t i, struct device_node *node, struct err *e)
{
	const struct cfg_device *dev = &c->os.devices.v[i];
	mode_t type;

	node->field = arena_printf(&c->arena, "config.linux.devices[%zu] (%s)", i, dev->path);
	if (!node->field)
		return err_set(e, ENOMEM, "out of memory");
	if (device_type(dev->type, &type) < 0)
		return err_set(
			e, EINVAL, "%s: type \"%s\" is not supported", node->field, dev->type);
	if (type != S_IFIFO && !(dev->major.set && dev->minor.set))
		return err_set(e, EINVAL, "%s: major and minor are missing", node->field);
	node->path = dev->path;
	node->mode = type | (dev->mode.set ? (mode_t)dev->mode.value & 07777 : 0666);
	node->number = makedev((unsigned)dev->major.value, (unsigned)dev->minor.value);
	node->uid = (uid_t)dev->uid.value;
	node->gid = (gid_t)dev->gid.value;
	return 0;
}

static int device_from_disk(struct create *c, size_t i, struct device_node *node, struct err *e)
{
	const struct cfg_disk *disk = &c->disks.v[i];

	node->field = arena_printf(&c->arena, "devices[%zu] (%s)", i, disk->path);
	if (!node->field)
		return err_set(e, ENOMEM, "out of memory");
	node->path = disk->path;
	node->disk_access = disk->access;
	node->mode = S_IFBLK | (disk->mode.set ? (mode_t)disk->mode.value & 07777 : 0660);
	node->uid = (uid_t)disk->uid.value;
	node->gid = (gid_t)disk->gid.value;
	int ret = disk_number(disk->disk, &node->number, e);
	return ret < 0 ? err_add(e, "%s", node->field) : 0;
}

int devices_list(struct create *c, struct devices *out, struct err *e)
{
	size_t n = DEVICES_DEFAULT + c->os.devices.n + c->disks.n, used = 0;
	int ret = 0;

	out->nodes = arena_array(&c->arena, n, sizeof(*out->nodes));
	if (!out->nodes)
		return err_set(e, ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		out->nodes[i].tree_fd = -1;
	out->n = n;
	/* The configuration's come first: where both name a path, its node is made. */
	for (size_t i = 0; i < c->os.devices.n && ret == 0; i++)
		ret = device_from_config(c, i, &out->nodes[used++], e);
	for (size_t i = 0; i < c->disks.n && ret == 0; i++)
		ret = device_from_disk(c, i, &out->nodes[used++], e);
	for (size_t i = 0; i < DEVICES_DEFAULT; i++) {
		struct device_node *node = &out->nodes[used++];
		node->path = node->field = devices_default[i].path;
		node->mode = S_IFCHR | 0666;
		node->number = makedev(devices_default[i].major, devices_default[i].minor);
	}
	return ret;
}

/*
 * The node stays for further containers, under a name that says all about it: the kernel attaches
 * no mount of a file that is unlinked.
 */
static int device_prepare(int nodes_fd, struct device_node *node)
{
	char name[96];

	snprintf(name, sizeof(name), "node-%o-%u-%u-%u-%u", (unsigned)node->mode,
		major(node->number), minor(node->number), (unsigned)node->uid, (unsigned)node->gid);
	if (mknodat(nodes_fd, name, node->mode, node->number) < 0 && errno != EEXIST)
		return -errno;
	if (fchmodat(nodes_fd, name, node->mode & 07777, 0) < 0 ||
		fchownat(nodes_fd, name, node->uid, node->gid, 0) < 0)
		return -errno;
	cleanup_close int fd = openat(nodes_fd, name, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	node->tree_fd = mount_clone(fd, 0);
	return node->tree_fd < 0 ? node->tree_fd : 0;
}

int devices_prepare(int nodes_fd, struct devices *devices, struct err *e)
{
	for (size_t i = 0; i < devices->n; i++) {
		int ret = device_prepare(nodes_fd, &devices->nodes[i]);
		if (ret < 0)
			return err_sys(e, -ret, "%s", devices->nodes[i].field);
	}
	return 0;
}

void devices_close(struct devices *devices)
{
	for (size_t i = 0; i < devices->n; i++)
		fd_closep(&devices->nodes[i].tree_fd);
}

static int device_bind(int root_fd, const struct device_node *node)
{
	/* A node that the image has is a mount point like any other. */
	cleanup_close int target = path_make(root_fd, node->path, S_IFREG);

	if (target < 0)
		return target;
	return mount_attach(node->tree_fd, target);
}

/* The directory of the node before this one, most often the same: /dev. */
struct device_dir {
	char path[PATH_MAX];
	int fd;
};

static void device_dir_close(struct device_dir *dir)
{
	fd_closep(&dir->fd);
}

static int device_dir_enter(
	struct device_dir *dir, int root_fd, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (slash && dir->fd >= 0 && strlen(dir->path) == len && !memcmp(dir->path, path, len) &&
		slash[1] && strcmp(slash, "/.") != 0 && strcmp(slash, "/..") != 0) {
		*name = slash + 1;
		return 0;
	}
	fd_closep(&dir->fd);
	int fd = path_make_parent(root_fd, path, name);
	if (fd < 0)
		return fd;
	dir->fd = fd;
	memcpy(dir->path, path, len);
	dir->path[len] = '\0';
	return 0;
}

/*
 * -EPERM when the node has to be bound there. mknod obeys the umask, which is 0 while a container
 * is set up.
 */
static int device_mknod(struct device_dir *dir, int root_fd, const struct device_node *node)
{
	const char *name;

	int ret = device_dir_enter(dir, root_fd, node->path, &name);
	if (ret < 0)
		return ret;
	if (mknodat(dir->fd, name, node->mode, node->number) < 0) {
		struct stat st;
		if (errno != EEXIST || fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
		/* The image's, or one listed before; anything else is covered. */
		bool same = (st.st_mode & S_IFMT) == (node->mode & S_IFMT) &&
			(S_ISFIFO(st.st_mode) || st.st_rdev == node->number);
		return same ? 0 : -EPERM;
	}
	if ((node->uid || node->gid) &&
		fchownat(dir->fd, name, node->uid, node->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

static int device_make(struct device_dir *dir, int root_fd, int nodes_fd, struct device_node *node)
{
	if (node->tree_fd >= 0)
		return device_bind(root_fd, node);
	int ret = device_mknod(dir, root_fd, node);
	if (ret != -EPERM)
		return ret;
	ret = device_prepare(nodes_fd, node);
	return ret < 0 ? ret : device_bind(root_fd, node);
}

int devices_make(int root_fd, int nodes_fd, struct devices *devices, struct err *e)
{
	__attribute__((cleanup(device_dir_close))) struct device_dir dir = {.fd = -1};

	for (size_t i = 0; i < devices->n; i++) {
		int ret = device_make(&dir, root_fd, nodes_fd, &devices->nodes[i]);
		if (ret < 0)
			return err_sys(
				e, -ret, "%s: can't make the device", devices->nodes[i].field);
	}
	return 0;
}

static int device_symlink(int dev_fd, const char *target, const char *name)
{
	if (symlinkat(target, dev_fd, name) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

int devices_link(int root_fd, struct err *e)
{
	static const struct {
		const char *name, *target;
	} links[] = {
		{"fd", "/proc/self/fd"},
		{"stdin", "/proc/self/fd/0"},
		{"stdout", "/proc/self/fd/1"},
		{"stderr", "/proc/self/fd/2"},
		{"core", "/proc/kcore"},
	};
	cleanup_close int dev = path_make(root_fd, "/dev", S_IFDIR);
	int ret = dev < 0 ? dev : 0;

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]) && ret == 0; i++)
		ret = device_symlink(dev, links[i].target, links[i].name);
	if (ret < 0)
		return err_sys(e, -ret, "can't make the links in /dev");
	/* The image's own node would be another devpts' multiplexer. */
	char target[16];
	ssize_t len = readlinkat(dev, "ptmx", target, sizeof(target));
	if (len == 8 && memcmp(target, "pts/ptmx", 8) == 0)
		return 0;
	if (unlinkat(dev, "ptmx", 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "/dev/ptmx");
	ret = device_symlink(dev, "pts/ptmx", "ptmx");
	return ret < 0 ? err_sys(e, -ret, "/dev/ptmx") : 0;
}
