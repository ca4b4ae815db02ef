/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest may say and do to a session: nothing goes further than a failed session.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "microvm/vmm/events.h"
#include "tests/unit/support/session_rig.h"

static void test_second_connection(void **state)
{
	struct session_rig *f = *state;

	session_rig_accept_agent(f);
	assert_int_equal(session_accept(&f->session), -ECONNREFUSED);
	fd_closep(&f->agent);
	session_rig_pump(f);
	assert_int_equal(session_accept(&f->session), -ECONNREFUSED);
}

static void test_refused_stream(void **state)
{
	struct session_rig *f = *state;

	session_rig_accept_agent(f);
	session_rig_say(f, "{'type':'hello','protocol':1,'tsc':0}");
	f->conns[1].events->closed(f->conns[1].arg, -ECONNREFUSED);
	session_rig_expect_failed(f, 125, "guestinit refused a stream");
}

static void test_connect_fails(void **state)
{
	struct session_rig *f = *state;

	f->connect_result = -ENOSPC;
	session_rig_accept_agent(f);
	session_rig_say(f, "{'type':'hello','protocol':1,'tsc':0}");
	session_rig_expect_failed(f, 125, "stream 1025 of the container: no space left");
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
		session_rig_setup(&own);
		struct session_rig *f = own;
		if (hostile[i].booted)
			session_rig_boot(f);
		else
			session_rig_accept_agent(f);
		session_rig_say(f, hostile[i].text);
		session_rig_close_outputs(f);
		session_rig_expect_failed(f, 125, "");
		session_rig_teardown(&own);
	}
	(void)state;
}

/* Where the guest says "config", the user has config.json. */
static void test_places(void **state)
{
	struct session_rig *f = *state;
	char text[64];

	session_rig_boot(f);
	session_rig_say(
		f, "{'type':'failed','id':'c1','code':1,'message':'config.mounts[7]: a\\u001b'}");
	session_rig_close_outputs(f);
	session_rig_expect_failed(f, 1, "config.json: mounts[7]: a\\x1b");
	events_name_place("config.process.cwd: config.x", "", text, sizeof(text));
	assert_string_equal(text, "process.cwd: config.x");
	events_name_place("config.process.cwd: /", "config.json: ", text, 12);
	assert_string_equal(text, "config.json");
	/* Not within a character, which would be no JSON. */
	events_name_place("config.process.cwd: \u00e9", "config.json: ", text, 28);
	assert_string_equal(text, "config.json: process.cwd: ");
}

static void test_too_long_message(void **state)
{
	struct session_rig *f = *state;
	uint32_t len = MSG_MAX_GUEST_BYTES + 1;

	session_rig_boot(f);
	session_rig_say_bytes(f, &len, 4);
	session_rig_close_outputs(f);
	session_rig_expect_failed(f, 125, "over the bound");
}

static void test_many_messages_at_once(void **state)
{
	struct session_rig *f = *state;
	char frames[40000];
	size_t used = 0;
	static const char text[] = "{\"type\":\"log\",\"level\":\"debug\",\"message\":\"x\"}";
	uint32_t len = sizeof(text) - 1;

	session_rig_boot(f);
	while (used + 4 + len < sizeof(frames)) {
		memcpy(frames + used, &len, 4);
		memcpy(frames + used + 4, text, len);
		used += 4 + len;
	}
	session_rig_say_bytes(f, frames, used);
	/* The one behind the crowd arrives as well, in pieces. */
	static const char last[] = "{\"type\":\"exited\",\"id\":\"c1\",\"code\":3}";
	len = sizeof(last) - 1;
	memcpy(frames, &len, 4);
	memcpy(frames + 4, last, len);
	for (size_t i = 0; i < len + 4; i++)
		session_rig_say_bytes(f, frames + i, 1);
	session_rig_expect_heard(f, "shutdown");
}

/* A guest that talks for days, at whichever rate it may, does not fill the host's disk. */
static void test_endless_log(void **state)
{
	struct session_rig *f = *state;
	FILE *out = tmpfile();
	char message[1100], text[1001];
	struct stat st;

	assert_non_null(out);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	snprintf(message, sizeof(message), "{'type':'log','level':'error','message':'%s'}", text);
	session_rig_boot(f);
	log_init("test", fileno(out), LOG_LEVEL_ERROR);
	for (int i = 0; i < 100; i++)
		session_rig_say(f, message);
	assert_int_equal(fstat(fileno(out), &st), 0);
	/* The hundred may have come in two of the clock's seconds. */
	assert_in_range(st.st_size, 50 * 1000, 101 * 1100);
	for (int i = 0; i < 2000; i++) {
		f->session.log_second = 0; /* as if a second had passed */
		session_rig_say(f, message);
	}
	assert_int_equal(fstat(fileno(out), &st), 0);
	assert_in_range(st.st_size, LOG_BYTES_MAX - 2000, LOG_BYTES_MAX + 100);
	log_init("test", 2, LOG_LEVEL_ERROR);
	fclose(out);
}

static void test_agent_vanishes(void **state)
{
	struct session_rig *f = *state;

	session_rig_boot(f);
	fd_closep(&f->agent);
	session_rig_pump(f);
	/* Its kernel may be panicking: the VM's end tells more, if it comes soon. */
	assert_int_equal(f->finishes, 0);
	session_vm_ended(&f->session, ENGINE_END_RESET, "");
	session_rig_close_outputs(f);
	session_rig_expect_failed(f, 125, "the VM ended before the container did");
}

static void test_agent_ends_within_message(void **state)
{
	struct session_rig *f = *state;

	session_rig_boot(f);
	session_rig_say_bytes(f, "\5", 1);
	fd_closep(&f->agent);
	session_rig_close_outputs(f);
	session_rig_expect_failed(f, 125, "it ended within a message");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, session_rig_setup, session_rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_places),
		T(test_second_connection),
		T(test_refused_stream),
		T(test_connect_fails),
		cmocka_unit_test(test_hostile_messages),
		T(test_too_long_message),
		T(test_many_messages_at_once),
		T(test_endless_log),
		T(test_agent_vanishes),
		T(test_agent_ends_within_message),
	};
	log_init("test", 2, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
