/* SPDX-License-Identifier: Apache-2.0 */
/* The size of a VM: lists of CPUs, and what beats what. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "runtime/sizing.h"

#define MIB (1ull << 20)

static void test_lists(void **state)
{
	static const char *const bad[] = {"", "a", "1-", "-1", "3-1", "1,", ",1", "1 2", "64",
		"0-64", "99999999999", "1-2-3"};
	unsigned long bits;

	(void)state;
	assert_int_equal(sizing_parse_list("0", &bits, 64), 0);
	assert_int_equal(bits, 1);
	assert_int_equal(sizing_parse_list("0-2,5, 7-7\n", &bits, 64), 0);
	assert_int_equal(bits, 0xa7);
	assert_int_equal(sizing_parse_list("63", &bits, 64), 0);
	assert_true(bits == 1ul << 63);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (sizing_parse_list(bad[i], &bits, 64) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
}

struct given {
	int64_t quota, limit;
	const char *cpus;
	uint32_t vm_vcpus;
	uint64_t vm_memory;
	unsigned set_vcpus, set_memory, forced_vcpus, forced_memory;
};

static struct sizing size(struct given given)
{
	struct oci_config config = {
		.cpu_quota_us = given.quota,
		.cpu_period_us = 100000,
		.memory_limit_bytes = given.limit,
		.cpus = given.cpus,
		.vm_vcpus = given.vm_vcpus,
		.vm_memory_bytes = given.vm_memory,
	};
	struct settings settings = {
		.vcpus = given.set_vcpus,
		.memory_mib = given.set_memory,
		.memory_overhead_mib = 64,
		.vcpus_forced = given.forced_vcpus,
		.memory_forced_mib = given.forced_memory,
	};
	struct sizing sizing;
	struct err e;

	if (sizing_make(&sizing, &config, &settings, &e) < 0)
		fail_msg("%s", e.text);
	return sizing;
}

static void test_vcpus(void **state)
{
	(void)state;
	assert_int_equal(size((struct given){0}).vcpus, 1);
	assert_int_equal(size((struct given){.set_vcpus = 3}).vcpus, 3);
	assert_int_equal(size((struct given){.set_vcpus = 3, .quota = 100000}).vcpus, 1);
	assert_int_equal(size((struct given){.quota = 100001}).vcpus, 2);
	assert_int_equal(size((struct given){.quota = 1}).vcpus, 1);
	assert_int_equal(size((struct given){.quota = INT64_MAX}).vcpus, 64);
	assert_int_equal(size((struct given){.cpus = "0-2"}).vcpus, 3);
	assert_int_equal(size((struct given){.cpus = "0-2", .quota = 150000}).vcpus, 2);
	assert_int_equal(size((struct given){.quota = 150000, .vm_vcpus = 5}).vcpus, 5);
	assert_int_equal(size((struct given){.vm_vcpus = 5, .forced_vcpus = 6}).vcpus, 6);
}

static void test_memory(void **state)
{
	(void)state;
	assert_int_equal(size((struct given){0}).memory_bytes, 2048 * MIB);
	assert_int_equal(size((struct given){.set_memory = 129}).memory_bytes, 130 * MIB);
	/* The limit is the container's: the guest's kernel has its room on top. */
	assert_int_equal(size((struct given){.limit = 64 * MIB}).memory_bytes, (64 + 2 + 64) * MIB);
	assert_int_equal(size((struct given){.limit = 1}).memory_bytes, 66 * MIB);
	assert_int_equal(size((struct given){.limit = INT64_MAX}).memory_bytes, 2048 * MIB);
	assert_int_equal(
		size((struct given){.limit = 64 * MIB, .vm_memory = 100 * MIB}).memory_bytes,
		100 * MIB);
	assert_int_equal(
		size((struct given){.vm_memory = 100 * MIB, .forced_memory = 128}).memory_bytes,
		128 * MIB);
}

/* The VM twice, what else the host grants it, and a GiB. */
static void test_bound(void **state)
{
	struct oci_config config = {.cpu_period_us = 1, .vm_memory_bytes = 512 * MIB};
	struct settings settings = {.memory_overhead_mib = 64};
	struct sizing sizing;
	struct err e;

	(void)state;
	assert_int_equal(sizing_bound(100, 10), 100 + 10 + 100 + 1024 * MIB);
	assert_int_equal(sizing_make(&sizing, &config, &settings, &e), 0);
	assert_int_equal(sizing.bound_bytes, (2 * 512 + 64 + 1024) * MIB);
	settings.host_overhead_mib = 100;
	assert_int_equal(sizing_make(&sizing, &config, &settings, &e), 0);
	assert_int_equal(sizing.bound_bytes, (2 * 512 + 100 + 1024) * MIB);
	settings.accel = ACCEL_EMULATION;
	settings.host_overhead_mib = 0;
	assert_int_equal(sizing_make(&sizing, &config, &settings, &e), 0);
	assert_int_equal(sizing.bound_bytes, (2 * 512 + 1280 + 1024) * MIB);
	/* More than any limit that hvrun-fs sets itself, and half a GiB for the kernel. */
	settings = (struct settings){.memory_overhead_mib = 64};
	for (uint64_t mib = 64; mib <= 64 * 1024; mib *= 2) {
		config.vm_memory_bytes = mib * MIB;
		assert_int_equal(sizing_make(&sizing, &config, &settings, &e), 0);
		assert_true(sizing.bound_bytes >=
			mib * MIB + (256 + 160) * MIB + mib * MIB * 3 / 4 + 512 * MIB);
	}
}

static void test_faults(void **state)
{
	struct settings settings = {.memory_overhead_mib = 64};
	struct oci_config config = {.cpu_period_us = 1, .cpus = "x"};
	struct sizing sizing;
	struct err e;

	(void)state;
	assert_int_equal(sizing_make(&sizing, &config, &settings, &e), -EINVAL);
	assert_non_null(strstr(e.text, "config.json: linux.resources.cpu.cpus: "));
	config = (struct oci_config){.cpu_period_us = 1, .mems = "1-"};
	assert_int_equal(sizing_make(&sizing, &config, &settings, &e), -EINVAL);
	assert_non_null(strstr(e.text, "config.json: linux.resources.cpu.mems: "));
	config = (struct oci_config){.cpu_period_us = 1, .vm_memory_bytes = MIB};
	assert_int_equal(sizing_make(&sizing, &config, &settings, &e), -EINVAL);
	assert_non_null(strstr(e.text, "config.json: vm.hwConfig.memory: "));
	config.vm_memory_bytes = UINT64_MAX;
	assert_int_equal(sizing_make(&sizing, &config, &settings, &e), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_vcpus),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
