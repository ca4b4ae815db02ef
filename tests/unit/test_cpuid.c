/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU that guests see: what is taken out of CPUID, and the topology put in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "microvm/kvm/x86_cpuid.h"

#define BIT(n) (1u << (n))

static struct x86_cpuid cpuid;

static void put(uint32_t function, uint32_t index, uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	cpuid.entries[cpuid.n_entries++] = (struct kvm_cpuid_entry2){
		.function = function, .index = index, .eax = a, .ebx = b, .ecx = c, .edx = d};
}

static int setup(void **state)
{
	(void)state;
	memset(&cpuid, 0, sizeof(cpuid));
	put(0, 0, 0x1f, 0, 0, 0);
	put(1, 0, 0x806f8, 0xffff0800, ~0u, ~0u);
	put(4, 0, 0xffffc121, 0, 0, 0); /* L1 data, shared by all */
	put(4, 1, 0xffffc163, 0, 0, 0); /* L3 */
	put(4, 2, 0, 0, 0, 0);
	put(7, 0, 2, ~0u, ~0u, ~0u);
	put(0xa, 0, ~0u, ~0u, ~0u, ~0u);
	put(0xb, 0, 0, 0, 0, 99);
	put(0xd, 0, 0x602e7, 0, 0, 0);
	put(0x1d, 0, ~0u, 0, 0, 0);
	put(0x1f, 0, 0, 0, 0, 99);
	put(0x40000000, 0, 0x40000001, 0x4b4d564b, 0, 0);
	put(0x80000001, 0, 0, 0, ~0u, ~0u);
	put(0x80000008, 0, 0x3030, 0, ~0u, 0);
	put(0x8000000a, 0, 1, 2, 3, 4);
	put(0x8000001e, 0, 7, ~0u, ~0u, 0);
	return 0;
}

static void nothing_nested(void **state)
{
	(void)state;
	x86_cpuid_filter(&cpuid, 1, false);
	assert_false(x86_cpuid_find(&cpuid, 1, 0)->ecx & BIT(5));	   /* VMX */
	assert_false(x86_cpuid_find(&cpuid, 0x80000001, 0)->ecx & BIT(2)); /* SVM */
	assert_null(x86_cpuid_find(&cpuid, 0x8000000a, 0));
	assert_int_equal(x86_cpuid_find(&cpuid, 0xa, 0)->eax, 0);  /* counters */
	assert_false(x86_cpuid_find(&cpuid, 7, 0)->edx & BIT(24)); /* AMX */
	assert_int_equal(x86_cpuid_find(&cpuid, 0xd, 0)->eax, 0x2e7);
	assert_null(x86_cpuid_find(&cpuid, 0x1d, 0));
	assert_true(x86_cpuid_find(&cpuid, 1, 0)->ecx & BIT(31)); /* a hypervisor */
	assert_non_null(x86_cpuid_find(&cpuid, 0x40000000, 0));
}

static void deadline_timer(void **state)
{
	(void)state;
	x86_cpuid_find(&cpuid, 1, 0)->ecx = 0;
	x86_cpuid_filter(&cpuid, 1, true);
	assert_true(x86_cpuid_find(&cpuid, 1, 0)->ecx & BIT(24));
}

static void one_vcpu(void **state)
{
	(void)state;
	x86_cpuid_filter(&cpuid, 1, false);
	assert_int_equal(x86_cpuid_find(&cpuid, 1, 0)->ebx >> 16, 1);
	assert_false(x86_cpuid_find(&cpuid, 1, 0)->edx & BIT(28)); /* HTT */
	assert_int_equal(x86_cpuid_find(&cpuid, 0xb, 1)->eax, 0);
	assert_int_equal(x86_cpuid_find(&cpuid, 0xb, 1)->ebx, 1);
	assert_int_equal(x86_cpuid_find(&cpuid, 0x80000008, 0)->ecx, 0);
	assert_int_equal(x86_cpuid_find(&cpuid, 4, 1)->eax >> 14, 0);
}

static void topology(void **state)
{
	(void)state;
	x86_cpuid_filter(&cpuid, 6, false);
	x86_cpuid_set_id(&cpuid, 5);
	assert_int_equal(x86_cpuid_find(&cpuid, 1, 0)->ebx, 5u << 24 | 8u << 16 | 0x0800);
	assert_true(x86_cpuid_find(&cpuid, 1, 0)->edx & BIT(28));
	for (uint32_t leaf = 0xb; leaf <= 0x1f; leaf += 0x14) {
		const struct kvm_cpuid_entry2 *smt = x86_cpuid_find(&cpuid, leaf, 0);
		const struct kvm_cpuid_entry2 *core = x86_cpuid_find(&cpuid, leaf, 1);
		assert_non_null(smt);
		assert_non_null(core);
		assert_int_equal(smt->eax, 0);
		assert_int_equal(smt->ebx, 1);
		assert_int_equal(smt->ecx, 0x100);
		assert_int_equal(core->eax, 3);
		assert_int_equal(core->ebx, 6);
		assert_int_equal(core->ecx, 0x201);
		assert_int_equal(core->edx, 5);
		assert_int_equal(x86_cpuid_find(&cpuid, leaf, 2)->ecx, 2);
	}
	/* Caches: the first level a core's own, the third shared by the eight ids of the package.
	 */
	assert_int_equal(x86_cpuid_find(&cpuid, 4, 0)->eax >> 14 & 0xfff, 0);
	assert_int_equal(x86_cpuid_find(&cpuid, 4, 1)->eax >> 14 & 0xfff, 7);
	assert_int_equal(x86_cpuid_find(&cpuid, 4, 1)->eax >> 26, 7);
	assert_int_equal(x86_cpuid_find(&cpuid, 4, 1)->eax & 0x3fff, 0x163);
	assert_int_equal(x86_cpuid_find(&cpuid, 0x80000008, 0)->ecx, 3u << 12 | 5);
	assert_int_equal(x86_cpuid_find(&cpuid, 0x8000001e, 0)->eax, 5);
	assert_int_equal(x86_cpuid_find(&cpuid, 0x8000001e, 0)->ebx, 5);
	assert_int_equal(x86_cpuid_find(&cpuid, 0x8000001e, 0)->ecx, 0);
	x86_cpuid_set_id(&cpuid, 0);
	assert_int_equal(x86_cpuid_find(&cpuid, 1, 0)->ebx >> 24, 0);
}

/* An old CPU without leaf 0xb gets none: its guests would believe a leaf beyond the last. */
static void no_extended_topology(void **state)
{
	(void)state;
	memset(&cpuid, 0, sizeof(cpuid));
	put(0, 0, 7, 0, 0, 0);
	x86_cpuid_filter(&cpuid, 4, false);
	assert_null(x86_cpuid_find(&cpuid, 0xb, 0));
	assert_null(x86_cpuid_find(&cpuid, 0x1f, 0));
	assert_int_equal(cpuid.n_entries, 1);
}

static void full_table(void **state)
{
	(void)state;
	while (cpuid.n_entries < X86_CPUID_MAX)
		put(0x12345678, cpuid.n_entries, 0, 0, 0, 0);
	x86_cpuid_filter(&cpuid, 4, false);
	assert_true(cpuid.n_entries <= X86_CPUID_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_nested, setup),
		cmocka_unit_test_setup(deadline_timer, setup),
		cmocka_unit_test_setup(one_vcpu, setup),
		cmocka_unit_test_setup(topology, setup),
		cmocka_unit_test_setup(no_extended_topology, setup),
		cmocka_unit_test_setup(full_table, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
