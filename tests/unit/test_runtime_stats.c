/* SPDX-License-Identifier: Apache-2.0 */
/* Statistics: runc's JSON from a guest's numbers, and from a guest's nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/stats.h"

static int make(const char *text, char **line, struct err *e)
{
	cleanup_json json_t *stats = json_loads(text, JSON_DECODE_ANY, NULL);

	assert_non_null(stats);
	*line = NULL;
	return stats_line("box", stats, line, e);
}

static void test_full(void **state)
{
	cleanup_free char *line = NULL;
	struct err e;

	(void)state;
	assert_int_equal(
		make("{\"cpu\":{\"usage_usec\":5,\"user_usec\":3,\"system_usec\":2,\"nr_periods\":"
		     "7,"
		     "\"nr_throttled\":1,\"throttled_usec\":4},\"memory\":{\"current\":100,"
		     "\"peak\":200,\"max\":1000,\"swap_current\":10,\"swap_max\":50,\"events\":"
		     "{\"max\":6},\"stat\":{\"file\":40,\"anon\":60}},\"pids\":{\"current\":2,"
		     "\"max\":9},\"io\":[{\"major\":254,\"minor\":0,\"rbytes\":11,\"wbytes\":0,"
		     "\"rios\":1,\"wios\":0}],\"hugetlb\":{\"2MB\":{\"current\":0,\"max\":1,"
		     "\"failcnt\":3}}}",
			&line, &e),
		0);
	assert_string_equal(line,
		"{\"type\":\"stats\",\"id\":\"box\",\"data\":{\"cpu\":{\"usage\":{\"total\":5000,"
		"\"kernel\":2000,\"user\":3000},\"throttling\":{\"periods\":7,"
		"\"throttledPeriods\":1,\"throttledTime\":4000}},\"cpuset\":{\"cpu_exclusive\":0,"
		"\"mem_hardwall\":0,\"mem_exclusive\":0,\"memory_migrate\":0,"
		"\"memory_spread_page\":0,\"memory_spread_slab\":0,\"memory_pressure\":0,"
		"\"sched_load_balance\":0,\"sched_relax_domain_level\":0},\"memory\":{\"cache\":40,"
		"\"usage\":{\"limit\":1000,\"usage\":100,\"max\":200,\"failcnt\":6},"
		"\"swap\":{\"limit\":1050,\"usage\":110,\"failcnt\":0},"
		"\"kernel\":{\"limit\":0,\"failcnt\":0},\"kernelTCP\":{\"limit\":0,\"failcnt\":0},"
		"\"raw\":{\"file\":40,\"anon\":60}},\"pids\":{\"current\":2,\"limit\":9},"
		"\"blkio\":{\"ioServiceBytesRecursive\":[{\"major\":254,\"op\":\"Read\","
		"\"value\":11},{\"major\":254,\"op\":\"Write\"}],\"ioServicedRecursive\":["
		"{\"major\":254,\"op\":\"Read\",\"value\":1},{\"major\":254,\"op\":\"Write\"}]},"
		"\"hugetlb\":{\"2MB\":{\"failcnt\":3}},\"intel_rdt\":{},"
		"\"network_interfaces\":null}}\n");
}

static void test_network(void **state)
{
	cleanup_free char *line = NULL;
	struct err e;

	(void)state;
	assert_int_equal(make("{\"network\":[{\"name\":\"eth0\",\"rxBytes\":1,\"rxPackets\":2,"
			      "\"rxErrors\":3,\"rxDropped\":4,\"txBytes\":5,\"txPackets\":6,"
			      "\"txErrors\":7,\"txDropped\":8},{\"name\":\"a\\\"b\\u00e9\"}]}",
				 &line, &e),
		0);
	assert_non_null(strstr(line,
		"\"network_interfaces\":[{\"Name\":\"eth0\",\"RxBytes\":1,\"RxPackets\":2,"
		"\"RxErrors\":3,\"RxDropped\":4,\"TxBytes\":5,\"TxPackets\":6,\"TxErrors\":7,"
		"\"TxDropped\":8},{\"Name\":\"a?b??\",\"RxBytes\":0,"));
}

static void test_no_limits(void **state)
{
	cleanup_free char *line = NULL;
	struct err e;

	(void)state;
	assert_int_equal(make("{\"memory\":{\"current\":1,\"swap_current\":2}}", &line, &e), 0);
	assert_non_null(strstr(line,
		"\"usage\":{\"limit\":18446744073709551615,\"usage\":1,\"failcnt\":0},"
		"\"swap\":{\"limit\":18446744073709551615,\"usage\":3,\"failcnt\":0}"));
	assert_non_null(
		strstr(line, "\"cpu\":{\"usage\":{\"kernel\":0,\"user\":0},\"throttling\":{}}"));
	assert_non_null(strstr(line, "\"pids\":{},\"blkio\":{},\"hugetlb\":{}"));
	assert_null(strstr(line, "\"raw\""));
}

/* What overflows is the largest number; the line is JSON whatever the names are. */
static void test_hostile(void **state)
{
	cleanup_free char *line = NULL;
	struct err e;

	(void)state;
	assert_int_equal(make("{\"cpu\":{\"usage_usec\":9223372036854775807},\"memory\":{\"stat\":{"
			      "\"a\\\"b\":1,\"\":2,\"ok_1\":3}},\"hugetlb\":{\"x\\u0007\":{}},"
			      "\"io\":{\"major\":1},\"pids\":7}",
				 &line, &e),
		0);
	assert_non_null(strstr(line, "\"total\":18446744073709551615"));
	assert_non_null(strstr(line, "\"raw\":{\"ok_1\":3}"));
	assert_non_null(strstr(line, "\"hugetlb\":{},"));
	static const char *const bad[] = {
		"7",
		"[]",
		"{\"cpu\":{\"usage_usec\":-1}}",
		"{\"cpu\":{\"usage_usec\":\"1\"}}",
		"{\"memory\":{\"stat\":{\"file\":1.5}}}",
		"{\"io\":[{\"major\":{}}]}",
		"{\"memory\":{\"max\":-5}}",
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *none;
		assert_int_equal(make(bad[i], &none, &e), -EINVAL);
		assert_null(none);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_no_limits),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
