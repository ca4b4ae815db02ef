/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The streams that the container inherits from hvrun's caller. Pipes and terminals are opened
 * again, so that the monitor can set O_NONBLOCK on a file description of its own: the one that was
 * inherited is shared with the caller (and with a shell's next command).
 */
#ifndef RUNTIME_STREAMS_H
#define RUNTIME_STREAMS_H

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

#include "base/err.h"

struct streams {
	int in, out, err; /* -1 in a terminal session */
	int terminal;	  /* -1 without */
	uint16_t rows, columns;
	bool saved;
	struct termios settings; /* of the terminal, before the session */
};

/* Makes sure that descriptors 0, 1 and 2 are open, so that no other file ever gets their numbers.
 */
int streams_sanitise(void) must_check;

/*
 * want_terminal: process.terminal; one of the three descriptors must then be a terminal, or the
 * process have a controlling terminal. rows and columns are set if the terminal knows them.
 */
int streams_open(struct streams *streams, bool want_terminal, struct err *e) must_check;

/*
 * A file description of our own for fd, a pipe or a terminal, where that can be had; else a
 * duplicate. Close-on-exec; -1 with errno.
 */
int streams_reopen(int fd, int access_mode);

/* Closes them here, and 0 and 1 as well, so that ends of file pass: the container has them. */
void streams_hand_over(struct streams *streams);

/* The terminal's size now; false when it is not known. */
bool streams_size(const struct streams *streams, uint16_t *rows, uint16_t *columns);

/* Restores the terminal's settings and closes everything. */
void streams_close(struct streams *streams);

#endif
