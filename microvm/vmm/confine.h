/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's confinement: what it gives up before the guest runs, in two steps. What it cannot
 * do as a process (confine_process) comes before its threads are made, the list of system calls of
 * its main thread (confine_loop) when they are there; the others have put on theirs by then.
 */
#ifndef MICROVM_VMM_CONFINE_H
#define MICROVM_VMM_CONFINE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/err.h"
#include "microvm/vmm/machine.h"
#include "microvm/vmm/plan.h"

struct filter;

/*
 * Whether threads get lists of system calls. False with sanitizers, whose run-time libraries make
 * calls of their own.
 */
bool confine_calls(void);

/* Closes all descriptors but those of the plan (NULL: none), 0 to 2 and `others`: whoever started
 * us left them.
 */
int confine_descriptors(
	struct plan *plan, const int *others, unsigned n_others, struct err *e) must_check;

/* privileges_drop with the plan's user. The process was to have no threads yet but this one. */
int confine_process(const struct plan *plan, struct err *e) must_check;

/* The list of this thread, which runs the loop, and an end to new threads and processes. */
int confine_loop(const struct machine *machine, struct err *e) must_check;

/*
 * A process that connects to something for the monitor (struct relay_role), with the descriptors
 * and the root directory that it keeps: privileges_drop_but_tcp with `uid`, `keep` and `port` (0:
 * none), then its list of system calls; a call that is not on it ends the process with a line in
 * the log. 0, or -errno with e.
 */
int confine_helper(uid_t uid, uint64_t keep, uint16_t port, const struct filter *filter,
	struct err *e) must_check;

/* Prints "KIND CALL [CONDITION]" for each entry of each list; for tests. */
void confine_print(FILE *out);

#endif
