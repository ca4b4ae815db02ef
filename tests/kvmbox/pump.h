/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvmbox: one direction of one stream, shared by the box's init and its host side.
 *
 * A pump moves bytes from one descriptor to another through a buffer of fixed size and counts
 * them. It never waits by itself: the owner polls for what pump_events() asks and calls
 * pump_step() with what poll() found, so that a stalled stream holds up no other one.
 */
#ifndef KVMBOX_PUMP_H
#define KVMBOX_PUMP_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define PUMP_BUF_BYTES 65536
/* A pipe that polls writable takes this much without blocking, whatever its O_NONBLOCK says. */
#define PUMP_WRITE_BYTES 4096

struct pump {
	int in_fd;	      /* -1 once at end-of-file, or while held back */
	int out_fd;	      /* -1 once its reader is gone */
	bool eof;	      /* the source has ended */
	bool lost;	      /* the destination has gone: what still comes is dropped */
	uint32_t start, len;  /* the bytes in flight */
	uint64_t total_bytes; /* read from the source so far */
	char buf[PUMP_BUF_BYTES];
};

/* Fills in two poll entries, source then destination (fd -1: not of interest now). */
void pump_events(const struct pump *p, struct pollfd pfd[2]);

/* Reads once and writes once, where poll found the descriptor ready. */
void pump_step(struct pump *p, const struct pollfd pfd[2]);

/* Nothing is left to be written. */
static inline bool pump_idle(const struct pump *p)
{
	return p->len == 0;
}

#endif
