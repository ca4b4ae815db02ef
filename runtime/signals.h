/* SPDX-License-Identifier: Apache-2.0 */
/* Names and numbers of signals, as `kill` takes them. */
#ifndef RUNTIME_SIGNALS_H
#define RUNTIME_SIGNALS_H

#include <stddef.h>

#include "base/err.h"

/*
 * The number of "9", "KILL", "SIGKILL", "sigterm", "RTMIN+3" or "SIGRTMAX-1"; 0 is a signal, too:
 * it asks whether the process is there. -EINVAL with `unknown signal "X"` for all else.
 */
int signals_parse(const char *text, int *signal, struct err *e) must_check;

#endif
