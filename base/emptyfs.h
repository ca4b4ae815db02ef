/* SPDX-License-Identifier: Apache-2.0 */
/* A file system that is empty, and stays so. */
#ifndef BASE_EMPTYFS_H
#define BASE_EMPTYFS_H

#include "base/err.h"

/* A detached read-only mount of it, the caller's descriptor; or -errno with e. */
int emptyfs_new(struct err *e) must_check;

/*
 * Unmounts everything of a mount namespace that is the process' own (unshare(2)), and makes an empty
 * file system its root, and the root and working directory of the caller. elsewhere is a directory
 * of none of its mounts (a detached one), which serves to get out of a chroot. 0, or -errno with e.
 */
int emptyfs_replace_root(int elsewhere, struct err *e) must_check;

#endif
