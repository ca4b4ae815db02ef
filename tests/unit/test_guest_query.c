/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the host asks about running containers and changes of them: numbers, processes, limits;
 * Unix sockets. The processes are in namespaces of this machine; that is skipped without root.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/json.h"
#include "guestinit/container.h"
#include "guestinit/guest.h"
#include "guestinit/query.h"
#include "guestinit/sysfile.h"
#include "guestinit/update.h"
#include "tests/unit/support/guest_group.h"

#define QUERY(seq, what) "{\"type\":\"query\",\"seq\":" #seq ",\"what\":\"" what "\"}"
static void test_ps(void **state)
{
	(void)state;
	RUN(CONFIG("sleep 62; true", "", ""), {"started", QUERY(0, "x")},
		{"\"seq\":0",
			"{\"type\":\"exec\",\"exec\":\"e\",\"process\":{\"args\":[\"sh\",\"-c\","
			"\"echo go; exec sleep 63\"],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"],"
			"\"user\":{\"uid\":12,\"gid\":13}},\"stdio\":{\"terminal\":4096}}"},
		{"exec-started",
			"{\"type\":\"exec\",\"exec\":\"f\",\"process\":{\"args\":["
			"\"/bin/sleep\",\"0.3\"],\"cwd\":\"/\"},\"stdio\":{}}"},
		{"\"code\":0,\"exec\":\"f\"", QUERY(1, "ps")}, {"\"seq\":1", KILL});
	cleanup_json json_t *bad = find_event("\"seq\":0");
	assert_true(json_is_false(json_object_get(bad, "ok")));
	cleanup_json json_t *answer = find_event("\"seq\":1");
	cleanup_json json_t *started = find_event("exec-started");
	json_t *list = json_object_get(answer, "processes"), *p;
	bool first = false, exec = false;
	size_t i;
	assert_int_equal(json_array_size(list), 3); /* the shell has a child */
	json_array_foreach (list, i, p) {
		const char *args = json_string_value(json_object_get(p, "args"));
		if (number(p, "nspid") == 1) {
			first = true;
			assert_int_equal(number(p, "uid"), 0);
			assert_string_equal(json_string_value(json_object_get(p, "tty")), "?");
			assert_true(number(p, "stime") > 1700000000);
			assert_int_equal(number(p, "time"), 0);
			assert_memory_equal(args, "s", 1);
		}
		if (number(p, "pid") == number(started, "pid")) {
			exec = true;
			assert_string_equal(args, "sleep 63");
			assert_string_equal(json_string_value(json_object_get(p, "comm")), "sleep");
			assert_int_equal(number(p, "uid"), 12);
			assert_int_equal(number(p, "gid"), 13);
			assert_memory_equal(
				json_string_value(json_object_get(p, "tty")), "pts/", 4);
		}
	}
	assert_true(first && exec);
}

/* More processes than a message holds. */
static void test_ps_many(void **state)
{
	(void)state;
	RUN(CONFIG("i=0; while [ $i -lt 40 ]; do sh -c 'sleep 60; : $0' $(printf '%04000d' 1) & "
		   "i=$((i+1)); "
		   "done; sleep 0.5; echo ready; sleep 60",
		    "", ""),
		{"out:ready", QUERY(1, "ps")}, {"\"seq\":1", KILL});
	cleanup_json json_t *answer = find_event("\"seq\":1");
	json_t *list = json_object_get(answer, "processes");
	assert_true(json_array_size(list) > 80);
	assert_true(json_is_false(json_object_get(answer, "truncated")));
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(list, 1), "args")), "[sh]");
}

