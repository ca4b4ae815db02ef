/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seccomp generator against libseccomp's own: random configurations, both programs run by an
 * interpreter over random calls. What differs on purpose (ENOSYS for calls that are newer than
 * the configuration) is taken into account.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "guestinit/create.h"
#include "guestinit/seccomp.h"
#include "guestinit/seccomp_bpf.h"

#define ROUNDS 600
#define PROBES 400

static const char *const names[] = {"read", "write", "open", "close", "openat", "mmap", "socket",
	"connect", "send", "recvmmsg", "sendmsg", "shmget", "semop", "msgrcv", "personality",
	"clone", "clone3", "execve", "getpid", "ptrace", "arch_prctl", "set_thread_area",
	"no_such_call", "futex_time64", "mkdir", "mount", "keyctl", "openat2", "statx",
	"process_madvise"};
static const char *const ops[] = {"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ",
	"SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"};
static const uint64_t values[] = {
	0, 1, 5, 40, 0x7e020000, 0xffffffff, 0x100000000, 0x100000005, 0x500000001, UINT64_MAX};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The same numbers on each run. */
static uint32_t seed;

static uint32_t pick(size_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((seed >> 8) % n);
}

static uint32_t run_filter(
	const struct sock_filter *insns, unsigned n, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (unsigned pc = 0; pc < n; pc++) {
		const struct sock_filter *i = &insns[pc];
		bool yes;
		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k <= sizeof(*data) - 4 && i->k % 4 == 0);
			memcpy(&a, (const char *)data + i->k, 4);
			continue;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			continue;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = a == i->k;
			break;
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = a > i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = a >= i->k;
			break;
		default:
			fail_msg("instruction %x", i->code);
			return 0;
		}
		pc += yes ? i->jt : i->jf;
	}
	fail_msg("ran off the end");
	return 0;
}

static unsigned reference(const struct cfg_seccomp *config, struct sock_filter *insns, unsigned cap)
{
	uint32_t def, action;

	assert_int_equal(
		guest_seccomp_action(config->default_action, &config->default_errno, &def), 0);
	scmp_filter_ctx ctx = seccomp_init(def);
	assert_non_null(ctx);
	for (size_t i = 0; i < config->architectures.n; i++) {
		const char *name = config->architectures.v[i];
		int ret = seccomp_arch_add(ctx,
			strcmp(name, "SCMP_ARCH_X86") == 0	     ? SCMP_ARCH_X86
				: strcmp(name, "SCMP_ARCH_X32") == 0 ? SCMP_ARCH_X32
								     : SCMP_ARCH_X86_64);
		assert_true(ret == 0 || ret == -EEXIST);
	}
	for (size_t i = 0; i < config->rules.n; i++) {
		const struct cfg_seccomp_rule *rule = &config->rules.v[i];
		struct scmp_arg_cmp cmp[6];
		assert_int_equal(guest_seccomp_action(rule->action, &rule->errno_ret, &action), 0);
		if (action == def)
			continue;
		for (size_t k = 0; k < rule->args.n; k++)
			cmp[k] = (struct scmp_arg_cmp){rule->args.v[k].index,
				(enum scmp_compare)guest_seccomp_operator(rule->args.v[k].op),
				rule->args.v[k].value, rule->args.v[k].value_two};
		for (size_t k = 0; k < rule->names.n; k++) {
			int number = seccomp_syscall_resolve_name(rule->names.v[k]);
			if (number != __NR_SCMP_ERROR)
				assert_int_equal(seccomp_rule_add_array(ctx, action, number,
							 (unsigned)rule->args.n, cmp),
					0);
		}
	}
	int fd = memfd_create("filter", MFD_CLOEXEC);
	assert_int_equal(seccomp_export_bpf(ctx, fd), 0);
	ssize_t len = pread(fd, insns, cap * sizeof(*insns), 0);
	close(fd);
	seccomp_release(ctx);
	assert_true(len > 0);
	return (unsigned)((size_t)len / sizeof(*insns));
}

static struct cfg_seccomp_arg args_pool[64];
static struct cfg_seccomp_rule rules_pool[32];
static const char *names_pool[64];
static const char *archs_pool[3];

/* Each name in one rule only: what overlapping rules mean is libseccomp's own affair. */
static struct cfg_seccomp random_config(void)
{
	static const char *const actions[] = {
		"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG"};
	struct cfg_seccomp c = {.set = true, .default_action = actions[pick(4)]};
	size_t name = pick(4), n_args = 0, n_names = 0;

