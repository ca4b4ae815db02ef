/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a container uses, as `runc events` prints it on a host with cgroup v2. The numbers come
 * from the guest, which is hostile: they may lie, but they are numbers.
 */
#ifndef RUNTIME_STATS_H
#define RUNTIME_STATS_H

#include <jansson.h>

#include "base/err.h"

/*
 * *out is one line of JSON with a newline behind it, the caller's to free: {"type":"stats","id":ID,
 * "data":...}. stats is the guest's answer (docs/protocol.md). -EINVAL when it makes no sense.
 */
int stats_line(const char *id, const json_t *stats, char **out, struct err *e) must_check;

#endif
