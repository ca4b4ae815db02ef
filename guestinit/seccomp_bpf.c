/* SPDX-License-Identifier: Apache-2.0 */
/* Seccomp filters as BPF programs; see seccomp_bpf.h. */
#include "guestinit/seccomp_bpf.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "guestinit/create.h"
#include "guestinit/seccomp.h"

#define SECCOMP_JUMP_MAX 255
#define SECCOMP_FIXUPS	 512

/* The calls from `start` up to the next range's start are treated alike. */
struct seccomp_range {
	uint32_t start;
	uint32_t action;		  /* without conditions */
	const struct seccomp_call *calls; /* with conditions: these, one after the other; or NULL */
	size_t n_calls;
};

void seccomp_calls_know(struct seccomp_calls *calls, uint32_t number)
{
	if (!calls->any || number > calls->last)
		calls->last = number;
	calls->any = true;
}

int seccomp_calls_add(struct seccomp_calls *calls, const struct seccomp_call *call)
{
	if (calls->n == calls->cap) {
		size_t cap = calls->cap ? calls->cap * 2 : 512;
		struct seccomp_call *v = realloc(calls->v, cap * sizeof(*v));
		if (!v)
			return -ENOMEM;
		calls->v = v;
		calls->cap = cap;
	}
	calls->v[calls->n++] = *call;
	seccomp_calls_know(calls, call->number);
	return 0;
}

void seccomp_bpf_emit(
	struct seccomp_program *p, uint16_t code, uint32_t k, unsigned jt, unsigned jf)
{
	if (p->n == BPF_MAXINSNS || jt > SECCOMP_JUMP_MAX || jf > SECCOMP_JUMP_MAX) {
		p->overflow = true;
		return;
	}
	p->insns[p->n++] = (struct sock_filter){code, (uint8_t)jt, (uint8_t)jf, k};
}

#define LOAD	 (BPF_LD | BPF_W | BPF_ABS)
#define JUMP(op) (BPF_JMP | (op) | BPF_K)

/* Jumps to the end of a rule, which is not known while it is being written. */
struct seccomp_fixups {
	unsigned at[SECCOMP_FIXUPS];
	bool on_true[SECCOMP_FIXUPS];
	unsigned n;
};

static void fixup_add(struct seccomp_program *p, struct seccomp_fixups *f, bool on_true)
{
	if (f->n == SECCOMP_FIXUPS || p->overflow) {
		p->overflow = true;
		return;
	}
	f->at[f->n] = p->n - 1;
	f->on_true[f->n++] = on_true;
}

static void fixup_resolve(struct seccomp_program *p, const struct seccomp_fixups *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		unsigned distance = p->n - f->at[i] - 1;
		struct sock_filter *insn = &p->insns[f->at[i]];
		if (distance > SECCOMP_JUMP_MAX)
			p->overflow = true;
		else if (f->on_true[i])
			insn->jt = (uint8_t)distance;
		else
			insn->jf = (uint8_t)distance;
	}
}

/* A test that leaves the rule when it comes out as `fail_on`, and goes on otherwise. */
static void emit_test(struct seccomp_program *p, struct seccomp_fixups *f, uint16_t op,
	uint32_t value, bool fail_on)
{
	seccomp_bpf_emit(p, JUMP(op), value, 0, 0);
	fixup_add(p, f, fail_on);
}

