/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A container's root: entered, furnished (mounts, devices), and at the end restricted (masked and
 * read-only paths, read-only root). All of it runs in the container's own mount namespace.
 */
#ifndef GUESTINIT_ROOTFS_H
#define GUESTINIT_ROOTFS_H

#include "base/err.h"
#include "guestinit/mount.h"

struct child;
struct create;

struct rootfs {
	struct mount_context mounts;
	int nodes_fd; /* O_PATH of guestinit's directory of device nodes */
	int null_fd;  /* O_PATH of guestinit's null device, for masks; -1 without any */
};

/*
 * Puts the tree over the root of the mount namespace, and the caller into it. There is no way
 * back: guestinit's own root stays covered, and nothing is mounted in it.
 */
int rootfs_enter(struct rootfs *r, const struct child *ch, struct err *e) must_check;

/* Mounts and devices. */
int rootfs_furnish(struct rootfs *r, const struct child *ch, struct err *e) must_check;

/* What is to be read-only becomes so; after the terminal was bound. */
int rootfs_finish(struct rootfs *r, const struct create *c, struct err *e) must_check;

/* maskedPaths and readonlyPaths; last, because sysctl files may be among them. */
int rootfs_restrict(struct rootfs *r, const struct create *c, struct err *e) must_check;

#endif