	c.architectures.v = archs_pool;
	archs_pool[c.architectures.n++] = "SCMP_ARCH_X86_64";
	if (pick(2))
		archs_pool[c.architectures.n++] = "SCMP_ARCH_X86";
	if (pick(2))
		archs_pool[c.architectures.n++] = "SCMP_ARCH_X32";
	c.rules.v = rules_pool;
	while (name < COUNT(names)) {
		struct cfg_seccomp_rule *r = &rules_pool[c.rules.n++];
		*r = (struct cfg_seccomp_rule){
			.action = actions[pick(4)], .errno_ret = {true, 2 + pick(3)}};
		r->names.v = &names_pool[n_names];
		for (size_t k = pick(4) + 1; k && name < COUNT(names); k--, name += 1 + pick(2)) {
			names_pool[n_names++] = names[name];
			r->names.n++;
		}
		r->args.v = &args_pool[n_args];
		r->args.n = pick(3) ? 0 : pick(3);
		for (size_t k = 0; k < r->args.n; k++)
			args_pool[n_args++] =
				(struct cfg_seccomp_arg){.index = (uint32_t)(k * 2 + pick(2)),
					.value = values[pick(COUNT(values))],
					.value_two = values[pick(COUNT(values))],
					.op = ops[pick(COUNT(ops))]};
	}
	return c;
}

static void random_call(struct seccomp_data *data, const struct cfg_seccomp *config)
{
	static const uint32_t archs[] = {
		AUDIT_ARCH_X86_64, AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64};

	*data = (struct seccomp_data){.arch = archs[pick(4)]};
	const struct cfg_seccomp_rule *rule = &config->rules.v[pick(config->rules.n)];
	bool i386 = data->arch == AUDIT_ARCH_I386;
	int number = seccomp_syscall_resolve_name_arch(
		i386 ? SCMP_ARCH_X86 : SCMP_ARCH_X86_64, rule->names.v[pick(rule->names.n)]);
	data->nr = number >= 0 && pick(4) ? number : (int)pick(480);
	if (!i386 && !pick(5))
		data->nr |= 0x40000000;
	for (unsigned i = 0; i < 6; i++) {
		uint64_t v = values[pick(COUNT(values))] + (pick(3) ? 0 : pick(3) - 1);
		if (pick(3) == 0)
			v = pick(25);
		data->args[i] = i386 ? (uint32_t)v : v;
	}
}

/* Above every number that the configuration names, refusal becomes ENOSYS. */
static bool is_beyond(const struct cfg_seccomp *config, const struct seccomp_data *data)
{
	uint32_t arch = data->arch == AUDIT_ARCH_I386 ? SCMP_ARCH_X86
		: data->nr & 0x40000000		      ? SCMP_ARCH_X32
						      : SCMP_ARCH_X86_64;
	int last = -1;

	for (size_t i = 0; i < config->rules.n; i++)
		for (size_t k = 0; k < config->rules.v[i].names.n; k++) {
			const char *name = config->rules.v[i].names.v[k];
			int n = seccomp_syscall_resolve_name_arch(arch, name);
			/* libseccomp tells no number for i386's socket calls: 337 is the lowest. */
			if (arch == SCMP_ARCH_X86 && n < 0 && n >= -300)
				n = 337;
			last = n > last ? n : last;
		}
	return last >= 0 && data->nr > last;
}

static void test_against_libseccomp(void **state)
{
	static struct sock_filter expected[BPF_MAXINSNS];
	static struct seccomp_program ours;
	struct seccomp_data data;
	struct err e = {0};
	uint32_t def;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		seed = (uint32_t)round;
		struct cfg_seccomp config = random_config();
		unsigned n = reference(&config, expected, BPF_MAXINSNS);
		assert_int_equal(
			guest_seccomp_action(config.default_action, &config.default_errno, &def),
			0);
		if (seccomp_bpf_generate(&config, &ours, &e) < 0)
			fail_msg("%s", e.text);
		for (int i = 0; i < PROBES; i++) {
			random_call(&data, &config);
			uint32_t want = run_filter(expected, n, &data);
			uint32_t got = run_filter(ours.insns, ours.n, &data);
			if (want == def && got != want && is_beyond(&config, &data))
				want = guest_seccomp_beyond(&config, def);
			if (want == got)
				continue;
			fail_msg("round %d: arch %x nr %d(%x) args %llx %llx %llx %llx %llx: "
				 "libseccomp %x, ours %x",
				round, data.arch, data.nr, data.nr,
				(unsigned long long)data.args[0], (unsigned long long)data.args[1],
				(unsigned long long)data.args[2], (unsigned long long)data.args[3],
				(unsigned long long)data.args[4], want, got);
		}
	}
}

