/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun list: all containers of a root directory. */
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/commands.h"
#include "runtime/listing.h"

struct list_options {
	const char *format;
	bool quiet;
};

static const struct option_spec list_specs[] = {
	{.name = "format",
		.letter = 'f',
		.kind = OPTION_TEXT,
		.offset = offsetof(struct list_options, format),
		.value_name = "FORMAT",
		.help = "table (default) or json"},
	{.name = "quiet",
		.letter = 'q',
		.kind = OPTION_FLAG,
		.offset = offsetof(struct list_options, quiet),
		.help = "print ids only"},
	{0},
};

json_t *listing_entry(const struct container *c)
{
	static const char *const copied[] = {"rootfs", "created"};
	uid_t uid = (uid_t)json_integer_value(json_object_get(c->state, "uid"));
	cleanup_json json_t *out = container_oci_state(c, container_status(c));
	const struct passwd *user = getpwuid(uid);
	char number[16];

	snprintf(number, sizeof(number), "%u", uid);
	if (!out ||
		json_object_set_new(out, "owner", json_string(user ? user->pw_name : number)) < 0)
		return NULL;
	if (!json_object_get(out, "pid") && json_object_set_new(out, "pid", json_integer(0)) < 0)
		return NULL;
	for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
		json_t *value = json_object_get(c->state, copied[i]);
		if (value && json_object_set(out, copied[i], value) < 0)
			return NULL;
	}
	return steal_ptr(&out);
}

static int add_entry(json_t *list, const char *root, const char *id, struct err *e)
{
	cleanup_container struct container c;

	/* What is none, by its name or because it goes while we look. */
	if (container_open(&c, root, id, e) < 0)
		return 0;
	json_t *entry = listing_entry(&c);
	return !entry || json_array_append_new(list, entry) < 0 ? err_sys(e, ENOMEM, "list") : 0;
}

static int collect(const char *root, json_t *list, struct err *e)
{
	struct dirent **names;
	int ret = 0, n = scandir(root, &names, NULL, alphasort);

	if (n < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "--root: %s", root);
	for (int i = 0; i < n; i++) {
		if (ret == 0)
			ret = add_entry(list, root, names[i]->d_name, e);
		free(names[i]);
	}
	free(names);
	return ret;
}

static const char *cell(const json_t *entry, const char *key)
{
	const char *text = json_string_value(json_object_get(entry, key));

	return text ? text : "";
}

/* Columns as wide as their widest cell and three spaces, at least 12 characters, as runc's. */
static void print_table(const json_t *list)
{
	static const char *const heads[] = {"ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"};
	static const char *const keys[] = {"id", NULL, "status", "bundle", "created", "owner"};
	enum { COLUMNS = 6, GAP = 3, NARROWEST = 12 };
	int widths[COLUMNS];

	for (int k = 0; k < COLUMNS; k++) {
		size_t width = strlen(heads[k]);
		for (size_t i = 0; i < json_array_size(list) && keys[k]; i++) {
			size_t len = strlen(cell(json_array_get(list, i), keys[k]));
			width = len > width ? len : width;
		}
		widths[k] = width + GAP < NARROWEST ? NARROWEST : (int)width + GAP;
	}
	for (int k = 0; k < COLUMNS - 1; k++)
		printf("%-*s", widths[k], heads[k]);
	printf("%s\n", heads[COLUMNS - 1]);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *entry = json_array_get(list, i);
		char pid[16];
		snprintf(pid, sizeof(pid), "%d",
			(int)json_integer_value(json_object_get(entry, "pid")));
		for (int k = 0; k < COLUMNS - 1; k++)
			printf("%-*s", widths[k], keys[k] ? cell(entry, keys[k]) : pid);
		printf("%s\n", cell(entry, keys[COLUMNS - 1]));
	}
}

static int print_json(const json_t *list, struct err *e)
{
	cleanup_free char *text = json_dumps(list, JSON_COMPACT);

	if (!text)
		return err_sys(e, ENOMEM, "list");
	/* runc's own word for an empty list, which its callers know. */
	printf("%s\n", json_array_size(list) ? text : "null");
	return 0;
}

static int list_containers(
	const struct context *context, const struct list_options *options, struct err *e)
{
	cleanup_json json_t *list = json_array();
	char root[PATH_MAX];

	int ret = container_root_path(context->options.root, root, e);
	if (ret == 0)
		ret = collect(root, list, e);
	if (ret < 0)
		return ret;
	if (options->quiet) {
		for (size_t i = 0; i < json_array_size(list); i++)
			printf("%s\n", cell(json_array_get(list, i), "id"));
		return 0;
	}
	if (options->format && strcmp(options->format, "json") == 0)
		return print_json(list, e);
	print_table(list);
	return 0;
}

static int command_list_run(struct context *context, int argc, char **argv)
{
	struct list_options options = {0};
	struct err e;
	int first;

	int ret = options_parse(list_specs, &options, argc, argv, &first, &e);
	if (ret == 0 && argc > first)
		ret = err_set(&e, EINVAL, "list: %s: no argument is expected", argv[first]);
	if (ret == 0 && options.format && strcmp(options.format, "json") != 0 &&
		strcmp(options.format, "table") != 0)
		ret = err_set(&e, EINVAL, "invalid format option");
	if (ret == 0)
		ret = list_containers(context, &options, &e);
	return ret < 0 ? command_fail(context, &e) : 0;
}

const struct command command_list = {
	.name = "list",
	.usage = "[OPTION...]",
	.summary = "list containers",
	.options = list_specs,
	.run = command_list_run,
};
