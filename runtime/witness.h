/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The witness: what makes an OOM inside of the VM one that the host sees. Callers (conmon, the shim
 * of containerd) watch the host's cgroup of the state's pid for OOMs, and there none happens,
 * because its limit is the container's and the VM's overhead. So a small process waits in that
 * cgroup. When the monitor says that the container has ended after an OOM, the witness draws the
 * cgroup's limit close to what is in use, and lets a child take memory until the kernel kills it: a
 * true event with cgroup v1 and v2. Then the limit is what it was. (Taking all that is left of the
 * old limit would do as well, but may be gigabytes.)
 *
 * Nothing else of the cgroup is at risk: before the limit is drawn there are two children with the
 * highest oom_score_adj, the one that takes memory and one that only waits, and while they live the
 * kernel takes them first. Where that is not certain (memory.oom.group, oom_kill_disable, the
 * inherited score), or the host or a parent cgroup is short of memory itself, it is not tried.
 */
#ifndef RUNTIME_WITNESS_H
#define RUNTIME_WITNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define WITNESS_PATIENCE_S 5

struct cgroup;

/*
 * Starts the process in cg (still open, see cgroup_fds); it ends with the other end of *sock,
 * which is the caller's to hand to the monitor (docs/protocol.md, `oom`). What it has to say goes
 * to the descriptor log. The pid, or -errno. 0 and *sock -1 where cg limits no memory.
 */
pid_t witness_start(const struct cgroup *cg, int log, int *sock, struct err *e) must_check;

#define WITNESS_ROOM_BYTES (32ull << 20) /* that the drawn limit leaves */

/* The numbers that decide, of the container's cgroup and its surroundings; bytes. */
struct witness_numbers {
	uint64_t limit, usage; /* UINT64_MAX: no limit */
	uint64_t left;	       /* of the host and all parents, the least */
	int64_t score_adj;     /* what the cgroup's processes have inherited */
};

/* NULL when an OOM may be brought about, else why not. */
const char *witness_refusal(const struct witness_numbers *numbers);

/*
 * The numbers of the cgroup whose directory is dir, of the v2 hierarchy or v1's memory controller;
 * proc in place of /proc (NULL). 0, -EPERM where the kernel would not kill just one, or -errno.
 */
int witness_read(
	struct witness_numbers *numbers, const char *dir, bool v2, const char *proc) must_check;

#endif
