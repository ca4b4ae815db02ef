/* SPDX-License-Identifier: Apache-2.0 */
/* Our compiler of lists of system calls against libseccomp's: for each call both say the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/audit.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif
#include <seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/confine/filter.h"
#include "microvm/devices/blk.h"
#include "microvm/devices/net.h"
#include "microvm/kvm/vm.h"
#include "microvm/vmm/relay_helper.h"
#include "microvm/vmm/resolver.h"
#include "tests/unit/support/bpf_run.h"

#define CAP	  4096
#define NR_MAX	  600
#define TOGETHER  8 /* conditions on one call, at most */
#define BEYOND_32 (UINT64_C(5) << 32)

struct program {
	struct sock_filter insns[CAP];
	unsigned n;
};

static uint64_t value_of(const struct call *call)
{
	return call->own ? (uint64_t)getpid() : call->value;
}

/* A rule of `calls`, and of those behind it that have to hold as well; how many there are. */
static size_t add_rule(scmp_filter_ctx ctx, const struct call *calls, size_t n)
{
	struct scmp_arg_cmp conditions[TOGETHER];
	size_t used = 1;

	while (used < n && calls[used].also)
		used++;
	assert_true(used <= TOGETHER);
	for (size_t i = 0; i < used; i++)
		conditions[i] = (struct scmp_arg_cmp){.arg = calls[i].arg,
			.op = SCMP_CMP_MASKED_EQ,
			.datum_a = calls[i].mask,
			.datum_b = value_of(&calls[i])};
	int ret = calls->rule == CALL_CHECKED
		? seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, calls->nr, (unsigned)used, conditions)
		: calls->rule == CALL_REFUSED
		? seccomp_rule_add(ctx, SCMP_ACT_ERRNO(calls->value), calls->nr, 0)
		: seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls->nr, 0);
	/* Parts of a list may name the same. */
	assert_true(ret == 0 || ret == -EEXIST);
	return used;
}

/* libseccomp loses some of the rules that it merges: that is not this test's to find. */
static void look_for_leaks(bool look)
{
#ifdef __SANITIZE_ADDRESS__
	look ? __lsan_enable() : __lsan_disable();
#else
	(void)look;
#endif
}

static void compile_with_libseccomp(const struct filter *filter, struct program *program)
{
	look_for_leaks(false);
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	cleanup_free char *bytes = NULL;
	size_t len;

	assert_non_null(ctx);
	for (unsigned p = 0; p < FILTER_PARTS_MAX && filter->parts[p]; p++)
		for (size_t i = 0; i < filter->parts[p]->n;)
			i += add_rule(ctx, &filter->parts[p]->table[i], filter->parts[p]->n - i);
	cleanup_close int file = fd_memfile("program", "", 0);
	assert_true(file >= 0);
	assert_int_equal(seccomp_export_bpf(ctx, file), 0);
	seccomp_release(ctx);
	look_for_leaks(true);
	assert_int_equal(lseek(file, 0, SEEK_SET), 0);
	assert_int_equal(fd_slurp(file, sizeof(program->insns), &bytes, &len), 0);
	assert_int_equal(len % sizeof(program->insns[0]), 0);
	program->n = (unsigned)(len / sizeof(program->insns[0]));
	memcpy(program->insns, bytes, len);
}

/* Each has its own way to say no. */
static uint32_t plain(uint32_t action)
{
	uint32_t kind = action & SECCOMP_RET_ACTION_FULL;

	return kind == SECCOMP_RET_ALLOW || kind == SECCOMP_RET_ERRNO ? action
								      : SECCOMP_RET_KILL_PROCESS;
}

static void expect_same(
	const struct program *ours, const struct program *theirs, const struct seccomp_data *data)
{
	unsigned steps;
	uint32_t a = plain(bpf_run(ours->insns, ours->n, data, &steps));
	uint32_t b = plain(bpf_run(theirs->insns, theirs->n, data, &steps));

	if (a != b)
		fail_msg("call %d(%#llx, %#llx, %#llx): %#x, libseccomp %#x", data->nr,
			(unsigned long long)data->args[0], (unsigned long long)data->args[1],
			(unsigned long long)data->args[2], a, b);
}

/* All calls, and those that are looked at with what is asked for, something beside it, and more. */
static void compare(const struct filter *filter)
{
	static struct program ours, theirs;
	struct seccomp_data data = {.arch = AUDIT_ARCH_X86_64};
	int n = filter_compile(filter, ours.insns, CAP);

	assert_true(n > 0);
	ours.n = (unsigned)n;
	compile_with_libseccomp(filter, &theirs);
	for (data.nr = -1; data.nr < NR_MAX; data.nr++)
		expect_same(&ours, &theirs, &data);
	data.nr = 0x40000000;
	expect_same(&ours, &theirs, &data);
	for (unsigned p = 0; p < FILTER_PARTS_MAX && filter->parts[p]; p++) {
		const struct calls *part = filter->parts[p];
		for (size_t i = 0; i < part->n; i++) {
			const struct call *call = &part->table[i];
			const uint64_t values[] = {0, 1, value_of(call), value_of(call) + 1,
				value_of(call) | BEYOND_32, ~value_of(call), UINT64_MAX};
			if (call->also)
				continue;
			/* With those that have to hold as well, and without the last of them. */
			data.nr = call->nr;
			for (unsigned v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
				memset(data.args, 0, sizeof(data.args));
				data.args[call->arg] = values[v];
				expect_same(&ours, &theirs, &data);
				for (size_t k = i + 1; k < part->n && part->table[k].also; k++) {
					data.args[part->table[k].arg] = value_of(&part->table[k]);
					expect_same(&ours, &theirs, &data);
				}
			}
		}
	}
}

static void test_ours(void **state)
{
	(void)state;
	compare(&vcpu_filter);
	compare(&disk_filter);
	compare(&net_filter);
	compare(&relay_filter);
	compare(&resolver_filter);
}

/* One condition on each argument: libseccomp takes no more in a rule. */
static size_t random_checks(struct call *calls, uint16_t nr, unsigned *seed)
{
	size_t n = 0;

	for (unsigned rules = 1 + (unsigned)rand_r(seed) % 3; rules; rules--)
		for (uint8_t arg = (uint8_t)(rand_r(seed) % 3), first = arg; arg < 3;
			arg = (uint8_t)(arg + 1 + rand_r(seed) % 3))
			calls[n++] = (struct call){.nr = nr,
				.rule = CALL_CHECKED,
				.also = arg != first,
				.arg = arg,
				.mask = rand_r(seed) % 2 ? UINT32_MAX : 1,
				.value = (uint32_t)(rand_r(seed) % 2)};
	return n;
}

static void test_random(void **state)
{
	static struct call calls[FILTER_CALLS_MAX];
	unsigned seed = 1;

	(void)state;
	for (unsigned round = 0; round < 100; round++) {
		size_t n = 0;
		for (uint16_t nr = 0; nr < 60 && n + 9 <= FILTER_CALLS_MAX;
			nr = (uint16_t)(nr + 1 + rand_r(&seed) % 4)) {
			unsigned rule = (unsigned)rand_r(&seed) % 4;
			if (rule >= 2)
				n += random_checks(calls + n, nr, &seed);
			else
				calls[n++] = (struct call){.nr = nr,
					.rule = rule ? CALL_REFUSED : CALL_ALLOWED,
					.value = rule ? EPERM : 0};
		}
		const struct calls part = {.table = calls, .n = n};
		const struct filter filter = {.parts = {&part}, .denied = SECCOMP_RET_KILL_PROCESS};
		compare(&filter);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ours),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
