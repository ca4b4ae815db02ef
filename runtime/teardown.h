/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a container's traces on the host. */
#ifndef RUNTIME_TEARDOWN_H
#define RUNTIME_TEARDOWN_H

#include "base/err.h"
#include "runtime/container.h"

struct report;

/*
 * Kills the programs of the container, whose lock the caller holds, removes its cgroup, runs its
 * poststop hooks (failures are warnings) and removes its directory. What is gone already is fine.
 * report may be NULL: warnings go to the log then. ns is of network_hold if the caller has ended the
 * monitor, else -1.
 */
int teardown(struct container *c, int ns, const struct report *report, struct err *e) must_check;

#endif
