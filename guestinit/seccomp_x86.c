/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seccomp on x86: which architectures' system calls the kernel takes (64 bits, 32 bits, x32 with
 * a bit in the number), and the old 32-bit ways to make several calls through one number.
 */
#if defined(__x86_64__)
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "guestinit/create.h"
#include "guestinit/seccomp.h"
#include "guestinit/seccomp_bpf.h"

#define X32_BIT		0x40000000u
#define I386_SOCKETCALL 102u
#define I386_IPC	117u

/*
 * socketcall(2) and ipc(2): the first argument says which call is meant. `direct` is the number
 * that the same call got of its own in Linux 4.3 and 5.1, 0 where it got none.
 */
static const struct multiplexed {
	const char *name;
	uint32_t through, which, direct;
} i386_multiplexed[] = {
	{"socket", I386_SOCKETCALL, 1, 359},
	{"bind", I386_SOCKETCALL, 2, 361},
	{"connect", I386_SOCKETCALL, 3, 362},
	{"listen", I386_SOCKETCALL, 4, 363},
	{"accept", I386_SOCKETCALL, 5, 0},
	{"getsockname", I386_SOCKETCALL, 6, 367},
	{"getpeername", I386_SOCKETCALL, 7, 368},
	{"socketpair", I386_SOCKETCALL, 8, 360},
	{"send", I386_SOCKETCALL, 9, 0},
	{"recv", I386_SOCKETCALL, 10, 0},
	{"sendto", I386_SOCKETCALL, 11, 369},
	{"recvfrom", I386_SOCKETCALL, 12, 371},
	{"shutdown", I386_SOCKETCALL, 13, 373},
	{"setsockopt", I386_SOCKETCALL, 14, 366},
	{"getsockopt", I386_SOCKETCALL, 15, 365},
	{"sendmsg", I386_SOCKETCALL, 16, 370},
	{"recvmsg", I386_SOCKETCALL, 17, 372},
	{"accept4", I386_SOCKETCALL, 18, 364},
	{"recvmmsg", I386_SOCKETCALL, 19, 337},
	{"sendmmsg", I386_SOCKETCALL, 20, 345},
	{"semop", I386_IPC, 1, 0},
	{"semget", I386_IPC, 2, 393},
	{"semctl", I386_IPC, 3, 394},
	{"semtimedop", I386_IPC, 4, 0},
	{"msgsnd", I386_IPC, 11, 400},
	{"msgrcv", I386_IPC, 12, 401},
	{"msgget", I386_IPC, 13, 399},
	{"msgctl", I386_IPC, 14, 402},
	{"shmat", I386_IPC, 21, 397},
	{"shmdt", I386_IPC, 22, 398},
	{"shmget", I386_IPC, 23, 395},
	{"shmctl", I386_IPC, 24, 396},
};

static const struct multiplexed *find_multiplexed(const char *name)
{
	for (size_t i = 0; i < sizeof(i386_multiplexed) / sizeof(i386_multiplexed[0]); i++)
		if (strcmp(i386_multiplexed[i].name, name) == 0)
			return &i386_multiplexed[i];
	return NULL;
}

/*
 * What is said of socket is said of socketcall(1, …) as well. A condition on the call's own first
 * argument can't be checked there, as it lies in memory, and falls away; so libseccomp has it.
 */
static int add_multiplexed(struct seccomp_calls *calls, const struct seccomp_call *call,
	const struct multiplexed *m, struct arena *arena)
{
	struct cfg_seccomp_arg *args = arena_array(arena, call->n_args + 1, sizeof(*args));
	struct seccomp_call through = *call;
	size_t n = 0;

	if (!args)
		return -ENOMEM;
	args[n++] = (struct cfg_seccomp_arg){.value = m->which, .op = "SCMP_CMP_EQ"};
	for (size_t i = 0; i < call->n_args; i++)
		if (call->args[i].index)
			args[n++] = call->args[i];
	through.number = m->through;
	through.args = args;
	through.n_args = n;
	return seccomp_calls_add(calls, &through);
}

/* A call of order UINT32_MAX only makes its number known. */
static int add_name(struct seccomp_calls *calls, uint32_t arch, const char *name,
	struct seccomp_call *call, struct arena *arena)
{
	const struct multiplexed *m = arch == SCMP_ARCH_X86 ? find_multiplexed(name) : NULL;
	bool known_only = call->order == UINT32_MAX;
	int number =
		m && m->direct ? (int)m->direct : seccomp_syscall_resolve_name_arch(arch, name);
	int ret = 0;

	/* Negative: another architecture's call, or nobody's. */
	if (number >= 0) {
		call->number = (uint32_t)number;
		seccomp_calls_know(calls, call->number);
		if (!known_only)
			ret = seccomp_calls_add(calls, call);
	}
	if (ret == 0 && m && !known_only)
		ret = add_multiplexed(calls, call, m, arena);
	return ret;
}

/*
 * Two conditions on one argument: libseccomp does not take them in a rule, runc then makes a rule
 * of each condition, and so do we.
 */
static bool repeats_argument(const struct cfg_seccomp_rule *rule)
{
	unsigned seen = 0;

	for (size_t i = 0; i < rule->args.n; i++) {
		if (seen >> rule->args.v[i].index & 1)
			return true;
		seen |= 1u << rule->args.v[i].index;
	}
	return false;
}

