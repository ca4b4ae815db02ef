/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun run: from a bundle to a running container, and in the foreground to its end. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/launch.h"

/*
 * `run BUNDLE/` and `run ID` look alike: what contains a slash, or is a directory with a
 * config.json and no --bundle beside it, is a bundle.
 */
static bool names_bundle(const struct launch_options *options, const char *word)
{
	char path[PATH_MAX];

	if (options->bundle)
		return false;
	return strchr(word, '/') ||
		(snprintf(path, sizeof(path), "%s/config.json", word) < PATH_MAX &&
			access(path, F_OK) == 0);
}

static int read_arguments(
	struct launch_options *options, char *id, int argc, char **argv, struct err *e)
{
	int first;

	int ret = options_parse(launch_run_specs, options, argc, argv, &first, e);
	if (ret < 0)
		return ret;
	if (argc - first > 1)
		return err_set(e, EINVAL, "run: %s: one container at a time", argv[first + 1]);
	if (argc - first < 1)
		return err_set(e, EINVAL,
			"run: name a bundle (hvrun run BUNDLE/) or an id (hvrun run --bundle DIR "
			"ID)");
	if (names_bundle(options, argv[first])) {
		options->bundle = argv[first];
		return container_make_id(id, e);
	}
	ret = container_check_id(argv[first], e);
	if (ret == 0)
		snprintf(id, CONTAINER_ID_MAX_BYTES + 1, "%s", argv[first]);
	return ret;
}

/* The container runs. A poststart hook that fails ends it, as with runc. */
static void on_started(void *arg)
{
	struct launch *l = arg;
	struct err e;

	launch_network_keep(&l->network);
	if (launch_hooks(l, "poststart", CONTAINER_RUNNING, &e) < 0)
		supervise_end(&l->supervise, EXIT_ERROR, e.text);
}

static int run_container(struct launch *l, struct err *e)
{
	int ret = launch_prepare(l, e);

	if (ret == 0)
		ret = launch_start(l, e);
	l->supervise.until = l->detached ? SUPERVISE_STARTED : SUPERVISE_END;
	l->supervise.on_started = on_started;
	l->supervise.arg = l;
	if (ret == 0)
		ret = launch_wait(l, e);
	if (ret == 0 && l->options->keep && l->created) {
		ret = container_keep(&l->container, e);
		l->created = ret < 0;
	}
	return ret;
}

static int finish(const struct launch *l)
{
	const struct supervise *s = &l->supervise;

	if (l->detached && s->reached)
		return 0;
	if (s->failed)
		report_failure(&l->context->report, s->err.text, s->console);
	if (s->oom)
		report_line(&l->context->report, "warning",
			"the container ran out of memory: a process of it was killed");
	return s->code;
}

static int command_run_run(struct context *context, int argc, char **argv)
{
	struct launch_options options = {0};
	struct launch *l = malloc(sizeof(*l));
	char id[CONTAINER_ID_MAX_BYTES + 1];
	struct err e;
	int code;

	if (!l) {
		err_sys(&e, ENOMEM, "run");
		return command_fail(context, &e);
	}
	int ret = read_arguments(&options, id, argc, argv, &e);
	if (ret < 0) {
		free(l);
		return command_fail(context, &e);
	}
	launch_init(l, context, &options, id);
	l->detached = options.detach;
	l->start = true;
	ret = run_container(l, &e);
	/* The terminal is put right before anything is said on it. */
	streams_close(&l->streams);
	code = ret < 0 ? command_fail(context, &e) : finish(l);
	launch_close(l);
	free(l);
	return code;
}

const struct command command_run = {
	.name = "run",
	.usage = "BUNDLE/\n  hvrun run [OPTION...] [--bundle DIR] ID",
	.summary = "run a container and wait for its end",
	.text = "Runs the container that BUNDLE/config.json describes (OCI runtime\n"
		"specification 1.0 to 1.3) in a virtual machine of its own, with hvrun's\n"
		"standard streams, or with its terminal if process.terminal is true. Signals\n"
		"are passed on to the container.\n"
		"\n"
		"The exit code is the container's: its process's own, or 128 and the number of\n"
		"the signal that killed it; 127 when its program is missing, 126 when it can't\n"
		"be run; 125 when the virtual machine failed; 1 when it could not be started.\n",
	.options = launch_run_specs,
	.run = command_run_run,
};
