/* SPDX-License-Identifier: Apache-2.0 */
/* Ids in use: which are ids, one holder at a time, and leftovers of the dead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/idlock.h"

static char root[64];

static bool exists(const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return access(path, F_OK) == 0;
}

static int setup(void **state)
{
	(void)state;
	strcpy(root, "/tmp/idlock.XXXXXX");
	if (!mkdtemp(root))
		return -1;
	strcat(root, "/deep/er");
	return 0;
}

static int teardown(void **state)
{
	char command[128];

	(void)state;
	*strstr(root, "/deep") = '\0';
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command);
}

static void test_ids(void **state)
{
	static const char *const good[] = {"a", "hvrun-0a", "A_b.c+d-1", "..."};
	static const char *const bad[] = {"", ".", "..", "a/b", "a b", "\x1b[2J", "a\n", "é"};
	char longest[ID_MAX_BYTES + 2], id[ID_MAX_BYTES + 1];
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(idlock_check_id(good[i], &e), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(idlock_check_id(bad[i], &e), -EINVAL);
	memset(longest, 'x', sizeof(longest));
	longest[ID_MAX_BYTES] = '\0';
	assert_int_equal(idlock_check_id(longest, &e), 0);
	longest[ID_MAX_BYTES] = 'x';
	longest[ID_MAX_BYTES + 1] = '\0';
	assert_int_equal(idlock_check_id(longest, &e), -EINVAL);
	assert_int_equal(idlock_make_id(id, &e), 0);
	assert_int_equal(idlock_check_id(id, &e), 0);
}

static void test_one_holder(void **state)
{
	struct idlock a, b, c;
	struct err e;

	(void)state;
	assert_int_equal(idlock_take(&a, root, "one", &e), 0);
	assert_true(exists("one.lock"));
	assert_int_equal(idlock_take(&b, root, "one", &e), -EEXIST);
	assert_non_null(strstr(e.text, "container with given ID already exists"));
	idlock_release(&b);
	assert_true(exists("one.lock"));
	assert_int_equal(idlock_take(&c, root, "two", &e), 0);
	idlock_release(&a);
	assert_false(exists("one.lock"));
	assert_true(exists("two.lock"));
	assert_int_equal(idlock_take(&a, root, "one", &e), 0);
	idlock_release(&a);
	idlock_release(&c);
}

/* The lock lives on in a process that inherited it, and goes with the last of them. */
static void test_dead_holder(void **state)
{
	struct idlock lock;
	struct err e;
	int ready[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		if (idlock_take(&lock, root, "dead", &e) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(idlock_take(&lock, root, "dead", &e), -EEXIST);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(exists("dead.lock"));
	assert_int_equal(idlock_take(&lock, root, "other", &e), 0);
	assert_false(exists("dead.lock")); /* swept */
	idlock_release(&lock);
	close(ready[0]);
	close(ready[1]);
}

/* Many at once on one id: never two of them at a time. */
static void test_race(void **state)
{
	enum { WORKERS = 8, ROUNDS = 2000 };
	pid_t pids[WORKERS];
	int status;

	(void)state;
	for (int i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			char path[128];
			snprintf(path, sizeof(path), "%s/inside", root);
			for (int k = 0; k < ROUNDS; k++) {
				struct idlock lock;
				struct err e;
				if (idlock_take(&lock, root, "raced", &e) < 0)
					continue;
				int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
				if (fd < 0)
					_exit(1);
				close(fd);
				unlink(path);
				idlock_release(&lock);
			}
			_exit(0);
		}
	}
	for (int i = 0; i < WORKERS; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_false(exists("raced.lock"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_one_holder),
		cmocka_unit_test(test_dead_holder),
		cmocka_unit_test(test_race),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
