/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun delete: a container that has ended, or with --force any. */
#include <errno.h>

#include "base/fd.h"
#include "runtime/commands.h"
#include "runtime/network.h"
#include "runtime/teardown.h"

struct delete_options {
	bool force;
};

static const struct option_spec delete_specs[] = {
	{.name = "force",
		.letter = 'f',
		.kind = OPTION_FLAG,
		.offset = offsetof(struct delete_options, force),
		.help = "kill the container if it still runs; one that does not\n"
			"exist is no error"},
	{0},
};

static int delete_open(
	const struct context *context, struct container *c, bool force, struct err *e)
{
	cleanup_close int ns = -1;

	if (force) {
		/* Without the lock: whoever holds it may be waiting for this very process. */
		struct container_process monitor = container_process(c, "monitor");
		ns = network_hold(&monitor);
		container_process_kill(&monitor);
	}
	int ret = container_lock(c, e);
	if (ret < 0)
		return ret;
	enum container_status status = force ? CONTAINER_STOPPED : container_status(c);
	/* Nobody is creating it any more, or the lock would be theirs. */
	if (!container_process(c, "monitor").pid)
		status = CONTAINER_STOPPED;
	if (status != CONTAINER_STOPPED && status != CONTAINER_CREATED)
		return err_set(e, EBUSY, "cannot delete container %s that is not stopped: %s",
			c->id, container_status_name(status));
	return teardown(c, ns, &context->report, e);
}

static int delete_container(
	const struct context *context, const char *id, bool force, struct err *e)
{
	cleanup_container struct container c;

	int ret = command_open_container(context, id, &c, e);
	if (ret == 0)
		ret = delete_open(context, &c, force, e);
	if (ret != -ENOENT || !force)
		return ret;
	/* Perhaps another delete was killed in the middle of it. */
	container_sweep(context->options.root);
	return 0;
}

static int command_delete_run(struct context *context, int argc, char **argv)
{
	struct delete_options options = {0};
	const char *id;
	struct err e;

	int ret = options_parse_words(delete_specs, &options, argc, argv, &id, 1, &e);
	if (ret == 0)
		ret = delete_container(context, id, options.force, &e);
	return ret < 0 ? command_fail(context, &e) : 0;
}

const struct command command_delete = {
	.name = "delete",
	.usage = "[--force] ID",
	.summary = "delete a container",
	.options = delete_specs,
	.run = command_delete_run,
};
