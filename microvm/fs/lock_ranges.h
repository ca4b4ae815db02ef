/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The byte ranges of one file that one owner has locked, as the host's kernel keeps them: sorted,
 * disjoint, neighbours of one type merged, a range of another type cut out of those that it meets.
 * The kernel has a struct of some 200 bytes for each, and bounds them by nothing.
 */
#ifndef MICROVM_FS_LOCK_RANGES_H
#define MICROVM_FS_LOCK_RANGES_H

#include <fcntl.h>
#include <stdint.h>

#include "base/err.h"
#include "microvm/fs/proto.h"

struct lock_range {
	uint64_t start, end; /* the last byte; at most INT64_MAX */
	uint32_t type;	     /* F_RDLCK, F_WRLCK; to set: F_UNLCK as well */
};

/* What the guest asks for as fcntl(2) has it; -EINVAL for what no kernel asks. */
int lock_range_from_guest(const struct fuse_file_lock *in, struct flock *out) must_check;
struct lock_range lock_range_of(const struct flock *lock);

struct lock_ranges {
	struct lock_range *ranges;
	uint32_t n, cap;
};

/* What setting one range comes to: those from first on, so many, become the pieces. */
struct lock_change {
	uint32_t first, n_replaced, n_pieces, n_after;
	struct lock_range pieces[3];
};

/* Zeroed is empty. */
void lock_ranges_fini(struct lock_ranges *r);

/* set.start <= set.end. */
void lock_ranges_plan(
	const struct lock_ranges *r, struct lock_range set, struct lock_change *change);
/* Makes room, so that nothing can go wrong once the kernel has the lock: 0 or -ENOMEM. */
int lock_ranges_reserve(struct lock_ranges *r, const struct lock_change *change) must_check;
/* After both; nothing has been set since the plan was made. */
void lock_ranges_commit(struct lock_ranges *r, const struct lock_change *change);

#endif
