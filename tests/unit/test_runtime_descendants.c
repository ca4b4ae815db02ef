/* SPDX-License-Identifier: Apache-2.0 */
/* What processes have started. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/descendants.h"
#include "tests/unit/support/family.h"

static void test_all(void **state)
{
	pid_t first = family();
	pid_t list[DESCENDANTS_MAX] = {first};
	size_t n = 1, before;

	(void)state;
	do {
		before = n;
		assert_int_equal(descendants_add(list, &n, DESCENDANTS_MAX), 0);
	} while (n > before);
	assert_int_equal(n, FAMILY);
	for (size_t i = 1; i < n; i++) {
		size_t parent = 0;
		while (parent < i && list[parent] != descendants_parent_of(list[i]))
			parent++;
		assert_true(parent < i);
	}
	n = 1;
	assert_int_equal(descendants_add(list, &n, 2), -E2BIG); /* it has two children */
	assert_int_equal(n, 2);
	kill(first, SIGKILL);
	waitpid(first, NULL, 0);
}

static void test_odd_names(void **state)
{
	int ready[2];
	char word;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, ") S 1 (");
		(void)!write(ready[1], "r", 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &word, 1), 1);
	assert_int_equal(descendants_parent_of(pid), getpid());
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(descendants_parent_of(pid), 0);
	close(ready[0]);
	close(ready[1]);
}

/* Those that have no parent are nobody's: 0 in a list is no process. */
static void test_none(void **state)
{
	pid_t list[2] = {0, 0};
	size_t n = 1;

	(void)state;
	assert_int_equal(descendants_add(list, &n, 2), 0);
	assert_int_equal(n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_odd_names),
		cmocka_unit_test(test_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
