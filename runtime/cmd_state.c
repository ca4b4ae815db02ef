/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun state: what a container is doing, in runc's form of the OCI state. */
#include <errno.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/commands.h"
#include "runtime/listing.h"

static int state(const struct context *context, const char *id, struct err *e)
{
	cleanup_container struct container c;

	int ret = command_open_container(context, id, &c, e);
	if (ret < 0)
		return ret;
	cleanup_json json_t *json = listing_entry(&c);
	cleanup_free char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	if (!text)
		return err_sys(e, ENOMEM, "%s", id);
	printf("%s\n", text);
	return 0;
}

static int command_state_run(struct context *context, int argc, char **argv)
{
	static const struct option_spec none[] = {{0}};
	const char *id;
	struct err e;

	int ret = options_parse_words(none, NULL, argc, argv, &id, 1, &e);
	if (ret == 0)
		ret = state(context, id, &e);
	return ret < 0 ? command_fail(context, &e) : 0;
}

const struct command command_state = {
	.name = "state",
	.usage = "ID",
	.summary = "print the state of a container",
	.run = command_state_run,
};