/* A folder that looks like a cgroup. */
static void fake_cgroup(struct container *c, struct create *create, char *dir)
{
	static const char *const files[][2] = {
		{"cpu.stat", "usage_usec 12\nuser_usec 8\nsystem_usec 4\nnr_periods 0\n"},
		{"memory.current", "4096\n"},
		{"memory.peak", "8192\n"},
		{"memory.max", "max\n"},
		{"memory.swap.current", "0\n"},
		{"memory.swap.max", "5\n"},
		{"memory.low", ""},
		{"memory.events", "low 0\nhigh 1\noom_kill 2\n"},
		{"memory.stat", "anon 1024\nfile 9223372036854775807\n"},
		{"pids.current", "3\n"},
		{"pids.max", "10\n"},
		{"cpu.max", ""},
		{"cpu.weight", ""},
		{"cpuset.cpus", ""},
		{"io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n7:1 \n"},
		{"hugetlb.2MB.current", "2097152\n"},
		{"hugetlb.2MB.max", "max\n"},
		{"hugetlb.2MB.events", "max 7\n"},
		{"hugetlb.2MB.rsvd.current", "0\n"},
	};

	strcpy(dir, "/tmp/guest-query-XXXXXX");
	assert_non_null(mkdtemp(dir));
	*c = (struct container){.create = create, .pid = 1, .report_fd = -1};
	c->cgroup_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int fd = openat(c->cgroup_fd, files[i][0], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_int_equal(fd_write_all(fd, files[i][1], strlen(files[i][1])), 0);
		close(fd);
	}
}

static void end_cgroup(struct container *c, const char *dir)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	close(c->cgroup_fd);
}

static void test_stats(void **state)
{
	struct container c;
	struct err e;
	char dir[32];

	(void)state;
	fake_cgroup(&c, NULL, dir);
	cleanup_json json_t *answer = query_stats(&c, &e);
	assert_non_null(answer);
	cleanup_free char *text = json_dumps(answer, JSON_COMPACT | JSON_SORT_KEYS);
	assert_string_equal(text,
		"{\"stats\":{\"cpu\":{\"nr_periods\":0,\"system_usec\":4,\"usage_usec\":12,"
		"\"user_usec\":8},\"hugetlb\":{\"2MB\":{\"current\":2097152,\"failcnt\":7}},"
		"\"io\":[{\"dbytes\":0,\"dios\":0,\"major\":8,\"minor\":0,\"rbytes\":1,\"rios\":3,"
		"\"wbytes\":2,\"wios\":4},{\"major\":7,\"minor\":1}],\"memory\":{\"current\":4096,"
		"\"events\":{\"high\":1,\"low\":0,\"oom_kill\":2},\"peak\":8192,\"stat\":{\"anon\":"
		"1024,\"file\":9223372036854775807},\"swap_current\":0,\"swap_max\":5},\"network\":"
		"[],"
		"\"pids\":{\"current\":3,\"max\":10}}}");
	end_cgroup(&c, dir);
	/* Nothing at all is no failure. */
	c.cgroup_fd = -1;
	cleanup_json json_t *nothing = query_stats(&c, &e);
	assert_non_null(nothing);
}

static int update(struct container *c, const char *text, struct err *e)
{
	cleanup_json json_t *resources = json_parse(text, strlen(text), 16, e);

	assert_non_null(resources);
	return guest_update(c, resources, e);
}

static void expect_file(struct container *c, const char *file, const char *text)
{
	char got[64];

	assert_true(sysfile_read(c->cgroup_fd, file, got, sizeof(got)) >= 0);
	if (strncmp(got, text, strlen(text)) != 0)
		fail_msg("%s: %s", file, got);
}

