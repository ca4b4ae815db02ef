/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session against a fake guest: the test is the agent (through the descriptor that the vsock
 * device would have), the vsock device and the engine. What matters: the order of things, one end
 * and one only, and that nothing a guest says can go further than a failed session.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "microvm/vmm/session.h"

#define EVENTS_MAX 8

struct connection {
	uint32_t host_port;
	int rd_fd, wr_fd;
	const struct vsock_conn_events *events;
	void *arg;
};

struct fixture {
	struct loop loop;
	struct session session;
	int agent; /* the guest's end */
	struct connection conns[SESSION_STREAMS];
	unsigned n_conns;
	int connect_result;
	unsigned stops, finishes, ooms;
	bool has_host; /* somebody is there to be told of an OOM */
	int exit_code;
	json_t *events[EVENTS_MAX];
	unsigned n_events;
	int out_rd; /* our end of the container's stdout */
};

static int fake_connect(void *arg, uint32_t host_port, int rd_fd, int wr_fd,
	const struct vsock_conn_events *events, void *conn_arg)
{
	struct fixture *f = arg;

	assert_true(f->n_conns < SESSION_STREAMS);
	if (f->connect_result) {
		fd_closep(&rd_fd);
		if (wr_fd != rd_fd)
			fd_closep(&wr_fd);
		return f->connect_result;
	}
	f->conns[f->n_conns++] = (struct connection){host_port, rd_fd, wr_fd, events, conn_arg};
	return 0;
}

static void fake_stop_vm(void *arg)
{
	((struct fixture *)arg)->stops++;
}

static void fake_emit(void *arg, const json_t *event)
{
	struct fixture *f = arg;

	assert_true(f->n_events < EVENTS_MAX);
	f->events[f->n_events++] = json_incref((json_t *)(uintptr_t)event);
}

static void fake_describe(void *arg, char *text, size_t cap_bytes)
{
	(void)arg;
	snprintf(text, cap_bytes, " [console]");
}

static bool fake_tell_oom(void *arg)
{
	struct fixture *f = arg;

	f->ooms++;
	return f->has_host;
}

static void fake_finish(void *arg, int exit_code)
{
	struct fixture *f = arg;

	f->finishes++;
	f->exit_code = exit_code;
}

static const struct session_ops ops = {
	.connect = fake_connect,
	.stop_vm = fake_stop_vm,
	.emit = fake_emit,
	.describe = fake_describe,
	.tell_oom = fake_tell_oom,
	.finish = fake_finish,
};

static void make_session(struct fixture *f, int terminal_fd)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1}, errs[2] = {-1, -1};
	struct err e;

	if (terminal_fd < 0) {
		assert_int_equal(pipe2(in, O_CLOEXEC), 0);
		assert_int_equal(pipe2(out, O_CLOEXEC), 0);
		assert_int_equal(pipe2(errs, O_CLOEXEC), 0);
		close(in[1]);
		close(errs[0]);
	}
	f->out_rd = out[0];
	struct session_config config = {
		.loop = &f->loop,
		.id = "c1",
		.container_fd = fd_memfile("create", "\2\0\0\0{}", 6),
		.in_fd = in[0],
		.out_fd = out[1],
		.err_fd = errs[1],
		.terminal_fd = terminal_fd,
		.ops = &ops,
		.arg = f,
	};
	assert_int_equal(session_init(&f->session, &config, &e), 0);
}

static int setup_bare(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->agent = f->out_rd = -1;
	assert_int_equal(loop_init(&f->loop), 0);
	*state = f;
	return 0;
}

static int setup(void **state)
{
	setup_bare(state);
	make_session(*state, -1);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	session_fini(&f->session);
	loop_fini(&f->loop);
	fd_closep(&f->agent);
	fd_closep(&f->out_rd);
	for (unsigned i = 0; i < f->n_conns; i++) {
		if (f->conns[i].wr_fd == f->conns[i].rd_fd)
			f->conns[i].wr_fd = -1;
		fd_closep(&f->conns[i].rd_fd);
		fd_closep(&f->conns[i].wr_fd);
	}
	for (unsigned i = 0; i < f->n_events; i++)
		json_decref(f->events[i]);
	free(f);
	return 0;
}

static void pump(struct fixture *f)
{
	for (int i = 0; i < 8; i++)
		assert_int_equal(loop_run_once(&f->loop, 0), 0);
}

static void say_bytes(struct fixture *f, const void *bytes, size_t len)
{
	assert_int_equal(fd_write_all(f->agent, bytes, len), 0);
	pump(f);
}

