/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths inside a container's root. The image is hostile: every look-up is confined to the root
 * by openat2(2), so neither a symlink nor a rename by somebody who shares a volume leads out.
 */
#ifndef GUESTINIT_PATH_H
#define GUESTINIT_PATH_H

#include <stddef.h>
#include <sys/stat.h>

#include "base/err.h"

/* An O_PATH descriptor of path as a process chrooted to root_fd would see it, or -errno. */
int path_open(int root_fd, const char *path) must_check;

/* The same without following a symlink at the end. */
int path_open_nofollow(int root_fd, const char *path) must_check;

/*
 * Like path_open, but makes what is missing: the directories on the way with mode 0755, and at
 * the end a directory or an empty file, as `type` (S_IFDIR or S_IFREG) says. Follows symlinks
 * that lead to nothing, as images have for /etc/resolv.conf.
 */
int path_make(int root_fd, const char *path, mode_t type) must_check;

/*
 * Splits path in its parent (made when missing, returned as O_PATH descriptor) and its last
 * component, a pointer into path. -EINVAL for paths that end in "/", "." or "..".
 */
int path_make_parent(int root_fd, const char *path, const char **name) must_check;

/* Removes "//", "." and ".." from an absolute path by its words alone. 0 or -ENAMETOOLONG. */
int path_clean(const char *path, char *out, size_t cap_bytes) must_check;

#endif
