/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's connection: framed messages (base/msg.h) to and from guestinit over one end of a
 * socket pair, whose other end the vsock device has. The guest is hostile: what it sends is
 * bounded in size and depth, what is kept for it is bounded too.
 */
#ifndef MICROVM_VMM_AGENT_H
#define MICROVM_VMM_AGENT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/msg.h"

#define AGENT_QUEUE_BYTES (MSG_MAX_BYTES + (256u << 10)) /* waiting to be sent */

struct agent {
	struct loop *loop;
	struct loop_source sock;
	int near_end, far_end; /* until it is open */
	struct msg_reader reader;
	char *out;
	size_t out_bytes, sent_bytes, out_cap_bytes;
	bool wants_room; /* waits until the socket takes more */
	/* From the loop. message is borrowed. agent_close may be called from within. */
	void (*message)(void *arg, const json_t *message);
	/* At most once; not after agent_close. why: "" for an end of file between messages. */
	void (*closed)(void *arg, const char *why);
	void *arg;
};

/*
 * Makes the socket pair: before the monitor's system calls are confined, which leave it no sockets
 * to make. 0 or -errno; agent_close in either case.
 */
int agent_init(struct agent *agent, struct loop *loop,
	void (*message)(void *arg, const json_t *message),
	void (*closed)(void *arg, const char *why), void *arg) must_check;
void agent_close(struct agent *agent); /* frees what it holds; any number of times */

bool agent_is_open(const struct agent *agent);

/* The connection, once: the descriptor for the vsock device, the caller's; or -errno. */
int agent_open(struct agent *agent) must_check;

/* What is queued; 0 when all is sent. */
size_t agent_backlog_bytes(const struct agent *agent);

/* Queues bytes that are framed already, or one message. -EMSGSIZE when too much waits. */
int agent_send_bytes(struct agent *agent, const void *bytes, size_t len_bytes) must_check;
int agent_send(struct agent *agent, const json_t *message) must_check;

#endif
