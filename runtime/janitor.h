/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The janitor: a small process that cleans up after a `create` or `run` that is killed. It waits
 * for the end of its creator, and unless it was told that all is well, takes down what the
 * container's state names.
 */
#ifndef RUNTIME_JANITOR_H
#define RUNTIME_JANITOR_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

struct container;

struct janitor {
	int pipe; /* whose end it waits for, -1 */
	pid_t pid;
};

/* root_path is c's; everything that c holds, its locks among them, the janitor holds as well. */
int janitor_start(struct janitor *j, const struct container *c, const char *root_path,
	struct err *e) must_check;

/* All is well, or has been cleaned up: the janitor goes. Harmless without one. */
void janitor_dismiss(struct janitor *j);

/*
 * For processes that stay behind: closes all descriptors but n kept ones (-1 is none), so that
 * streams of the caller end with their users. 0 and 1, and 2 unless it is kept, become /dev/null.
 */
void janitor_close_others(const int *kept, size_t n);

#endif
