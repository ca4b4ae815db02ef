/* SPDX-License-Identifier: Apache-2.0 */
/* Whether an OOM may be brought about in a cgroup: directories stand for the hierarchies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/witness.h"

#define MIB (1ull << 20)

struct box {
	char top[PATH_MAX / 2], cgroup[PATH_MAX];
};

static void put(const char *dir, const char *file, const char *text)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

/* TOP/{meminfo,self/oom_score_adj} and the cgroup TOP/a/b, of which a is the parent. */
static void make_box(struct box *box)
{
	const char *dir = getenv("TMPDIR");
	char path[PATH_MAX];

	snprintf(box->top, sizeof(box->top), "%s/witness.XXXXXX", dir ? dir : "/tmp");
	assert_non_null(mkdtemp(box->top));
	snprintf(path, sizeof(path), "%s/self", box->top);
	assert_int_equal(mkdir(path, 0700), 0);
	put(path, "oom_score_adj", "0\n");
	put(box->top, "meminfo", "MemTotal: 9 kB\nMemAvailable:    1048576 kB\n");
	snprintf(path, sizeof(path), "%s/a", box->top);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(box->cgroup, sizeof(box->cgroup), "%s/a/b", box->top);
	assert_int_equal(mkdir(box->cgroup, 0700), 0);
}

static void remove_box(struct box *box)
{
	char command[PATH_MAX];

	snprintf(command, sizeof(command), "rm -rf '%s'", box->top);
	assert_int_equal(system(command), 0); /* NOLINT: a path of our own */
}

static void test_v1(void **state)
{
	struct witness_numbers n;
	struct box box;
	char parent[PATH_MAX];

	(void)state;
	make_box(&box);
	snprintf(parent, sizeof(parent), "%s/a", box.top);
	assert_int_equal(witness_read(&n, box.cgroup, false, box.top), -ENOENT);
	put(box.cgroup, "memory.limit_in_bytes", "1073741824\n");
	put(box.cgroup, "memory.usage_in_bytes", "104857600\n");
	put(box.cgroup, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
	assert_int_equal(witness_read(&n, box.cgroup, false, box.top), 0);
	assert_int_equal(n.limit, 1024 * MIB);
	assert_int_equal(n.usage, 100 * MIB);
	assert_int_equal(n.left, (1024 - 64) * MIB); /* the host keeps some */
	assert_int_equal(n.score_adj, 0);
	assert_null(witness_refusal(&n));
	put(parent, "memory.limit_in_bytes", "209715200\n");
	put(parent, "memory.usage_in_bytes", "157286400\n");
	assert_int_equal(witness_read(&n, box.cgroup, false, box.top), 0);
	assert_int_equal(n.left, 50 * MIB);
	assert_non_null(strstr(witness_refusal(&n), "too little memory"));
	put(parent, "memory.limit_in_bytes", "9223372036854771712\n");
	put(box.cgroup, "memory.limit_in_bytes", "9223372036854771712\n");
	assert_int_equal(witness_read(&n, box.cgroup, false, box.top), 0);
	assert_non_null(strstr(witness_refusal(&n), "no limit"));
	put(box.cgroup, "memory.oom_control", "oom_kill_disable 1\nunder_oom 0\noom_kill 0\n");
	assert_int_equal(witness_read(&n, box.cgroup, false, box.top), -EPERM);
	remove_box(&box);
}

static void test_v2(void **state)
{
	struct witness_numbers n;
	struct box box;

	(void)state;
	make_box(&box);
	put(box.cgroup, "memory.max", "max\n");
	put(box.cgroup, "memory.current", "1048576\n");
	put(box.cgroup, "memory.oom.group", "0\n");
	put(box.top, "meminfo", "MemAvailable: 1024 kB\n");
	assert_int_equal(witness_read(&n, box.cgroup, true, box.top), 0);
	assert_true(n.limit == UINT64_MAX);
	assert_int_equal(n.left, 0);
	put(box.cgroup, "memory.max", "1073741824\n");
	put(box.cgroup, "memory.oom.group", "1\n");
	assert_int_equal(witness_read(&n, box.cgroup, true, box.top), -EPERM);
	remove_box(&box);
}

/* Who has inherited a score might be killed in the place of the process that is meant. */
static void test_scores(void **state)
{
	struct witness_numbers n = {.limit = 1024 * MIB, .usage = 96 * MIB, .left = 1024 * MIB};

	(void)state;
	n.score_adj = -1000;
	assert_null(witness_refusal(&n));
	n.score_adj = 499; /* 96 + 96 + 0.499 * 128 < 2 * 128 */
	assert_null(witness_refusal(&n));
	n.score_adj = 500;
	assert_non_null(strstr(witness_refusal(&n), "another process"));
	n.score_adj = 200;
	n.usage = 992 * MIB;
	assert_non_null(witness_refusal(&n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v1),
		cmocka_unit_test(test_v2),
		cmocka_unit_test(test_scores),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
