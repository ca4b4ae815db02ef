/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Out of memory without the kernel noticing. A container at its limit whose memory is all its own
 * (nothing to write back, no swap) still has a few pages of program text that the kernel can
 * drop. It drops and reads them again for ever: reclaim makes progress, so nothing is killed, and
 * the program does not advance. Outside a VM other containers' use keeps those pages; here nobody
 * does. Pressure stall information tells such a stall from a slow disk.
 */
#ifndef GUESTINIT_THRASH_H
#define GUESTINIT_THRASH_H

#include <stdbool.h>

#include "base/loop.h"

struct thrash {
	struct loop_source source; /* of the trigger: memory.pressure, held open */
	struct loop *loop;
	int cgroup_fd; /* the container's, not owned */
	bool killed;   /* the container was out of memory in this way, and ended */
};

void thrash_init(struct thrash *thrash);

/*
 * Watches a cgroup (v2) that has a memory limit; without one there is nothing to watch. A kernel
 * without pressure stall information is left alone: 0 or -errno.
 */
int thrash_watch(struct thrash *thrash, struct loop *loop, int cgroup_fd) must_check;

void thrash_fini(struct thrash *thrash);

#endif
