/* SPDX-License-Identifier: Apache-2.0 */
/* What a process that is executed in a container does until it becomes its program. */
#ifndef GUESTINIT_EXEC_CHILD_H
#define GUESTINIT_EXEC_CHILD_H

#include <stdint.h>

#include "guestinit/child.h"

struct exec_child {
	struct child child;
	uint64_t ns_flags; /* CLONE_NEW* of what the container has of its own */
	int pid_fd;	   /* of the container's first process */
	int proc_fd;	   /* guestinit's, -1 when not needed */
	int time_fd;	   /* the time namespace, -1 without */
};

_Noreturn void exec_child_main(const struct exec_child *ch);

#endif
