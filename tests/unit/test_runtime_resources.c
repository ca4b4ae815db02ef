/* SPDX-License-Identifier: Apache-2.0 */
/* New limits: from options, from files, and against the size of a virtual machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/resources.h"

static void assert_json(const json_t *have, const char *want)
{
	cleanup_json json_t *parsed = json_loads(want, 0, NULL);
	cleanup_free char *text = json_dumps(have, JSON_COMPACT | JSON_SORT_KEYS);

	assert_non_null(parsed);
	if (!json_equal(have, parsed))
		fail_msg("%s\nis not %s", text, want);
}

static int from_file(json_t **resources, const char *text, struct err *e)
{
	cleanup_close int fd = fd_memfile("resources", text, strlen(text));

	*resources = NULL;
	return resources_from_file(resources, fd, "r.json", e);
}

static void test_options(void **state)
{
	static const struct {
		struct resources_options options;
		const char *json;
	} good[] = {
		{{0}, "{}"},
		{{.memory = "512m", .memory_swap = "-1", .memory_reservation = "1.5K"},
			"{\"memory\":{\"limit\":536870912,\"swap\":-1,\"reservation\":1536}}"},
		{{.memory = "9007199254740993", .kernel_memory = "5"},
			"{\"memory\":{\"limit\":9007199254740993}}"},
		{{.memory = "2 GiB"}, "{\"memory\":{\"limit\":2147483648}}"},
		{{.cpu_quota = "-1",
			 .cpu_period = "0",
			 .cpu_share = "1024",
			 .cpu_burst = "0",
			 .cpu_idle = "0",
			 .cpuset_cpus = "0-1",
			 .cpuset_mems = ""},
			"{\"cpu\":{\"quota\":-1,\"shares\":1024,\"burst\":0,\"idle\":0,"
			"\"cpus\":\"0-1\"}}"},
		{{.pids_limit = "-1", .blkio_weight = "500"},
			"{\"pids\":{\"limit\":-1},\"blockIO\":{\"weight\":500}}"},
		{{.cpu_rt_period = "0", .cpu_rt_runtime = "0"}, "{}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		cleanup_json json_t *resources = NULL;
		struct err e;
		if (resources_from_options(&resources, &good[i].options, &e) < 0)
			fail_msg("%zu: %s", i, e.text);
		assert_json(resources, good[i].json);
	}
}

static void test_option_faults(void **state)
{
	static const struct {
		struct resources_options options;
		const char *text;
	} bad[] = {
		{{.memory = "foo"}, "invalid value for memory: invalid size: 'foo'"},
		{{.memory = "-2"}, "invalid value for memory: "},
		{{.memory = "5x"}, "invalid value for memory: invalid size: '5x'"},
		{{.memory = "9999999999p"}, "invalid value for memory: invalid size"},
		{{.memory = "99999999999999999999"}, "invalid value for memory: "},
		{{.cpu_quota = "x"}, "invalid value for cpu-quota: \"x\" is not a number"},
		{{.cpu_quota = "--1"}, "invalid value for cpu-quota: "},
		{{.cpu_share = "9x"}, "invalid value for cpu-share: "},
		{{.cpu_share = "-9"}, "invalid value for cpu-share: "},
		{{.cpu_period = "99999999999999999999"}, "invalid value for cpu-period: "},
		{{.blkio_weight = "70000"}, "blockIO.weight: 70000 is larger than 65535"},
		{{.cpu_rt_runtime = "5"}, "cpu.realtimeRuntime: needs cgroup v1"},
		{{.l3_cache_schema = "L3:0=f"}, "intelRdt: "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		cleanup_json json_t *resources = NULL;
		struct err e;
		assert_true(resources_from_options(&resources, &bad[i].options, &e) < 0);
		assert_null(resources);
		if (strncmp(e.text, bad[i].text, strlen(bad[i].text)) != 0)
			fail_msg("%zu: %s", i, e.text);
	}
}

static void test_file(void **state)
{
	cleanup_json json_t *resources = NULL, *guest = NULL;
	static const char *const bad[][2] = {
		{"", "r.json: "},
		{"{\"cpu\":{\"shares\":\"x\"}}", "r.json: cpu.shares: must be an integer"},
		{"{\"pids\":{}}", "r.json: pids.limit: is missing"},
		{"{\"memory\":{\"swappiness\":5}}", "r.json: memory.swappiness: needs cgroup v1"},
		{"[]", "r.json: resources: must be an object"},
	};
	struct err e;

	(void)state;
	assert_int_equal(
		from_file(&resources,
			"{\"devices\":[{\"allow\":false}],\"unknown\":1,\"memory\":{\"limit\":0,"
			"\"swap\":7,\"kernel\":9,\"checkBeforeUpdate\":true},\"cpu\":{\"shares\":"
			"18446744073709551615,\"realtimePeriod\":0,\"cpus\":\"1\",\"mems\":\"\"},"
			"\"blockIO\":{\"weight\":100},\"unified\":{\"memory.high\":\"5\","
			"\"io.max\":\"1\",\"cpuset.cpus\":\"1\"},\"hugepageLimits\":[]}",
			&e),
		0);
	assert_json(resources,
		"{\"memory\":{\"swap\":7,\"checkBeforeUpdate\":true},\"cpu\":{\"shares\":-1,"
		"\"cpus\":\"1\"},\"blockIO\":{\"weight\":100},\"unified\":{\"memory.high\":\"5\","
		"\"io.max\":\"1\",\"cpuset.cpus\":\"1\"},\"hugepageLimits\":[]}");
	guest = resources_for_guest(resources);
	assert_json(guest,
		"{\"memory\":{\"swap\":7,\"checkBeforeUpdate\":true},\"cpu\":{\"shares\":-1},"
		"\"unified\":{\"memory.high\":\"5\"},\"hugepageLimits\":[]}");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(resources, "unified"), "io.max")),
		"1");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		json_t *none;
		assert_true(from_file(&none, bad[i][0], &e) < 0);
		assert_null(none);
		if (strncmp(e.text, bad[i][1], strlen(bad[i][1])) != 0)
			fail_msg("%zu: %s", i, e.text);
	}
}

static void test_fit(void **state)
{
	static const struct {
		const char *resources, *merged, *text;
	} cases[] = {
		{"{}", "{\"cpu\":{\"quota\":900000}}", NULL},
		{"{\"memory\":{\"limit\":1073741824}}", "{}", NULL},
		{"{\"memory\":{\"limit\":-1}}", "{}", NULL},
		{"{\"memory\":{\"limit\":1073741825}}", "{}",
			"memory.limit: 1073741825 bytes are more than the virtual machine has, "
			"1024 MiB"},
		{"{\"unified\":{\"memory.max\":\"2000000000\"}}", "{}", "memory.limit: "},
		{"{\"cpu\":{\"quota\":200000}}", "{\"cpu\":{\"quota\":200000}}", NULL},
		{"{\"cpu\":{\"quota\":200001}}", "{\"cpu\":{\"quota\":200001}}",
			"cpu.quota: 200001 of each 100000 microseconds are more than the virtual "
			"machine's 2 CPU(s)"},
		{"{\"cpu\":{\"quota\":100000}}", "{\"cpu\":{\"quota\":100000,\"period\":50000}}",
			NULL},
		{"{\"cpu\":{\"period\":10000}}", "{\"cpu\":{\"quota\":100000,\"period\":10000}}",
			"cpu.quota: "},
		{"{\"cpu\":{\"quota\":-1}}", "{\"cpu\":{\"quota\":-1}}", NULL},
		{"{\"cpu\":{\"quota\":9223372036854775807}}",
			"{\"cpu\":{\"quota\":9223372036854775807,\"period\":1}}", "cpu.quota: "},
	};
	cleanup_json json_t *vm = json_pack("{s:i, s:i}", "memoryBytes", 1 << 30, "vcpus", 2);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cleanup_json json_t *resources = json_loads(cases[i].resources, 0, NULL);
		cleanup_json json_t *merged = json_loads(cases[i].merged, 0, NULL);
		struct err e = {0};
		int ret = resources_fit_vm(resources, merged, vm, &e);
		if ((ret < 0) != (cases[i].text != NULL) ||
			(ret < 0 && strncmp(e.text, cases[i].text, strlen(cases[i].text)) != 0))
			fail_msg("%zu: %s", i, e.text);
	}
}

/* Limit and overhead together are always the VM and what is around it: 1000 and 30. */
static void test_overhead(void **state)
{
	cleanup_json json_t *vm =
		json_pack("{s:i, s:i}", "memoryBytes", 1000, "memoryOverheadBytes", 30 + 200);
	cleanup_json json_t *plain =
		json_pack("{s:i, s:i}", "memoryBytes", 1000, "memoryOverheadBytes", 30);
	cleanup_json json_t *less = json_pack("{s:{s:i}}", "memory", "limit", 300);
	cleanup_json json_t *none = json_pack("{s:{s:i}}", "memory", "limit", -1);

	(void)state;
	assert_int_equal(resources_overhead(less, vm, 800), 730);
	assert_int_equal(resources_overhead(less, plain, 0), 730);
	assert_int_equal(resources_overhead(none, vm, 800), 30);
	assert_int_equal(resources_overhead(NULL, NULL, 800), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_option_faults),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_fit),
		cmocka_unit_test(test_overhead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
