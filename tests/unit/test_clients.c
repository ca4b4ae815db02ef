/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clients of the monitor's listening socket against a session with a fake guest: each request and
 * its reply, what is refused when, and that neither a guest nor a client can hold the others up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "microvm/vmm/clients_internal.h"
#include "support/fake_guest.h"

static int setup(void **state)
{
	return fake_guest_setup(state, false);
}

static int setup_held(void **state)
{
	return fake_guest_setup(state, true);
}

static int teardown(void **state)
{
	return fake_guest_teardown(state);
}

static void assert_refused(struct fake_guest *g, int client, const char *words)
{
	cleanup_json json_t *reply = fake_guest_reply(g, client);

	assert_true(json_is_false(json_object_get(reply, "ok")));
	assert_string_equal(json_string_value(json_object_get(reply, "message")), words);
}

static void assert_ok(struct fake_guest *g, int client, const char *op)
{
	cleanup_json json_t *reply = fake_guest_reply(g, client);

	assert_string_equal(json_string_value(json_object_get(reply, "reply")), op);
	assert_true(json_is_true(json_object_get(reply, "ok")));
}

static void ask_ok(struct fake_guest *g, int client, const char *op, const char *request)
{
	fake_guest_ask(g, client, request);
	assert_ok(g, client, op);
}

static void ask_refused(struct fake_guest *g, int client, const char *request, const char *words)
{
	fake_guest_ask(g, client, request);
	assert_refused(g, client, words);
}

static void assert_status(struct fake_guest *g, const char *status)
{
	int client = fake_guest_connect(g);

	fake_guest_ask(g, client, "{'op':'state'}");
	cleanup_json json_t *reply = fake_guest_reply(g, client);
	assert_string_equal(json_string_value(json_object_get(reply, "status")), status);
	assert_true(json_is_boolean(json_object_get(reply, "oom")));
	close(client);
}

static void test_created_and_started(void **state)
{
	struct fake_guest *g = *state;
	int client = fake_guest_connect(g);

	assert_status(g, "creating");
	ask_refused(g, client, "{'op':'start'}", "cannot start a container that is being created");
	fake_guest_boot(g);
	json_decref(fake_guest_hear(g, NULL)); /* create */
	fake_guest_say(g, "{'type':'created','id':'c1'}");
	assert_status(g, "created");
	assert_string_equal(fake_guest_event(g, 1), "created");
	fake_guest_ask(g, client, "{'op':'start'}");
	json_decref(fake_guest_hear(g, "start"));
	assert_status(g, "created");
	ask_refused(g, client, "{'op':'state'}",
		"another request on this connection is not answered yet");
	fake_guest_say(g, "{'type':'started','id':'c1'}");
	assert_ok(g, client, "start");
	assert_status(g, "running");
	ask_refused(g, client, "{'op':'start'}", "cannot start an already running container");
	fake_guest_say(g, "{'type':'exited','id':'c1','code':3}");
	assert_status(g, "stopped");
	ask_refused(g, client, "{'op':'start'}", "cannot start a container that has stopped");
	ask_refused(g, client, "{'op':'kill','signal':9}", "container not running");
	close(client);
}

static void test_start_fails(void **state)
{
	struct fake_guest *g = *state;
	int client = fake_guest_connect(g);

	fake_guest_boot(g);
	fake_guest_say(g, "{'type':'created','id':'c1'}");
	fake_guest_ask(g, client, "{'op':'start'}");
	fake_guest_say(g, "{'type':'failed','id':'c1','code':126,'message':'a\\nhook'}");
	cleanup_json json_t *reply = fake_guest_reply(g, client);
	assert_true(json_is_false(json_object_get(reply, "ok")));
	assert_int_equal(json_integer_value(json_object_get(reply, "code")), 126);
	assert_string_equal(json_string_value(json_object_get(reply, "message")), "a\\x0ahook");
	close(client);
}

static void test_started_unasked(void **state)
{
	struct fake_guest *g = *state;

	fake_guest_boot(g);
	fake_guest_say(g, "{'type':'created','id':'c1'}");
	fake_guest_say(g, "{'type':'started','id':'c1'}");
	assert_true(g->stops > 0);
}

