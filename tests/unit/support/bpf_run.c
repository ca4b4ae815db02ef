/* SPDX-License-Identifier: Apache-2.0 */
/* Programs of seccomp(2); see bpf_run.h. */
#include "tests/unit/support/bpf_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

uint32_t bpf_run(
	const struct sock_filter *p, unsigned n, const struct seccomp_data *data, unsigned *steps)
{
	uint32_t a = 0;

	*steps = 0;
	for (unsigned i = 0; i < n; i++) {
		++*steps;
		switch (p[i].code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(p[i].k <= sizeof(*data) - 4);
			memcpy(&a, (const char *)data + p[i].k, 4);
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= p[i].k;
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			i += a == p[i].k ? p[i].jt : p[i].jf;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			i += a >= p[i].k ? p[i].jt : p[i].jf;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			i += a > p[i].k ? p[i].jt : p[i].jf;
			break;
		case BPF_JMP | BPF_JA:
			i += p[i].k;
			break;
		case BPF_RET | BPF_K:
			return p[i].k;
		default:
			fail_msg("instruction %u: code %#x", i, p[i].code);
		}
	}
	fail_msg("no end");
	return 0;
}
