/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp filters as BPF programs. libseccomp knows the system calls; its generator, though, takes
 * 7 million instructions for the usual profile on one architecture and 37 million on x86's three,
 * half of a whole start. This one takes 0.3 and 1.6: a binary tree of ranges of numbers for each
 * architecture, which also decides in a dozen steps.
 */
#ifndef GUESTINIT_SECCOMP_BPF_H
#define GUESTINIT_SECCOMP_BPF_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cfg_seccomp;
struct cfg_seccomp_arg;

/* A rule about one system call of one architecture. */
struct seccomp_call {
	uint32_t number;
	uint32_t order; /* of the configuration */
	uint32_t action;
	const struct cfg_seccomp_arg *args; /* conditions, all of which must hold; NULL without */
	size_t n_args;
};

struct seccomp_calls {
	struct seccomp_call *v;
	size_t n, cap;
	uint32_t last; /* the highest number that the configuration speaks of at all */
	bool any;
};

struct seccomp_program {
	struct sock_filter insns[BPF_MAXINSNS];
	unsigned n;
	bool overflow;
};

/* The configuration speaks of this number, if only to repeat the default. */
void seccomp_calls_know(struct seccomp_calls *calls, uint32_t number);

/* Appends a rule; -ENOMEM. */
int seccomp_calls_add(struct seccomp_calls *calls, const struct seccomp_call *call) must_check;

/*
 * Appends the decision about the numbers from `first` on; the number is in the accumulator. wide
 * says whether arguments have 64 bits. beyond is the action for numbers above all that the
 * configuration speaks of. Sorts the calls.
 */
int seccomp_bpf_tree(struct seccomp_program *p, struct seccomp_calls *calls, uint32_t first,
	bool wide, uint32_t default_action, uint32_t beyond) must_check;

void seccomp_bpf_emit(
	struct seccomp_program *p, uint16_t code, uint32_t k, unsigned jt, unsigned jf);

/*
 * The whole program of a configuration. The error names the field. (seccomp_x86.c has what is
 * particular to the architecture.)
 */
int seccomp_bpf_generate(
	const struct cfg_seccomp *config, struct seccomp_program *p, struct err *e) must_check;

#endif