static void test_hold(void **state)
{
	struct fake_guest *g = *state;

	session_kill(&g->session, 15, true);
	fake_guest_boot(g);
	assert_true(fake_guest_silent(g));
	assert_int_equal(g->n_conns, 0);
	session_kill(&g->session, 16, false);
	assert_true(fake_guest_silent(g));
	session_release(&g->session);
	session_release(&g->session);
	json_decref(fake_guest_hear(g, NULL));
	assert_int_equal(g->n_conns, 3);
	cleanup_json json_t *kill = fake_guest_hear(g, "kill");
	assert_true(json_is_true(json_object_get(kill, "all")));
	json_decref(fake_guest_hear(g, "kill"));
	assert_true(fake_guest_silent(g));
}

static void test_kill_and_resize(void **state)
{
	struct fake_guest *g = *state;
	int client = fake_guest_connect(g);

	fake_guest_run(g);
	ask_ok(g, client, "kill", "{'op':'kill','signal':10,'all':true}");
	cleanup_json json_t *kill = fake_guest_hear(g, "kill");
	assert_int_equal(json_integer_value(json_object_get(kill, "signal")), 10);
	assert_true(json_is_true(json_object_get(kill, "all")));
	ask_ok(g, client, "resize", "{'op':'resize','rows':3,'columns':4}");
	json_decref(fake_guest_hear(g, "resize"));
	/* Asks whether it lives, and changes nothing. */
	ask_ok(g, client, "kill", "{'op':'kill','signal':0}");
	ask_refused(g, client, "{'op':'kill','signal':-1}", "not a signal");
	ask_refused(g, client, "{'op':'kill','signal':65}", "not a signal");
	ask_refused(g, client, "{'op':'resize','rows':3}", "not the size of a terminal");
	ask_refused(g, client, "{'op':'fly'}", "not a request");
	ask_refused(g, client, "[7]", "not a request");
	assert_true(fake_guest_silent(g));
	close(client);
}

static void test_pause(void **state)
{
	struct fake_guest *g = *state;
	int client = fake_guest_connect(g);

	ask_refused(g, client, "{'op':'pause'}", "container not running");
	fake_guest_run(g);
	ask_refused(g, client, "{'op':'resume'}", "container is not paused");
	ask_ok(g, client, "pause", "{'op':'pause'}");
	assert_true(g->paused);
	assert_status(g, "paused");
	ask_refused(g, client, "{'op':'pause'}", "container is paused already");
	ask_refused(g, client, "{'op':'stats'}", "container is paused");
	ask_ok(g, client, "resume", "{'op':'resume'}");
	assert_false(g->paused);
	cleanup_json json_t *time = fake_guest_hear(g, "time");
	assert_true(json_integer_value(json_object_get(time, "realtimeNs")) > 1000000000);
	ask_ok(g, client, "pause", "{'op':'pause'}");
	ask_ok(g, client, "kill", "{'op':'kill','signal':9}");
	assert_int_equal(g->finishes, 1);
	assert_int_equal(g->exit_code, 137);
	assert_true(fake_guest_hung_up(client));
	close(client);
}

