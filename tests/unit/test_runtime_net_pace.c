/* SPDX-License-Identifier: Apache-2.0 */
/* How often the watcher looks around, on a clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/net_pace.h"

#define STEP_MS	  5
#define BEGIN_MS  1000000
#define MINUTE_MS 60000

/* Something happens every so often, for a time; how many looks that makes. None finds anything. */
static unsigned looks_of(struct net_pace *p, int64_t *now_ms, int for_ms, int every_ms)
{
	unsigned looks = 0;

	for (int64_t end_ms = *now_ms + for_ms; *now_ms < end_ms; *now_ms += STEP_MS) {
		if (*now_ms % every_ms == 0)
			net_pace_soon(p, *now_ms);
		if (!p->due_ms || p->due_ms > *now_ms)
			continue;
		net_pace_looked(p, *now_ms, false);
		looks++;
	}
	return looks;
}

static void test_nothing_found(void **state)
{
	struct net_pace p = {0};
	int64_t now_ms = BEGIN_MS;

	(void)state;
	/* 64 things a second: what a guest of eight devices may have the kernel tell. */
	unsigned looks = looks_of(&p, &now_ms, MINUTE_MS, 15);
	assert_in_range(
		looks, MINUTE_MS / NET_PACE_PAUSE_MAX_MS, MINUTE_MS / NET_PACE_PAUSE_MAX_MS + 8);
	looks = looks_of(&p, &now_ms, MINUTE_MS, 15);
	assert_in_range(
		looks, MINUTE_MS / NET_PACE_PAUSE_MAX_MS - 1, MINUTE_MS / NET_PACE_PAUSE_MAX_MS);
	/* Nothing happens: nobody looks. */
	now_ms += NET_PACE_PAUSE_MAX_MS;
	if (p.due_ms)
		net_pace_looked(&p, now_ms, false);
	assert_int_equal(looks_of(&p, &now_ms, MINUTE_MS, 10 * MINUTE_MS + 1), 0);
	/* After some quiet it is soon again. */
	net_pace_soon(&p, now_ms);
	assert_int_equal(p.due_ms, now_ms + NET_PACE_BUNCH_MS);
}

static void test_found(void **state)
{
	struct net_pace p = {0};
	int64_t now_ms = BEGIN_MS;

	(void)state;
	(void)looks_of(&p, &now_ms, MINUTE_MS, 15);
	/* At the latest within the longest pause, also when nothing else happens. */
	net_pace_looked(&p, now_ms, false);
	net_pace_soon(&p, now_ms + STEP_MS);
	assert_int_equal(p.due_ms, now_ms + NET_PACE_PAUSE_MAX_MS);
	now_ms = p.due_ms;
	net_pace_looked(&p, now_ms, true);
	assert_int_equal(p.due_ms, 0);
	net_pace_soon(&p, now_ms);
	assert_int_equal(p.due_ms, now_ms + NET_PACE_BUNCH_MS);
	/* While each finds something, they are no further apart. */
	unsigned looks = 0;
	for (int64_t end_ms = now_ms + MINUTE_MS; now_ms < end_ms; looks++) {
		now_ms = p.due_ms;
		net_pace_looked(&p, now_ms, true);
		net_pace_soon(&p, now_ms);
	}
	assert_int_equal(looks, MINUTE_MS / NET_PACE_BUNCH_MS);
}

static void test_failures(void **state)
{
	struct net_pace p = {0};
	int64_t now_ms = BEGIN_MS, longest_ms = 0;

	(void)state;
	for (int i = 0; i < 10; i++) {
		net_pace_looked(&p, now_ms, false);
		net_pace_later(&p, now_ms);
		assert_true(p.due_ms - now_ms >= longest_ms);
		longest_ms = p.due_ms - now_ms;
		now_ms = p.due_ms;
	}
	assert_int_equal(longest_ms, NET_PACE_RETRY_MAX_MS);
	/* What happens meanwhile is not kept waiting, */
	net_pace_looked(&p, now_ms, false);
	net_pace_later(&p, now_ms);
	net_pace_soon(&p, now_ms + STEP_MS);
	assert_int_equal(p.due_ms, now_ms + NET_PACE_PAUSE_MAX_MS);
	/* nor what has happened before it failed. */
	net_pace_later(&p, now_ms + 2 * STEP_MS);
	assert_int_equal(p.due_ms, now_ms + NET_PACE_PAUSE_MAX_MS);
	/* Others have their turn at the lock first. */
	net_pace_looked(&p, now_ms, true);
	net_pace_soon(&p, now_ms);
	now_ms += STEP_MS;
	net_pace_later(&p, now_ms);
	assert_int_equal(p.due_ms, now_ms + NET_PACE_RETRY_MIN_MS);
	net_pace_soon(&p, now_ms);
	assert_int_equal(p.due_ms, now_ms + NET_PACE_RETRY_MIN_MS);
	net_pace_looked(&p, now_ms, true);
	net_pace_done(&p);
	net_pace_later(&p, now_ms);
	assert_int_equal(p.due_ms, now_ms + NET_PACE_RETRY_MIN_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_found),
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
