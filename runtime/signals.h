/* SPDX-License-Identifier: Apache-2.0 */
/* Names and numbers of signals, as `kill` takes them and messages show them. */
#ifndef RUNTIME_SIGNALS_H
#define RUNTIME_SIGNALS_H

#include <stddef.h>

#include "base/err.h"

/*
 * The number of "9", "KILL", "SIGKILL", "sigterm", "RTMIN+3" or "SIGRTMAX-1"; 0 is a signal, too:
 * it asks whether the process is there. -EINVAL with `unknown signal "X"` for all else.
 */
int signals_parse(const char *text, int *signal, struct err *e) must_check;

#define SIGNALS_NAME_BYTES 16

/* "SIGTERM", "SIGRTMIN+3", or "signal 99" where there is no name. Returns name. */
const char *signals_name(int signal, char name[static SIGNALS_NAME_BYTES]);

#endif
