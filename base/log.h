/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics on stderr (or another descriptor), one write per line: "hvrun-vmm: warning: text".
 * The level and the destination are the only mutable file-scope state of the project.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* program is kept by reference. fd is not owned. */
void log_init(const char *program, int fd, enum log_level level);
enum log_level log_level(void);

void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
