/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as a VM plan. A few descriptors are open, for plans that name them.
 *
 * Covers: microvm/vmm/plan.c microvm/vmm/plan_net.c microvm/vmm/plan_object.c
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "microvm/vmm/plan.h"

#define FIRST_FD 200
#define N_FDS	 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct plan plan;
	struct err e = {0};

	for (int fd = FIRST_FD; fd < FIRST_FD + N_FDS; fd++)
		if (fcntl(fd, F_GETFD) < 0) {
			int null = open("/dev/null", O_RDWR | O_CLOEXEC);
			if (null < 0 || dup2(null, fd) < 0 || close(null) < 0)
				abort();
		}
	/* Whatever else is open is not ours to lose: as after exec, it is not inherited. */
	for (int fd = STDERR_FILENO + 1; fd < FIRST_FD; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (plan_parse(&plan, (const char *)data, size, &e) < 0 && !e.text[0])
		abort();
	plan_fini(&plan);
	return 0;
}
