/* SPDX-License-Identifier: Apache-2.0 */
/* The device rules' BPF program, run by a small interpreter of what it is made of. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guestinit/create.h"
#include "guestinit/devcg_bpf.h"

static struct bpf_insn insns[DEVCG_INSNS_MAX];
static int n_insns;

static uint64_t run_alu(uint8_t op, uint64_t a, uint64_t b)
{
	switch (op) {
	case BPF_MOV:
		return b;
	case BPF_AND:
		return a & b;
	case BPF_RSH:
		return a >> b;
	default:
		fail_msg("operation %x", op);
		return 0;
	}
}

static uint64_t run_program(const struct bpf_cgroup_dev_ctx *ctx)
{
	uint64_t r[11] = {0};

	for (int pc = 0, steps = 0; pc < n_insns && steps < 100000; pc++, steps++) {
		const struct bpf_insn *i = &insns[pc];
		uint64_t src =
			BPF_SRC(i->code) == BPF_X ? r[i->src_reg] : (uint64_t)(int64_t)i->imm;

		if (i->code == (BPF_JMP | BPF_EXIT))
			return r[0];
		if (i->code == (BPF_JMP | BPF_JA)) {
			pc += i->off;
			continue;
		}
		if (i->code == (BPF_LDX | BPF_MEM | BPF_W)) {
			uint32_t word;
			memcpy(&word, (const char *)ctx + i->off, sizeof(word));
			r[i->dst_reg] = word;
		} else if (BPF_CLASS(i->code) == BPF_ALU64) {
			r[i->dst_reg] = run_alu(BPF_OP(i->code), r[i->dst_reg], src);
		} else if (i->code == (BPF_JMP | BPF_JNE | BPF_K)) {
			pc += r[i->dst_reg] != src ? i->off : 0;
		} else if (i->code == (BPF_JMP | BPF_JEQ | BPF_K)) {
			pc += r[i->dst_reg] == src ? i->off : 0;
		} else {
			fail_msg("instruction %x", i->code);
		}
	}
	fail_msg("ran off the end");
	return 0;
}

static void load(const struct cfg_devcg_rule *rules, size_t n)
{
	struct err e = {0};

	n_insns = devcg_generate(rules, n, insns, &e);
	assert_true(n_insns > 0 && n_insns <= DEVCG_INSNS_MAX);
}

static bool allowed(char type, unsigned major, unsigned minor, const char *access)
{
	uint32_t bits = 0;

	for (; *access; access++)
		bits |= *access == 'r'	 ? BPF_DEVCG_ACC_READ
			: *access == 'w' ? BPF_DEVCG_ACC_WRITE
					 : BPF_DEVCG_ACC_MKNOD;
	struct bpf_cgroup_dev_ctx ctx = {
		.access_type =
			bits << 16 | (type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
		.major = major,
		.minor = minor,
	};
	return run_program(&ctx) == 1;
}

#define NUMBER(n)                                                                                  \
	{                                                                                          \
		true, (n)                                                                          \
	}

static void test_default(void **state)
{
	(void)state;
	load(NULL, 0);
	assert_true(allowed('c', 1, 3, "rw"));
	assert_true(allowed('c', 136, 77, "rw"));
	assert_true(allowed('c', 5, 2, "rwm"));
	assert_true(allowed('b', 8, 0, "m"));
	assert_false(allowed('b', 8, 0, "r"));
	assert_false(allowed('b', 8, 0, "mr"));
	assert_false(allowed('c', 1, 1, "r"));
	assert_false(allowed('b', 1, 3, "r"));
	for (unsigned minor = 0; minor < 12; minor++) {
		bool one = minor == 3 || minor == 5 || (minor >= 7 && minor <= 9);
		assert_int_equal(allowed('c', 1, minor, "rw"), one);
		assert_int_equal(allowed('c', 5, minor, "rw"), minor == 0 || minor == 2);
		assert_true(allowed('c', 1, minor, "m"));
	}
}

static void test_rules(void **state)
{
	const struct cfg_devcg_rule rules[] = {
		{.allow = false, .access = "rwm"},
		{.allow = true, .type = "b", .major = NUMBER(8), .access = "r"},
		{.allow = true, .type = "b", .major = NUMBER(8), .minor = NUMBER(1), .access = "w"},
		{.allow = false, .type = "b", .major = NUMBER(8), .minor = NUMBER(2)},
		{.allow = true, .type = "c", .major = NUMBER(10), .minor = NUMBER(229)},
	};

	(void)state;
	load(rules, 5);
	assert_true(allowed('b', 8, 0, "r"));
	assert_false(allowed('b', 8, 0, "rw"));
	assert_true(allowed('b', 8, 1, "rw")); /* two rules together */
	assert_false(allowed('b', 8, 2, "r")); /* a hole */
	assert_true(allowed('c', 10, 229, "rwm"));
	assert_false(allowed('c', 10, 228, "r"));
	assert_true(allowed('c', 1, 3, "rw")); /* what every container has */
}

static void test_last_wins(void **state)
{
	const struct cfg_devcg_rule rules[] = {
		{.allow = true},
		{.allow = false, .type = "c", .major = NUMBER(10), .access = "w"},
	};

	(void)state;
	load(rules, 2);
	assert_true(allowed('b', 254, 0, "rwm"));
	assert_true(allowed('c', 10, 1, "r"));
	assert_false(allowed('c', 10, 1, "rw"));
	load(rules, 1);
	assert_true(allowed('c', 10, 1, "rw"));
}

static void test_bounds(void **state)
{
	static struct cfg_devcg_rule rules[DEVCG_RULES_MAX + 1];
	struct err e = {0};

	(void)state;
	for (size_t i = 0; i <= DEVCG_RULES_MAX; i++)
		rules[i] = (struct cfg_devcg_rule){
			.type = "c", .major = NUMBER(1), .minor = NUMBER(1)};
	load(rules, DEVCG_RULES_MAX);
	assert_false(allowed('c', 7, 7, "r"));
	assert_int_equal(devcg_generate(rules, DEVCG_RULES_MAX + 1, insns, &e), -E2BIG);
	rules[2].type = "x";
	assert_int_equal(devcg_generate(rules, 3, insns, &e), -EINVAL);
	assert_string_equal(e.text, "config.linux.resources.devices[2].type: \"x\" is none of a, b, c, u");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_last_wins),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
