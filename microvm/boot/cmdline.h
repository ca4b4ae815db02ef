/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel command line, bounded: too long is an error, never a silent cut. */
#ifndef MICROVM_BOOT_CMDLINE_H
#define MICROVM_BOOT_CMDLINE_H

#include <stddef.h>

#include "base/err.h"

#define CMDLINE_CAP_BYTES 2048

struct cmdline {
	char text[CMDLINE_CAP_BYTES];
	size_t len_bytes, max_bytes; /* without NUL */
};

/* max_bytes (without NUL) is the kernel's limit; ours is CMDLINE_CAP_BYTES - 1. */
void cmdline_init(struct cmdline *cmdline, size_t max_bytes);

/* Adds words behind a space. -E2BIG when they don't fit, -EINVAL for control characters. */
int cmdline_add(struct cmdline *cmdline, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4))) must_check;

#endif
