/* SPDX-License-Identifier: Apache-2.0 */
/* A terminal out of the container's own devpts. */
#ifndef GUESTINIT_PTY_H
#define GUESTINIT_PTY_H

#include <stdint.h>

#include "base/err.h"

struct pty {
	int master_fd, slave_fd;
};

/*
 * Opens a new terminal of the devpts at /dev/pts below root_fd. Rows and columns of 0 leave the
 * size alone.
 */
int pty_open(
	int root_fd, uint32_t rows, uint32_t columns, struct pty *pty, struct err *e) must_check;

/* Binds the terminal to /dev/console. */
int pty_bind_console(int root_fd, int slave_fd) must_check;

int pty_resize(int master_fd, uint32_t rows, uint32_t columns) must_check;

#endif
