/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Further processes in a container: a client, a fake guest and a fake vsock device. The end is told
 * once, after the output; whoever goes first, nothing of a process is left behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "microvm/vmm/exec.h"
#include "support/fake_guest.h"

#define EXEC	 "{'op':'exec'}"
#define TERMINAL "{'op':'exec','terminal':true,'rows':24,'columns':80}"
#define PROCESS	 "{\"args\":[\"sh\"],\"cwd\":\"/\"}"

static int setup(void **state)
{
	return fake_guest_setup(state, false);
}

static int teardown(void **state)
{
	return fake_guest_teardown(state);
}

/* A request with a file and n streams. */
static void ask_file(struct fake_guest *g, int client, const char *text, int file, unsigned n)
{
	int fds[7] = {file};

	for (unsigned i = 1; i < 7; i++) {
		fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
		assert_true(fds[i] >= 0);
	}
	fake_guest_ask_fds(g, client, text, fds, 1 + n);
	for (unsigned i = 1; i < 7; i++)
		close(fds[i]);
}

static int process_file(const char *text)
{
	int fd = fd_memfile("process", text, strlen(text));

	assert_true(fd >= 0);
	assert_int_equal(fd_seal(fd), 0);
	return fd;
}

static void ask(struct fake_guest *g, int client, const char *text, unsigned n)
{
	cleanup_close int file = process_file(PROCESS);

	ask_file(g, client, text, file, n);
}

static void assert_reply(struct fake_guest *g, int client, bool ok, const char *words)
{
	cleanup_json json_t *reply = fake_guest_reply(g, client);

	assert_string_equal(json_string_value(json_object_get(reply, "reply")), "exec");
	assert_int_equal(json_is_true(json_object_get(reply, "ok")), ok);
	if (words)
		assert_string_equal(json_string_value(json_object_get(reply, "message")), words);
}

static void assert_event(struct fake_guest *g, int client, const char *name, int number)
{
	cleanup_json json_t *event = fake_guest_reply(g, client);
	const char *key = strcmp(name, "started") == 0 ? "pid" : "code";

	assert_string_equal(json_string_value(json_object_get(event, "event")), name);
	assert_int_equal(json_integer_value(json_object_get(event, key)), number);
}

static int start(struct fake_guest *g)
{
	int client = fake_guest_connect(g);

	ask(g, client, EXEC, 3);
	assert_reply(g, client, true, NULL);
	cleanup_json json_t *message = fake_guest_hear(g, "exec");
	assert_string_equal(json_string_value(json_object_get(message, "id")), "c1");
	return client;
}

/* The guest begins it: its name and ports follow from its number. */
static void begin(struct fake_guest *g, unsigned number)
{
	char text[96];

	for (uint32_t i = 0; i < 3; i++)
		fake_guest_conn_connected(fake_guest_conn(g, 4096 + (number - 1) * 3 + i));
	snprintf(text, sizeof(text), "{'type':'exec-started','id':'c1','exec':'e%u','pid':%u}",
		number, number + 100);
	fake_guest_say(g, text);
}

static void assert_signalled(struct fake_guest *g, const char *name, int signal)
{
	cleanup_json json_t *kill = fake_guest_hear(g, "kill");

	assert_string_equal(json_string_value(json_object_get(kill, "exec")), name);
	assert_int_equal(json_integer_value(json_object_get(kill, "signal")), signal);
}

static void close_streams(struct fake_guest *g, uint32_t port, unsigned n, bool cut)
{
	for (unsigned i = 0; i < n; i++) {
		struct fake_conn *conn = fake_guest_conn(g, port + i);
		assert_non_null(conn);
		assert_int_equal(conn->cut, cut);
		fake_guest_conn_closed(conn, cut ? -ECONNRESET : 0);
	}
}

