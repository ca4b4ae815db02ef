/* SPDX-License-Identifier: Apache-2.0 */
/* Id mappings as a guest sees them whose file server has no privileges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "oci/idmap.h"

/* Ranges as "container host size" triples. */
static json_t *mappings(const char *text)
{
	json_t *list = json_array();
	int container, host, size, n;

	while (sscanf(text, "%d %d %d%n", &container, &host, &size, &n) == 3) {
		json_array_append_new(list,
			json_pack("{s:i, s:i, s:i}", "containerID", container, "hostID", host,
				"size", size));
		text += n;
	}
	return list;
}

static void expect(uint32_t own, const char *before, const char *after)
{
	cleanup_json json_t *list = mappings(before);
	cleanup_json json_t *want = mappings(after);
	struct err e;

	assert_int_equal(oci_idmap_own_as_root(list, own, &e), 0);
	if (!json_equal(list, want))
		fail_msg("%u: %s: not %s", own, before, after);
}

static void test_moved(void **state)
{
	(void)state;
	expect(1000, "0 1000 1", "0 0 1");
	expect(1000, "0 1000 1  1 100000 65536", "0 0 1  1 100000 65536");
	expect(1000, "0 998 5", "0 998 2  2 0 1  3 1001 2");
	expect(1000, "5 1000 3", "5 0 1  6 1001 2");
	expect(1000, "0 998 3", "0 998 2  2 0 1");
	expect(1000, "0 1001 5  7 900 100", "0 1001 5  7 900 100");
	expect(1000, "", "");
	/* root's file server hides nothing. */
	expect(0, "0 0 65536", "0 0 65536");
	expect(0, "0 100000 65536", "0 100000 65536");
}

static void test_refused(void **state)
{
	cleanup_json json_t *list = mappings("0 1000 1  1 0 1");
	struct err e;

	(void)state;
	assert_int_equal(oci_idmap_own_as_root(list, 1000, &e), -EPERM);
	assert_string_equal(e.text, "[1].hostID: 0 is not an id that user 1000 can give away");
	assert_int_equal(oci_idmap_own_as_root(NULL, 1000, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moved),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
