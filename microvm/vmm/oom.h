/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling the host that the container ran out of memory inside: the plan's `oom` is a socket to a
 * process beside this one (hvrun's, docs/protocol.md), which makes the host's kernel count an OOM
 * in the container's cgroup, where callers watch. They must see it before they see the exit.
 */
#ifndef MICROVM_VMM_OOM_H
#define MICROVM_VMM_OOM_H

#include <stdbool.h>

#include "base/loop.h"

struct oom {
	struct loop *loop;
	struct loop_source source; /* fd -1: nobody is there to be told */
	struct loop_timer timer;
	bool pending;
	void (*told)(void *arg);
	void *arg;
};

/*
 * Takes sock_fd over (-1: none). told is called once for each oom_tell that was true: when the host
 * has been told, or can't be, at the latest after some seconds.
 */
int oom_init(struct oom *oom, struct loop *loop, int sock_fd, void (*told)(void *arg), void *arg,
	struct err *e) must_check;
/* Harmless after zeroes. */
void oom_fini(struct oom *oom);

/* True when told is going to be called; false when there is nothing to wait for. */
bool oom_tell(struct oom *oom);

#endif
