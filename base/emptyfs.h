/* SPDX-License-Identifier: Apache-2.0 */
/* A file system that is empty, and stays so. */
#ifndef BASE_EMPTYFS_H
#define BASE_EMPTYFS_H

#include "base/err.h"

/* A detached read-only mount of it, the caller's descriptor; or -errno with e. */
int emptyfs_new(struct err *e) must_check;

#endif
