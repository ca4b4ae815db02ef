/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's mount namespace and root directory. The namespace is one of its own whose root is
 * an empty, read-only file system; hvrun may put the container's files on top of it, for callers
 * that enter the namespace of the state's pid and expect the container there (podman cp). The
 * monitor itself sees neither: its root directory holds its own descriptors by number, as
 * /proc/self/fd does, which is what connecting to an open socket takes.
 */
#ifndef MICROVM_VMM_ROOT_H
#define MICROVM_VMM_ROOT_H

#include "base/err.h"

/*
 * A mount namespace of the calling thread's own, a copy of the host's. Threads that it starts
 * afterwards share it, and what root_leave does to it. 0 or -errno, with nothing changed: -EPERM
 * without the right to.
 */
int root_own(struct err *e) must_check;

/*
 * After root_own: empties the namespace, and leaves the host's root directory. From then on no file
 * can be opened by name. 0, or -errno with e (part of it may have happened).
 */
int root_leave(struct err *e) must_check;

#endif
