/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors that a person reads. Leaves return 0 or -errno; an operation whose failure a user sees
 * also fills a struct err, which the caller owns (no heap). The text gains context as the error
 * climbs: the leaf says the reason, each caller puts the thing in front of it.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>

#define ERR_TEXT_BYTES	 2048
#define ERR_REASON_BYTES 128

struct err {
	int code;		   /* a positive errno value, 0 while nothing failed */
	char text[ERR_TEXT_BYTES]; /* one line, no trailing newline */
};

#define must_check __attribute__((warn_unused_result))

/* Fills e (NULL is fine) and returns -code, so that a caller can write `return err_set(...)`. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Like err_set, with ": " and err_reason behind the text. */
int err_sys(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * The kernel's words for an errno value, in lower case as Go has them: callers of OCI runtimes look
 * for "no such file or directory" and "permission denied". Returns text.
 */
const char *err_reason(int code, char text[static ERR_REASON_BYTES]);

/* Puts "fmt: " in front of the text and returns -e->code. */
int err_add(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
