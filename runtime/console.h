/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --console-socket: a terminal for a container that nobody waits for. hvrun makes a pseudoterminal
 * of the host and sends its master to the caller; a program that stays holds the slave as its
 * controlling terminal, through which it hears of a new size, and bridges it to the terminal that
 * the guest makes. The guest's is the one that edits lines and makes signals of keys, so that of
 * the host is raw from the beginning.
 */
#ifndef RUNTIME_CONSOLE_H
#define RUNTIME_CONSOLE_H

#include <stdbool.h>

#include "base/err.h"

/*
 * What the options must agree on, in runc's words: a terminal of a container that is left alone
 * (detach) needs a socket, and nothing else may have one. socket_path may be NULL.
 */
int console_check(bool detach, bool terminal, const char *socket_path, struct err *e) must_check;

/*
 * Makes a terminal of this size (0: not known) and sends its master over the Unix stream socket at
 * socket_path, as runc does: one message, with the descriptor. *slave is the caller's, with a file
 * description of its own, and -1 on failure.
 */
int console_send(const char *socket_path, unsigned rows, unsigned columns, int *slave,
	struct err *e) must_check;

/* Makes the slave the controlling terminal of the calling process, in a session of its own. */
int console_control(int slave, struct err *e) must_check;

#endif