/* The kernel takes it, and it does what it says. */
static void test_installed(void **state)
{
	/* Some of these are for the sanitizers. */
	const char *known[] = {"getppid", "exit_group", "write", "mmap", "munmap", "madvise",
		"futex", "sigaltstack", "rt_sigprocmask"};
	struct cfg_seccomp_rule rules[] = {
		{.names = {.v = known, .n = COUNT(known)}, .action = "SCMP_ACT_ALLOW"},
		{.names = {.v = (const char *[]){"getpid"}, .n = 1},
			.action = "SCMP_ACT_ERRNO",
			.errno_ret = {true, EXDEV}},
	};
	struct cfg_seccomp config = {
		.set = true, .default_action = "SCMP_ACT_ERRNO", .rules = {rules, 2}};

	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		struct err e;
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
			guest_seccomp_install(&config, &e) < 0)
			_exit(1);
		if (syscall(SYS_getpid) != -1 || errno != EXDEV)
			_exit(2);
		if (syscall(SYS_getuid) != -1 || errno != EPERM)
			_exit(3);
		if (syscall(450) != -1 || errno != ENOSYS)
			_exit(4);
		_exit(syscall(SYS_getppid) > 0 ? 0 : 5);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Every call that there is, with conditions in between: long jumps, and the bound. */
static void test_large(void **state)
{
	static const char *all[1000];
	static struct seccomp_program p;
	struct cfg_seccomp_arg arg = {.index = 1, .value = 7, .op = "SCMP_CMP_EQ"};
	struct cfg_seccomp_rule rules[2] = {
		{.action = "SCMP_ACT_ALLOW"}, {.action = "SCMP_ACT_LOG", .args = {&arg, 1}}};
	struct cfg_seccomp config = {
		.set = true, .default_action = "SCMP_ACT_KILL_PROCESS", .rules = {rules, 2}};
	struct seccomp_data data = {.arch = AUDIT_ARCH_X86_64};
	struct err e = {0};
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 440; i++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, i);
		if (name)
			all[n++] = name;
	}
	rules[0].names = (struct strings){.v = all, .n = n / 2};
	rules[1].names = (struct strings){.v = all + n / 2, .n = n - n / 2};
	assert_int_equal(seccomp_bpf_generate(&config, &p, &e), 0);
	assert_true(p.n > 600);
	for (size_t i = 0; i < n; i++) {
		data.nr = seccomp_syscall_resolve_name(all[i]);
		data.args[1] = 7;
		assert_int_equal(run_filter(p.insns, p.n, &data),
			i < n / 2 ? SECCOMP_RET_ALLOW : SECCOMP_RET_LOG);
		data.args[1] = 8;
		assert_int_equal(run_filter(p.insns, p.n, &data),
			i < n / 2 ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS);
	}
	/* Too many for the kernel: said, not cut. */
	static struct cfg_seccomp_rule many[40];
	for (size_t i = 0; i < 40; i++)
		many[i] = rules[1];
	config.rules.v = many;
	config.rules.n = 40;
	assert_int_equal(seccomp_bpf_generate(&config, &p, &e), -E2BIG);
	for (size_t i = 0; i < n; i++)
		free((void *)(uintptr_t)all[i]);
}

static void test_refusals(void **state)
{
	struct cfg_seccomp_rule rule = {.action = "SCMP_ACT_NOTIFY"};
	struct cfg_seccomp config = {.default_action = "SCMP_ACT_ALLOW", .rules = {&rule, 1}};
	struct err e = {0};
	uint32_t flags;

	(void)state;
	assert_int_equal(guest_seccomp_check(&config, &flags, &e), -ENOTSUP);
	assert_string_equal(e.text,
		"config.linux.seccomp.syscalls[0]: action: "
		"\"SCMP_ACT_NOTIFY\" is not supported");
	config.rules.n = 0;
	config.flags = (struct strings){.v = (const char *[]){"SECCOMP_FILTER_FLAG_LOG",
						"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"},
		.n = 2};
	assert_int_equal(guest_seccomp_check(&config, &flags, &e), -ENOTSUP);
	config.flags.n = 1;
	assert_int_equal(guest_seccomp_check(&config, &flags, &e), 0);
	assert_int_equal(flags, SECCOMP_FILTER_FLAG_LOG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_libseccomp),
		cmocka_unit_test(test_installed),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