static void test_questions(void **state)
{
	struct fake_guest *g = *state;
	int one = fake_guest_connect(g), two = fake_guest_connect(g);

	fake_guest_run(g);
	fake_guest_ask(g, one, "{'op':'stats'}");
	fake_guest_ask(g, two, "{'op':'ps'}");
	cleanup_json json_t *question = fake_guest_hear(g, "query");
	assert_string_equal(json_string_value(json_object_get(question, "what")), "stats");
	assert_string_equal(json_string_value(json_object_get(question, "id")), "c1");
	assert_int_equal(json_integer_value(json_object_get(question, "seq")), 1);
	json_decref(fake_guest_hear(g, "query"));
	fake_guest_say(g,
		"{'type':'answer','seq':2,'ok':true,"
		"'processes':[{'pid':7,'comm':'a\\u001b[2Jb\\u009b\u00e9'}]}");
	cleanup_json json_t *ps = fake_guest_reply(g, two);
	json_t *process = json_array_get(json_object_get(ps, "processes"), 0);
	assert_int_equal(json_integer_value(json_object_get(process, "pid")), 7);
	assert_string_equal(
		json_string_value(json_object_get(process, "comm")), "a\\x1b[2Jb\\x9b\u00e9");
	fake_guest_say(g, "{'type':'answer','seq':1,'ok':true,'stats':{'cpu':{'usage_usec':5}}}");
	cleanup_json json_t *stats = fake_guest_reply(g, one);
	assert_non_null(json_object_get(json_object_get(stats, "stats"), "cpu"));
	fake_guest_ask(g, one, "{'op':'update','resources':{'pids':{'limit':5}}}");
	cleanup_json json_t *update = fake_guest_hear(g, "update");
	assert_non_null(json_object_get(json_object_get(update, "resources"), "pids"));
	fake_guest_say(g, "{'type':'answer','seq':3,'ok':false,'message':'pids.max: no'}");
	assert_refused(g, one, "pids.max: no");
	/* Answers twice, to somebody who has gone, with nonsense: nothing comes of it. */
	fake_guest_say(g, "{'type':'answer','seq':3,'ok':true}");
	fake_guest_ask(g, two, "{'op':'stats'}");
	fake_guest_ask(g, one, "{'op':'stats'}");
	close(two);
	fake_guest_say(g, "{'type':'answer','seq':4,'ok':true,'stats':{}}");
	fake_guest_say(g, "{'type':'answer','seq':5,'ok':true,'stats':[1]}");
	assert_refused(g, one, "the guest's answer makes no sense");
	assert_int_equal(g->stops, 0);
	fake_guest_say(g, "{'type':'answer','seq':6,'ok':true}"); /* nobody asked that */
	assert_true(g->stops > 0);
	close(one);
}

static void test_network(void **state)
{
	static const char text[] = "{\"network\":{\"interfaces\":[]}}";
	struct fake_guest *g = *state;
	int client = fake_guest_connect(g);
	cleanup_close int file = fd_memfile("network", text, sizeof(text) - 1);

	fake_guest_run(g);
	fake_guest_ask(g, client, "{'op':'network'}");
	assert_refused(g, client, "no network");
	fake_guest_ask(g, client, "{'op':'network','network':{'routes':[]}}");
	cleanup_json json_t *first = fake_guest_hear(g, "network");
	assert_string_equal(json_string_value(json_object_get(first, "id")), "c1");
	assert_int_equal(json_integer_value(json_object_get(first, "seq")), 1);
	assert_non_null(json_object_get(json_object_get(first, "network"), "routes"));
	fake_guest_say(g, "{'type':'answer','seq':1,'ok':true}");
	assert_ok(g, client, "network");
	/* One too large for a packet comes in a file. */
	fake_guest_ask_fds(g, client, "{'op':'network'}", &file, 1);
	cleanup_json json_t *second = fake_guest_hear(g, "network");
	assert_non_null(json_object_get(json_object_get(second, "network"), "interfaces"));
	fake_guest_say(g, "{'type':'answer','seq':2,'ok':false,'message':'eth0: no such device'}");
	assert_refused(g, client, "eth0: no such device");
	/* The first reading has left it at its end. */
	fake_guest_ask_fds(g, client, "{'op':'network'}", &file, 1);
	cleanup_json json_t *reply = fake_guest_reply(g, client);
	assert_false(json_is_true(json_object_get(reply, "ok")));
	fake_guest_ask_fds(g, client, "{'op':'network'}", &g->agent, 1);
	assert_refused(g, client, "network: the request's descriptor: invalid argument");
	fake_guest_ask(g, client, "{'op':'pause'}");
	assert_ok(g, client, "pause");
	fake_guest_ask(g, client, "{'op':'network','network':{}}");
	assert_refused(g, client, "container is paused");
	close(client);
}

