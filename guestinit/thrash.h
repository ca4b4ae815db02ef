/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Out of memory without the kernel noticing. A container at its limit whose memory is all its own
 * (nothing to write back, no swap) still has a few pages of program text that the kernel can
 * drop. It drops and reads them again for ever: reclaim makes progress, so nothing is killed, and
 * the program does not advance. Outside a VM other containers' use keeps those pages; here nobody
 * does. (Pressure stall information does not show it: the pages come back too soon to count as a
 * working set.) So while the container is at its limit, what it reads back is counted, if it comes
 * back by page faults: a program that reads files with read(2) is slow for want of memory, but gets
 * on.
 */
#ifndef GUESTINIT_THRASH_H
#define GUESTINIT_THRASH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"

struct thrash {
	struct loop_timer timer;
	bool armed;
	int cgroup_fd;	  /* the container's, not owned */
	int64_t refaults; /* of pages of files, at the last look */
	int64_t faults;	  /* that had to wait for a file, likewise */
	unsigned strikes; /* looks in a row that found it thrashing */
	bool killed;	  /* the container was out of memory in this way, and ended */
};

void thrash_init(struct thrash *thrash);

/*
 * Watches a cgroup (v2) that has a memory limit; without one, or when it is watched already, there
 * is nothing to do. 0 or -errno.
 */
int thrash_watch(struct thrash *thrash, struct loop *loop, int cgroup_fd) must_check;

void thrash_fini(struct thrash *thrash);

#endif
