/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories and files that the host exports by virtio-fs. The file system is attached only
 * while trees are cloned from it, so that a container's mount namespace never contains the whole.
 */
#ifndef GUESTINIT_EXPORTS_H
#define GUESTINIT_EXPORTS_H

#include "base/err.h"

#define EXPORTS_TAG "hvrun" /* of the virtio-fs device, docs/protocol.md */

struct exports {
	const char *tag; /* NULL: dir is there already */
	const char *dir;
};

int exports_attach(const struct exports *exports, struct err *e) must_check;
void exports_detach(const struct exports *exports);

/* A detached tree of the export; the caller's descriptor, or -errno. Only while attached. */
int exports_clone(const struct exports *exports, const char *name, struct err *e) must_check;

#endif
