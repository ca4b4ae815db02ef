/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of `config.mounts` put into a container's tree. Every mount is made detached (a new
 * file system by fsopen, a bind by open_tree), gets its attributes there, and is then moved onto a
 * descriptor of its target: no path is looked up twice, so nobody who shares a volume can redirect
 * a mount by a rename.
 */
#ifndef GUESTINIT_MOUNT_H
#define GUESTINIT_MOUNT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cfg_mount;

#define MOUNT_LATE_MAX 256

struct mount_context {
	int root_fd; /* the container's root */
	/* tmpfs and /dev that become read-only when all is in place (runc does so) */
	int late_readonly[MOUNT_LATE_MAX];
	size_t n_late_readonly;
};

/*
 * Makes one mount. tree_fd is the detached tree of a bind mount, -1 for the others; it stays the
 * caller's. The error does not name the entry.
 */
int mount_make(struct mount_context *ctx, const struct cfg_mount *m, int tree_fd,
	struct err *e) must_check;

/* Turns what mount_make left writable to read-only. */
int mount_finish(struct mount_context *ctx, struct err *e) must_check;

/*
 * A detached mount of a new file system with MOUNT_ATTR_* `attrs` and up to n_words options
 * ("key=value" or "flag"); a descriptor or -errno.
 */
int mount_new(const char *type, uint64_t attrs, const char *const *words, size_t n_words,
	struct err *e) must_check;

/* The same of the file system that lies on a block device. */
int mount_new_from(const char *type, const char *source, uint64_t attrs, const char *const *words,
	size_t n_words, struct err *e) must_check;

/* mount_setattr(2) on the mount of fd. at_flags: 0 or AT_RECURSIVE. */
int mount_set_attr(int fd, unsigned at_flags, uint64_t set, uint64_t clear) must_check;
int mount_set_propagation(int fd, uint64_t ms_flags) must_check;

/* A detached clone of what fd (O_PATH is fine) refers to; at_flags: 0 or AT_RECURSIVE. */
int mount_clone(int fd, unsigned at_flags) must_check;

/* Attaches a detached tree to what target_fd refers to. */
int mount_attach(int tree_fd, int target_fd) must_check;

#endif
