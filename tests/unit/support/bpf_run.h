/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel does with a program of seccomp(2), as far as those of tests go. */
#ifndef TESTS_UNIT_SUPPORT_BPF_RUN_H
#define TESTS_UNIT_SUPPORT_BPF_RUN_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdint.h>

/* The program's answer for a call; *steps is how many instructions that took. Fails the test. */
uint32_t bpf_run(const struct sock_filter *program, unsigned n, const struct seccomp_data *data,
	unsigned *steps);

#endif