/* One message of the guest; single quotes stand for double ones. */
static void say(struct fixture *f, const char *text)
{
	char frame[70000];
	uint32_t len = (uint32_t)strlen(text);

	memcpy(frame, &len, 4);
	memcpy(frame + 4, text, len);
	for (uint32_t i = 4; i < len + 4; i++)
		if (frame[i] == '\'')
			frame[i] = '"';
	say_bytes(f, frame, len + 4);
}

/* The next message for the guest, or a failed test. */
static json_t *hear(struct fixture *f)
{
	char frame[4096];
	uint32_t len;
	struct err e;
	struct pollfd p = {.fd = f->agent, .events = POLLIN};

	pump(f);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(fd_read_all(f->agent, &len, 4), 0);
	assert_true(len < sizeof(frame));
	assert_int_equal(fd_read_all(f->agent, frame, len), 0);
	json_t *message = json_parse(frame, len, 8, &e);
	assert_non_null(message);
	return message;
}

static bool silent(struct fixture *f)
{
	struct pollfd p = {.fd = f->agent, .events = POLLIN};

	pump(f);
	return poll(&p, 1, 0) == 0;
}

static void assert_heard(struct fixture *f, const char *type)
{
	cleanup_json json_t *message = hear(f);

	assert_string_equal(json_string_value(json_object_get(message, "type")), type);
}

static const char *event_name(struct fixture *f, unsigned i)
{
	assert_true(i < f->n_events);
	return json_string_value(json_object_get(f->events[i], "event"));
}

static void accept_agent(struct fixture *f)
{
	f->agent = session_accept(&f->session);
	assert_true(f->agent >= 0);
	assert_int_equal(fd_set_nonblock(f->agent, false), 0);
}

static void boot(struct fixture *f)
{
	accept_agent(f);
	say(f, "{'type':'hello','protocol':1,'tsc':12345}");
	cleanup_json json_t *create = hear(f);
	assert_int_equal(json_object_size(create), 0);
	assert_int_equal(f->n_conns, 3);
	for (unsigned i = 0; i < f->n_conns; i++)
		f->conns[i].events->connected(f->conns[i].arg);
	say(f, "{'type':'started','id':'c1'}");
	assert_int_equal(f->n_events, 2);
	assert_string_equal(event_name(f, 0), "booted");
	assert_int_equal(json_integer_value(json_object_get(f->events[0], "tsc")), 12345);
	assert_string_equal(event_name(f, 1), "started");
}

static void close_outputs(struct fixture *f)
{
	for (unsigned i = 0; i < f->n_conns; i++) {
		f->conns[i].events->drained(f->conns[i].arg);
		f->conns[i].events->closed(f->conns[i].arg, 0);
	}
}

static void assert_failed(struct fixture *f, int code, const char *says)
{
	pump(f);
	/* What was never connected is waited for a moment. */
	for (int i = 0; i < 20 && !f->finishes; i++)
		assert_int_equal(loop_run_once(&f->loop, 100), 0);
	assert_int_equal(f->finishes, 1);
	assert_int_equal(f->exit_code, code);
	assert_string_equal(event_name(f, f->n_events - 1), "failed");
	const char *message =
		json_string_value(json_object_get(f->events[f->n_events - 1], "message"));
	if (!strstr(message, says))
		fail_msg("says \"%s\"", message);
	assert_true(f->stops > 0);
}

