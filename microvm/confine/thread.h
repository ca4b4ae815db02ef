/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a thread that has its own list of system calls before it does anything. */
#ifndef MICROVM_CONFINE_THREAD_H
#define MICROVM_CONFINE_THREAD_H

#include <pthread.h>

#include "base/err.h"
#include "microvm/confine/filter.h"

struct thread_config {
	const char *name; /* at most 15 bytes */
	void *(*main)(void *arg);
	void *arg;
	int signal;		     /* the one that it takes, 0: none; all others are blocked */
	const struct filter *filter; /* NULL: no list of its own */
};

/* What every thread calls that is started here: its end, memory, and what faults bring about. */
extern const struct calls thread_calls;

/*
 * When it returns 0, the thread runs with its filter. -errno: there is no thread. Its stack is of
 * 256 KiB.
 */
int thread_start(pthread_t *thread, const struct thread_config *config) must_check;

#endif
