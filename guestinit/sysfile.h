/* SPDX-License-Identifier: Apache-2.0 */
/* Small files of proc, sysfs and cgroups: one write, one read. */
#ifndef GUESTINIT_SYSFILE_H
#define GUESTINIT_SYSFILE_H

#include <stddef.h>

#include "base/err.h"

/* Writes text in one call to an existing file below dir_fd; no symlink is followed. 0 or -errno. */
int sysfile_write(int dir_fd, const char *path, const char *text) must_check;
int sysfile_writef(int dir_fd, const char *path, const char *fmt, ...)
	__attribute__((format(printf, 3, 4))) must_check;

/* Reads at most cap_bytes - 1 bytes and puts a NUL behind; the length or -errno. */
int sysfile_read(int dir_fd, const char *path, char *buf, size_t cap_bytes) must_check;

#endif
