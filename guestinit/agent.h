/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: guestinit's end of the control connection (docs/protocol.md), and the port on which
 * the host's streams arrive. The host is trusted to end the VM; still, whatever it sends is
 * bounded, and a broken message ends the connection, with which the VM ends.
 */
#ifndef GUESTINIT_AGENT_H
#define GUESTINIT_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/msg.h"

/*
 * Streams that may wait for their owner. The host begins eight execs at a time, with three streams
 * each, and the container has three: what is above these was never asked for.
 */
#define AGENT_PENDING_MAX 64

struct guest;

/* A stream that came before the container that it belongs to. */
struct agent_pending {
	uint32_t port;
	int fd;
};

struct agent {
	struct guest *guest;
	struct loop_source control, listener;
	int control_fd, listen_fd;
	struct msg_reader reader;
	struct agent_pending pending[AGENT_PENDING_MAX];
	unsigned n_pending;
	bool closed;
};

/* Listens for streams, connects to the host and says hello; tsc is the counter at main. */
int agent_connect(struct agent *agent, struct guest *guest, uint64_t tsc, struct err *e) must_check;

/* The same on a connected control socket (taken), without listening. */
int agent_attach(
	struct agent *agent, struct guest *guest, int control_fd, struct err *e) must_check;

/* Gives the streams that came early to who is there now. */
void agent_hand_out(struct agent *agent);

/* Ends the VM. */
void agent_end(struct agent *agent);

/* Takes the connection of a stream from the host's port. */
void agent_stream(struct agent *agent, uint32_t port, int fd);

void agent_fini(struct agent *agent);

/* Messages to the host. A failure to send ends the connection. agent may be NULL. */
void agent_created(struct agent *agent, const char *id);
void agent_started(struct agent *agent, const char *id);
void agent_failed(struct agent *agent, const char *id, int exit_code, const char *message);
void agent_exited(struct agent *agent, const char *id, int exit_code, bool oom);
void agent_exec_started(struct agent *agent, const char *id, const char *exec, pid_t pid);
void agent_exec_failed(
	struct agent *agent, const char *id, const char *exec, int exit_code, const char *message);
void agent_exec_exited(struct agent *agent, const char *id, const char *exec, int exit_code);
void agent_oom(struct agent *agent, const char *id);

/* The answer to a query or an update: `body` is the caller's; NULL stands for the error. */
void agent_answer(struct agent *agent, json_int_t seq, json_t *body, const struct err *e);

void agent_log(struct agent *agent, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