/* A rule that repeats the default only makes its calls known (order UINT32_MAX). */
static int add_rule(struct seccomp_calls *calls, uint32_t arch, const struct cfg_seccomp_rule *rule,
	uint32_t order, uint32_t default_action, struct arena *arena)
{
	bool split = repeats_argument(rule);
	struct seccomp_call call = {.order = order};
	int ret = 0;

	if (guest_seccomp_action(rule->action, &rule->errno_ret, &call.action) < 0)
		return -EINVAL;
	if (call.action == default_action)
		call.order = UINT32_MAX;
	for (size_t i = 0; i < rule->names.n && ret == 0; i++) {
		for (size_t k = 0; k < (split ? rule->args.n : 1) && ret == 0; k++) {
			call.args = rule->args.n ? rule->args.v + k : NULL;
			call.n_args = split ? 1 : rule->args.n;
			ret = add_name(calls, arch, rule->names.v[i], &call, arena);
		}
	}
	return ret;
}

static int add_arch(struct seccomp_program *p, const struct cfg_seccomp *config, uint32_t arch,
	uint32_t default_action, uint32_t beyond)
{
	struct arena arena = {0};
	struct seccomp_calls calls = {0};
	int ret = 0;

	for (size_t i = 0; i < config->rules.n && ret == 0; i++)
		ret = add_rule(
			&calls, arch, &config->rules.v[i], (uint32_t)i, default_action, &arena);
	if (ret == 0)
		ret = seccomp_bpf_tree(p, &calls, arch == SCMP_ARCH_X32 ? X32_BIT : 0,
			arch == SCMP_ARCH_X86_64, default_action, beyond);
	free(calls.v);
	arena_fini(&arena);
	return ret;
}

static bool has_arch(const struct cfg_seccomp *config, const char *name)
{
	for (size_t i = 0; i < config->architectures.n; i++)
		if (strcmp(config->architectures.v[i], name) == 0)
			return true;
	return false;
}

/* Writes "if A is not k, jump over what `section` writes" and the section. */
static int add_section(struct seccomp_program *p, const struct cfg_seccomp *config, uint16_t jump,
	uint32_t k, uint32_t arch, uint32_t default_action, uint32_t beyond)
{
	seccomp_bpf_emit(p, jump, k, 1, 0);
	unsigned over = p->n;
	seccomp_bpf_emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
	if (arch == SCMP_ARCH_X86)
		seccomp_bpf_emit(
			p, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
	int ret = add_arch(p, config, arch, default_action, beyond);
	if (ret == 0)
		p->insns[over].k = p->n - over - 1;
	return ret;
}

/*
 * The native architecture always counts. A number with x32's bit is x32's if the configuration
 * has it, else foreign, like another architecture's: the thread is killed. -1 is no call: a
 * tracer's way to skip one.
 */
int seccomp_bpf_generate(const struct cfg_seccomp *config, struct seccomp_program *p, struct err *e)
{
	const uint16_t load = BPF_LD | BPF_W | BPF_ABS, jeq = BPF_JMP | BPF_JEQ | BPF_K;
	uint32_t action, beyond;
	int ret;

	p->n = 0;
	p->overflow = false;
	if (guest_seccomp_action(config->default_action, &config->default_errno, &action) < 0)
		return err_set(e, ENOTSUP, "config.linux.seccomp.defaultAction: \"%s\"",
			config->default_action);
	beyond = guest_seccomp_beyond(config, action);
	seccomp_bpf_emit(p, load, offsetof(struct seccomp_data, arch), 0, 0);
	seccomp_bpf_emit(p, jeq, AUDIT_ARCH_X86_64, 1, 0);
	unsigned over = p->n;
	seccomp_bpf_emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
	seccomp_bpf_emit(p, load, offsetof(struct seccomp_data, nr), 0, 0);
	if (has_arch(config, "SCMP_ARCH_X32")) {
		ret = add_section(p, config, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, SCMP_ARCH_X32,
			action, beyond);
	} else {
		seccomp_bpf_emit(p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 2);
		seccomp_bpf_emit(p, jeq, UINT32_MAX, 1, 0);
		seccomp_bpf_emit(p, BPF_RET | BPF_K, SECCOMP_RET_KILL_THREAD, 0, 0);
		ret = 0;
	}
	if (ret == 0)
		ret = add_arch(p, config, SCMP_ARCH_X86_64, action, beyond);
	if (ret == 0) {
		p->insns[over].k = p->n - over - 1;
		if (has_arch(config, "SCMP_ARCH_X86"))
			ret = add_section(
				p, config, jeq, AUDIT_ARCH_I386, SCMP_ARCH_X86, action, beyond);
	}
	seccomp_bpf_emit(p, BPF_RET | BPF_K, SECCOMP_RET_KILL_THREAD, 0, 0);
	if (ret == -E2BIG || p->overflow)
		return err_set(e, E2BIG, "config.linux.seccomp: more than %d instructions of BPF",
			BPF_MAXINSNS);
	return ret < 0 ? err_sys(e, -ret, "config.linux.seccomp") : 0;
}
#endif