static void test_update(void **state)
{
	struct guest guest;
	struct create create = {0};
	struct container c;
	struct err e;
	char dir[32];

	(void)state;
	guest_init(&guest);
	assert_int_equal(loop_init(&guest.loop), 0);
	fake_cgroup(&c, &create, dir);
	c.guest = &guest;
	thrash_init(&c.thrash);
	create.os.resources.cpu.period = (struct opt_u64){true, 20000};
	assert_int_equal(update(&c, "{\"cpu\":{\"quota\":5000},\"pids\":{\"limit\":99}}", &e), 0);
	expect_file(&c, "cpu.max", "5000 20000");
	expect_file(&c, "pids.max", "99");
	expect_file(&c, "memory.max", "max");
	assert_int_equal(update(&c, "{\"cpu\":{\"period\":40000}}", &e), 0);
	expect_file(&c, "cpu.max", "5000 40000");
	assert_false(c.thrash.armed);
	assert_int_equal(update(&c, "{\"memory\":{\"limit\":1000000}}", &e), 0);
	expect_file(&c, "memory.max", "1000000");
	assert_true(c.thrash.armed);
	assert_int_equal(update(&c, "{\"memory\":{\"swap\":3000000}}", &e), 0);
	expect_file(&c, "memory.swap.max", "2000000");
	assert_int_equal(
		update(&c, "{\"memory\":{\"limit\":4000,\"checkBeforeUpdate\":true}}", &e), -EBUSY);
	assert_string_equal(e.text, "unable to set memory limit to 4000 (current usage: 4096)");
	expect_file(&c, "memory.max", "1000000");
	assert_int_equal(update(&c, "{\"cpu\":5}", &e), -EINVAL);
	assert_string_equal(e.text, "resources.cpu: must be an object");
	/* One that fails half-way changes nothing; one that the host does not want is taken back.
	 */
	assert_true(update(&c,
			    "{\"cpu\":{\"quota\":7777},\"memory\":{\"limit\":2000000},\"rdma\":{"
			    "\"x\":{\"hcaHandles\":1}}}",
			    &e) < 0);
	expect_file(&c, "cpu.max", "5000 40000");
	expect_file(&c, "memory.max", "1000000");
	assert_int_equal(guest_update_undo(&c, &e), -EINVAL);
	assert_int_equal(
		update(&c, "{\"cpu\":{\"quota\":7777},\"memory\":{\"limit\":2000000}}", &e), 0);
	expect_file(&c, "cpu.max", "7777 40000");
	assert_int_equal(guest_update_undo(&c, &e), 0);
	expect_file(&c, "cpu.max", "5000 40000");
	expect_file(&c, "memory.max", "1000000");
	assert_int_equal(update(&c, "{\"cpu\":{\"period\":20000}}", &e), 0);
	expect_file(&c, "cpu.max", "5000 20000");
	thrash_fini(&c.thrash);
	end_cgroup(&c, dir);
	loop_fini(&guest.loop);
}

/* A process of the host has nothing of the guest's open, whose ends others wait for: in is its 0,
 * out its 1. */
static void keep_only(int in, int out)
{
	if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || close_range(3, ~0u, 0) < 0)
		_exit(1);
}

/* The host's end of vsock is a socket that says what it got, in capitals. */
static int fake_host(uint32_t port)
{
	int pair[2];

	if (port != 2048 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -ECONNREFUSED;
	pid_t pid = fork();
	if (pid == 0) {
		char text[64];
		ssize_t n, used = 0;
		keep_only(pair[1], STDERR_FILENO);
		while ((n = read(0, text + used, sizeof(text) - (size_t)used)) > 0)
			used += n;
		for (n = 0; n < used; n++)
			text[n] = (char)(text[n] & ~0x20);
		(void)!write(0, text, (size_t)used);
		_exit(0);
	}
	close(pair[1]);
	int ret = fd_set_nonblock(pair[0], true);
	return ret < 0 ? ret : pair[0];
}

static void test_sockets(void **state)
{
	static const char config[] =
		"{\"process\":{\"args\":[\"sh\",\"-c\",\"stat -c '%F %a %u' /run/host.sock; echo "
		"ready; sleep 60\"],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"]},\"mounts\":[" MOUNTS
		",{\"destination\":\"/run/host.sock\",\"type\":\"bind\",\"socket\":2048,"
		"\"socketMode\":384,\"socketUid\":7,\"options\":[\"rbind\",\"ro\"]},"
		"{\"destination\":\"/refused.sock\",\"type\":\"bind\",\"socket\":2049}],"
		"\"linux\":{" NAMESPACES "}}";
	const struct guest_box_step steps[] = {
		{.after = "out:ready", .socket = "/refused.sock", .input = "nobody"},
		{.after = "out:ready", .socket = "/run/host.sock", .input = "one"},
		{.after = "port:ONE", .socket = "/run/host.sock", .input = "two"},
		{.after = "port:TWO", .send = KILL},
	};
	struct guest_box_run run = {
		.config = config, .connect_host = fake_host, .steps = steps, .n_steps = 4};
	char command[256];

	guest_box_run(&run, &result);
	assert_string_equal(result.message, "");
	assert_string_equal(result.err, "");
	assert_string_equal(result.out, "socket 600 7\nready\n");
	assert_true(result.ports[0].ended);
	assert_int_equal(result.ports[0].bytes, 0);
	assert_true(result.ports[1].ended);
	assert_string_equal(result.ports[1].text, "ONE");
	assert_string_equal(result.ports[2].text, "TWO");
	assert_non_null(strstr(result.log, "can't connect to the host's port 2049"));
	/* In the host's files there is a mount point, and nothing else. */
	snprintf(command, sizeof(command),
		"cd %s && test -f rootfs/run/host.sock && test ! -s rootfs/run/host.sock && "
		"test -z \"$(ls nodes)\"",
		(const char *)*state);
	assert_int_equal(system(command), 0);
}

