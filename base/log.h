/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics on stderr (or another descriptor), one write per line: "hvrun-vmm: warning: text".
 * The destination, the level and what room is left are the only mutable file-scope state of the
 * project.
 *
 * Of hvrun-vmm and hvrun-fs this may be a file on the host's tmpfs, and much that they say a guest
 * can bring about, for as long as it likes. So a process writes LOG_BYTES_MAX of warnings and less
 * important lines, and as many that come from the guest, then says that it was that, and no more.
 * Errors of its own are few, and always written.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stddef.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

#define LOG_BYTES_MAX (256u << 10)

/* program is kept by reference. fd is not owned. There is all the room again. */
void log_init(const char *program, int fd, enum log_level level);
enum log_level log_level(void);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What a guest says, which decides on the level itself. */
void log_guest_line(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * A line of another program, as it is but for control characters, after head; at any level. How
 * many there are is for the caller to bound.
 */
void log_foreign(const char *head, const char *text, size_t len_bytes);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
