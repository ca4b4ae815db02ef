/* SPDX-License-Identifier: Apache-2.0 */
/* The frequency of the time-stamp counter; see clock.h. */
#include "microvm/emulation/clock.h"

#include <cpuid.h>
#include <errno.h>
#include <stdint.h>
#include <time.h>
#include <x86intrin.h>

#define MEASURE_NS    10000000L
#define SAMPLES	      16
#define NS_PER_S      1000000000ULL
#define CPUID_POWER   0x80000007u
#define INVARIANT_TSC (1u << 8)

struct instant {
	uint64_t tsc, ns;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Both clocks at once: of several tries the one that was least disturbed. */
static struct instant read_clocks(void)
{
	struct instant best = {0};
	uint64_t best_cycles = UINT64_MAX;

	for (int i = 0; i < SAMPLES; i++) {
		uint64_t before = __rdtsc(), ns = now_ns(), cycles = __rdtsc() - before;
		if (cycles >= best_cycles)
			continue;
		best_cycles = cycles;
		best = (struct instant){before + cycles / 2, ns};
	}
	return best;
}

unsigned clock_tsc_khz(void)
{
	struct timespec left = {.tv_nsec = MEASURE_NS};
	unsigned eax, ebx, ecx, edx;

	if (!__get_cpuid(CPUID_POWER, &eax, &ebx, &ecx, &edx) || !(edx & INVARIANT_TSC))
		return 0;
	struct instant from = read_clocks();
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
	struct instant to = read_clocks();
	return (unsigned)((to.tsc - from.tsc) * 1000000u / (to.ns - from.ns));
}
