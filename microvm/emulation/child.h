/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QEMU process: started with exactly the descriptors that it is to have, killed by the kernel
 * when the monitor's thread dies, its own words kept for the message when it fails.
 */
#ifndef MICROVM_EMULATION_CHILD_H
#define MICROVM_EMULATION_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"

#define CHILD_SAID_BYTES 1024

struct child {
	struct loop *loop;
	pid_t pid;		     /* -1 when there is none (any more) */
	struct loop_source exit;     /* a pidfd */
	struct loop_source output;   /* standard output and error */
	char said[CHILD_SAID_BYTES]; /* the beginning: the first complaint is the cause */
	size_t said_bytes;
	void (*exited)(void *arg, int status); /* from the loop, once; the wait status */
	void *arg;
};

void child_init(
	struct child *child, struct loop *loop, void (*exited)(void *arg, int status), void *arg);

/* Starts words[0] with the descriptors in keep (others are closed), under the numbers they have. */
int child_start(struct child *child, char *const *words, const int *keep, unsigned n_keep,
	struct err *e) must_check;

/* Stops all of it where it is (and waits until it stands), or lets it go on. */
int child_freeze(struct child *child, bool freeze) must_check;

/* Kills it, waits for it, and forgets it; any number of times. */
void child_kill(struct child *child);

/* What it has said, its lines joined, "" when nothing. Reads what is still in the pipe. */
const char *child_said(struct child *child);

void child_fini(struct child *child);

#endif