static void test_whole_life(void **state)
{
	struct fixture *f = *state;

	boot(f);
	assert_int_equal(f->conns[0].host_port, 1025);
	assert_true(f->conns[0].rd_fd >= 0 && f->conns[0].wr_fd < 0);
	assert_int_equal(f->conns[1].host_port, 1026);
	assert_true(f->conns[1].rd_fd < 0 && f->conns[1].wr_fd >= 0);
	assert_int_equal(f->conns[2].host_port, 1027);
	say(f, "{'type':'exited','id':'c1','code':42,'oom':true}");
	assert_heard(f, "shutdown");
	assert_int_equal(f->finishes, 0);
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	/* The VM is gone, but its output is not written yet: however long that takes. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_run_once(&f->loop, 50), 0);
	assert_int_equal(f->finishes, 0);
	close_outputs(f);
	assert_int_equal(f->finishes, 1);
	assert_int_equal(f->exit_code, 42);
	assert_int_equal(f->n_events, 3);
	assert_string_equal(event_name(f, 2), "exited");
	assert_true(json_is_true(json_object_get(f->events[2], "oom")));
}

/* The host knows of an OOM, also of one long ago, before it sees the end. */
static void test_oom_is_told_first(void **state)
{
	struct fixture *f = *state;

	f->has_host = true;
	boot(f);
	say(f, "{'type':'oom','id':'c1'}");
	assert_int_equal(f->ooms, 0);
	say(f, "{'type':'exited','id':'c1','code':3}");
	assert_int_equal(f->ooms, 1);
	close_outputs(f);
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	assert_int_equal(f->finishes, 0);
	session_oom_told(&f->session);
	assert_int_equal(f->finishes, 1);
	assert_int_equal(f->exit_code, 3);
}

static void test_container_fails_to_start(void **state)
{
	struct fixture *f = *state;

	accept_agent(f);
	say(f, "{'type':'hello','protocol':1,'tsc':0}");
	json_decref(hear(f));
	say(f, "{'type':'failed','id':'c1','code':127,'message':'exec /x: no\\u001b[2Jsuch file'}");
	assert_heard(f, "shutdown");
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	assert_failed(f, 127, "exec /x: no\\x1b[2Jsuch file");
}

static void test_kill_and_resize(void **state)
{
	struct fixture *f = *state;

	session_kill(&f->session, 15, false); /* before the guest is up: it waits */
	session_resize(&f->session, 24, 80);
	boot(f);
	cleanup_json json_t *kill = hear(f);
	assert_string_equal(json_string_value(json_object_get(kill, "type")), "kill");
	assert_string_equal(json_string_value(json_object_get(kill, "id")), "c1");
	assert_int_equal(json_integer_value(json_object_get(kill, "signal")), 15);
	cleanup_json json_t *resize = hear(f);
	assert_int_equal(json_integer_value(json_object_get(resize, "columns")), 80);
	session_kill(&f->session, 9, false);
	assert_heard(f, "kill");
	session_resize(&f->session, 25, 81);
	assert_heard(f, "resize");
	assert_true(silent(f));
}

static void test_stop(void **state)
{
	struct fixture *f = *state;

	boot(f);
	session_stop(&f->session);
	assert_int_equal(f->finishes, 1);
	assert_int_equal(f->exit_code, 137);
	assert_true(f->stops > 0);
	session_stop(&f->session);
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	close_outputs(f);
	assert_int_equal(f->finishes, 1);
	assert_int_equal(f->n_events, 3);
}

static void test_vm_ends_first(void **state)
{
	struct fixture *f = *state;

	boot(f);
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	assert_int_equal(f->finishes, 0);
	close_outputs(f);
	assert_failed(f, 125, "the VM ended before the container did [console]");
}

static void test_vm_never_comes_up(void **state)
{
	struct fixture *f = *state;

	session_vm_ended(&f->session, ENGINE_END_FAILED, "KVM exit 17");
	assert_failed(f, 125, "KVM exit 17 [console]");
}

static void test_fs_lost(void **state)
{
	struct fixture *f = *state;

	boot(f);
	session_fail(&f->session, "hvrun-fs ended");
	close_outputs(f);
	assert_failed(f, 125, "hvrun-fs ended");
}

static void test_second_connection(void **state)
{
	struct fixture *f = *state;

	accept_agent(f);
	assert_int_equal(session_accept(&f->session), -ECONNREFUSED);
	fd_closep(&f->agent);
	pump(f);
	assert_int_equal(session_accept(&f->session), -ECONNREFUSED);
}

static void test_refused_stream(void **state)
{
	struct fixture *f = *state;

	accept_agent(f);
	say(f, "{'type':'hello','protocol':1,'tsc':0}");
	f->conns[1].events->closed(f->conns[1].arg, -ECONNREFUSED);
	assert_failed(f, 125, "guestinit refused a stream");
}

static void test_connect_fails(void **state)
{
	struct fixture *f = *state;

	f->connect_result = -ENOSPC;
	accept_agent(f);
	say(f, "{'type':'hello','protocol':1,'tsc':0}");
	assert_failed(f, 125, "stream 1025 of the container: no space left");
}

/* Each is enough to end the VM; none reaches further. */
static void test_hostile_messages(void **state)
{
	static const struct {
		bool booted;
		const char *text;
	} hostile[] = {
		{false, "{'type':'started','id':'c1'}"},
		{false, "{'type':'exited','id':'c1','code':0}"},
		{false, "{'type':'hello','protocol':2,'tsc':1}"},
		{false, "{'type':'hello','protocol':1,'tsc':-1}"},
		{false, "{'type':'hello','protocol':1}"},
		{true, "{'type':'hello','protocol':1,'tsc':1}"},
		{true, "{'type':'started','id':'c1'}"},
		{true, "{'type':'exited','id':'c2','code':0}"},
		{true, "{'type':'exited','id':'c1','code':256}"},
		{true, "{'type':'exited','id':'c1','code':-1}"},
		{true, "{'type':'exited','id':'c1','code':'0'}"},
		{true, "{'type':'exited','id':'c1','code':0,'oom':1}"},
		{true, "{'type':'failed','id':'c1','code':0,'message':''}"},
		{true, "{'type':'failed','id':'c1','code':1}"},
		{true, "{'type':'log','level':'loud','message':''}"},
		{true, "{'type':'log','message':'x'}"},
		{true, "{'type':7}"},
		{true, "{}"},
		{true, "{'type':'\\u001b[31m'}"},
		{true, "[]"},
		{true, "{"},
	};

	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		void *own = NULL;
		setup(&own);
		struct fixture *f = own;
		if (hostile[i].booted)
			boot(f);
		else
			accept_agent(f);
		say(f, hostile[i].text);
		close_outputs(f);
		assert_failed(f, 125, "");
		teardown(&own);
	}
	(void)state;
}

