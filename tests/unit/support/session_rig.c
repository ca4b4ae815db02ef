/* SPDX-License-Identifier: Apache-2.0 */
/* See session_rig.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "tests/unit/support/session_rig.h"

static int fake_connect(void *arg, uint32_t host_port, int rd_fd, int wr_fd,
	const struct vsock_conn_events *events, void *conn_arg)
{
	struct session_rig *f = arg;

	assert_true(f->n_conns < SESSION_STREAMS);
	if (f->connect_result) {
		fd_closep(&rd_fd);
		if (wr_fd != rd_fd)
			fd_closep(&wr_fd);
		return f->connect_result;
	}
	f->conns[f->n_conns++] =
		(struct session_rig_conn){host_port, rd_fd, wr_fd, events, conn_arg};
	return 0;
}

static void fake_stop_vm(void *arg)
{
	((struct session_rig *)arg)->stops++;
}

static void fake_emit(void *arg, const json_t *event)
{
	struct session_rig *f = arg;

	assert_true(f->n_events < SESSION_RIG_EVENTS_MAX);
	f->events[f->n_events++] = json_incref((json_t *)(uintptr_t)event);
}

static bool fake_panic(void *arg, char *text, size_t cap_bytes)
{
	const struct session_rig *f = arg;

	snprintf(text, cap_bytes, "%s", f->panic ? f->panic : "");
	return f->panic;
}

static json_t *fake_console(void *arg)
{
	const struct session_rig *f = arg;

	return f->silent ? json_array() : json_pack("[s, s]", "one", "two");
}

static bool fake_tell_oom(void *arg)
{
	struct session_rig *f = arg;

	f->ooms++;
	return f->has_host;
}

static void fake_finish(void *arg, int exit_code)
{
	struct session_rig *f = arg;

	f->finishes++;
	f->exit_code = exit_code;
}

static const struct session_ops ops = {
	.connect = fake_connect,
	.stop_vm = fake_stop_vm,
	.emit = fake_emit,
	.panic = fake_panic,
	.console = fake_console,
	.tell_oom = fake_tell_oom,
	.finish = fake_finish,
};

void session_rig_make(struct session_rig *f, int terminal_fd)
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
		.boot_timeout_s = f->boot_timeout_s,
		.ops = &ops,
		.arg = f,
	};
	assert_int_equal(session_init(&f->session, &config, &e), 0);
}

int session_rig_setup_bare(void **state)
{
	struct session_rig *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->agent = f->out_rd = -1;
	assert_int_equal(loop_init(&f->loop), 0);
	*state = f;
	return 0;
}

int session_rig_setup(void **state)
{
	session_rig_setup_bare(state);
	session_rig_make(*state, -1);
	return 0;
}

int session_rig_teardown(void **state)
{
	struct session_rig *f = *state;

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

void session_rig_pump(struct session_rig *f)
{
	for (int i = 0; i < 8; i++)
		assert_int_equal(loop_run_once(&f->loop, 0), 0);
}

void session_rig_say_bytes(struct session_rig *f, const void *bytes, size_t len)
{
	assert_int_equal(fd_write_all(f->agent, bytes, len), 0);
	session_rig_pump(f);
}

/* One message of the guest; single quotes stand for double ones. */
void session_rig_say(struct session_rig *f, const char *text)
{
	char frame[70000];
	uint32_t len = (uint32_t)strlen(text);

	memcpy(frame, &len, 4);
	memcpy(frame + 4, text, len);
	for (uint32_t i = 4; i < len + 4; i++)
		if (frame[i] == '\'')
			frame[i] = '"';
	session_rig_say_bytes(f, frame, len + 4);
}

/* The next message for the guest, or a failed test. */
json_t *session_rig_hear(struct session_rig *f)
{
	char frame[4096];
	uint32_t len;
	struct err e;
	struct pollfd p = {.fd = f->agent, .events = POLLIN};

	session_rig_pump(f);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(fd_read_all(f->agent, &len, 4), 0);
	assert_true(len < sizeof(frame));
	assert_int_equal(fd_read_all(f->agent, frame, len), 0);
	json_t *message = json_parse(frame, len, 8, &e);
	assert_non_null(message);
	return message;
}

bool session_rig_silent(struct session_rig *f)
{
	struct pollfd p = {.fd = f->agent, .events = POLLIN};

	session_rig_pump(f);
	return poll(&p, 1, 0) == 0;
}

void session_rig_expect_heard(struct session_rig *f, const char *type)
{
	cleanup_json json_t *message = session_rig_hear(f);

	assert_string_equal(json_string_value(json_object_get(message, "type")), type);
}

const char *session_rig_event_name(struct session_rig *f, unsigned i)
{
	assert_true(i < f->n_events);
	return json_string_value(json_object_get(f->events[i], "event"));
}

void session_rig_accept_agent(struct session_rig *f)
{
	f->agent = session_accept(&f->session);
	assert_true(f->agent >= 0);
	assert_int_equal(fd_set_nonblock(f->agent, false), 0);
}

void session_rig_boot(struct session_rig *f)
{
	session_rig_accept_agent(f);
	session_rig_say(f, "{'type':'hello','protocol':1,'tsc':12345}");
	cleanup_json json_t *create = session_rig_hear(f);
	assert_int_equal(json_object_size(create), 0);
	assert_int_equal(f->n_conns, 3);
	for (unsigned i = 0; i < f->n_conns; i++)
		f->conns[i].events->connected(f->conns[i].arg);
	session_rig_say(f, "{'type':'started','id':'c1'}");
	assert_int_equal(f->n_events, 2);
	assert_string_equal(session_rig_event_name(f, 0), "booted");
	assert_int_equal(json_integer_value(json_object_get(f->events[0], "tsc")), 12345);
	assert_string_equal(session_rig_event_name(f, 1), "started");
}

void session_rig_close_outputs(struct session_rig *f)
{
	for (unsigned i = 0; i < f->n_conns; i++) {
		f->conns[i].events->drained(f->conns[i].arg);
		f->conns[i].events->closed(f->conns[i].arg, 0);
	}
}

void session_rig_expect_failed(struct session_rig *f, int code, const char *says)
{
	session_rig_pump(f);
	/* What was never connected is waited for a moment. */
	for (int i = 0; i < 20 && !f->finishes; i++)
		assert_int_equal(loop_run_once(&f->loop, 100), 0);
	assert_int_equal(f->finishes, 1);
	assert_int_equal(f->exit_code, code);
	assert_string_equal(session_rig_event_name(f, f->n_events - 1), "failed");
	const char *message =
		json_string_value(json_object_get(f->events[f->n_events - 1], "message"));
	if (!strstr(message, says))
		fail_msg("says \"%s\"", message);
	assert_true(f->stops > 0);
}
