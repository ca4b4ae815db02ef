/* SPDX-License-Identifier: Apache-2.0 */
/* When a session stops the VM of a container that is over, and when the guest ends it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>

#include "tests/unit/support/fake_guest.h"

static int setup(void **state)
{
	return fake_guest_setup(state, false);
}

static void run(struct fake_guest *g)
{
	fake_guest_run(g);
	assert_int_equal(g->n_conns, 3);
	for (unsigned i = 0; i < g->n_conns; i++)
		fake_guest_conn_connected(&g->conns[i]);
}

static void deliver_output(struct fake_guest *g)
{
	for (unsigned i = 0; i < g->n_conns; i++)
		fake_guest_conn_drained(&g->conns[i]);
}

static void assert_ended(const struct fake_guest *g, int exit_code)
{
	assert_int_equal(g->finishes, 1);
	assert_int_equal(g->exit_code, exit_code);
}

/* Nothing is left to wait for: the VM is stopped at once. */
static void test_output_before_exit(void **state)
{
	struct fake_guest *g = *state;

	run(g);
	deliver_output(g);
	assert_int_equal(g->stops, 0);
	fake_guest_say(g, "{'type':'exited','id':'c1','code':7}");
	assert_true(g->stops > 0);
	assert_ended(g, 7);
}

static void test_output_after_exit(void **state)
{
	struct fake_guest *g = *state;

	run(g);
	fake_guest_say(g, "{'type':'exited','id':'c1','code':7}");
	json_decref(fake_guest_hear(g, "shutdown"));
	assert_int_equal(g->stops, 0);
	deliver_output(g);
	assert_true(g->stops > 0);
	assert_ended(g, 7);
}

/* With disks the guest must end by itself. */
static void test_disks(void **state)
{
	struct fake_guest *g = *state;

	g->session.config.disks = true;
	run(g);
	deliver_output(g);
	fake_guest_say(g, "{'type':'exited','id':'c1','code':0}");
	json_decref(fake_guest_hear(g, "shutdown"));
	assert_int_equal(g->stops, 0);
	assert_int_equal(g->finishes, 0);
	session_vm_ended(&g->session, ENGINE_END_SHUTDOWN, "");
	assert_ended(g, 0);
}

/* What it wrote to a socket of the host's is still being read: the guest ends meanwhile. */
static void test_relays(void **state)
{
	struct fake_guest *g = *state;

	run(g);
	deliver_output(g);
	g->relays_open = true;
	fake_guest_say(g, "{'type':'exited','id':'c1','code':7}");
	json_decref(fake_guest_hear(g, "shutdown"));
	session_vm_ended(&g->session, ENGINE_END_SHUTDOWN, "");
	assert_int_equal(g->finishes, 0);
	session_output_done(&g->session); /* one of two */
	assert_int_equal(g->finishes, 0);
	g->relays_open = false;
	session_output_done(&g->session);
	assert_ended(g, 7);
}

/* ... by nobody, and hvrun has sent SIGKILL: it ends by itself, sooner than it would else. */
static void test_relays_killed(void **state)
{
	struct fake_guest *g = *state;

	run(g);
	deliver_output(g);
	g->relays_open = true;
	session_kill(&g->session, SIGKILL, false);
	json_decref(fake_guest_hear(g, "kill"));
	fake_guest_say(g, "{'type':'exited','id':'c1','code':137}");
	json_decref(fake_guest_hear(g, "shutdown"));
	session_vm_ended(&g->session, ENGINE_END_SHUTDOWN, "");
	for (int ticks = 0; !g->finishes; ticks++) {
		assert_int_equal(loop_run_once(&g->loop, -1), 0);
		assert_in_range(ticks, 0, 2); /* it has settled, a second has passed */
	}
	assert_ended(g, 137);
}

/* The guest that would close them is gone: nobody waits. */
static void test_relays_of_a_failed_vm(void **state)
{
	struct fake_guest *g = *state;

	run(g);
	deliver_output(g);
	g->relays_open = true;
	session_vm_ended(&g->session, ENGINE_END_FAILED, "boom");
	assert_ended(g, SESSION_EXIT_VM);
}

/* A container that could not start has no output; its failure is told. */
static void test_failed(void **state)
{
	struct fake_guest *g = *state;

	fake_guest_boot(g);
	json_decref(fake_guest_hear(g, NULL));
	deliver_output(g);
	fake_guest_say(g, "{'type':'failed','id':'c1','code':127,'message':'no such file'}");
	assert_true(g->stops > 0);
	assert_ended(g, 127);
	assert_string_equal(fake_guest_event(g, g->n_events - 1), "failed");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, fake_guest_teardown)
	const struct CMUnitTest tests[] = {
		T(test_output_before_exit),
		T(test_output_after_exit),
		T(test_disks),
		T(test_relays),
		T(test_relays_killed),
		T(test_relays_of_a_failed_vm),
		T(test_failed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
