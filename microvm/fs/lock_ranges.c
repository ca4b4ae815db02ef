/* SPDX-License-Identifier: Apache-2.0 */
/* The ranges that an owner has locked; see lock_ranges.h. */
#include "microvm/fs/lock_ranges.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CAP_MIN 4u

int lock_range_from_guest(const struct fuse_file_lock *in, struct flock *out)
{
	if (in->type != F_RDLCK && in->type != F_WRLCK && in->type != F_UNLCK)
		return -EINVAL;
	if (in->start > in->end || in->end > INT64_MAX)
		return -EINVAL;
	*out = (struct flock){.l_type = (short)in->type, .l_whence = SEEK_SET};
	out->l_start = (off_t)in->start;
	out->l_len = in->end == INT64_MAX ? 0 : (off_t)(in->end - in->start + 1);
	return 0;
}

struct lock_range lock_range_of(const struct flock *lock)
{
	return (struct lock_range){
		.start = (uint64_t)lock->l_start,
		.end = lock->l_len ? (uint64_t)(lock->l_start + lock->l_len - 1) : INT64_MAX,
		.type = (uint32_t)lock->l_type,
	};
}

void lock_ranges_fini(struct lock_ranges *r)
{
	free(r->ranges);
	*r = (struct lock_ranges){0};
}

static int resize(struct lock_ranges *r, uint32_t cap)
{
	struct lock_range *ranges = realloc(r->ranges, cap * sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	r->ranges = ranges;
	r->cap = cap;
	return 0;
}

int lock_ranges_reserve(struct lock_ranges *r, const struct lock_change *change)
{
	uint32_t cap = r->cap ? r->cap : CAP_MIN;

	while (cap < change->n_after)
		cap *= 2;
	return cap == r->cap ? 0 : resize(r, cap);
}

void lock_ranges_plan(
	const struct lock_ranges *r, struct lock_range set, struct lock_change *change)
{
	struct lock_change c = {0};
	uint32_t end;

	/* Neighbours belong to it too: those of the same type are merged with it. */
	while (c.first < r->n && r->ranges[c.first].end + 1 < set.start)
		c.first++;
	for (end = c.first; end < r->n && r->ranges[end].start <= set.end + 1; end++)
		;
	c.n_replaced = end - c.first;
	struct lock_range left = set, right = set;
	if (c.n_replaced) {
		left = r->ranges[c.first];
		right = r->ranges[end - 1];
	}
	struct lock_range middle = set;
	if (left.start < set.start && left.type == set.type)
		middle.start = left.start;
	else if (left.start < set.start)
		c.pieces[c.n_pieces++] = (struct lock_range){left.start, set.start - 1, left.type};
	if (right.end > set.end && right.type == set.type)
		middle.end = right.end;
	if (set.type != F_UNLCK)
		c.pieces[c.n_pieces++] = middle;
	if (right.end > set.end && right.type != set.type)
		c.pieces[c.n_pieces++] = (struct lock_range){set.end + 1, right.end, right.type};
	c.n_after = r->n - c.n_replaced + c.n_pieces;
	*change = c;
}

void lock_ranges_commit(struct lock_ranges *r, const struct lock_change *change)
{
	uint32_t behind = change->first + change->n_replaced;

	if (r->n > behind)
		memmove(r->ranges + change->first + change->n_pieces, r->ranges + behind,
			(r->n - behind) * sizeof(*r->ranges));
	if (change->n_pieces)
		memcpy(r->ranges + change->first, change->pieces,
			change->n_pieces * sizeof(*r->ranges));
	r->n = change->n_after;
	/* What an owner had locked once costs nothing; a smaller array that can't be had is fine.
	 */
	if (r->cap > CAP_MIN && r->n <= r->cap / 4)
		(void)!resize(r, r->cap / 2);
}