static void test_whole_life(void **state)
{
	struct fake_guest *g = *state;

	fake_guest_run(g);
	int client = fake_guest_connect(g);
	ask(g, client, EXEC, 3);
	assert_reply(g, client, true, NULL);
	cleanup_json json_t *message = fake_guest_hear(g, "exec");
	assert_string_equal(json_string_value(json_object_get(message, "exec")), "e1");
	assert_non_null(json_object_get(json_object_get(message, "process"), "args"));
	json_t *stdio = json_object_get(message, "stdio");
	assert_int_equal(json_integer_value(json_object_get(stdio, "stdin")), 4096);
	assert_int_equal(json_integer_value(json_object_get(stdio, "stderr")), 4098);
	assert_true(fake_guest_conn(g, 4096)->rd_fd >= 0);
	assert_true(fake_guest_conn(g, 4096)->wr_fd < 0);
	assert_true(fake_guest_conn(g, 4098)->wr_fd >= 0);
	fake_guest_say(g, "{'type':'exec-started','id':'c1','exec':'e1','pid':17}");
	assert_event(g, client, "started", 17);
	fake_guest_ask(g, client, "{'op':'kill','signal':15}");
	assert_signalled(g, "e1", 15);
	fake_guest_ask(g, client, "{'op':'resize','rows':1,'columns':2}");
	cleanup_json json_t *resize = fake_guest_hear(g, "resize");
	assert_string_equal(json_string_value(json_object_get(resize, "exec")), "e1");
	fake_guest_conn_drained(fake_guest_conn(g, 4097));
	fake_guest_say(g, "{'type':'exec-exited','id':'c1','exec':'e1','code':5}");
	assert_false(fake_guest_hung_up(client)); /* its stderr is not out yet */
	fake_guest_conn_drained(fake_guest_conn(g, 4098));
	assert_event(g, client, "exited", 5);
	assert_true(fake_guest_hung_up(client));
	close_streams(g, 4096, 3, true);
	assert_true(fake_guest_silent(g));
	assert_int_equal(g->stops, 0);
	/* Its place is free, its name is not used again. */
	fake_guest_say(g, "{'type':'exec-exited','id':'c1','exec':'e1','code':5}");
	assert_true(g->stops > 0);
	close(client);
}

static void test_preserved(void **state)
{
	struct fake_guest *g = *state;
	static const uint32_t port = UINT32_C(1) << 30;

	fake_guest_run(g);
	int client = fake_guest_connect(g);
	ask(g, client,
		"{'op':'exec','terminal':false,'preserved':[{'in':true},{'in':true,'out':true}]}",
		5);
	assert_reply(g, client, true, NULL);
	cleanup_json json_t *message = fake_guest_hear(g, "exec");
	const json_t *list = json_object_get(json_object_get(message, "stdio"), "preserved");
	assert_int_equal(json_array_size(list), 2);
	const json_t *second = json_array_get(list, 1);
	assert_int_equal(json_integer_value(json_object_get(second, "port")), port + 1);
	assert_true(json_is_true(json_object_get(second, "out")));
	assert_true(fake_guest_conn(g, port)->rd_fd >= 0);
	assert_true(fake_guest_conn(g, port)->wr_fd < 0);
	assert_int_equal(fake_guest_conn(g, port + 1)->rd_fd, fake_guest_conn(g, port + 1)->wr_fd);
	fake_guest_say(g, "{'type':'exec-started','id':'c1','exec':'e1','pid':17}");
	assert_event(g, client, "started", 17);
	fake_guest_conn_drained(fake_guest_conn(g, 4097));
	fake_guest_conn_drained(fake_guest_conn(g, 4098));
	fake_guest_say(g, "{'type':'exec-exited','id':'c1','exec':'e1','code':0}");
	assert_false(fake_guest_hung_up(client)); /* the socket's output is not out yet */
	fake_guest_conn_drained(fake_guest_conn(g, port + 1));
	assert_event(g, client, "exited", 0);
	close_streams(g, 4096, 3, true);
	close_streams(g, port, 2, true);
	close(client);
	/* Descriptors and list must agree, and each be for something. */
	client = fake_guest_connect(g);
	ask(g, client, "{'op':'exec','terminal':false,'preserved':[{'in':true}]}", 3);
	assert_reply(g, client, false, "not the descriptors of a process and its streams");
	ask(g, client, "{'op':'exec','terminal':false,'preserved':[{'in':1}]}", 4);
	assert_reply(g, client, false, "a preserved descriptor that is for nothing");
	close(client);
}

