/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What small files of a directory hold (a cgroup's limits), so that a change of several of them
 * that fails half-way can be taken back.
 */
#ifndef BASE_SAVEDFILES_H
#define BASE_SAVEDFILES_H

#include <stddef.h>

#include "base/err.h"

#define SAVED_FILES_MAX	 24
#define SAVED_TEXT_BYTES 96

struct saved_files {
	unsigned n;
	struct {
		const char *name;
		char text[SAVED_TEXT_BYTES]; /* one line, without its end */
	} list[SAVED_FILES_MAX];
};

/*
 * Reads those of the n names that are there in dir, each of one line; others are left out. The
 * names stay the caller's.
 */
void saved_files_read(struct saved_files *saved, int dir, const char *const *names, size_t n);

/*
 * Writes back what is different now, round after round, because what one may be depends on others.
 * 0, or the -errno of one that does not go back.
 */
int saved_files_restore(const struct saved_files *saved, int dir) must_check;

#endif
