/* SPDX-License-Identifier: Apache-2.0 */
/* Seccomp filters; see seccomp.h. */
#include "guestinit/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guestinit/create.h"
#include "guestinit/seccomp_bpf.h"

#define SECCOMP_ARGS	       6
#define SECCOMP_CONDITIONS_MAX 32

static const struct {
	const char *name;
	uint32_t action;
	bool data;
} seccomp_actions[] = {
	{"SCMP_ACT_ALLOW", SECCOMP_RET_ALLOW, false},
	{"SCMP_ACT_ERRNO", SECCOMP_RET_ERRNO, true},
	{"SCMP_ACT_KILL", SECCOMP_RET_KILL_THREAD, false},
	{"SCMP_ACT_KILL_THREAD", SECCOMP_RET_KILL_THREAD, false},
	{"SCMP_ACT_KILL_PROCESS", SECCOMP_RET_KILL_PROCESS, false},
	{"SCMP_ACT_TRAP", SECCOMP_RET_TRAP, false},
	{"SCMP_ACT_TRACE", SECCOMP_RET_TRACE, true},
	{"SCMP_ACT_LOG", SECCOMP_RET_LOG, false},
};

int guest_seccomp_action(const char *name, const struct opt_u64 *errno_ret, uint32_t *action)
{
	uint32_t data = errno_ret->set ? (uint32_t)errno_ret->value & SECCOMP_RET_DATA : EPERM;

	for (size_t i = 0; i < sizeof(seccomp_actions) / sizeof(seccomp_actions[0]); i++) {
		if (strcmp(seccomp_actions[i].name, name) != 0)
			continue;
		*action = seccomp_actions[i].action | (seccomp_actions[i].data ? data : 0);
		return 0;
	}
	return -ENOTSUP;
}

int guest_seccomp_operator(const char *name)
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

uint32_t guest_seccomp_beyond(const struct cfg_seccomp *config, uint32_t default_action)
{
	uint32_t kind = default_action & SECCOMP_RET_ACTION_FULL;

	(void)config;
	if (kind == SECCOMP_RET_ALLOW || kind == SECCOMP_RET_LOG || kind == SECCOMP_RET_TRACE)
		return default_action;
	return SECCOMP_RET_ERRNO | ENOSYS;
}

/* Other machines' architectures can't run here: as harmless to name as to leave out. */
static bool seccomp_arch_known(const char *name)
{
	static const char *const names[] = {"X86", "X86_64", "X32", "ARM", "AARCH64", "LOONGARCH64",
		"M68K", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC",
		"PPC64", "PPC64LE", "S390", "S390X", "PARISC", "PARISC64", "RISCV64", "SH", "SHEB"};

	if (strncmp(name, "SCMP_ARCH_", 10) != 0)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name + 10, names[i]) == 0)
			return true;
	return false;
}

static int seccomp_check_rule(const struct cfg_seccomp_rule *rule, struct err *e)
{
	uint32_t action;

	if (guest_seccomp_action(rule->action, &rule->errno_ret, &action) < 0)
		return err_set(e, ENOTSUP, "action: \"%s\" is not supported", rule->action);
	if (rule->args.n > SECCOMP_CONDITIONS_MAX)
		return err_set(e, E2BIG, "args: more than %d", SECCOMP_CONDITIONS_MAX);
	for (size_t i = 0; i < rule->args.n; i++) {
		const struct cfg_seccomp_arg *arg = &rule->args.v[i];
		if (guest_seccomp_operator(arg->op) < 0)
			return err_set(e, EINVAL, "args[%zu].op: no operator \"%s\"", i, arg->op);
		if (arg->index >= SECCOMP_ARGS)
			return err_set(e, EINVAL, "args[%zu].index: no argument %u", i, arg->index);
	}
	return 0;
}

/* TSYNC is about threads, of which there is one. */
static int seccomp_check_flags(const struct strings *names, uint32_t *flags, struct err *e)
{
	*flags = 0;
	for (size_t i = 0; i < names->n; i++) {
		if (strcmp(names->v[i], "SECCOMP_FILTER_FLAG_LOG") == 0)
			*flags |= SECCOMP_FILTER_FLAG_LOG;
		else if (strcmp(names->v[i], "SECCOMP_FILTER_FLAG_SPEC_ALLOW") == 0)
			*flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
		else if (strcmp(names->v[i], "SECCOMP_FILTER_FLAG_TSYNC") != 0)
			return err_set(e, ENOTSUP,
				"config.linux.seccomp.flags[%zu]: \"%s\" is not supported", i,
				names->v[i]);
	}
	return 0;
}

int guest_seccomp_check(const struct cfg_seccomp *config, uint32_t *filter_flags, struct err *e)
{
	for (size_t i = 0; i < config->architectures.n; i++)
		if (!seccomp_arch_known(config->architectures.v[i]))
			return err_set(e, EINVAL,
				"config.linux.seccomp.architectures[%zu]: no architecture \"%s\"",
				i, config->architectures.v[i]);
	for (size_t i = 0; i < config->rules.n; i++)
		if (seccomp_check_rule(&config->rules.v[i], e) < 0)
			return err_add(e, "config.linux.seccomp.syscalls[%zu]", i);
	return seccomp_check_flags(&config->flags, filter_flags, e);
}

int guest_seccomp_install(const struct cfg_seccomp *config, struct err *e)
{
	struct seccomp_program program; /* not on the heap: free() may be a system call too many */
	uint32_t flags = 0;

	program.n = 0;
	int ret = guest_seccomp_check(config, &flags, e);
	if (ret == 0)
		ret = seccomp_bpf_generate(config, &program, e);
	if (ret < 0)
		return ret;
	struct sock_fprog fprog = {.len = (unsigned short)program.n, .filter = program.insns};
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &fprog) < 0)
		return err_sys(e, errno, "config.linux.seccomp: can't load the filter");
	return 0;
}
