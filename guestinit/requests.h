/* SPDX-License-Identifier: Apache-2.0 */
/* What the host asks for on the control connection (docs/protocol.md), one message each. */
#ifndef GUESTINIT_REQUESTS_H
#define GUESTINIT_REQUESTS_H

#include <jansson.h>

struct agent;

/* Carries a message out; faults of it are answered or logged. */
void requests_handle(struct agent *agent, json_t *message);

#endif
