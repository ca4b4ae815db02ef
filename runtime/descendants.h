/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that others have started, as /proc tells. */
#ifndef RUNTIME_DESCENDANTS_H
#define RUNTIME_DESCENDANTS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

#define DESCENDANTS_MAX 64 /* many times the processes of a container */

/* Field 4 of proc(5)'s stat; 0 when it is not in sight. */
pid_t descendants_parent_of(pid_t pid);

/*
 * One look: appends the processes whose parent is in the list of *n and that are not in it
 * themselves, with no more than max in all. What a look finds may have children that the same one
 * has missed: none is missed any more when a look finds nothing. 0; -E2BIG with the list full; or
 * -errno.
 */
int descendants_add(pid_t *list, size_t *n, size_t max) must_check;

#endif
