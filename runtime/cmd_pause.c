/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun pause and hvrun resume: the VM's processors stand still in between. */
#include <errno.h>

#include "runtime/commands.h"
#include "runtime/monitor.h"

static const struct option_spec pause_specs[] = {{0}};

/* The messages are runc's; what happens between the question and the request, the monitor sees. */
static int set_paused(const struct context *context, int argc, char **argv, bool pause)
{
	cleanup_container struct container c;
	const char *id;
	struct err e;

	container_init(&c);
	int ret = options_parse_words(pause_specs, NULL, argc, argv, &id, 1, &e);
	if (ret == 0)
		ret = command_open_container(context, id, &c, &e);
	if (ret < 0)
		return command_fail(context, &e);
	enum container_status status = container_status(&c);
	if (pause && status != CONTAINER_RUNNING && status != CONTAINER_CREATED)
		ret = err_set(&e, EINVAL, "container not running");
	else if (!pause && status != CONTAINER_PAUSED)
		ret = err_set(&e, EINVAL, "container not paused");
	else
		ret = monitor_request(c.dir, json_pack("{s:s}", "op", pause ? "pause" : "resume"),
			MONITOR_PATIENCE_MS, NULL, NULL, &e);
	return ret < 0 ? command_fail(context, &e) : 0;
}

static int command_pause_run(struct context *context, int argc, char **argv)
{
	return set_paused(context, argc, argv, true);
}

static int command_resume_run(struct context *context, int argc, char **argv)
{
	return set_paused(context, argc, argv, false);
}

const struct command command_pause = {
	.name = "pause",
	.usage = "ID",
	.summary = "stop a container's processors",
	.text = "Stops all that runs in the container, its kernel included, until\n"
		"`hvrun resume`. Until then it uses no processor, and only SIGKILL reaches it.\n",
	.options = pause_specs,
	.run = command_pause_run,
};

const struct command command_resume = {
	.name = "resume",
	.usage = "ID",
	.summary = "let a paused container go on",
	.text = "The container's clock is right again when it goes on.\n",
	.options = pause_specs,
	.run = command_resume_run,
};
