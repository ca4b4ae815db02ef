/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command says when it fails: one line on stderr, and with --log FILE the same in that
 * file, as text or as the JSON that callers of runc read ({"level":"error","msg":...,"time":...}).
 */
#ifndef RUNTIME_REPORT_H
#define RUNTIME_REPORT_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct report {
	int fd; /* of --log, -1 without */
	bool json;
};

/* file may be NULL; format is NULL, "text" or "json". */
int report_open(
	struct report *report, const char *file, const char *format, struct err *e) must_check;
void report_close(struct report *report);

/* level as in runc's log: "error", "warning". The line goes to stderr as well. */
void report_line(const struct report *report, const char *level, const char *message);

/*
 * An error whose reason may lie in what the guest's kernel said last: console is an array of lines,
 * or NULL. On stderr each follows as a line of its own behind "guest: "; in --log's file they are
 * part of the one message.
 */
void report_failure(const struct report *report, const char *message, const json_t *console);

#endif
