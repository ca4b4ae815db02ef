/* SPDX-License-Identifier: Apache-2.0 */
/* The files in reach of a process that can have no root directory of its own, and sockets. */
#ifndef MICROVM_FS_LANDLOCK_H
#define MICROVM_FS_LANDLOCK_H

#include "microvm/fs/export.h"

/*
 * From now on this thread, and those that it starts, open, make, remove and rename nothing but what
 * lies in the exports (NULL: files are left alone; of attributes Landlock knows nothing), and have
 * nothing to do with TCP and abstract Unix sockets where the kernel knows how to forbid that
 * (Linux 6.7 and 6.12). no_new_privs is set already. 0; -EOPNOTSUPP where the kernel has no
 * Landlock for it (for files, one that could not tell a rename: before Linux 5.19); other -errno,
 * with nothing changed.
 */
int fs_landlock(const struct exports *exports) must_check;

#endif
