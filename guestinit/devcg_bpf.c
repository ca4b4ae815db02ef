/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device rules as BPF; see devcg_bpf.h. The kernel calls the program for each open and mknod with
 * a struct bpf_cgroup_dev_ctx; 1 allows, 0 refuses. Registers: r2 type, r3 the accesses that no
 * rule has spoken of yet, r4 major, r5 minor, r6 scratch.
 */
#include "guestinit/devcg_bpf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/create.h"

#define DEVCG_ALL (BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE)
#define DEVCG_ANY (-1)

struct devcg_rule {
	bool allow;
	int32_t type; /* BPF_DEVCG_DEV_* or DEVCG_ANY */
	int64_t major, minor;
	int32_t access;
};

struct devcg_program {
	struct bpf_insn *insns;
	int n;
};

static void emit(
	struct devcg_program *p, uint8_t code, unsigned dst, unsigned src, int16_t off, int32_t imm)
{
	p->insns[p->n++] = (struct bpf_insn){
		.code = code, .dst_reg = dst & 0xf, .src_reg = src & 0xf, .off = off, .imm = imm};
}

static void emit_return(struct devcg_program *p, int value)
{
	emit(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, value);
	emit(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

static void emit_jump(struct devcg_program *p, uint8_t op, uint8_t reg, int value, int16_t off)
{
	emit(p, BPF_JMP | op | BPF_K, reg, 0, off, value);
}

/*
 * What runc grants always: null, zero, full, random, urandom (1:3, 5, 7, 8, 9), tty, ptmx (5:0, 2),
 * the terminals (136), and the making of any node. The kernel checks a program by following
 * all its paths, at a start's expense: hence few branches, not a rule for each device.
 */
static void devcg_emit_default(struct devcg_program *p)
{
	enum { TTY = 10, ALLOW = 13, MKNOD = 15, NEXT = 19 }; /* where jumps lead */
#define TO(label) ((int16_t)((label) - (p->n - start) - 1))
	int start = p->n;

	emit_jump(p, BPF_JNE, BPF_REG_2, BPF_DEVCG_DEV_CHAR, TO(MKNOD));
	emit_jump(p, BPF_JEQ, BPF_REG_4, 136, TO(ALLOW));
	emit_jump(p, BPF_JEQ, BPF_REG_4, 5, TO(TTY));
	emit_jump(p, BPF_JNE, BPF_REG_4, 1, TO(MKNOD));
	emit_jump(p, BPF_JEQ, BPF_REG_5, 3, TO(ALLOW));
	for (int minor = 5; minor <= 9; minor++)
		if (minor != 6)
			emit_jump(p, BPF_JEQ, BPF_REG_5, minor, TO(ALLOW));
	emit(p, BPF_JMP | BPF_JA, 0, 0, TO(MKNOD), 0);
	/* TTY */
	emit_jump(p, BPF_JEQ, BPF_REG_5, 0, TO(ALLOW));
	emit_jump(p, BPF_JEQ, BPF_REG_5, 2, TO(ALLOW));
	emit(p, BPF_JMP | BPF_JA, 0, 0, TO(MKNOD), 0);
	/* ALLOW */
	emit_return(p, 1);
	/* MKNOD */
	emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_3, 0, 0, ~BPF_DEVCG_ACC_MKNOD);
	emit_jump(p, BPF_JNE, BPF_REG_3, 0, TO(NEXT));
	emit_return(p, 1);
#undef TO
}

/* Whether the rule decides all that is left, so that no rule before it matters. */
static bool devcg_is_final(const struct devcg_rule *rule)
{
	return rule->type == DEVCG_ANY && rule->major == DEVCG_ANY && rule->minor == DEVCG_ANY &&
		rule->access == DEVCG_ALL;
}

/* The jumps of one rule that lead to the next one are patched when its end is known. */
static void devcg_emit_rule(struct devcg_program *p, const struct devcg_rule *rule)
{
	int first = p->n;

	if (rule->type != DEVCG_ANY)
		emit_jump(p, BPF_JNE, BPF_REG_2, rule->type, 0);
	if (rule->major != DEVCG_ANY)
		emit_jump(p, BPF_JNE, BPF_REG_4, (int)rule->major, 0);
	if (rule->minor != DEVCG_ANY)
		emit_jump(p, BPF_JNE, BPF_REG_5, (int)rule->minor, 0);
	int last_test = p->n;
	if (rule->access != DEVCG_ALL && rule->allow) {
		/* These accesses are settled; with nothing left, the answer is yes. */
		emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_3, 0, 0, ~rule->access);
		emit_jump(p, BPF_JNE, BPF_REG_3, 0, 2);
	} else if (rule->access != DEVCG_ALL) {
		emit(p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_3, 0, 0);
		emit(p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_6, 0, 0, rule->access);
		emit_jump(p, BPF_JEQ, BPF_REG_6, 0, 2);
	}
	emit_return(p, rule->allow);
	for (int i = first; i < last_test; i++)
		p->insns[i].off = (int16_t)(p->n - i - 1);
}

