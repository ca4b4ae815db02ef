/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun kill: a signal for a container's process, or for all of them. */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <string.h>

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
	const struct context *context, const char *id, const char *text, bool all, struct err *e)
{
	cleanup_container struct container c;
	int number = SIGTERM;

	int ret = command_open_container(context, id, &c, e);
	if (ret == 0 && text && *text)
		ret = signals_parse(text, &number, e);
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

/* As with runc, the option may also stand behind the id; a number there is a signal (-1). */
static int parse_words(
	struct kill_options *options, int argc, char **argv, const char **words, struct err *e)
{
	int first, n = 0;

	int ret = options_parse(kill_specs, options, argc, argv, &first, e);
	if (ret < 0)
		return ret;
	bool end = first > 1 && strcmp(argv[first - 1], "--") == 0;
	for (int i = first; i < argc; i++) {
		const char *word = argv[i];
		bool option =
			!end && n && word[0] == '-' && word[1] && !isdigit((unsigned char)word[1]);
		int next;
		if (!option) {
			if (n < 2)
				words[n] = word;
			n++;
			continue;
		}
		if (strcmp(word, "--") == 0) {
			end = true;
			continue;
		}
		char *one[] = {argv[0], argv[i], NULL};
		ret = options_parse(kill_specs, options, 2, one, &next, e);
		if (ret < 0)
			return ret;
	}
	if (n >= 1 && n <= 2)
		return 0;
	return err_set(e, EINVAL, "\"kill\" requires a %s of %d argument(s)",
		n ? "maximum" : "minimum", n ? 2 : 1);
}

static int command_kill_run(struct context *context, int argc, char **argv)
{
	struct kill_options options = {0};
	const char *words[2] = {NULL, NULL};
	struct err e;

	int ret = parse_words(&options, argc, argv, words, &e);
	if (ret == 0)
		ret = send_signal(context, words[0], words[1], options.all, &e);
	return ret < 0 ? command_fail(context, &e) : 0;
}

const struct command command_kill = {
	.name = "kill",
	.usage = "[--all] ID [SIGNAL]",
	.summary = "send a signal (SIGTERM) to a container's process",
	.options = kill_specs,
	.run = command_kill_run,
};
