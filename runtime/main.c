/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun: OCI containers, each in a virtual machine of its own. The table of commands. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "runtime/commands.h"
#include "runtime/preserve.h"
#include "runtime/streams.h"

static int help_run(struct context *context, int argc, char **argv);
static int version_run(struct context *context, int argc, char **argv);

static const struct command command_help = {
	.name = "help",
	.usage = "[COMMAND]",
	.summary = "explain hvrun, or one of its commands",
	.run = help_run,
};
static const struct command command_version = {
	.name = "version",
	.summary = "print the version",
	.run = version_run,
};

static const struct command *const commands[] = {
	&command_create,
	&command_start,
	&command_run,
	&command_state,
	&command_list,
	&command_kill,
	&command_delete,
	&command_spec,
	&command_exec,
	&command_pause,
	&command_resume,
	&command_ps,
	&command_events,
	&command_update,
	&command_check,
	&command_features,
	&command_help,
	&command_version,
};

#define PLACE(member) offsetof(struct global_options, member)

static const struct option_spec global_specs[] = {
	{.name = "root",
		.kind = OPTION_TEXT,
		.offset = PLACE(root),
		.value_name = "DIR",
		.help = "where running containers are known (default: /run/hvrun,\n"
			"or $XDG_RUNTIME_DIR/hvrun when not root)"},
	{.name = "config",
		.kind = OPTION_TEXT,
		.offset = PLACE(config),
		.value_name = "FILE",
		.help = "the host's configuration, in place of /etc/hvrun/config.json\n"
			"and /etc/hvrun/config.d/*.json"},
	{.name = "log",
		.kind = OPTION_TEXT,
		.offset = PLACE(log),
		.value_name = "FILE",
		.help = "append messages to FILE as well"},
	{.name = "log-format",
		.kind = OPTION_TEXT,
		.offset = PLACE(log_format),
		.value_name = "FORMAT",
		.help = "of --log: text (default) or json"},
	{.name = "debug",
		.kind = OPTION_FLAG,
		.offset = PLACE(debug),
		.help = "say what is done, and show the guest's console"},
	{.name = "systemd-cgroup",
		.kind = OPTION_FLAG,
		.offset = PLACE(systemd_cgroup),
		.help = "make cgroups by systemd; cgroupsPath is SLICE:PREFIX:NAME"},
	{.name = "help",
		.letter = 'h',
		.kind = OPTION_FLAG,
		.offset = PLACE(help),
		.help = "print this text"},
	{.name = "version",
		.letter = 'v',
		.kind = OPTION_FLAG,
		.offset = PLACE(version),
		.help = "print the version"},
	/* Callers pass these to any runtime; here they have no effect. */

	{.name = "rootless", .kind = OPTION_ACCEPT_TEXT},
	{.name = "criu", .kind = OPTION_ACCEPT_TEXT},
	{0},
};

int command_fail(const struct context *context, const struct err *e)
{
	report_line(&context->report, "error", e->text);
	return EXIT_ERROR;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int version_run(struct context *context, int argc, char **argv)
{
	(void)context;
	(void)argc;
	(void)argv;
	printf("hvrun version " HVRUN_VERSION "\nspec: 1.3.0\n");
	return 0;
}

static void print_help(void)
{
	printf("hvrun - runs OCI containers, each in a virtual machine of its own\n\n"
	       "Usage:\n"
	       "  hvrun [OPTION...] COMMAND [ARGUMENT...]\n\n"
	       "Commands:\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		printf("  %-10s%s\n", commands[i]->name, commands[i]->summary);
	printf("\nOptions:\n");
	options_help(global_specs);
	printf("\n`hvrun COMMAND --help` explains a command. See also hvrun(1).\n");
}

static void print_command_help(const struct command *command)
{
	printf("hvrun %s - %s\n\nUsage:\n  hvrun %s%s%s\n", command->name, command->summary,
		command->name, command->usage ? " " : "", command->usage ? command->usage : "");
	if (command->text)
		printf("\n%s", command->text);
	if (command->options) {
		printf("\nOptions:\n");
		options_help(command->options);
	}
}

static int unknown_command(const struct context *context, const char *name)
{
	struct err e;

	err_set(&e, EINVAL, "%s: no such command; `hvrun --help` lists them", name);
	(void)command_fail(context, &e);
	return EXIT_UNKNOWN;
}

static int help_run(struct context *context, int argc, char **argv)
{
	if (argc < 2) {
		print_help();
		return 0;
	}
	const struct command *command = find_command(argv[1]);
	if (!command)
		return unknown_command(context, argv[1]);
	print_command_help(command);
	return 0;
}

/* --help behind a command, up to the first word that is no option. */
static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0 ||
			strcmp(argv[i], "-help") == 0)
			return true;
	return false;
}

static int dispatch(struct context *context, int argc, char **argv)
{
	if (context->options.version)
		return version_run(context, 0, NULL);
	if (context->options.help || argc == 0) {
		print_help();
		return 0;
	}
	const struct command *command = find_command(argv[0]);
	if (!command)
		return unknown_command(context, argv[0]);
	if (wants_help(argc, argv)) {
		print_command_help(command);
		return 0;
	}
	return command->run(context, argc, argv);
}

int main(int argc, char **argv)
{
	struct context context = {.report.fd = -1};
	struct err e;
	int first;

	log_init("hvrun", 2, LOG_LEVEL_WARNING);
	context.inherited_fds = preserve_inherited();
	if (streams_sanitise() < 0)
		return EXIT_ERROR;
	int ret = options_parse(global_specs, &context.options, argc, argv, &first, &e);
	if (ret == 0 && context.options.debug)
		log_init("hvrun", 2, LOG_LEVEL_DEBUG);
	if (ret == 0)
		ret = report_open(
			&context.report, context.options.log, context.options.log_format, &e);
	if (ret == 0)
		ret = programs_init(&context.programs, &e);
	int code = ret < 0 ? command_fail(&context, &e)
			   : dispatch(&context, argc - first, argv + first);
	report_close(&context.report);
	/* What was asked for went to stdout: that it arrived is part of success. */
	if (fflush(stdout) != 0 && code == 0)
		code = EXIT_ERROR;
	return code;
}