static void test_end_answers_all(void **state)
{
	struct fake_guest *g = *state;
	int asks = fake_guest_connect(g), hears = fake_guest_connect(g);

	fake_guest_run(g);
	fake_guest_ask(g, asks, "{'op':'ps'}");
	ask_ok(g, hears, "subscribe", "{'op':'subscribe'}");
	fake_guest_say(g, "{'type':'oom','id':'c1'}");
	cleanup_json json_t *event = fake_guest_reply(g, hears);
	assert_string_equal(json_string_value(json_object_get(event, "event")), "oom");
	fake_guest_say(g, "{'type':'exited','id':'c1','code':1}");
	assert_refused(g, asks, "container not running");
	assert_false(fake_guest_hung_up(hears));
	session_stop(&g->session);
	assert_true(fake_guest_hung_up(asks));
	assert_true(fake_guest_hung_up(hears));
	assert_true(g->session.oom);
	close(asks);
	close(hears);
}

static bool is_silent(int client)
{
	char byte;

	return recv(client, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
}

static void assert_oom(struct fake_guest *g, int client)
{
	cleanup_json json_t *event = fake_guest_reply(g, client);

	assert_string_equal(json_string_value(json_object_get(event, "event")), "oom");
}

/* A guest that is out of memory all the time says so no more often than once in a second. */
static void test_oom_again_and_again(void **state)
{
	struct fake_guest *g = *state;
	int hears = fake_guest_connect(g);
	struct loop_timer *timer = &g->clients->oom_timer;

	fake_guest_run(g);
	ask_ok(g, hears, "subscribe", "{'op':'subscribe'}");
	fake_guest_say(g, "{'type':'oom','id':'c1'}");
	assert_oom(g, hears);
	for (int i = 0; i < 100; i++)
		fake_guest_say(g, "{'type':'oom','id':'c1'}");
	assert_true(is_silent(hears));
	/* The second is over; nothing comes in the next one, and then something again. */
	timer->expired(timer);
	assert_oom(g, hears);
	timer->expired(timer);
	assert_true(is_silent(hears));
	fake_guest_say(g, "{'type':'oom','id':'c1'}");
	assert_oom(g, hears);
	/* What was kept back is told before the end. */
	fake_guest_say(g, "{'type':'oom','id':'c1'}");
	assert_true(is_silent(hears));
	session_stop(&g->session);
	assert_oom(g, hears);
	assert_true(fake_guest_hung_up(hears));
	close(hears);
}

static void test_client_that_does_not_read(void **state)
{
	struct fake_guest *g = *state;
	int deaf = fake_guest_connect(g);
	unsigned sent = 0;

	fake_guest_run(g);
	/* It is served until its socket is full; then its requests wait, in its own buffer. */
	while (sent < 100000 && send(deaf, "{\"op\":\"state\"}", 14, MSG_DONTWAIT) > 0) {
		sent++;
		fake_guest_pump(g);
	}
	assert_true(sent < 100000);
	assert_status(g, "running");
	fake_guest_say(g, "{'type':'oom','id':'c1'}");
	unsigned replies = 0;
	char packet[256];
	while (recv(deaf, packet, sizeof(packet), MSG_DONTWAIT) > 0) {
		replies++;
		fake_guest_pump(g);
	}
	assert_int_equal(replies, sent);
	close(deaf);
}

static void test_too_many(void **state)
{
	struct fake_guest *g = *state;
	int clients[CLIENTS_MAX + 6], served = 0;

	for (unsigned i = 0; i < CLIENTS_MAX + 6; i++) {
		clients[i] = fake_guest_connect(g);
		fake_guest_pump(g);
	}
	for (unsigned i = 0; i < CLIENTS_MAX + 6; i++)
		served += !fake_guest_hung_up(clients[i]);
	assert_int_equal(served, CLIENTS_MAX);
	assert_refused(g, clients[CLIENTS_MAX + 5], "too many clients of this container");
	close(clients[0]);
	assert_status(g, "creating");
	for (unsigned i = 1; i < CLIENTS_MAX + 6; i++)
		close(clients[i]);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_created_and_started),
		T(test_start_fails),
		T(test_started_unasked),
		cmocka_unit_test_setup_teardown(test_hold, setup_held, teardown),
		T(test_kill_and_resize),
		T(test_pause),
		T(test_questions),
		T(test_network),
		T(test_end_answers_all),
		T(test_oom_again_and_again),
		T(test_client_that_does_not_read),
		T(test_too_many),
	};
	log_init("test", 2, LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
