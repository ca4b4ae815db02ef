/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A one-way flow of bytes from one descriptor to another within the event loop, with one bounded
 * buffer: what the receiver does not take is not read either. The end of the input ends the
 * output; an output that nobody reads any more ends the input.
 */
#ifndef GUESTINIT_RELAY_H
#define GUESTINIT_RELAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/loop.h"

#define RELAY_BUFFER_BYTES (64u << 10)

struct relay {
	struct loop *loop;
	struct loop_source from, to;
	int from_fd, to_fd; /* owned, -1 when the relay does not run */
	char *buf;
	size_t start, used;
	bool eof;
	bool draining; /* the input ends after so much, and where it is empty */
	size_t drain_left;
	void (*done)(struct relay *relay); /* called once, after both ends are closed */
};

void relay_init(struct relay *relay);

/* Takes both descriptors, which must be non-blocking, also when it fails. */
int relay_start(struct relay *relay, struct loop *loop, int from_fd, int to_fd,
	void (*done)(struct relay *relay)) must_check;

/* Passes on what the input has by now, and takes that for its end. Calls done, perhaps at once. */
void relay_drain(struct relay *relay);

/* Closes both ends at once, without calling done. */
void relay_stop(struct relay *relay);

bool relay_running(const struct relay *relay);

#endif
