/* SPDX-License-Identifier: Apache-2.0 */
/* --pid-file: whoever waits for it never sees a part of a number. */
#ifndef RUNTIME_PIDFILE_H
#define RUNTIME_PIDFILE_H

#include <sys/types.h>

#include "base/err.h"

int pidfile_write(const char *path, pid_t pid, struct err *e) must_check;

#endif
