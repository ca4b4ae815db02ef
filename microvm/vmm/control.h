/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket to hvrun (docs/protocol.md): one JSON object per packet, both ways. */
#ifndef MICROVM_VMM_CONTROL_H
#define MICROVM_VMM_CONTROL_H

#include <jansson.h>

#include "base/err.h"
#include "base/loop.h"

#define CONTROL_PACKET_BYTES (64u << 10)

struct control_ops {
	void (*kill)(void *arg, int signal);
	void (*resize)(void *arg, unsigned rows, unsigned columns);
	void (*stop)(void *arg); /* asked to, or hvrun is gone */
};

struct control {
	struct loop *loop;
	struct loop_source sock;
	const struct control_ops *ops;
	void *arg;
};

/* Takes sock_fd over, on failure too. */
int control_init(struct control *control, struct loop *loop, int sock_fd,
	const struct control_ops *ops, void *arg, struct err *e) must_check;
void control_fini(struct control *control);

/* Sends an event; one that can't be delivered is lost, as hvrun is going then. */
void control_emit(struct control *control, const json_t *event);

#endif
