/* SPDX-License-Identifier: Apache-2.0 */
/*
 * startContainer hooks: run by the container's first process, after it has become its user and
 * before it becomes its program (as runc), one after the other, each with the state on stdin.
 */
#ifndef GUESTINIT_START_HOOKS_H
#define GUESTINIT_START_HOOKS_H

#include "base/err.h"

struct create;

struct start_hooks {
	int state_fd;  /* a file with the state */
	int output_fd; /* a file for what a hook says, of which an error quotes the end */
};

/* Makes the files; before a seccomp filter could forbid it. */
int start_hooks_prepare(
	struct start_hooks *hooks, const struct create *c, struct err *e) must_check;

/* Runs them. The error names the hook and the reason. */
int start_hooks_run(struct start_hooks *hooks, const struct create *c, struct err *e) must_check;

#endif