static void test_terminal(void **state)
{
	struct fake_guest *g = *state;
	int client = fake_guest_connect(g);

	fake_guest_run(g);
	ask(g, client, TERMINAL, 1);
	assert_reply(g, client, true, NULL);
	cleanup_json json_t *message = fake_guest_hear(g, "exec");
	json_t *stdio = json_object_get(message, "stdio");
	assert_int_equal(json_integer_value(json_object_get(stdio, "terminal")), 4096);
	assert_int_equal(json_integer_value(json_object_get(stdio, "columns")), 80);
	assert_null(fake_guest_conn(g, 4097));
	assert_int_equal(fake_guest_conn(g, 4096)->rd_fd, fake_guest_conn(g, 4096)->wr_fd);
	fake_guest_say(g, "{'type':'exec-started','id':'c1','exec':'e1','pid':1}");
	assert_event(g, client, "started", 1);
	fake_guest_say(g, "{'type':'exec-exited','id':'c1','exec':'e1','code':0}");
	fake_guest_conn_closed(fake_guest_conn(g, 4096), 0);
	assert_event(g, client, "exited", 0);
	close(client);
}

static void test_refused(void **state)
{
	struct fake_guest *g = *state;
	int client = fake_guest_connect(g);
	struct err e;

	ask(g, client, EXEC, 3);
	assert_reply(g, client, false, "cannot exec in a container that is being created");
	fake_guest_run(g);
	ask(g, client, EXEC, 2);
	assert_reply(g, client, false, "not the descriptors of a process and its streams");
	ask(g, client, EXEC, 4);
	assert_reply(g, client, false, "not the descriptors of a process and its streams");
	cleanup_close int list = process_file("[]"), broken = process_file("{\"args\":[");
	ask_file(g, client, EXEC, list, 3);
	assert_reply(g, client, false, "the process: not an object");
	ask_file(g, client, EXEC, broken, 3);
	assert_reply(g, client, false, NULL);
	cleanup_close int open_file = fd_memfile("process", PROCESS, strlen(PROCESS));
	ask_file(g, client, EXEC, open_file, 3);
	assert_reply(g, client, false, "the process: not a sealed file in memory");
	assert_int_equal(session_pause(&g->session, true, &e), 0);
	ask(g, client, EXEC, 3);
	assert_reply(g, client, false, "cannot exec in a paused container");
	assert_int_equal(session_pause(&g->session, false, &e), 0);
	json_decref(fake_guest_hear(g, "time"));
	fake_guest_say(g, "{'type':'exited','id':'c1','code':5}");
	json_decref(fake_guest_hear(g, "shutdown"));
	ask(g, client, EXEC, 3);
	assert_reply(g, client, false, "cannot exec a container that has stopped");
	assert_true(fake_guest_silent(g));
	close(client);
}

static void test_fails(void **state)
{
	struct fake_guest *g = *state;

	fake_guest_run(g);
	int client = start(g);
	fake_guest_say(g,
		"{'type':'exec-failed','id':'c1','exec':'e1','code':127,"
		"'message':'exec /x:\\u0007 no'}");
	cleanup_json json_t *event = fake_guest_reply(g, client);
	assert_string_equal(json_string_value(json_object_get(event, "event")), "failed");
	assert_int_equal(json_integer_value(json_object_get(event, "code")), 127);
	assert_string_equal(
		json_string_value(json_object_get(event, "message")), "exec /x:\\x07 no");
	assert_true(fake_guest_hung_up(client));
	close_streams(g, 4096, 3, true);
	close(client);
}

