/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the cloned process does until it becomes the container's program, and the socket over
 * which it tells guestinit how far it came.
 */
#ifndef GUESTINIT_CHILD_H
#define GUESTINIT_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "guestinit/devices.h"

struct create;

enum child_report_kind {
	CHILD_NEED_MAPS,   /* waits for an answer */
	CHILD_NEED_LIMITS, /* waits for an answer */
	CHILD_TERMINAL,	   /* carries the master's descriptor */
	CHILD_EXEC,	   /* about to become the program; then the socket ends */
	CHILD_FAILED,	   /* code and text; the last */
};

/* One packet. The answer to a CHILD_NEED_… is one packet of any content. */
struct child_report {
	uint32_t kind;
	int32_t code; /* the exit code for the user */
	char text[ERR_TEXT_BYTES];
};

struct child {
	const struct create *create;
	const char *null_path, *nodes_dir;
	int root_tree;
	const int *mount_trees; /* of each bind mount; -1 for the others */
	struct devices *devices;
	int stdio[3]; /* -1 in a terminal session */
	uint32_t rows, columns;
	int report_fd;
	bool user_ns, network_ns; /* made at the clone */
};

_Noreturn void child_main(const struct child *child);

#endif
