/* SPDX-License-Identifier: Apache-2.0 */
/* Tests with containers in a box; see guest_group.h. */
#include "tests/unit/support/guest_group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

struct guest_box_result result;

void run_steps(const char *config, const struct guest_box_step *steps, int n)
{
	struct guest_box_run run = {.config = config, .steps = steps, .n_steps = n};

	guest_box_run(&run, &result);
}

json_t *find_event(const char *text)
{
	struct err e;
	const char *at = strstr(result.events, text);

	if (!at)
		fail_msg("no %s in:\n%s\nlog: %s", text, result.events, result.log);
	while (at > result.events && at[-1] != '\n')
		at--;
	json_t *event = json_parse(at, strcspn(at, "\n"), 32, &e);
	assert_non_null(event);
	return event;
}

json_int_t number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value))
		fail_msg("no number \"%s\"", key);
	return json_integer_value(value);
}

int group_begin(void **state)
{
	const char *why = guest_box_unable();

	*state = NULL;
	if (why) {
		printf("skipped: %s\n", why);
		return 0;
	}
	*state = (void *)(uintptr_t)guest_box_begin();
	return 0;
}

int group_end(void **state)
{
	if (*state)
		guest_box_end();
	return 0;
}

int test_begin(void **state)
{
	if (!*state)
		skip();
	return 0;
}
