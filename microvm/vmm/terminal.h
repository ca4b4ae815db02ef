/* SPDX-License-Identifier: Apache-2.0 */
/* The user's terminal in a terminal session: raw while the container has it, restored after. */
#ifndef MICROVM_VMM_TERMINAL_H
#define MICROVM_VMM_TERMINAL_H

#include <stdbool.h>
#include <termios.h>

#include "base/err.h"

struct terminal {
	int fd; /* a copy, -1 when there is nothing to restore */
	struct termios saved;
};

/* fd stays the caller's. The process must ignore SIGTTOU. Something that is no terminal is fine. */
int terminal_make_raw(struct terminal *terminal, int fd) must_check;
/* Makes fd this process's controlling terminal. Not for one that is a session's leader elsewhere.
 */
int terminal_make_own(int fd) must_check;
/* Its size; false when it is not known. */
bool terminal_size(int fd, unsigned *rows, unsigned *columns);
void terminal_restore(struct terminal *terminal); /* any number of times */

#endif
