/* SPDX-License-Identifier: Apache-2.0 */
/* What the host may ask about a running container: the numbers of its cgroup, its processes. */
#ifndef GUESTINIT_QUERY_H
#define GUESTINIT_QUERY_H

#include <jansson.h>

#include "base/err.h"

struct container;

/* {"stats": {…}} as docs/protocol.md has it; a new reference, or NULL with the error filled. */
json_t *query_stats(struct container *c, struct err *e) must_check;

/* {"processes": […]}, likewise; as many as go into a message. */
json_t *query_ps(struct container *c, struct err *e) must_check;

#endif