static int counted_fd; /* a file: how much the host's process has read */

/* A host whose process takes its time, behind a connection that holds next to nothing. */
static int slow_host(uint32_t port)
{
	int pair[2], small = 1;

	if (port != 2048 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -ECONNREFUSED;
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	pid_t pid = fork();
	if (pid == 0) {
		char text[4096];
		ssize_t n;
		keep_only(pair[1], counted_fd);
		usleep(300000);
		while ((n = read(0, text, sizeof(text))) > 0)
			(void)!write(1, text, (size_t)n);
		_exit(0);
	}
	close(pair[1]);
	int ret = fd_set_nonblock(pair[0], true);
	return ret < 0 ? ret : pair[0];
}

/* The container ends before the host has read, or accepted, what was written. */
static void test_sockets_late(void **state)
{
	static const char config[] =
		"{\"process\":{\"args\":[\"sh\",\"-c\",\"trap 'exit 3' TERM; echo ready; while :; "
		"do sleep 0.05; done\"],\"cwd\":\"/\",\"env\":[\"PATH=/bin\"]},\"mounts\":[" MOUNTS
		",{\"destination\":\"/run/host.sock\",\"type\":\"bind\",\"socket\":2048}],"
		"\"linux\":{" NAMESPACES "}}";
	static char input[150001]; /* and its end makes it as many bytes with the other one's */
	const struct guest_box_step steps[] = {
		{.after = "out:ready", .socket = "/run/host.sock", .input = input},
		{.after = "out:ready", .socket = "/run/host.sock", .input = "x"},
		{.after = "out:ready", .send = "{\"type\":\"kill\",\"signal\":15}"},
	};
	struct guest_box_run run = {
		.config = config, .connect_host = slow_host, .steps = steps, .n_steps = 3};
	struct stat st;

	(void)state;
	memset(input, 'y', sizeof(input) - 1);
	counted_fd = memfd_create("counted", MFD_CLOEXEC);
	/* Two processes write to it; a memory file's position is not theirs by turns. */
	assert_int_equal(fcntl(counted_fd, F_SETFL, O_APPEND), 0);
	guest_box_run(&run, &result);
	assert_string_equal(result.message, "");
	assert_non_null(strstr(result.events, "\"code\":3"));
	/* What the container's side let go of is in the connection by now, or read. */
	for (int ms = 0; ms < 10000; ms++) {
		assert_int_equal(fstat(counted_fd, &st), 0);
		if (st.st_size >= (off_t)sizeof(input))
			break;
		usleep(1000);
	}
	close(counted_fd);
	assert_int_equal(st.st_size, sizeof(input));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_ps),
		TEST(test_ps_many),
		cmocka_unit_test(test_stats),
		cmocka_unit_test(test_update),
		TEST(test_sockets),
		TEST(test_sockets_late),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
