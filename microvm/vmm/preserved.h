/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of the host that the container's process has as one of its descriptors from 3 on. */
#ifndef MICROVM_VMM_PRESERVED_H
#define MICROVM_VMM_PRESERVED_H

#include <stdbool.h>

struct preserved {
	int fd;	      /* -1: none */
	bool in, out; /* as the container sees it: it reads, it writes */
};

#endif
