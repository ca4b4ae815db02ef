/* SPDX-License-Identifier: Apache-2.0 */
/* Directories of containers: ids, one holder at a time, leftovers of the dead, races. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "runtime/container.h"

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
	strcpy(root, "/tmp/container.XXXXXX");
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
	static const char *const bad[] = {
		"", ".", "..", ".tmp-0", "a/b", "a b", "\x1b[2J", "a\n", "é"};
	char longest[CONTAINER_ID_MAX_BYTES + 2], id[CONTAINER_ID_MAX_BYTES + 1];
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(container_check_id(good[i], &e), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(container_check_id(bad[i], &e), -EINVAL);
	memset(longest, 'x', sizeof(longest));
	longest[CONTAINER_ID_MAX_BYTES] = '\0';
	assert_int_equal(container_check_id(longest, &e), 0);
	longest[CONTAINER_ID_MAX_BYTES] = 'x';
	longest[CONTAINER_ID_MAX_BYTES + 1] = '\0';
	assert_int_equal(container_check_id(longest, &e), -EINVAL);
	assert_int_equal(container_make_id(id, &e), 0);
	assert_int_equal(container_check_id(id, &e), 0);
}

static void test_one_holder(void **state)
{
	struct container a, b, c;
	struct err e;

	(void)state;
	assert_int_equal(container_new(&a, root, "one", &e), 0);
	assert_true(exists("one"));
	assert_int_equal(container_new(&b, root, "one", &e), -EEXIST);
	assert_non_null(strstr(e.text, "container with given ID already exists"));
	container_close(&b);
	assert_true(exists("one"));
	assert_int_equal(container_new(&c, root, "two", &e), 0);
	assert_int_equal(container_remove_dir(&a, &e), 0);
	container_close(&a);
	assert_false(exists("one"));
	assert_true(exists("two"));
	assert_int_equal(container_new(&a, root, "one", &e), 0);
	assert_int_equal(container_remove_dir(&a, &e), 0);
	container_close(&a);
	assert_int_equal(container_remove_dir(&c, &e), 0);
	container_close(&c);
}

/* What a killed command was making is a leftover, what it had finished is not. */
static void test_dead_holder(void **state)
{
	struct container c;
	struct err e;
	int ready[2], status;
	char byte;

	(void)state;
	for (int keep = 0; keep < 2; keep++) {
		assert_int_equal(pipe(ready), 0);
		pid_t pid = fork();
		if (pid == 0) {
			if (container_new(&c, root, "dead", &e) < 0 ||
				(keep && container_keep(&c, &e) < 0) ||
				write(ready[1], "x", 1) != 1)
				_exit(1);
			pause();
			_exit(0);
		}
		assert_int_equal(read(ready[0], &byte, 1), 1);
		assert_int_equal(container_new(&c, root, "dead", &e), -EEXIST);
		container_close(&c);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		assert_true(exists("dead"));
		assert_int_equal(container_new(&c, root, "dead", &e), keep ? -EEXIST : 0);
		if (!keep)
			assert_int_equal(container_remove_dir(&c, &e), 0);
		container_close(&c);
		close(ready[0]);
		close(ready[1]);
	}
	assert_int_equal(container_open(&c, root, "dead", &e), 0);
	assert_int_equal(container_lock(&c, &e), 0);
	assert_int_equal(container_remove_dir(&c, &e), 0);
	container_close(&c);
}

/* A directory below the root with these files; what holds `lock` where it is wanted, else -1. */
static int put_dir(const char *name, const char *file, bool locked)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/%s/%s", root, name, file);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	if (locked) {
		assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
		return fd;
	}
	close(fd);
	return -1;
}

