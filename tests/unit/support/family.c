/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/support/family.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

static _Noreturn void sleep_on(int ready)
{
	if (write(ready, "r", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static pid_t start(void)
{
	pid_t pid = fork();

	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

pid_t family(void)
{
	char words[FAMILY];
	int ready[2];

	if (pipe(ready) < 0)
		abort();
	pid_t first = start();
	if (first == 0) {
		if (start() == 0)
			sleep_on(ready[1]);
		if (start() == 0) {
			(void)start();
			sleep_on(ready[1]);
		}
		sleep_on(ready[1]);
	}
	for (size_t i = 0; i < FAMILY; i++)
		if (first < 0 || read(ready[0], &words[i], 1) != 1)
			abort();
	close(ready[0]);
	close(ready[1]);
	return first;
}
