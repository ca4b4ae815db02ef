/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The session against a fake guest. What matters: the order of things, and one end and one only.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "tests/unit/support/session_rig.h"

static void test_whole_life(void **state)
{
	struct session_rig *f = *state;

	session_rig_boot(f);
	assert_int_equal(f->conns[0].host_port, 1025);
	assert_true(f->conns[0].rd_fd >= 0 && f->conns[0].wr_fd < 0);
	assert_int_equal(f->conns[1].host_port, 1026);
	assert_true(f->conns[1].rd_fd < 0 && f->conns[1].wr_fd >= 0);
	assert_int_equal(f->conns[2].host_port, 1027);
	session_rig_say(f, "{'type':'exited','id':'c1','code':42,'oom':true}");
	session_rig_expect_heard(f, "shutdown");
	assert_int_equal(f->finishes, 0);
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	/* The VM is gone, but its output is not written yet: however long that takes. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(loop_run_once(&f->loop, 50), 0);
	assert_int_equal(f->finishes, 0);
	session_rig_close_outputs(f);
	assert_int_equal(f->finishes, 1);
	assert_int_equal(f->exit_code, 42);
	assert_int_equal(f->n_events, 3);
	assert_string_equal(session_rig_event_name(f, 2), "exited");
	assert_true(json_is_true(json_object_get(f->events[2], "oom")));
}

/* The host knows of an OOM, also of one long ago, before it sees the end. */
static void test_oom_is_told_first(void **state)
{
	struct session_rig *f = *state;

	f->has_host = true;
	session_rig_boot(f);
	session_rig_say(f, "{'type':'oom','id':'c1'}");
	assert_int_equal(f->ooms, 0);
	session_rig_say(f, "{'type':'exited','id':'c1','code':3}");
	assert_int_equal(f->ooms, 1);
	session_rig_close_outputs(f);
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	assert_int_equal(f->finishes, 0);
	session_oom_told(&f->session);
	assert_int_equal(f->finishes, 1);
	assert_int_equal(f->exit_code, 3);
}

static void test_container_fails_to_start(void **state)
{
	struct session_rig *f = *state;

	session_rig_accept_agent(f);
	session_rig_say(f, "{'type':'hello','protocol':1,'tsc':0}");
	json_decref(session_rig_hear(f));
	session_rig_say(f,
		"{'type':'failed','id':'c1','code':127,'message':'exec /x: no\\u009b2Jsuch "
		"file'}");
	session_rig_expect_heard(f, "shutdown");
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	session_rig_expect_failed(f, 127, "exec /x: no\\x9b2Jsuch file");
}

static void test_kill_and_resize(void **state)
{
	struct session_rig *f = *state;

	session_kill(&f->session, 15, false); /* before the guest is up: it waits */
	session_resize(&f->session, 24, 80);
	session_rig_boot(f);
	cleanup_json json_t *kill = session_rig_hear(f);
	assert_string_equal(json_string_value(json_object_get(kill, "type")), "kill");
	assert_string_equal(json_string_value(json_object_get(kill, "id")), "c1");
	assert_int_equal(json_integer_value(json_object_get(kill, "signal")), 15);
	cleanup_json json_t *resize = session_rig_hear(f);
	assert_int_equal(json_integer_value(json_object_get(resize, "columns")), 80);
	session_kill(&f->session, 9, false);
	session_rig_expect_heard(f, "kill");
	session_resize(&f->session, 25, 81);
	session_rig_expect_heard(f, "resize");
	assert_true(session_rig_silent(f));
}

static void test_stop(void **state)
{
	struct session_rig *f = *state;

	session_rig_boot(f);
	session_stop(&f->session);
	assert_int_equal(f->finishes, 1);
	assert_int_equal(f->exit_code, 137);
	assert_true(f->stops > 0);
	session_stop(&f->session);
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	session_rig_close_outputs(f);
	assert_int_equal(f->finishes, 1);
	assert_int_equal(f->n_events, 3);
}

static void test_vm_ends_first(void **state)
{
	struct session_rig *f = *state;

	session_rig_boot(f);
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	assert_int_equal(f->finishes, 0);
	session_rig_close_outputs(f);
	session_rig_expect_failed(f, 125, "the VM ended before the container did");
	const json_t *console = json_object_get(f->events[f->n_events - 1], "console");
	assert_int_equal(json_array_size(console), 2);
	assert_string_equal(json_string_value(json_array_get(console, 1)), "two");
}

static void test_vm_never_comes_up(void **state)
{
	struct session_rig *f = *state;

	session_vm_ended(&f->session, ENGINE_END_FAILED, "KVM exit 17");
	session_rig_expect_failed(f, 125, "KVM exit 17");
}

/* With no word on the console, likely reasons are given, and what the engine knows. */
static void test_silent(void **state)
{
	struct session_rig *f = *state;

	f->silent = true;
	session_vm_ended(&f->session, ENGINE_END_RESET, "/bin/true exited with code 0");
	session_rig_expect_failed(f, 125,
		"the VM ended before its guest was up (/bin/true exited with code 0); its kernel "
		"said nothing: it may lack virtio's drivers");
}

/* A guest that hangs is not waited for for ever. */
static void test_never_reports(void **state)
{
	struct session_rig *f = *state;

	f->boot_timeout_s = 1;
	f->silent = true;
	session_rig_make(f, -1);
	while (!f->finishes)
		assert_int_equal(loop_run_once(&f->loop, 100), 0);
	session_rig_expect_failed(f, 125,
		"the guest has not reported for 1 seconds (\"bootTimeoutSeconds\" of the host's "
		"configuration); its kernel said nothing: it may lack");
}

/* Output that can't be written is told, but not that its reader has gone. */
static void test_output_broken(void **state)
{
	struct session_rig *f = *state;
	unsigned before;

	session_rig_boot(f);
	before = f->n_events;
	f->conns[1].events->broken(f->conns[1].arg, EPIPE);
	f->conns[0].events->broken(f->conns[0].arg, EIO);
	assert_int_equal(f->n_events, before);
	f->conns[1].events->broken(f->conns[1].arg, ENOSPC);
	assert_int_equal(f->n_events, before + 1);
	const json_t *event = f->events[before];
	assert_string_equal(session_rig_event_name(f, before), "lost");
	assert_string_equal(json_string_value(json_object_get(event, "stream")), "stdout");
	assert_string_equal(
		json_string_value(json_object_get(event, "message")), "no space left on device");
}

static void test_panic(void **state)
{
	struct session_rig *f = *state;

	f->panic = "Kernel panic - not syncing: no init";
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	session_rig_expect_failed(f, 125,
		"the VM ended before its guest was up: the guest's kernel: Kernel panic - not "
		"syncing: no init");
}

static void test_fs_lost(void **state)
{
	struct session_rig *f = *state;

	session_rig_boot(f);
	session_fail(&f->session, "hvrun-fs ended");
	session_rig_close_outputs(f);
	session_rig_expect_failed(f, 125, "hvrun-fs ended");
}

static void test_terminal(void **state)
{
	struct session_rig *f = *state;
	struct termios before, raw, after;
	int master, slave;

	assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
	assert_int_equal(tcgetattr(slave, &before), 0);
	session_rig_make(f, fcntl(slave, F_DUPFD_CLOEXEC, 3));
	session_rig_accept_agent(f);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	assert_true(raw.c_lflag & ICANON); /* not before the container is there */
	session_rig_say(f, "{'type':'hello','protocol':1,'tsc':0}");
	json_decref(session_rig_hear(f));
	assert_int_equal(f->n_conns, 1);
	assert_int_equal(f->conns[0].host_port, 1025);
	assert_int_equal(f->conns[0].rd_fd, f->conns[0].wr_fd);
	f->conns[0].events->connected(f->conns[0].arg);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	assert_false(raw.c_lflag & (ICANON | ECHO | ISIG));
	session_rig_say(f, "{'type':'started','id':'c1'}");
	session_rig_say(f, "{'type':'exited','id':'c1','code':0}");
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
#define T(name) cmocka_unit_test_setup_teardown(name, session_rig_setup, session_rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_whole_life),
		T(test_oom_is_told_first),
		T(test_container_fails_to_start),
		T(test_kill_and_resize),
		T(test_stop),
		T(test_vm_ends_first),
		T(test_vm_never_comes_up),
		T(test_panic),
		T(test_output_broken),
		T(test_silent),
		T(test_fs_lost),
		cmocka_unit_test_setup_teardown(
			test_never_reports, session_rig_setup_bare, session_rig_teardown),
		cmocka_unit_test_setup_teardown(
			test_terminal, session_rig_setup_bare, session_rig_teardown),
	};
	log_init("test", 2, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