static void test_no_connections(void **state)
{
	struct fake_guest *g = *state;
	int client = fake_guest_connect(g);

	fake_guest_run(g);
	g->connect_result = -ENOSPC;
	ask(g, client, EXEC, 3);
	assert_reply(g, client, true, NULL);
	assert_event(g, client, "failed", 1);
	json_decref(fake_guest_hear(g, "exec"));
	assert_signalled(g, "e1", 9);
	fake_guest_say(g, "{'type':'exec-failed','id':'c1','exec':'e1','code':1,'message':''}");
	assert_int_equal(g->stops, 0);
	close(client);
}

static void test_client_goes(void **state)
{
	struct fake_guest *g = *state;

	fake_guest_run(g);
	/* Before the process is there, and so a second time when it is. */
	close(start(g));
	assert_signalled(g, "e1", 9);
	fake_guest_say(g, "{'type':'exec-started','id':'c1','exec':'e1','pid':1}");
	assert_signalled(g, "e1", 9);
	assert_false(fake_guest_conn(g, 4097)->cut);
	fake_guest_say(g, "{'type':'exec-exited','id':'c1','exec':'e1','code':137}");
	close_streams(g, 4096, 3, true);
	/* While its output waits for a reader that does not come. */
	int client = start(g);
	fake_guest_say(g, "{'type':'exec-started','id':'c1','exec':'e2','pid':1}");
	fake_guest_say(g, "{'type':'exec-exited','id':'c1','exec':'e2','code':0}");
	assert_false(fake_guest_conn(g, 4100)->cut);
	close(client);
	fake_guest_pump(g);
	close_streams(g, 4099, 3, true);
	assert_true(fake_guest_silent(g));
}

static void test_many(void **state)
{
	struct fake_guest *g = *state;
	int clients[EXECS_MAX + 1];

	fake_guest_run(g);
	for (unsigned i = 0; i < EXECS_MAX - 1; i++) {
		clients[i] = start(g);
		begin(g, i + 1);
	}
	close(clients[0]); /* its process is still there */
	assert_signalled(g, "e1", 9);
	clients[EXECS_MAX - 1] = start(g);
	begin(g, EXECS_MAX);
	close(clients[1]);
	assert_signalled(g, "e2", 9);
	clients[EXECS_MAX] = fake_guest_connect(g);
	ask(g, clients[EXECS_MAX], EXEC, 3);
	assert_reply(g, clients[EXECS_MAX], false, "too many processes were added to this container");
	fake_guest_say(g, "{'type':'exec-exited','id':'c1','exec':'e1','code':137}");
	close_streams(g, 4096, 3, true);
	ask(g, clients[EXECS_MAX], EXEC, 3);
	assert_reply(g, clients[EXECS_MAX], true, NULL);
	for (unsigned i = 2; i <= EXECS_MAX; i++)
		close(clients[i]);
}

