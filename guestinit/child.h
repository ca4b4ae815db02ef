/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a cloned process does until it becomes a program: the container's first process (child.c),
 * and one that is executed in a container (exec_child.c). They end alike, in child_become.
 */
#ifndef GUESTINIT_CHILD_H
#define GUESTINIT_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/err.h"
#include "guestinit/devices.h"
#include "guestinit/report.h"
#include "guestinit/streams.h"

struct create;

struct child {
	const struct create *create;
	const struct rlimit
		*files; /* the limit to go back to, NULL when guestinit has not raised its own */
	int stdio[STREAM_FDS_MAX]; /* to be 0 and up; -1: none, or a terminal's */
	uint32_t rows, columns;
	int report_fd;
	bool user_ns; /* made at the clone, or to be entered */
	/* of the first process */
	const char *null_path, *nodes_dir;
	int root_tree;
	const int *mount_trees; /* of each bind mount; -1 for the others */
	struct devices *devices;
	bool network_ns;  /* made at the clone */
	bool net_devices; /* come into it then */
};

_Noreturn void child_main(const struct child *child);

/* The streams become descriptors 0 to 2. */
int child_set_stdio(const int fds[3], struct err *e) must_check;

/* A new terminal becomes the process's streams and controls it; with console, /dev/console too. */
int child_open_terminal(
	const struct child *ch, int root_fd, bool console, struct err *e) must_check;

/* Becomes root of the user namespace that the process is in. */
int child_become_root(struct err *e) must_check;

/*
 * The last part of the way: user, capabilities, program; waits for the start where it is to come
 * later; hooks; exec. With a negative ret, reports the failure instead.
 */
_Noreturn void child_become(const struct child *ch, int ret, struct err *e);

#endif