static void emit_load(struct seccomp_program *p, uint32_t arg, bool high, uint32_t mask)
{
	size_t offset = offsetof(struct seccomp_data, args) + arg * sizeof(uint64_t) +
		(high ? sizeof(uint32_t) : 0); /* little-endian */

	seccomp_bpf_emit(p, LOAD, (uint32_t)offset, 0, 0);
	if (mask != UINT32_MAX)
		seccomp_bpf_emit(p, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
}

/* Equality, under a mask: both halves must match. */
static void emit_equal(struct seccomp_program *p, struct seccomp_fixups *f, uint32_t arg,
	uint64_t value, uint64_t mask, bool wide)
{
	if (wide && mask >> 32) {
		emit_load(p, arg, true, (uint32_t)(mask >> 32));
		emit_test(p, f, BPF_JEQ, (uint32_t)(value >> 32), false);
	}
	emit_load(p, arg, false, (uint32_t)mask);
	emit_test(p, f, BPF_JEQ, (uint32_t)value, false);
}

static void emit_not_equal(struct seccomp_program *p, struct seccomp_fixups *f, uint32_t arg,
	uint64_t value, bool wide)
{
	if (wide) {
		/* Different high halves settle it: over the two instructions that follow. */
		emit_load(p, arg, true, UINT32_MAX);
		seccomp_bpf_emit(p, JUMP(BPF_JEQ), (uint32_t)(value >> 32), 0, 2);
	}
	emit_load(p, arg, false, UINT32_MAX);
	emit_test(p, f, BPF_JEQ, (uint32_t)value, true);
}

/* The orders. op is BPF_JGT or BPF_JGE; `less` asks for the opposite of it. */
static void emit_order(struct seccomp_program *p, struct seccomp_fixups *f, uint32_t arg,
	uint64_t value, uint16_t op, bool less, bool wide)
{
	if (wide) {
		emit_load(p, arg, true, UINT32_MAX);
		if (less) {
			emit_test(p, f, BPF_JGT, (uint32_t)(value >> 32), true);
			seccomp_bpf_emit(p, JUMP(BPF_JEQ), (uint32_t)(value >> 32), 0, 2);
		} else {
			seccomp_bpf_emit(p, JUMP(BPF_JGT), (uint32_t)(value >> 32), 3, 0);
			emit_test(p, f, BPF_JEQ, (uint32_t)(value >> 32), false);
		}
	}
	emit_load(p, arg, false, UINT32_MAX);
	emit_test(p, f, op, (uint32_t)value, less);
}

static void emit_condition(struct seccomp_program *p, struct seccomp_fixups *f,
	const struct cfg_seccomp_arg *arg, bool wide)
{
	uint64_t v = arg->value;

	switch (guest_seccomp_operator(arg->op)) {
	case SCMP_CMP_EQ:
		emit_equal(p, f, arg->index, v, UINT64_MAX, wide);
		break;
	case SCMP_CMP_NE:
		emit_not_equal(p, f, arg->index, v, wide);
		break;
	case SCMP_CMP_MASKED_EQ: /* the value is the mask here */
		emit_equal(p, f, arg->index, arg->value_two & v, v, wide);
		break;
	case SCMP_CMP_GE:
	case SCMP_CMP_LT:
		emit_order(p, f, arg->index, v, BPF_JGE, strcmp(arg->op, "SCMP_CMP_LT") == 0, wide);
		break;
	case SCMP_CMP_GT:
	case SCMP_CMP_LE:
		emit_order(p, f, arg->index, v, BPF_JGT, strcmp(arg->op, "SCMP_CMP_LE") == 0, wide);
		break;
	default:
		p->overflow = true; /* checked before */
	}
}

static void emit_return(struct seccomp_program *p, uint32_t action)
{
	seccomp_bpf_emit(p, BPF_RET | BPF_K, action, 0, 0);
}

static void emit_leaf(struct seccomp_program *p, const struct seccomp_range *r, bool wide,
	uint32_t default_action)
{
	if (!r->calls) {
		emit_return(p, r->action);
		return;
	}
	for (size_t i = 0; i < r->n_calls; i++) {
		struct seccomp_fixups f = {.n = 0};
		for (size_t k = 0; k < r->calls[i].n_args; k++)
			emit_condition(p, &f, &r->calls[i].args[k], wide);
		emit_return(p, r->calls[i].action);
		fixup_resolve(p, &f);
	}
	emit_return(p, default_action);
}

/* Numbers below the middle range's start are decided first, the others behind them. */
static void emit_tree(struct seccomp_program *p, const struct seccomp_range *ranges, size_t n,
	bool wide, uint32_t default_action)
{
	if (n == 1) {
		emit_leaf(p, ranges, wide, default_action);
		return;
	}
	unsigned at = p->n;
	seccomp_bpf_emit(p, JUMP(BPF_JGE), ranges[n / 2].start, 0, 0);
	emit_tree(p, ranges, n / 2, wide, default_action);
	if (p->overflow)
		return;
	unsigned distance = p->n - at - 1;
	if (distance <= SECCOMP_JUMP_MAX) {
		p->insns[at].jt = (uint8_t)distance;
	} else if (p->n == BPF_MAXINSNS) {
		p->overflow = true;
		return;
	} else {
		/* Too far for a conditional jump; what has been written moves by one as a whole. */
		memmove(&p->insns[at + 2], &p->insns[at + 1], distance * sizeof(*p->insns));
		p->insns[at].jf = 1;
		p->insns[at + 1] = (struct sock_filter){BPF_JMP | BPF_JA, 0, 0, distance};
		p->n++;
	}
	emit_tree(p, ranges + n / 2, n - n / 2, wide, default_action);
}

static int call_compare(const void *a, const void *b)
{
	const struct seccomp_call *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static size_t range_add(struct seccomp_range *ranges, size_t n, const struct seccomp_range *range)
{
	if (n && ranges[n - 1].start == range->start)
		n--; /* nothing is left of that one */
	if (n && !ranges[n - 1].calls && !range->calls && ranges[n - 1].action == range->action)
		return n;
	ranges[n] = *range;
	return n + 1;
}

/* All rules of one number. One without conditions counts alone, as with libseccomp. */
static struct seccomp_range range_of(const struct seccomp_call *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!calls[i].n_args)
			return (struct seccomp_range){
				.start = calls->number, .action = calls[i].action};
	return (struct seccomp_range){.start = calls->number, .calls = calls, .n_calls = n};
}

int seccomp_bpf_tree(struct seccomp_program *p, struct seccomp_calls *calls, uint32_t first,
	bool wide, uint32_t default_action, uint32_t beyond)
{
	cleanup_free struct seccomp_range *ranges = calloc(2 * calls->n + 2, sizeof(*ranges));
	struct seccomp_range other = {.start = first, .action = default_action};
	size_t n = 0, group;

	if (!ranges)
		return -ENOMEM;
	if (calls->n)
		qsort(calls->v, calls->n, sizeof(*calls->v), call_compare);
	n = range_add(ranges, n, &other);
	for (size_t i = 0; i < calls->n; i += group) {
		uint32_t number = calls->v[i].number;
		for (group = 1; i + group < calls->n && calls->v[i + group].number == number;)
			group++;
		struct seccomp_range range = range_of(&calls->v[i], group);
		n = range_add(ranges, n, &range);
		other.start = number + 1;
		n = range_add(ranges, n, &other);
	}
	if (calls->any && beyond != default_action) {
		other = (struct seccomp_range){.start = calls->last + 1, .action = beyond};
		n = range_add(ranges, n, &other);
	}
	emit_tree(p, ranges, n, wide, default_action);
	return p->overflow ? -E2BIG : 0;
}
