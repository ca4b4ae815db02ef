/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket over which a process that is being set up tells guestinit how far it came, one
 * packet a report, and over which it is answered. It ends with the exec.
 */
#ifndef GUESTINIT_REPORT_H
#define GUESTINIT_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum child_report_kind {
	CHILD_NEED_OUTSIDE,  /* what only guestinit can do to its namespaces; waits for an answer */
	CHILD_NEED_LIMITS,   /* waits for an answer */
	CHILD_NEED_RESOLVER, /* just before the start; waits for an answer */
	CHILD_TERMINAL,	     /* carries the master's descriptor */
	CHILD_CREATED,	     /* all is done but the start: waits for an answer */
	CHILD_EXEC,	     /* about to become the program; then the socket ends */
	CHILD_FAILED,	     /* code and text; the last */
};

/* One packet. The answer to a report that waits is one packet of any content. */
struct child_report {
	uint32_t kind;
	int32_t code; /* the exit code for the user */
	char text[ERR_TEXT_BYTES];
};

/* The child's end. */
void report_send(int sock, uint32_t kind, int code, const char *text);
int report_send_fd(int sock, uint32_t kind, int fd) must_check;
int report_ask(int sock, uint32_t kind, struct err *e) must_check;

/*
 * guestinit's end. Receives a report and perhaps a descriptor (*fd, else -1; the caller's); false
 * at the end of the socket, or when nothing is there and it is not to wait.
 */
bool report_receive(int sock, bool wait, struct child_report *report, int *fd) must_check;
int report_answer(int sock) must_check;

#endif
