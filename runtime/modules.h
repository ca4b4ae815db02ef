/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel modules for a guest kernel whose virtio drivers are not built in: which files of a
 * /lib/modules/VERSION directory the guest must load, and in what order, by its modules.dep and
 * modules.builtin.
 */
#ifndef RUNTIME_MODULES_H
#define RUNTIME_MODULES_H

#include <stddef.h>

#include "base/err.h"

#define MODULES_MAX 64

struct modules {
	char *dep;     /* the text of modules.dep, cut into strings */
	char *builtin; /* the text of modules.builtin, or NULL */
	unsigned n;
	const char *files[MODULES_MAX]; /* relative to the directory, in the order of loading */
};

/*
 * Finds the modules that hvrun's devices and mounts need in the directory `dir` (open, stays the
 * caller's); path names it in messages. 0 with *modules filled, the caller's to modules_fini; or
 * -errno. A driver that is neither a module nor built in is a fault, if it can't be done without.
 */
int modules_resolve(struct modules *modules, int dir, const char *path, struct err *e) must_check;
void modules_fini(struct modules *modules);

/* "kernel/fs/fuse/virtio_fs.ko.xz" is named "virtio-fs" or "virtio_fs": compares such names. */
_Bool modules_same_name(const char *file, const char *name);

#endif