static void test_turns(void **state)
{
	struct fake_guest *g = *state;
	int clients[14];

	fake_guest_run(g);
	for (int i = 0; i < 8; i++)
		clients[i] = start(g);
	for (int i = 8; i < 14; i++) {
		clients[i] = fake_guest_connect(g);
		ask(g, clients[i], EXEC, 3);
		assert_reply(g, clients[i], true, NULL);
	}
	assert_true(fake_guest_silent(g));
	assert_null(fake_guest_conn(g, 4096 + 8 * 3));
	/* Of those that wait one is called off, one goes; the guest never hears of them. */
	fake_guest_ask(g, clients[8], "{'op':'resize','rows':1,'columns':1}");
	fake_guest_ask(g, clients[8], "{'op':'kill','signal':15}");
	assert_event(g, clients[8], "failed", 1);
	close(clients[9]);
	assert_true(fake_guest_silent(g));
	/* Started is not enough: a stream may still wait to be taken. */
	fake_guest_say(g, "{'type':'exec-started','id':'c1','exec':'e1','pid':1}");
	assert_true(fake_guest_silent(g));
	for (uint32_t port = 4096; port < 4099; port++)
		fake_guest_conn_connected(fake_guest_conn(g, port));
	cleanup_json json_t *eleventh = fake_guest_hear(g, "exec");
	assert_string_equal(json_string_value(json_object_get(eleventh, "exec")), "e11");
	assert_true(fake_guest_silent(g));
	fake_guest_say(g, "{'type':'exec-failed','id':'c1','exec':'e2','code':1,'message':''}");
	json_decref(fake_guest_hear(g, "exec"));
	/* A stream that the guest refuses is the end of its process. */
	fake_guest_conn_closed(fake_guest_conn(g, 4096 + 2 * 3), -ECONNREFUSED);
	assert_event(g, clients[2], "failed", 1);
	assert_signalled(g, "e3", 9);
	fake_guest_say(g, "{'type':'exec-failed','id':'c1','exec':'e3','code':1,'message':''}");
	json_decref(fake_guest_hear(g, "exec"));
	assert_int_equal(g->stops, 0);
	session_stop(&g->session);
	assert_event(g, clients[13], "failed", 1); /* its turn never came */
	for (int i = 0; i < 14; i++)
		if (i != 9)
			close(clients[i]);
}

static void test_vm_ends(void **state)
{
	struct fake_guest *g = *state;

	fake_guest_run(g);
	int runs = start(g), starts = start(g), drains = start(g);
	fake_guest_say(g, "{'type':'exec-started','id':'c1','exec':'e1','pid':1}");
	assert_event(g, runs, "started", 1);
	fake_guest_say(g, "{'type':'exec-started','id':'c1','exec':'e3','pid':1}");
	assert_event(g, drains, "started", 1);
	fake_guest_say(g, "{'type':'exec-exited','id':'c1','exec':'e3','code':4}");
	session_stop(&g->session);
	assert_event(g, runs, "exited", 137);
	assert_event(g, starts, "failed", 1);
	assert_event(g, drains, "exited", 4);
	assert_true(fake_guest_hung_up(runs));
	close_streams(g, 4096, 6, false);
	for (uint32_t port = 4102; port <= 4104; port++)
		fake_guest_conn_closed(fake_guest_conn(g, port), 0);
	close(runs);
	close(starts);
	close(drains);
}

static void test_hostile_messages(void **state)
{
	static const char *const hostile[] = {
		"{'type':'exec-started','id':'c1','exec':'e2','pid':1}",
		"{'type':'exec-started','id':'c1','exec':'e0','pid':1}",
		"{'type':'exec-started','id':'c1','exec':'e01','pid':1}",
		"{'type':'exec-started','id':'c1','exec':7,'pid':1}",
		"{'type':'exec-started','id':'c2','exec':'e1','pid':1}",
		"{'type':'exec-started','id':'c1','exec':'e1','pid':0}",
		"{'type':'exec-started','id':'c1','exec':'e1'}",
		"{'type':'exec-exited','id':'c1','exec':'e1','code':0}",
		"{'type':'exec-failed','id':'c1','exec':'e1','code':0,'message':''}",
		"{'type':'exec-failed','id':'c1','exec':'e1','code':1}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		void *own = NULL;
		fake_guest_setup(&own, false);
		struct fake_guest *g = own;
		fake_guest_run(g);
		int client = start(g);
		fake_guest_say(g, hostile[i]);
		if (!g->stops)
			fail_msg("survived %s", hostile[i]);
		close(client);
		fake_guest_teardown(&own);
	}
}

