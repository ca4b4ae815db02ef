/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun create: a container up to its process, which waits for `hvrun start`. */
#include <errno.h>
#include <stdlib.h>

#include "runtime/launch.h"

static int create(struct launch *l, struct err *e)
{
	int ret = launch_prepare(l, e);

	if (ret == 0)
		ret = launch_start(l, e);
	l->supervise.until = SUPERVISE_CREATED;
	if (ret == 0)
		ret = launch_wait(l, e);
	if (ret < 0 || l->supervise.reached)
		return ret;
	/* It has ended instead, and says why. */
	return l->supervise.failed ? err_set(e, EIO, "%s", l->supervise.err.text)
				   : err_set(e, EIO, "the container ended while it was created");
}

/* Reports how it went before that is forgotten. The exit code. */
static int finish(struct launch *l, int ret, const struct err *e)
{
	if (ret < 0)
		report_failure(&l->context->report, e->text, l->supervise.console);
	launch_close(l);
	return ret < 0 ? EXIT_ERROR : 0;
}

static int command_create_run(struct context *context, int argc, char **argv)
{
	struct launch_options options = {0};
	struct launch *l = malloc(sizeof(*l));
	const char *id;
	struct err e;
	int code;

	if (!l) {
		err_sys(&e, ENOMEM, "create");
		return command_fail(context, &e);
	}
	int ret = options_parse_words(launch_create_specs, &options, argc, argv, &id, 1, &e);
	if (ret == 0)
		ret = container_check_id(id, &e);
	if (ret < 0) {
		code = command_fail(context, &e);
	} else {
		launch_init(l, context, &options, id);
		l->detached = true;
		ret = create(l, &e);
		code = finish(l, ret, &e);
	}
	free(l);
	return code;
}

const struct command command_create = {
	.name = "create",
	.usage = "[OPTION...] [--bundle DIR] ID",
	.summary = "create a container",
	.text = "Starts the virtual machine of a container and prepares everything in it up to\n"
		"the container's process, which `hvrun start` starts.\n",
	.options = launch_run_specs + LAUNCH_RUN_ALONE,
	.run = command_create_run,
};
