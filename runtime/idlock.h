/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One running container per id: ROOT/ID.lock, held by flock(2) for as long as hvrun or the
 * container's monitor lives. The kernel drops the lock with the last of them, so a file without a
 * lock is a leftover of something killed, and the next run sweeps it away.
 */
#ifndef RUNTIME_IDLOCK_H
#define RUNTIME_IDLOCK_H

#include <limits.h>

#include "base/err.h"

#define ID_MAX_BYTES 200

struct idlock {
	int root; /* the directory */
	int fd;	  /* the lock; the monitor inherits it */
	char name[ID_MAX_BYTES + 8];
};

/* The characters that runc allows: letters, digits and _ + - . but not "." and "..". */
int idlock_check_id(const char *id, struct err *e) must_check;

/* Makes up an id that is not in use, into a buffer of ID_MAX_BYTES + 1. */
int idlock_make_id(char *id, struct err *e) must_check;

/* --root, or /run/hvrun, or $XDG_RUNTIME_DIR/hvrun when not root. */
int idlock_default_root(char path[PATH_MAX], struct err *e) must_check;

/* Takes the id in root_path, which is made if need be. -EEXIST when it is in use. */
int idlock_take(
	struct idlock *lock, const char *root_path, const char *id, struct err *e) must_check;

/* Removes the file and closes; a lock that was not taken (fd -1) is fine. */
void idlock_release(struct idlock *lock);

#endif
