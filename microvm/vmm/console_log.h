/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest kernel's console: bytes from a hostile guest become bounded, printable lines. The last
 * ones are kept for the message when the VM fails; at debug level they are logged as they come, at
 * a bounded rate, as long as the log has room for what a guest says.
 */
#ifndef MICROVM_VMM_CONSOLE_LOG_H
#define MICROVM_VMM_CONSOLE_LOG_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_LOG_LINES	40
#define CONSOLE_LOG_LINE_BYTES	160 /* longer lines are broken */
#define CONSOLE_LOG_LINES_PER_S 500 /* to the debug log */

struct console_log {
	pthread_mutex_t lock;
	char lines[CONSOLE_LOG_LINES][CONSOLE_LOG_LINE_BYTES];
	unsigned next, n_lines;		   /* next slot; how many are filled */
	char line[CONSOLE_LOG_LINE_BYTES]; /* under way */
	size_t line_bytes;
	char panic[CONSOLE_LOG_LINE_BYTES]; /* "" until the kernel panics */
	uint64_t second;		    /* of the monotonic clock, for the rate */
	unsigned logged, dropped;	    /* in that second */
};

int console_log_init(struct console_log *log);
void console_log_fini(struct console_log *log);

/* Any thread. Does not block on anything but the log of this program. */
void console_log_write(struct console_log *log, const void *bytes, size_t len_bytes);

/* The last lines, a new reference to an array of strings; NULL without memory. */
json_t *console_log_tail(struct console_log *log);

/* Copies the line in which the kernel said that it panics; false when it hasn't. */
bool console_log_panic(struct console_log *log, char *text, size_t cap_bytes);

#endif
