/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hvrun-fs takes from itself before the first byte of a guest is read. Privileged, it ends up
 * with a root directory that holds nothing but its own descriptors, exports that are private
 * mounts without a way up and out, the capabilities of a file server, no new privileges and an
 * allow-list of system calls. Not privileged, it keeps its root, and the allow-list is the same.
 */
#ifndef MICROVM_FS_SANDBOX_H
#define MICROVM_FS_SANDBOX_H

#include <stdbool.h>

#include "base/err.h"
#include "microvm/fs/export.h"

/*
 * Puts in export->fd's place a private copy of the mounts there (nothing on the host changes):
 * ".." ends at its root, it is read-only for the kernel too when the export is, and devices and
 * set-user-ID files in it mean nothing to this process. Where that can't be (no privilege, another
 * mount namespace), the descriptor stays as it is.
 */
void fs_sandbox_export(struct export *export);

/* Makes the process's descriptors its root directory. The path prefix of descriptors from now on.
 */
const char *fs_sandbox_root(bool privileged);

/* Capabilities and system calls: the last step. */
int fs_sandbox_close(bool privileged, struct err *e) must_check;

#endif