static int devcg_access(const char *text)
{
	int access = 0;

	if (!text || !text[0])
		return DEVCG_ALL;
	for (; *text; text++) {
		if (*text == 'r')
			access |= BPF_DEVCG_ACC_READ;
		else if (*text == 'w')
			access |= BPF_DEVCG_ACC_WRITE;
		else if (*text == 'm')
			access |= BPF_DEVCG_ACC_MKNOD;
		else
			return -EINVAL;
	}
	return access;
}

static int64_t devcg_number(const struct opt_i64 *n)
{
	return n->set ? n->value : DEVCG_ANY;
}

static int devcg_convert(
	const struct cfg_devcg_rule *in, size_t index, struct devcg_rule *out, struct err *e)
{
	const char *type = in->type && in->type[0] ? in->type : "a";

	out->allow = in->allow;
	out->major = devcg_number(&in->major);
	out->minor = devcg_number(&in->minor);
	out->access = devcg_access(in->access);
	if (strcmp(type, "a") == 0)
		out->type = DEVCG_ANY;
	else if (strcmp(type, "c") == 0 || strcmp(type, "u") == 0)
		out->type = BPF_DEVCG_DEV_CHAR;
	else if (strcmp(type, "b") == 0)
		out->type = BPF_DEVCG_DEV_BLOCK;
	else
		return err_set(e, EINVAL,
			"config.linux.resources.devices[%zu].type: \"%s\" is none of a, b, c, u",
			index, type);
	if (out->access < 0)
		return err_set(e, EINVAL,
			"config.linux.resources.devices[%zu].access: \"%s\" has other letters "
			"than r, w, m",
			index, in->access);
	if (out->major < DEVCG_ANY || out->major > INT32_MAX || out->minor < DEVCG_ANY ||
		out->minor > INT32_MAX)
		return err_set(e, ERANGE,
			"config.linux.resources.devices[%zu]: no such device number", index);
	return 0;
}

int devcg_generate(
	const struct cfg_devcg_rule *rules, size_t n_rules, struct bpf_insn *insns, struct err *e)
{
	struct devcg_program p = {.insns = insns};
	const int16_t type = offsetof(struct bpf_cgroup_dev_ctx, access_type);
	const int16_t major = offsetof(struct bpf_cgroup_dev_ctx, major);
	const int16_t minor = offsetof(struct bpf_cgroup_dev_ctx, minor);

	if (n_rules > DEVCG_RULES_MAX)
		return err_set(e, E2BIG, "config.linux.resources.devices: more than %d rules",
			DEVCG_RULES_MAX);
	emit(&p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, type, 0);
	emit(&p, BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0);
	emit(&p, BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, 0xffff);
	emit(&p, BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_3, 0, 0, 16);
	emit(&p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_4, BPF_REG_1, major, 0);
	emit(&p, BPF_LDX | BPF_MEM | BPF_W, BPF_REG_5, BPF_REG_1, minor, 0);
	devcg_emit_default(&p);
	bool final = false;
	for (size_t i = n_rules; i-- > 0;) {
		struct devcg_rule rule = {0};
		int ret = devcg_convert(&rules[i], i, &rule, e);
		if (ret < 0)
			return ret;
		/* The kernel refuses what can't be reached. */
		if (!final)
			devcg_emit_rule(&p, &rule);
		final |= devcg_is_final(&rule);
	}
	if (!final)
		emit_return(&p, 0);
	return p.n;
}

static int devcg_load(const struct bpf_insn *insns, int n)
{
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insn_cnt = (uint32_t)n,
		.insns = (uintptr_t)insns,
		.license = (uintptr_t) "Apache-2.0",
		.prog_name = "hvrun_devices",
	};
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	return fd < 0 ? -errno : fd;
}

int devcg_attach(int cgroup_fd, const struct cfg_devcg_rule *rules, size_t n_rules, struct err *e)
{
	cleanup_free struct bpf_insn *insns = calloc(DEVCG_INSNS(n_rules), sizeof(*insns));

	if (!insns)
		return err_set(e, ENOMEM, "config.linux.resources.devices: out of memory");
	int n = devcg_generate(rules, n_rules, insns, e);
	if (n < 0)
		return n;
	cleanup_close int prog = devcg_load(insns, n);
	/* Without the type, or without bpf() at all, there is nothing to attach. */
	if ((prog == -ENOSYS || prog == -EINVAL) && !n_rules)
		return -ENOSYS;
	if (prog < 0)
		return err_sys(e, -prog, "config.linux.resources.devices: can't load them as BPF");
	/* Programs further down may only narrow what this one allows. */
	union bpf_attr attr = {
		.target_fd = (uint32_t)cgroup_fd,
		.attach_bpf_fd = (uint32_t)prog,
		.attach_type = BPF_CGROUP_DEVICE,
		.attach_flags = BPF_F_ALLOW_MULTI,
	};
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)) < 0) {
		if (errno == EINVAL && !n_rules)
			return -ENOSYS;
		return err_sys(e, errno, "config.linux.resources.devices: can't attach them");
	}
	return 0;
}
