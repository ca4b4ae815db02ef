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
#define PROGRAM_MAX (8 + 8 * FILTER_CALLS_MAX)

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
	struct sock_filter *program; /* filled from its end, as jumps go forward only */
	unsigned first, cap;	     /* [first, cap) is filled */
	uint32_t denied;
	int error;
};

/* Each of these puts something before what is there. */
static void put(struct compiler *c, uint16_t code, uint8_t jt, uint8_t jf, uint32_t k)
{
	if (c->first == 0)
		c->error = -E2BIG;
	else
		c->program[--c->first] =
			(struct sock_filter){.code = code, .jt = jt, .jf = jf, .k = k};
}

static void put_load(struct compiler *c, size_t offset_bytes)
{
	put(c, BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)offset_bytes);
}

/* From what is put next to `target`. */
static uint8_t distance(struct compiler *c, unsigned target)
{
	unsigned n = target - c->first;

	if (n > JUMP_MAX)
		c->error = -E2BIG;
	return (uint8_t)n;
}

static void put_jump(struct compiler *c, uint16_t condition, uint32_t k, unsigned yes, unsigned no)
{
	put(c, BPF_JMP | condition | BPF_K, distance(c, yes), distance(c, no), k);
}

/*
 * Where a return is, shared by all that can reach it: with the jump to it still to come, behind at
 * most n other instructions.
 */
static unsigned put_return(struct compiler *c, uint32_t action, unsigned n)
{
	for (unsigned i = c->first; i < c->cap && i - c->first + n < JUMP_MAX; i++)
		if (c->program[i].code == (BPF_RET | BPF_K) && c->program[i].k == action)
			return i;
	put(c, BPF_RET | BPF_K, 0, 0, action);
	return c->first;
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
		if (call->also)
			return -EINVAL;
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

/* Whoever comes to `call` comes from the one before it, and has loaded what it compares. */
static bool is_loaded(const struct call *call)
{
	const struct call *before = call - 1;

	return !call->also && !before->also && call->arg == before->arg &&
		call->mask == UINT32_MAX && before->mask == UINT32_MAX;
}

#define CHECK_OPS 3u /* of one check: a load, a mask, a jump */

static void put_checks(struct compiler *c, const struct call *calls, unsigned n)
{
	unsigned otherwise = put_return(c, c->denied, 1 + CHECK_OPS * n);
	unsigned allowed = put_return(c, SECCOMP_RET_ALLOW, CHECK_OPS * n), holds = allowed;

	for (unsigned i = n; i-- > 0;) {
		const struct call *call = &calls[i];
		put_jump(
			c, BPF_JEQ, call->own ? (uint32_t)getpid() : call->value, holds, otherwise);
		if (i == 0 || !is_loaded(call)) {
			if (call->mask != UINT32_MAX)
				put(c, BPF_ALU | BPF_AND | BPF_K, 0, 0, call->mask);
			/* Little-endian: the low half of an argument comes first. */
			put_load(c, offsetof(struct seccomp_data, args) + 8u * call->arg);
		}
		holds = call->also ? c->first : allowed;
		if (!call->also)
			otherwise = c->first;
	}
}

/* The most instructions that put_fate puts. */
static unsigned fate_ops(const struct span *span)
{
	bool checked = span->first && span->first->rule == CALL_CHECKED;

	return checked ? 2 + CHECK_OPS * span->n : 1;
}

/* Returns where it is; n as with put_return. */
static unsigned put_fate(struct compiler *c, const struct span *span, unsigned n)
{
	if (!span->first)
		return put_return(c, c->denied, n);
	if (span->first->rule == CALL_ALLOWED)
		return put_return(c, SECCOMP_RET_ALLOW, n);
	if (span->first->rule == CALL_REFUSED)
		return put_return(c, SECCOMP_RET_ERRNO | span->first->value, n);
	put_checks(c, span->first, span->n);
	return c->first;
}

/*
 * The search among the spans [lo, hi); returns where it begins. A fate of one span comes last,
 * right behind the jump to it, if it isn't there already. n as with put_return.
 */
static unsigned put_search(struct compiler *c, unsigned lo, unsigned hi, unsigned n)
{
	unsigned mid = lo + (hi - lo) / 2, lower, upper = 0;
	bool late = hi - mid == 1;

	if (c->error)
		return 0;
	if (hi - lo == 1)
		return put_fate(c, &c->spans[lo], n);
	if (!late)
		upper = put_search(c, mid, hi, 0);
	lower = put_search(c, lo, mid, late ? fate_ops(&c->spans[mid]) : 0);
	if (late)
		upper = put_search(c, mid, hi, 0);
	put_jump(c, BPF_JGE, c->spans[mid].from, upper, lower);
	return c->first;
}

int filter_compile(const struct filter *filter, struct sock_filter *program, unsigned cap)
{
	struct compiler c = {
		.program = program, .first = cap, .cap = cap, .denied = filter->denied};
	int ret = collect(&c, filter);

	if (ret == 0)
		ret = divide(&c);
	if (ret < 0)
		return ret;
	put_search(&c, 0, c.n_spans, 0);
	put_load(&c, offsetof(struct seccomp_data, nr));
	unsigned search = c.first, other_abi = put_return(&c, SECCOMP_RET_KILL_PROCESS, 0);
	put_jump(&c, BPF_JEQ, ARCH, search, other_abi);
	put_load(&c, offsetof(struct seccomp_data, arch));
	if (c.error)
		return c.error;
	memmove(program, program + c.first, (cap - c.first) * sizeof(*program));
	return (int)(cap - c.first);
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