/* What the guest had sent is still on its way to a slow reader: the monitor ends after it. */
static void test_output_after_vm(void **state)
{
	struct fake_guest *g = *state;

	fake_guest_run(g);
	int client = start(g), other = start(g);
	begin(g, 1);
	assert_event(g, client, "started", 101);
	begin(g, 2);
	assert_event(g, other, "started", 102);
	fake_guest_say(g, "{'type':'exec-exited','id':'c1','exec':'e2','code':3}");
	fake_guest_say(g, "{'type':'exited','id':'c1','code':0}");
	json_decref(fake_guest_hear(g, "shutdown"));
	session_vm_ended(&g->session, ENGINE_END_RESET, "");
	for (uint32_t port = 1026; port <= 1027; port++)
		fake_guest_conn_closed(fake_guest_conn(g, port), 0);
	for (uint32_t port = 4096; port < 4096 + 5; port++) {
		assert_int_equal(g->finishes, 0);
		fake_guest_conn_closed(fake_guest_conn(g, port), 0);
	}
	assert_int_equal(g->finishes, 0);
	fake_guest_conn_drained(fake_guest_conn(g, 4101));
	assert_int_equal(g->finishes, 1);
	assert_event(g, client, "exited", 137);
	assert_event(g, other, "exited", 3);
	close(client);
	close(other);
}

/* As much as a process may have; while one is on its way, others wait, and signals don't. */
static void test_large(void **state)
{
	struct fake_guest *g = *state;
	size_t len = MSG_MAX_PROCESS_BYTES - 64;
	cleanup_free char *text = malloc(len + 64), *more = calloc(1, MSG_MAX_PROCESS_BYTES + 2);

	assert_true(text && more);
	int head = sprintf(text, "{\"cwd\":\"/\",\"args\":[\"");
	memset(text + head, 'x', len - (size_t)head);
	strcpy(text + len, "\"]}");
	memset(more, ' ', MSG_MAX_PROCESS_BYTES + 1);
	cleanup_close int file = process_file(text), over = process_file(more);
	fake_guest_run(g);
	int refused = fake_guest_connect(g), clients[4];
	ask_file(g, refused, EXEC, over, 3);
	assert_reply(g, refused, false, NULL);
	for (int i = 0; i < 4; i++) {
		clients[i] = fake_guest_connect(g);
		assert_true(lseek(file, 0, SEEK_SET) == 0);
		ask_file(g, clients[i], EXEC, file, 3);
		assert_reply(g, clients[i], true, NULL);
	}
	session_kill(&g->session, 10, false);
	for (unsigned i = 1; i <= 4; i++) {
		cleanup_json json_t *message = fake_guest_hear(g, "exec");
		const json_t *args = json_object_get(json_object_get(message, "process"), "args");
		assert_int_equal(json_string_length(json_array_get(args, 0)), len - (size_t)head);
		if (i == 1)
			json_decref(fake_guest_hear(g, "kill"));
		begin(g, i);
		assert_event(g, clients[i - 1], "started", (int)i + 100);
	}
	for (int i = 0; i < 4; i++)
		close(clients[i]);
	close(refused);
}

/* Whoever nobody waits for is dropped, not only killed: its output may never get anywhere. */
static void test_dropped(void **state)
{
	struct fake_guest *g = *state;

	fake_guest_run(g);
	int client = start(g);
	begin(g, 1);
	assert_event(g, client, "started", 101);
	close(client);
	cleanup_json json_t *kill = fake_guest_hear(g, "kill");
	assert_int_equal(json_integer_value(json_object_get(kill, "signal")), 9);
	assert_true(json_is_true(json_object_get(kill, "drop")));
	fake_guest_say(g, "{'type':'exec-exited','id':'c1','exec':'e1','code':137}");
	close_streams(g, 4096, 3, true);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_whole_life),
		T(test_preserved),
		T(test_terminal),
		T(test_refused),
		T(test_fails),
		T(test_no_connections),
		T(test_client_goes),
		T(test_many),
		T(test_turns),
		T(test_vm_ends),
		T(test_output_after_vm),
		T(test_large),
		T(test_dropped),
		cmocka_unit_test(test_hostile_messages),
	};
	log_init("test", 2, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
