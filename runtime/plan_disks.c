/* SPDX-License-Identifier: Apache-2.0 */
/* Block devices and images of the host as disks of the VM. */
#include "runtime/plan_disks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "oci/schema.h"
#include "runtime/devrules.h"

#define UEVENT_MAX_BYTES 4096

/* The node of a block device: what udev made, else what the kernel calls it. */
static void disk_node(unsigned major_number, unsigned minor_number, char *node, size_t cap)
{
	char path[64];
	cleanup_free char *text = NULL;
	const char *name;

	snprintf(node, cap, "/dev/block/%u:%u", major_number, minor_number);
	if (access(node, F_OK) == 0)
		return;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/uevent", major_number, minor_number);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fd_slurp(fd, UEVENT_MAX_BYTES, &text, NULL) < 0)
		return;
	name = strstr(text, "DEVNAME=");
	if (!name)
		return;
	name += strlen("DEVNAME=");
	snprintf(node, cap, "/dev/%.*s", (int)strcspn(name, "\n"), name);
}

/* What the container may do with a block device: what its rules say of the host's numbers. */
static unsigned disk_access(const struct plan *plan, const json_t *device)
{
	return devrules_block(plan->config->resources,
		(unsigned)json_integer_value(json_object_get(device, "major")),
		(unsigned)json_integer_value(json_object_get(device, "minor")));
}

static bool is_block_device(const json_t *device)
{
	return json_string_value(json_object_get(device, "type"))[0] == 'b';
}

/* One that the container may neither read nor write stays on the host: no open succeeds anyway. */
static bool becomes_disk(const struct plan *plan, const json_t *device)
{
	return is_block_device(device) &&
		disk_access(plan, device) & (DEVRULES_READ | DEVRULES_WRITE);
}

static int open_disk(struct plan_disk *disk, const json_t *device, unsigned access, struct err *e)
{
	const char *path = json_string_value(json_object_get(device, "path"));
	unsigned major_number = (unsigned)json_integer_value(json_object_get(device, "major"));
	unsigned minor_number = (unsigned)json_integer_value(json_object_get(device, "minor"));
	char node[256];
	struct stat st;

	disk_node(major_number, minor_number, node, sizeof(node));
	cleanup_close int fd =
		access & DEVRULES_WRITE ? open(node, O_RDWR | O_CLOEXEC | O_NONBLOCK) : -1;
	disk->readonly = fd < 0;
	if (fd < 0)
		fd = open(node, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return err_sys(e, errno, "%s: block device %u:%u of the host, %s", path,
			major_number, minor_number, node);
	if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode) ||
		st.st_rdev != makedev(major_number, minor_number))
		return err_set(e, ENODEV, "%s: %s is not block device %u:%u", path, node,
			major_number, minor_number);
	disk->fd = steal_fd(&fd);
	disk->access = access;
	disk->device = device;
	return 0;
}

/*
 * vm.image: the container's root file system, a raw image. The lock lasts as long as the disk; it
 * keeps two virtual machines from writing to a file system at once. A block device that the host
 * has mounted can't be opened for writing (O_EXCL).
 */
static int open_image(struct plan *plan, struct err *e)
{
	const char *path = json_string_value(oci_lookup(plan->config->json, "vm.image.path"));
	bool readonly = plan->config->root_readonly;
	struct stat st;

	if (!path)
		return 0;
	cleanup_close int fd =
		open(path, (readonly ? O_RDONLY : O_RDWR | O_EXCL) | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && !readonly && (errno == EACCES || errno == EROFS || errno == EPERM))
		return err_sys(
			e, errno, "%s: can't be written to, and root.readonly is not true", path);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "%s", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(e, EINVAL, "%s: is neither a file nor a block device", path);
	if (flock(fd, (readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			? err_set(e, EBUSY, "%s: is in use by another virtual machine", path)
			: err_sys(e, errno, "%s: lock", path);
	plan->disks[plan->n_disks++] =
		(struct plan_disk){.fd = steal_fd(&fd), .readonly = readonly};
	return 0;
}

int plan_open_disks(struct plan *plan, struct err *e)
{
	const json_t *devices = json_object_get(plan->config->linux_section, "devices");

	if (open_image(plan, e) < 0)
		return err_add(e, "config.json: vm.image.path");
	for (size_t i = 0; i < json_array_size(devices); i++) {
		const json_t *device = json_array_get(devices, i);
		if (!becomes_disk(plan, device))
			continue;
		int ret = plan->n_disks == PLAN_DISKS_MAX
			? err_set(e, ENOTSUP, "more than %d block devices", PLAN_DISKS_MAX)
			: open_disk(&plan->disks[plan->n_disks], device, disk_access(plan, device),
				  e);
		if (ret < 0)
			return err_add(e, "config.json: linux.devices[%zu]", i);
		plan->n_disks++;
	}
	return 0;
}

void plan_close_disks(struct plan *plan)
{
	for (unsigned i = 0; i < plan->n_disks; i++)
		fd_closep(&plan->disks[i].fd);
	plan->n_disks = 0;
}

json_t *plan_disks_of_guest(const struct plan *plan)
{
	cleanup_json json_t *list = json_array();

	for (unsigned i = 0; i < plan->n_disks; i++) {
		const json_t *device = plan->disks[i].device;
		unsigned access = plan->disks[i].access;
		char letters[4];
		if (!device)
			continue; /* the root file system */
		snprintf(letters, sizeof(letters), "%s%s%s", access & DEVRULES_READ ? "r" : "",
			access & DEVRULES_WRITE ? "w" : "", access & DEVRULES_MKNOD ? "m" : "");
		json_t *entry = json_pack("{s:O, s:i, s:s}", "path",
			json_object_get(device, "path"), "disk", (int)i, "access", letters);
		static const char *const copied[] = {"fileMode", "uid", "gid"};
		if (!entry || json_array_append_new(list, entry) < 0)
			return NULL;
		for (size_t k = 0; k < sizeof(copied) / sizeof(copied[0]); k++) {
			json_t *value = json_object_get(device, copied[k]);
			if (value && json_object_set(entry, copied[k], value) < 0)
				return NULL;
		}
	}
	return steal_ptr(&list);
}

void plan_drop_disks(const struct plan *plan)
{
	json_t *devices = json_object_get(plan->config->linux_section, "devices");

	for (size_t i = json_array_size(devices); i-- > 0;)
		if (becomes_disk(plan, json_array_get(devices, i)))
			json_array_remove(devices, i);
}

json_t *plan_disks_of_monitor(const struct plan *plan)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < plan->n_disks; i++) {
		char serial[16];
		snprintf(serial, sizeof(serial), "disk-%u", i);
		json_array_append_new(list,
			json_pack("{s:i, s:b, s:s}", "fd", plan->disks[i].fd, "readonly",
				(int)plan->disks[i].readonly, "serial", serial));
	}
	return list;
}
