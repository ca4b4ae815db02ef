/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's process of a process in a container: it holds the connection to the monitor, which
 * kills the process inside when that ends; passes on the signals that it gets and the size of its
 * terminal; and ends with the exit code.
 */
#ifndef RUNTIME_ATTEND_H
#define RUNTIME_ATTEND_H

#include <signal.h>
#include <stdbool.h>

#include "base/err.h"

struct attend {
	int signal_fd;
	int sock;		/* to the monitor */
	int terminal;		/* whose size is passed on; borrowed, -1: none */
	unsigned rows, columns; /* as the guest has been told */
	bool started, over, failed;
	int code;	/* when over: the exit code */
	struct err err; /* when failed: why */
};

/* Nothing that attend_fini would have to do yet. */
void attend_init(struct attend *a);

/*
 * Blocks the signals that are to be passed on and opens a descriptor for them; before anything is
 * asked of the monitor, so that none is lost. sock is connected to the monitor, and a's from now
 * on, on failure too. A child may go on where its parent has left off.
 */
int attend_open(struct attend *a, int sock, struct err *e) must_check;

/* Waits until the process that was asked for is started, or has failed to (a->over). */
int attend_start(struct attend *a, struct err *e) must_check;

/* Waits until it has ended. */
int attend_run(struct attend *a, struct err *e) must_check;

/* Tells the guest the terminal's size, unless it knows. */
void attend_resize(struct attend *a);

/* Closes everything; blocked signals stay so. */
void attend_fini(struct attend *a);

#endif