/* What was killed while it made or removed a directory; not what somebody still does. */
static void test_sweep(void **state)
{
	struct container c;
	struct err e;

	(void)state;
	for (int by_delete = 0; by_delete < 2; by_delete++) {
		put_dir(".tmp-gone-1", "state.json", false);
		put_dir(".tmp-gone-2", "lock", false);
		put_dir(".tmp-3", "lock", false);
		put_dir(".tmp-4", "other", false); /* its lock may come in a moment */
		int removing = put_dir(".tmp-gone-5", "lock", true);
		int making = put_dir(".tmp-6", "lock", true);
		if (by_delete) {
			container_sweep(root);
		} else {
			assert_int_equal(container_new(&c, root, "one", &e), 0);
			assert_int_equal(container_remove_dir(&c, &e), 0);
			container_close(&c);
		}
		assert_false(exists(".tmp-gone-1") || exists(".tmp-gone-2") || exists(".tmp-3"));
		assert_true(exists(".tmp-4") && exists(".tmp-gone-5") && exists(".tmp-6"));
		close(removing);
		close(making);
		container_sweep(root);
		assert_true(exists(".tmp-4"));
		assert_false(exists(".tmp-gone-5") || exists(".tmp-6"));
		char path[PATH_MAX];
		snprintf(path, sizeof(path), "%s/.tmp-4/other", root);
		assert_int_equal(unlink(path), 0);
		*strrchr(path, '/') = '\0';
		assert_int_equal(rmdir(path), 0);
	}
}

/* Many at once on one id: never two of them at a time. */
static void test_race(void **state)
{
	enum { WORKERS = 8, ROUNDS = 500 };
	pid_t pids[WORKERS];
	int status;

	(void)state;
	for (int i = 0; i < WORKERS; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			char path[128];
			snprintf(path, sizeof(path), "%s/inside", root);
			for (int k = 0; k < ROUNDS; k++) {
				struct container c;
				struct err e;
				if (container_new(&c, root, "raced", &e) < 0) {
					if (e.code != EEXIST)
						_exit(2);
					container_close(&c);
					continue;
				}
				int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
				if (fd < 0)
					_exit(1);
				close(fd);
				unlink(path);
				if (container_remove_dir(&c, &e) < 0)
					_exit(3);
				container_close(&c);
			}
			_exit(0);
		}
	}
	for (int i = 0; i < WORKERS; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_false(exists("raced"));
}

/* A command that waits for the lock of a container that is deleted meanwhile. */
static void test_deleted_meanwhile(void **state)
{
	struct container c, waiting;
	struct err e;

	(void)state;
	assert_int_equal(container_new(&c, root, "gone", &e), 0);
	assert_int_equal(json_object_set_new(c.state, "bundle", json_string("/b")), 0);
	assert_int_equal(container_save(&c, &e), 0);
	assert_int_equal(container_open(&waiting, root, "gone", &e), 0);
	assert_string_equal(json_string_value(json_object_get(waiting.state, "bundle")), "/b");
	assert_int_equal(container_status(&waiting), CONTAINER_CREATING);
	assert_int_equal(container_remove_dir(&c, &e), 0);
	container_close(&c);
	assert_int_equal(container_lock(&waiting, &e), -ENOENT);
	assert_string_equal(e.text, "container \"gone\" does not exist");
	container_close(&waiting);
	assert_int_equal(container_open(&c, root, "gone", &e), -ENOENT);
	container_close(&c);
}

/* A pid that another process has now is not the container's. */
static void test_processes(void **state)
{
	cleanup_json json_t *self = container_process_json(getpid());
	struct container c;
	struct err e;

	(void)state;
	assert_int_equal(container_new(&c, root, "pids", &e), 0);
	assert_int_equal(json_object_set(c.state, "monitor", self), 0);
	struct container_process p = container_process(&c, "monitor");
	assert_int_equal(p.pid, getpid());
	assert_true(container_process_alive(&p));
	/* It has no socket: it does not run any more, whatever the process is doing. */
	assert_int_equal(container_status(&c), CONTAINER_STOPPED);
	p.start_ticks++;
	assert_false(container_process_alive(&p));
	container_process_kill(&p); /* not us */
	assert_int_equal(container_process(&c, "fs").pid, 0);
	assert_int_equal(container_remove_dir(&c, &e), 0);
	container_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_one_holder),
		cmocka_unit_test(test_dead_holder),
		cmocka_unit_test(test_sweep),
		cmocka_unit_test(test_race),
		cmocka_unit_test(test_deleted_meanwhile),
		cmocka_unit_test(test_processes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
