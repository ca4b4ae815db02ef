/* SPDX-License-Identifier: Apache-2.0 */
/* The mount option tmpcopyup: a tmpfs starts with a copy of what it covers. */
#ifndef GUESTINIT_COPYUP_H
#define GUESTINIT_COPYUP_H

#include "base/err.h"

/*
 * Copies what is in directory from_fd (O_PATH is fine) into directory to_fd, with owners, modes
 * and times, without following symlinks. to_fd's own attributes stay.
 */
int copyup_tree(int from_fd, int to_fd, struct err *e) must_check;

#endif