static void test_too_long_message(void **state)
{
	struct fixture *f = *state;
	uint32_t len = MSG_MAX_GUEST_BYTES + 1;

	boot(f);
	say_bytes(f, &len, 4);
	close_outputs(f);
	assert_failed(f, 125, "over the bound");
}

static void test_many_messages_at_once(void **state)
{
	struct fixture *f = *state;
	char frames[40000];
	size_t used = 0;
	static const char text[] = "{\"type\":\"log\",\"level\":\"debug\",\"message\":\"x\"}";
	uint32_t len = sizeof(text) - 1;

	boot(f);
	while (used + 4 + len < sizeof(frames)) {
		memcpy(frames + used, &len, 4);
		memcpy(frames + used + 4, text, len);
		used += 4 + len;
	}
	say_bytes(f, frames, used);
	/* The one behind the crowd arrives as well, in pieces. */
	static const char last[] = "{\"type\":\"exited\",\"id\":\"c1\",\"code\":3}";
	len = sizeof(last) - 1;
	memcpy(frames, &len, 4);
	memcpy(frames + 4, last, len);
	for (size_t i = 0; i < len + 4; i++)
		say_bytes(f, frames + i, 1);
	assert_heard(f, "shutdown");
}

static void test_agent_vanishes(void **state)
{
	struct fixture *f = *state;

	boot(f);
	fd_closep(&f->agent);
	pump(f);
	/* Its kernel may be panicking: the VM's end tells more, if it comes soon. */
	assert_int_equal(f->finishes, 0);
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	close_outputs(f);
	assert_failed(f, 125, "the VM ended before the container did");
}

static void test_agent_ends_within_message(void **state)
{
	struct fixture *f = *state;

	boot(f);
	say_bytes(f, "\5", 1);
	fd_closep(&f->agent);
	close_outputs(f);
	assert_failed(f, 125, "it ended within a message");
}

static void test_terminal(void **state)
{
	struct fixture *f = *state;
	struct termios before, raw, after;
	int master, slave;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &before), 0);
	make_session(f, fcntl(slave, F_DUPFD_CLOEXEC, 3));
	accept_agent(f);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	assert_true(raw.c_lflag & ICANON); /* not before the container is there */
	say(f, "{'type':'hello','protocol':1,'tsc':0}");
	json_decref(hear(f));
	assert_int_equal(f->n_conns, 1);
	assert_int_equal(f->conns[0].host_port, 1025);
	assert_int_equal(f->conns[0].rd_fd, f->conns[0].wr_fd);
	f->conns[0].events->connected(f->conns[0].arg);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	assert_false(raw.c_lflag & (ICANON | ECHO | ISIG));
	say(f, "{'type':'started','id':'c1'}");
	say(f, "{'type':'exited','id':'c1','code':0}");
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	assert_int_equal(f->finishes, 0);
	f->conns[0].events->drained(f->conns[0].arg);
	assert_int_equal(f->finishes, 1);
	assert_int_equal(tcgetattr(slave, &after), 0);
	assert_int_equal(after.c_lflag, before.c_lflag);
	close(master);
	close(slave);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_whole_life),
		T(test_oom_is_told_first),
		T(test_container_fails_to_start),
		T(test_kill_and_resize),
		T(test_stop),
		T(test_vm_ends_first),
		T(test_vm_never_comes_up),
		T(test_fs_lost),
		T(test_second_connection),
		T(test_refused_stream),
		T(test_connect_fails),
		cmocka_unit_test(test_hostile_messages),
		T(test_too_long_message),
		T(test_many_messages_at_once),
		T(test_agent_vanishes),
		T(test_agent_ends_within_message),
		cmocka_unit_test_setup_teardown(test_terminal, setup_bare, teardown),
	};
	log_init("test", 2, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
