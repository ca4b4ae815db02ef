/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel modules of a guest; see modules.h. modules.dep(5) and modules.builtin(5) are depmod's. */
#include "runtime/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

#define MODULES_TEXT_MAX_BYTES (8u << 20)
#define MODULES_DEPTH_MAX      16
#define MODULE_PATH_BYTES      256

/*
 * What is loaded, in this order; what these depend on is loaded before them. The ones that are not
 * needed are of use where the kernel has them: a checksum that ext4 asks the kernel's crypto for by
 * name (which depmod does not see), file systems and loop devices inside the container.
 */
static const struct {
	const char *name;
	bool needed;
} wanted[] = {
	{"virtio_mmio", true},
	{"virtio_console", true},
	{"virtio_rng", false},
	{"virtio_blk", false},
	{"virtio_net", false},
	{"vmw_vsock_virtio_transport", true},
	{"fuse", true},
	{"virtiofs", true},
	{"overlay", false},
	{"crc32c_generic", false},
	{"ext4", false},
};

static int slurp_at(int dir, const char *name, char **text)
{
	cleanup_close int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return fd_slurp(fd, MODULES_TEXT_MAX_BYTES, text, NULL);
}

bool modules_same_name(const char *file, const char *name)
{
	const char *slash = strrchr(file, '/');

	if (slash)
		file = slash + 1;
	while (*name && *file) {
		char a = *file == '-' ? '_' : *file, b = *name == '-' ? '_' : *name;
		if (a != b)
			return false;
		file++;
		name++;
	}
	return !*name && strncmp(file, ".ko", 3) == 0;
}

/*
 * The line of modules.dep for a file ("a.ko: b.ko c.ko") by its name or its whole path: the text
 * behind the colon, with *file the path; NULL when there is none.
 */
static const char *dep_line(
	const char *dep, const char *name, bool whole, const char **file, size_t *file_len)
{
	for (const char *line = dep; *line;) {
		size_t n = strcspn(line, "\n"), colon = strcspn(line, ":\n");
		if (line[colon] == ':') {
			bool same;
			if (whole) {
				same = strlen(name) == colon && memcmp(line, name, colon) == 0;
			} else {
				char path[MODULE_PATH_BYTES];
				same = colon < sizeof(path);
				if (same) {
					memcpy(path, line, colon);
					path[colon] = '\0';
					same = modules_same_name(path, name);
				}
			}
			if (same) {
				*file = line;
				*file_len = colon;
				return line + colon + 1;
			}
		}
		line += n + (line[n] == '\n');
	}
	return NULL;
}

static bool modules_has(const struct modules *modules, const char *file, size_t len)
{
	for (unsigned i = 0; i < modules->n; i++)
		if (strlen(modules->files[i]) == len && memcmp(modules->files[i], file, len) == 0)
			return true;
	return false;
}

static bool modules_built_in(const struct modules *modules, const char *name)
{
	for (const char *line = modules->builtin; line && *line;) {
		size_t n = strcspn(line, "\n");
		char path[MODULE_PATH_BYTES];
		if (n < sizeof(path)) {
			memcpy(path, line, n);
			path[n] = '\0';
			if (modules_same_name(path, name))
				return true;
		}
		line += n + (line[n] == '\n');
	}
	return false;
}

/* Adds a module behind everything that it depends on. 1: there is no such module. */
static int modules_add(
	struct modules *modules, const char *name, bool whole, unsigned depth, struct err *e)
{
	const char *file;
	size_t len;
	const char *deps = dep_line(modules->dep, name, whole, &file, &len);

	if (!deps)
		return 1;
	if (modules_has(modules, file, len))
		return 0;
	if (depth > MODULES_DEPTH_MAX)
		return err_set(e, ELOOP, "modules.dep: %s depends on itself", name);
	while (*deps && *deps != '\n') {
		size_t n = strcspn(deps, " \t\n");
		if (n) {
			char dep[MODULE_PATH_BYTES];
			if (n >= sizeof(dep))
				return err_set(e, ENAMETOOLONG, "modules.dep: %.*s", (int)n, deps);
			memcpy(dep, deps, n);
			dep[n] = '\0';
			int ret = modules_add(modules, dep, true, depth + 1, e);
			if (ret > 0)
				return err_set(
					e, EINVAL, "modules.dep: nothing is said about %s", dep);
			if (ret < 0)
				return ret;
		}
		deps += n + strspn(deps + n, " \t");
	}
	if (modules->n == MODULES_MAX)
		return err_set(e, E2BIG, "modules.dep: more than %d modules", MODULES_MAX);
	char *copy = strndup(file, len);
	if (!copy)
		return err_sys(e, ENOMEM, "modules.dep");
	modules->files[modules->n++] = copy;
	return 0;
}

static int modules_resolve_all(struct modules *modules, int dir, struct err *e)
{
	int ret = slurp_at(dir, "modules.dep", &modules->dep);

	if (ret < 0)
		return err_sys(e, -ret, "modules.dep (made by depmod)");
	ret = slurp_at(dir, "modules.builtin", &modules->builtin);
	if (ret < 0 && ret != -ENOENT)
		return err_sys(e, -ret, "modules.builtin");
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		ret = modules_add(modules, wanted[i].name, false, 0, e);
		if (ret < 0)
			return ret;
		if (ret > 0 && wanted[i].needed && !modules_built_in(modules, wanted[i].name))
			return err_set(e, ENOENT,
				"%s is neither a module nor built in: this kernel can't be a guest",
				wanted[i].name);
	}
	return 0;
}

int modules_resolve(struct modules *modules, int dir, const char *path, struct err *e)
{
	memset(modules, 0, sizeof(*modules));
	int ret = modules_resolve_all(modules, dir, e);
	if (ret < 0) {
		modules_fini(modules);
		err_add(e, "%s", path);
	}
	return ret;
}

void modules_fini(struct modules *modules)
{
	for (unsigned i = 0; i < modules->n; i++)
		free((char *)(uintptr_t)modules->files[i]);
	free(modules->dep);
	free(modules->builtin);
	memset(modules, 0, sizeof(*modules));
}
