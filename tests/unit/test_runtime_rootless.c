/* SPDX-License-Identifier: Apache-2.0 */
/* The maps of user namespaces, and whose root they make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "runtime/rootless.h"

static bool with_map(const char *text)
{
	char path[64];
	cleanup_close int fd = fd_memfile("map", text, strlen(text));

	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return rootless(path);
}

static void test_maps(void **state)
{
	(void)state;
	assert_false(with_map("         0          0 4294967295\n"));
	assert_true(with_map("         0       1000          1\n"));
	assert_true(
		with_map("         0       1000          1\n         1     165536      65536\n"));
	assert_true(with_map("         0          0      65536\n"));
	assert_true(with_map("      1000       1000          1\n"));
	assert_false(with_map(""));
	assert_false(rootless("/nowhere"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_maps)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
