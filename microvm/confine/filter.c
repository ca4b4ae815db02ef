/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From lists of system calls to BPF: a binary search over the numbers, as the kernel runs the
 * program hundreds of times when it is installed (to find out which calls need no run of it later)
 * and at each checked call. (libseccomp would do it too, at a price in instructions that each start
 * of a VM pays.)
 */
#include "microvm/confine/filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#define ARCH 0 /* no list for it yet: the filter lets nothing pass */
#endif

#define JUMP_MAX    255
#define CHECK_OPS   4 /* of one checked argument, below */
#define PROGRAM_MAX (8 + 4 * FILTER_CALLS_MAX + CHECK_OPS * FILTER_CALLS_MAX)

/* Calls from this number up to the next span's have the same fate. */
struct span {
	uint32_t from;
	const struct call *first; /* NULL: denied */
	unsigned n;		  /* rules, more than one only of checked arguments */
};

struct compiler {
	struct call calls[FILTER_CALLS_MAX]; /* by number */
	unsigned n_calls;
	struct span spans[2 * FILTER_CALLS_MAX + 1];
	unsigned n_spans;
	struct sock_filter *program;
	unsigned n, cap;
	uint32_t denied;
	int error;
};

static void emit(struct compiler *c, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	if (c->n == c->cap)
		c->error = -E2BIG;
	else
		c->program[c->n++] = (struct sock_filter){.code = code, .jt = jt, .jf = jf, .k = k};
}

static void emit_load(struct compiler *c, size_t offset_bytes)
{
	emit(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset_bytes);
}

static void emit_return(struct compiler *c, uint32_t action)
{
	emit(c, BPF_RET | BPF_K, 0, 0, action);
}

static int collect(struct compiler *c, const struct filter *filter)
{
	for (unsigned p = 0; p < FILTER_PARTS_MAX && filter->parts[p]; p++) {
		for (size_t i = 0; i < filter->parts[p]->n; i++) {
			const struct call *call = &filter->parts[p]->table[i];
			unsigned at = c->n_calls;
			if (at == FILTER_CALLS_MAX)
				return -E2BIG;
			for (; at > 0 && c->calls[at - 1].nr > call->nr; at--)
				c->calls[at] = c->calls[at - 1];
			c->calls[at] = *call;
			c->n_calls++;
		}
	}
	return 0;
}

static void add_span(struct compiler *c, uint32_t from, const struct call *first, unsigned n)
{
	struct span *last = c->n_spans ? &c->spans[c->n_spans - 1] : NULL;

	if (last && last->from == from) { /* the gap before it is empty */
		*last = (struct span){from, first, n};
		return;
	}
	/* Neighbours that are simply allowed are one. */
	if (last && last->first && first && last->first->rule == CALL_ALLOWED &&
		first->rule == CALL_ALLOWED)
		return;
	c->spans[c->n_spans++] = (struct span){from, first, n};
}

/* Parts of a list may name the same call, but have to agree about it. */
static int divide(struct compiler *c)
{
	add_span(c, 0, NULL, 0);
	for (unsigned i = 0, n; i < c->n_calls; i += n) {
		const struct call *call = &c->calls[i];
		for (n = 1; i + n < c->n_calls && c->calls[i + n].nr == call->nr; n++)
			if (c->calls[i + n].rule != call->rule)
				return -EINVAL;
		/* A gap that began here is none; one that begins behind it may be. */
		if (c->n_spans > 1 && c->spans[c->n_spans - 1].from == call->nr &&
			!c->spans[c->n_spans - 1].first)
			c->n_spans--;
		add_span(c, call->nr, call, n);
		add_span(c, call->nr + 1u, NULL, 0);
	}
	return 0;
}

static void emit_fate(struct compiler *c, const struct span *span)
{
	if (!span->first) {
		emit_return(c, c->denied);
	} else if (span->first->rule == CALL_ALLOWED) {
		emit_return(c, SECCOMP_RET_ALLOW);
	} else if (span->first->rule == CALL_REFUSED) {
		emit_return(c, SECCOMP_RET_ERRNO | span->first->value);
	} else {
		for (unsigned i = 0; i < span->n; i++) {
			const struct call *call = &span->first[i];
			/* Little-endian: the low half of an argument comes first. */
			emit_load(c, offsetof(struct seccomp_data, args) + 8u * call->arg);
			if (call->mask != UINT32_MAX)
				emit(c, BPF_ALU | BPF_AND | BPF_K, 0, 0, call->mask);
			emit(c, BPF_JMP | BPF_JEQ | BPF_K, 0, 1,
				call->own ? (uint32_t)getpid() : call->value);
			emit_return(c, SECCOMP_RET_ALLOW);
		}
		emit_return(c, c->denied);
	}
}

/* The spans [lo, hi): the lower half of them comes first, the upper half behind a jump over it. */
static void emit_search(struct compiler *c, unsigned lo, unsigned hi)
{
	unsigned mid = lo + (hi - lo) / 2, jump = c->n;

	if (hi - lo == 1) {
		emit_fate(c, &c->spans[lo]);
		return;
	}
	emit(c, BPF_JMP | BPF_JGE | BPF_K, 0, 0, c->spans[mid].from);
	emit_search(c, lo, mid);
	if (c->error)
		return;
	if (c->n - jump - 1 > JUMP_MAX)
		c->error = -E2BIG;
	else
		c->program[jump].jt = (uint8_t)(c->n - jump - 1);
	emit_search(c, mid, hi);
}

int filter_compile(const struct filter *filter, struct sock_filter *program, unsigned cap)
{
	struct compiler c = {.program = program, .cap = cap, .denied = filter->denied};
	int ret = collect(&c, filter);

	if (ret == 0)
		ret = divide(&c);
	if (ret < 0)
		return ret;
	emit_load(&c, offsetof(struct seccomp_data, arch));
	emit(&c, BPF_JMP | BPF_JEQ | BPF_K, 1, 0, ARCH);
	emit_return(&c, SECCOMP_RET_KILL_PROCESS);
	emit_load(&c, offsetof(struct seccomp_data, nr));
	emit_search(&c, 0, c.n_spans);
	return c.error ? c.error : (int)c.n;
}

int filter_install(const struct filter *filter)
{
	struct sock_filter program[PROGRAM_MAX];
	int n = filter_compile(filter, program, PROGRAM_MAX);

	if (n < 0)
		return n;
	struct sock_fprog prog = {.len = (unsigned short)n, .filter = program};
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0 ? -errno : 0;
}
