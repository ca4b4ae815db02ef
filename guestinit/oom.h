/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the host of each time that the kernel kills in a container's cgroup for lack of memory. */
#ifndef GUESTINIT_OOM_H
#define GUESTINIT_OOM_H

#include <stdint.h>

#include "base/loop.h"

struct container;

struct oom_watch {
	struct loop_source source;
	struct container *container;
	int fd; /* memory.events, -1 while it is not watched */
	uint64_t kills;
};

void oom_watch_init(struct oom_watch *watch);

/* Once; a kernel without the file has nothing to tell. */
void oom_watch_start(struct oom_watch *watch, struct container *c);

/* Tells what is not told yet, and ends. */
void oom_watch_fini(struct oom_watch *watch);

#endif
