/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that the host executes in a running container: started, signalled, reaped, reported. */
#ifndef GUESTINIT_EXEC_H
#define GUESTINIT_EXEC_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "guestinit/create.h"
#include "guestinit/streams.h"

struct container;

struct exec {
	struct exec *next;
	struct container *container;
	struct create *spec;	   /* the message, decoded */
	pid_t pid;		   /* 0 once it is reaped */
	struct loop_source report; /* of the process until its exec */
	int report_fd;
	bool exec_tried, started, failed;
	bool dropped; /* nobody waits for its output */
	struct err failure;
	int exit_code;
	struct streams streams;
};

/*
 * Executes the process of a decoded message, which it takes, also on failure. When it returns 0
 * the rest goes on in the event loop: `exec-started` or `exec-failed`, and `exec-exited`.
 * *exit_code is the user's on failure.
 */
int guest_exec_create(
	struct container *c, struct create *spec, int *exit_code, struct err *e) must_check;

struct exec *guest_exec_find(struct container *c, const char *name);

/*
 * Signals the process; with SIGKILL, also what it has left in its session, because nobody will
 * be there any more to see to that.
 */
int guest_exec_kill(struct exec *x, int signal) must_check;

/*
 * Kills it, and ends it without its output, for which nobody waits: a stream that the host has
 * never connected, or does not read, would keep it for ever. It may be gone afterwards, and its
 * container as well.
 */
void guest_exec_drop(struct exec *x);

/* The same for those that have ended and wait for their output alone. */
void guest_exec_drop_ended(struct container *c);

/* Whether the process was one of the container's; if so, it has ended with this wait status. */
bool guest_exec_reaped(struct container *c, pid_t pid, int status);

void guest_exec_free(struct exec *x);

#endif
