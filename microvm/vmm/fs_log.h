/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What hvrun-fs has to say, from the pipe that is its standard error: a descriptor of a file, or of
 * anything else on the host's mounts, would lead whoever has taken hvrun-fs over to the file system
 * that it lies on. The text is not trusted: lines are marked as its own, bounded and counted.
 */
#ifndef MICROVM_VMM_FS_LOG_H
#define MICROVM_VMM_FS_LOG_H

#include <stddef.h>

#include "base/err.h"
#include "base/loop.h"

#define FS_LOG_LINE_BYTES 1024u
#define FS_LOG_BYTES	  65536u /* in all */

struct fs_log {
	struct loop *loop;
	struct loop_source source; /* fd -1: it has ended, or there is none */
	char line[FS_LOG_LINE_BYTES];
	size_t line_bytes;
	size_t left_bytes; /* that may still be logged */
};

/*
 * Takes fd over (-1: none), the reading end, which becomes non-blocking. left_bytes is how much is
 * logged; then that there will be no more. 0, or -errno with e; fs_log_fini in either case.
 */
int fs_log_init(
	struct fs_log *log, struct loop *loop, int fd, size_t left_bytes, struct err *e) must_check;

/* Logs what has come until now. */
void fs_log_fini(struct fs_log *log);

#endif
