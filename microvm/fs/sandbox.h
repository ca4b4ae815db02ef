/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hvrun-fs takes from itself before the first byte of a guest is read. Privileged, it ends up
 * with a mount namespace that is empty but for its exports, which are private mounts without a way
 * up and out, a root directory that holds nothing but its own descriptors, the capabilities of a
 * file server, no new privileges and an allow-list of system calls. Not privileged, it keeps its
 * root, but Landlock leaves it nothing of it but the exports, and the allow-list is the same. None
 * of the list makes, binds or connects a socket, and Landlock forbids as much of it as the kernel
 * knows. (A network namespace would forbid it once more, at 2 % of a VM's start.)
 */
#ifndef MICROVM_FS_SANDBOX_H
#define MICROVM_FS_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "microvm/fs/export.h"

/*
 * Puts in export->fd's place a private copy of the mounts there (nothing on the host changes):
 * ".." ends at its root, it is read-only for the kernel too when the export is, and devices and
 * set-user-ID files in it mean nothing to this process. What is mounted
 * below comes along only in a recursive export. Where that can't be (no privilege, another mount
 * namespace, an old kernel), the descriptor stays as it is, and export->one_mount says whether
 * lookups have to stay out of mounts below. 0, or -errno with e: what should work did not.
 */
int fs_sandbox_export(struct export *export, struct err *e) must_check;

/*
 * Leaves the host's mounts, and makes the process's descriptors its root directory.
 * *prefix is the path prefix of descriptors from now on. A privileged process without
 * CAP_SYS_ADMIN says that it can't, and stays. 0, or -errno with e. Called once, before there are
 * threads.
 */
int fs_sandbox_enter(bool privileged, const char **prefix, struct err *e) must_check;

/*
 * Core dumps, capabilities, sockets, files (when not privileged) and system calls: the last step.
 * Exports that come later may be out of reach.
 */
int fs_sandbox_close(bool privileged, const struct exports *exports, struct err *e) must_check;

/*
 * Bounds the memory that the process can have for itself; what it shares with the guest does not
 * count. Any thread, also after fs_sandbox_close. What fails is logged: the guest's bounds are the
 * first line, this is the second.
 */
void fs_sandbox_memory(uint64_t bytes);

#endif
