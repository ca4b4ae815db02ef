/* SPDX-License-Identifier: Apache-2.0 */
/* Seccomp filters; see seccomp.h. */
#include "guestinit/seccomp.h"

#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>

#include "guestinit/create.h"

#define SECCOMP_ARGS_MAX       6
#define SECCOMP_CONDITIONS_MAX 32

static void seccomp_freep(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

/* errno_ret is EPERM where the configuration leaves it open. */
static int seccomp_action(
	const char *name, const struct opt_u64 *errno_ret, uint32_t *action, struct err *e)
{
	uint32_t code = errno_ret->set ? (uint32_t)errno_ret->value & 0xffff : EPERM;

	if (strcmp(name, "SCMP_ACT_ALLOW") == 0)
		*action = SCMP_ACT_ALLOW;
	else if (strcmp(name, "SCMP_ACT_ERRNO") == 0)
		*action = SCMP_ACT_ERRNO(code);
	else if (strcmp(name, "SCMP_ACT_KILL") == 0 || strcmp(name, "SCMP_ACT_KILL_THREAD") == 0)
		*action = SCMP_ACT_KILL_THREAD;
	else if (strcmp(name, "SCMP_ACT_KILL_PROCESS") == 0)
		*action = SCMP_ACT_KILL_PROCESS;
	else if (strcmp(name, "SCMP_ACT_TRAP") == 0)
		*action = SCMP_ACT_TRAP;
	else if (strcmp(name, "SCMP_ACT_TRACE") == 0)
		*action = SCMP_ACT_TRACE(code);
	else if (strcmp(name, "SCMP_ACT_LOG") == 0)
		*action = SCMP_ACT_LOG;
	else
		return err_set(
			e, ENOTSUP, "config.linux.seccomp: action \"%s\" is not supported", name);
	return 0;
}

static int seccomp_op(const char *name)
{
	static const struct {
		const char *name;
		int op;
	} ops[] = {
		{"SCMP_CMP_NE", SCMP_CMP_NE},
		{"SCMP_CMP_LT", SCMP_CMP_LT},
		{"SCMP_CMP_LE", SCMP_CMP_LE},
		{"SCMP_CMP_EQ", SCMP_CMP_EQ},
		{"SCMP_CMP_GE", SCMP_CMP_GE},
		{"SCMP_CMP_GT", SCMP_CMP_GT},
		{"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
	};

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (strcmp(ops[i].name, name) == 0)
			return ops[i].op;
	return -1;
}

static int seccomp_arch(const char *name, uint32_t *arch)
{
	static const struct {
		const char *name;
		uint32_t arch;
	} archs[] = {
		{"SCMP_ARCH_X86", SCMP_ARCH_X86},
		{"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
		{"SCMP_ARCH_X32", SCMP_ARCH_X32},
		{"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
		{"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
		{"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
		{"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64},
		{"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
		{"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL},
		{"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
		{"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32},
		{"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
		{"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64},
		{"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE},
		{"SCMP_ARCH_S390", SCMP_ARCH_S390},
		{"SCMP_ARCH_S390X", SCMP_ARCH_S390X},
		{"SCMP_ARCH_PARISC", SCMP_ARCH_PARISC},
		{"SCMP_ARCH_PARISC64", SCMP_ARCH_PARISC64},
		{"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64},
	};

	for (size_t i = 0; i < sizeof(archs) / sizeof(archs[0]); i++) {
		if (strcmp(archs[i].name, name) == 0) {
			*arch = archs[i].arch;
			return 0;
		}
	}
	return -ENOENT;
}

/* Other machines' architectures can't run here: as harmless to add as to leave out. */
static int seccomp_add_archs(scmp_filter_ctx ctx, const struct strings *names, struct err *e)
{
	for (size_t i = 0; i < names->n; i++) {
		uint32_t arch;
		if (seccomp_arch(names->v[i], &arch) < 0)
			return err_set(e, EINVAL,
				"config.linux.seccomp.architectures[%zu]: no architecture \"%s\"",
				i, names->v[i]);
		bool ours =
			arch == SCMP_ARCH_X86 || arch == SCMP_ARCH_X86_64 || arch == SCMP_ARCH_X32;
		if (!ours)
			continue;
		int ret = seccomp_arch_add(ctx, arch);
		if (ret < 0 && ret != -EEXIST)
			return err_sys(e, -ret, "config.linux.seccomp.architectures[%zu]", i);
	}
	return 0;
}

static int seccomp_set_flags(scmp_filter_ctx ctx, const struct strings *names, struct err *e)
{
	for (size_t i = 0; i < names->n; i++) {
		const char *name = names->v[i];
		int ret = 0;

		if (strcmp(name, "SECCOMP_FILTER_FLAG_LOG") == 0)
			ret = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
		else if (strcmp(name, "SECCOMP_FILTER_FLAG_SPEC_ALLOW") == 0)
			ret = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_SSB, 1);
		else if (strcmp(name, "SECCOMP_FILTER_FLAG_TSYNC") != 0)
			return err_set(e, ENOTSUP,
				"config.linux.seccomp.flags[%zu]: \"%s\" is not supported", i,
				name);
		/* TSYNC: there is one thread, which the filter reaches anyway. */
		if (ret < 0)
			return err_sys(e, -ret, "config.linux.seccomp.flags[%zu]", i);
	}
	return 0;
}

static int seccomp_args(const struct cfg_seccomp_rule *rule, struct scmp_arg_cmp *cmp,
	bool *repeated, struct err *e)
{
	unsigned seen = 0;

	*repeated = false;
	for (size_t i = 0; i < rule->args.n; i++) {
		const struct cfg_seccomp_arg *arg = &rule->args.v[i];
		int op = seccomp_op(arg->op);

		if (op < 0)
			return err_set(e, EINVAL, "no operator \"%s\"", arg->op);
		if (arg->index >= SECCOMP_ARGS_MAX)
			return err_set(e, EINVAL, "no argument number %u", arg->index);
		*repeated |= seen >> arg->index & 1;
		seen |= 1u << arg->index;
		cmp[i] = (struct scmp_arg_cmp){
			arg->index, (enum scmp_compare)op, arg->value, arg->value_two};
	}
	return 0;
}

/*
 * Conditions on different arguments must all hold. libseccomp does not take two on one argument
 * in a rule; runc then makes a rule of each, and so do we.
 */
static int seccomp_add_call(scmp_filter_ctx ctx, uint32_t action, int number,
	const struct scmp_arg_cmp *cmp, size_t n, bool repeated)
{
	if (!repeated)
		return seccomp_rule_add_array(ctx, action, number, (unsigned)n, cmp);
	for (size_t i = 0; i < n; i++) {
		int ret = seccomp_rule_add_array(ctx, action, number, 1, &cmp[i]);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int seccomp_add_rule(scmp_filter_ctx ctx, const struct cfg_seccomp_rule *rule,
	uint32_t default_action, struct err *e)
{
	struct scmp_arg_cmp cmp[SECCOMP_CONDITIONS_MAX];
	uint32_t action;
	bool repeated;

	int ret = seccomp_action(rule->action, &rule->errno_ret, &action, e);
	if (ret < 0)
		return ret;
	if (action == default_action)
		return 0;
	if (rule->args.n > SECCOMP_CONDITIONS_MAX)
		return err_set(e, E2BIG, "more than %d conditions", SECCOMP_CONDITIONS_MAX);
	ret = seccomp_args(rule, cmp, &repeated, e);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < rule->names.n; i++) {
		int number = seccomp_syscall_resolve_name(rule->names.v[i]);
		if (number == __NR_SCMP_ERROR)
			continue;
		ret = seccomp_add_call(ctx, action, number, cmp, rule->args.n, repeated);
		if (ret < 0)
			return err_sys(e, -ret, "%s", rule->names.v[i]);
	}
	return 0;
}

int guest_seccomp_install(const struct cfg_seccomp *config, struct err *e)
{
	uint32_t default_action;
	int ret =
		seccomp_action(config->default_action, &config->default_errno, &default_action, e);

	if (ret < 0)
		return ret;
	__attribute__((cleanup(seccomp_freep))) scmp_filter_ctx ctx = seccomp_init(default_action);
	if (!ctx)
		return err_set(e, ENOMEM, "config.linux.seccomp: out of memory");
	/* no_new_privs is the configuration's business. */
	ret = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0);
	if (ret < 0)
		return err_sys(e, -ret, "config.linux.seccomp");
	/* A tree of comparisons instead of a chain: fewer steps per call of long lists. */
	ret = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (ret < 0)
		return err_sys(e, -ret, "config.linux.seccomp");
	ret = seccomp_add_archs(ctx, &config->architectures, e);
	if (ret == 0)
		ret = seccomp_set_flags(ctx, &config->flags, e);
	for (size_t i = 0; i < config->rules.n && ret == 0; i++) {
		ret = seccomp_add_rule(ctx, &config->rules.v[i], default_action, e);
		if (ret < 0)
			err_add(e, "config.linux.seccomp.syscalls[%zu]", i);
	}
	if (ret < 0)
		return ret;
	ret = seccomp_load(ctx);
	return ret < 0 ? err_sys(e, -ret, "config.linux.seccomp: can't load the filter") : 0;
}
