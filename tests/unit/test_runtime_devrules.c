/* SPDX-License-Identifier: Apache-2.0 */
/* What linux.resources.devices grants of a block device of the host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "runtime/devrules.h"

#define R  DEVRULES_READ
#define W  DEVRULES_WRITE
#define M  DEVRULES_MKNOD
#define NO "{'allow':false,'access':'rwm'}"

static unsigned granted(const char *rules)
{
	char text[512];
	struct err e;

	snprintf(text, sizeof(text), "{'devices':[%s]}", rules);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	cleanup_json json_t *resources = json_parse(text, strlen(text), 8, &e);
	assert_non_null(resources);
	return devrules_block(resources, 8, 16);
}

static void test_none(void **state)
{
	(void)state;
	assert_int_equal(devrules_block(NULL, 8, 16), 0);
	assert_int_equal(granted(""), 0);
	assert_int_equal(granted(NO), 0);
}

static void test_numbers_and_types(void **state)
{
	(void)state;
	assert_int_equal(
		granted(NO ",{'allow':true,'type':'b','major':8,'minor':16,'access':'r'}"), R);
	assert_int_equal(granted("{'allow':true,'type':'b','major':8,'minor':17,'access':'r'}"), 0);
	assert_int_equal(granted("{'allow':true,'type':'b','major':9,'minor':16,'access':'r'}"), 0);
	assert_int_equal(granted("{'allow':true,'type':'c','major':8,'minor':16,'access':'r'}"), 0);
	assert_int_equal(granted("{'allow':true,'type':'u','access':'r'}"), 0);
	assert_int_equal(granted("{'allow':true,'type':'b','major':8,'access':'rw'}"), R | W);
	assert_int_equal(granted("{'allow':true,'type':'a','major':-1,'minor':-1,'access':'rwm'}"),
		R | W | M);
	assert_int_equal(granted("{'allow':true}"), R | W | M);
}

static void test_last_counts(void **state)
{
	(void)state;
	assert_int_equal(granted("{'allow':true},{'allow':false,'type':'b','access':'w'}"), R | M);
	assert_int_equal(granted("{'allow':true}," NO), 0);
	assert_int_equal(granted("{'allow':true,'type':'b','major':8,'access':'r'},"
				 "{'allow':true,'type':'b','minor':16,'access':'w'}"),
		R | W);
	assert_int_equal(
		granted("{'allow':true},{'allow':false,'type':'c','access':'rwm'}"), R | W | M);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_numbers_and_types),
		cmocka_unit_test(test_last_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
