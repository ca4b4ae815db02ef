/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun kill: a signal for a container's process, or for all of them. */
#include <errno.h>
#include <signal.h>

#include "base/json.h"
#include "runtime/commands.h"
#include "runtime/monitor.h"
#include "runtime/signals.h"

struct kill_options {
	bool all;
};

static const struct option_spec kill_specs[] = {
	{.name = "all",
		.letter = 'a',
		.kind = OPTION_FLAG,
		.offset = offsetof(struct kill_options, all),
		.help = "send the signal to all processes of the container"},
	{0},
};

static int send_signal(
	const struct context *context, const char *id, int number, bool all, struct err *e)
{
	cleanup_container struct container c;

	int ret = command_open_container(context, id, &c, e);
	if (ret < 0)
		return ret;
	struct container_process monitor = container_process(&c, "monitor");
	if (!container_process_alive(&monitor))
		return all ? 0 : err_set(e, ESRCH, "container not running");
	ret = monitor_request(c.dir,
		json_pack("{s:s, s:i, s:b}", "op", "kill", "signal", number, "all", (int)all),
		MONITOR_PATIENCE_MS, NULL, NULL, e);
	/* A monitor that does not even answer is ended by what nothing resists. */
	if (ret == -ETIMEDOUT && number == SIGKILL) {
		container_process_kill(&monitor);
		return 0;
	}
	return ret;
}

static int command_kill_run(struct context *context, int argc, char **argv)
{
	struct kill_options options = {0};
	int first, number = SIGTERM;
	struct err e;

	int ret = options_parse(kill_specs, &options, argc, argv, &first, &e);
	if (ret == 0 && (argc - first < 1 || argc - first > 2))
		ret = err_set(&e, EINVAL, "\"kill\" requires a %s of %d argument(s)",
			first == argc ? "minimum" : "maximum", first == argc ? 1 : 2);
	if (ret == 0 && argc - first == 2)
		ret = signals_parse(argv[first + 1], &number, &e);
	if (ret == 0)
		ret = send_signal(context, argv[first], number, options.all, &e);
	return ret < 0 ? command_fail(context, &e) : 0;
}

const struct command command_kill = {
	.name = "kill",
	.usage = "[--all] ID [SIGNAL]",
	.summary = "send a signal (SIGTERM) to a container's process",
	.options = kill_specs,
	.run = command_kill_run,
};
