/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The init of the guests that hvrun is compared with: ends the machine at once. With "report=1" on
 * the kernel's command line (init's environment) it first prints the time stamp counter as main saw
 * it, which began at 0 with the vCPU; with "stay=1" it then sleeps instead.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/reboot.h>
#include <unistd.h>

int main(void)
{
	unsigned long long tsc = __builtin_ia32_rdtsc();

	if (getenv("report"))
		printf("time stamp counter %llu\n", tsc);
	fflush(stdout);
	while (getenv("stay"))
		pause();
	reboot(RB_AUTOBOOT);
	return 0;
}
