/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket to the hvrun that started this program (docs/protocol.md): one JSON object
 * per packet, both ways. What other processes ask is clients.h's.
 */
#ifndef MICROVM_VMM_CONTROL_H
#define MICROVM_VMM_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"

#define CONTROL_PACKET_BYTES (64u << 10)
#define CONTROL_SIZE_MAX     UINT16_MAX /* rows, columns: struct winsize */

struct control_ops {
	void (*kill)(void *arg, int signal);
	void (*resize)(void *arg, unsigned rows, unsigned columns);
	void (*create)(void *arg); /* what was held back may go to the guest */
	void (*stop)(void *arg);   /* asked to, or hvrun is gone */
};

struct control {
	struct loop *loop;
	struct loop_source sock;
	const struct control_ops *ops;
	void *arg;
	bool lifeline; /* its end is the VM's */
};

/* Takes sock_fd over, on failure too. */
int control_init(struct control *control, struct loop *loop, int sock_fd, bool lifeline,
	const struct control_ops *ops, void *arg, struct err *e) must_check;
void control_fini(struct control *control);

/* A member that is an integer from min to max; false without. */
bool control_integer(const json_t *json, const char *key, int min, int max, int *out);

/* Sends an event; one that can't be delivered is lost, as hvrun is going then. */
void control_emit(struct control *control, const json_t *event);

#endif
