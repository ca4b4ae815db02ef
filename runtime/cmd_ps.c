/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvrun ps. The list of numbers is for programs, which look for them on the host: it has the one
 * process that stands for the container there. The table is for people, and has what runs inside.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/text.h"
#include "runtime/commands.h"
#include "runtime/monitor.h"

#define COLUMNS_MAX 32
#define CELL_BYTES  64
#define DAY_S	    86400

struct ps_options {
	const char *format;
};

static const struct option_spec ps_specs[] = {
	{.name = "format",
		.letter = 'f',
		.kind = OPTION_TEXT,
		.offset = offsetof(struct ps_options, format),
		.value_name = "FORMAT",
		.help = "table (default) or json"},
	{0},
};

static json_int_t number(const json_t *process, const char *key)
{
	return json_integer_value(json_object_get(process, key));
}

static const char *text(const json_t *process, const char *key)
{
	const char *value = json_string_value(json_object_get(process, key));

	return value ? value : "?";
}

static void cell_user(const json_t *process, const json_t *all, char *out)
{
	(void)all;
	/* Names are the container's own affair, but for this one. */
	if (number(process, "uid") == 0)
		snprintf(out, CELL_BYTES, "root");
	else
		snprintf(out, CELL_BYTES, "%" JSON_INTEGER_FORMAT, number(process, "uid"));
}

static void cell_uid(const json_t *process, const json_t *all, char *out)
{
	(void)all;
	snprintf(out, CELL_BYTES, "%" JSON_INTEGER_FORMAT, number(process, "uid"));
}

static void cell_gid(const json_t *process, const json_t *all, char *out)
{
	(void)all;
	snprintf(out, CELL_BYTES, "%" JSON_INTEGER_FORMAT, number(process, "gid"));
}

/* As the container sees it. */
static void cell_pid(const json_t *process, const json_t *all, char *out)
{
	(void)all;
	snprintf(out, CELL_BYTES, "%" JSON_INTEGER_FORMAT, number(process, "nspid"));
}

static void cell_ppid(const json_t *process, const json_t *all, char *out)
{
	json_int_t ppid = number(process, "ppid"), seen = 0;

	for (size_t i = 0; i < json_array_size(all); i++)
		if (number(json_array_get(all, i), "pid") == ppid)
			seen = number(json_array_get(all, i), "nspid");
	snprintf(out, CELL_BYTES, "%" JSON_INTEGER_FORMAT, seen);
}

static void cell_percent(const json_t *process, const json_t *all, char *out)
{
	json_int_t start = number(process, "stime"), used = number(process, "time");
	json_int_t now = (json_int_t)time(NULL);

	(void)all;
	json_int_t percent = 0;
	if (start >= 0 && now > start && used > 0 && used < INT32_MAX)
		percent = used * 100 / (now - start);
	snprintf(out, CELL_BYTES, "%" JSON_INTEGER_FORMAT, percent > 99 ? 99 : percent);
}

static void cell_start(const json_t *process, const json_t *all, char *out)
{
	time_t now = time(NULL), start = (time_t)number(process, "stime");
	struct tm then, today;
	size_t n;

	(void)all;
	if (!localtime_r(&start, &then) || !localtime_r(&now, &today)) {
		snprintf(out, CELL_BYTES, "?");
		return;
	}
	if (start <= now && start > now - DAY_S)
		n = strftime(out, CELL_BYTES, "%H:%M", &then);
	else if (then.tm_year == today.tm_year)
		n = strftime(out, CELL_BYTES, "%b%d", &then);
	else
		n = strftime(out, CELL_BYTES, "%Y", &then);
	if (!n)
		snprintf(out, CELL_BYTES, "?");
}

static void cell_tty(const json_t *process, const json_t *all, char *out)
{
	(void)all;
	snprintf(out, CELL_BYTES, "%.60s", text(process, "tty"));
}

static void cell_time(const json_t *process, const json_t *all, char *out)
{
	json_int_t used = number(process, "time");

	(void)all;
	if (used < 0 || used > INT32_MAX)
		used = 0;
	snprintf(out, CELL_BYTES,
		"%02" JSON_INTEGER_FORMAT ":%02" JSON_INTEGER_FORMAT ":%02" JSON_INTEGER_FORMAT,
		used / 3600, used / 60 % 60, used % 60);
}

static void cell_comm(const json_t *process, const json_t *all, char *out)
{
	(void)all;
	snprintf(out, CELL_BYTES, "%.60s", text(process, "comm"));
}

struct column {
	const char *name; /* for -o */
	const char *title;
	int width; /* negative: to the left */
	void (*cell)(const json_t *process, const json_t *all, char *out); /* NULL: the command */
};

static const struct column columns[] = {
	{"user", "USER", -8, cell_user},
	{"uid", "UID", 5, cell_uid},
	{"gid", "GID", 5, cell_gid},
	{"pid", "PID", 5, cell_pid},
	{"ppid", "PPID", 5, cell_ppid},
	{"c", "C", 2, cell_percent},
	{"stime", "STIME", -5, cell_start},
	{"tty", "TTY", -8, cell_tty},
	{"time", "TIME", 8, cell_time},
	{"comm", "COMMAND", -15, cell_comm},
	{"args", "COMMAND", 0, NULL},
	{"cmd", "CMD", 0, NULL},
	{"command", "COMMAND", 0, NULL},
};

/* Of `ps -ef`, where the user is titled UID. */
static const struct column full[] = {
	{"uid", "UID", -8, cell_user},
	{"pid", "PID", 5, cell_pid},
	{"ppid", "PPID", 5, cell_ppid},
	{"c", "C", 2, cell_percent},
	{"stime", "STIME", -5, cell_start},
	{"tty", "TTY", -8, cell_tty},
	{"time", "TIME", 8, cell_time},
	{"cmd", "CMD", 0, NULL},
};

struct table {
	const struct column *columns[COLUMNS_MAX];
	size_t n;
};

static int add_columns(struct table *table, const char *list, struct err *e)
{
	while (*list) {
		size_t len = strcspn(list, ", "), k = 0;
		size_t n = sizeof(columns) / sizeof(columns[0]);
		while (k < n &&
			(strlen(columns[k].name) != len || memcmp(columns[k].name, list, len) != 0))
			k++;
		if (k == n || table->n == COLUMNS_MAX)
			return err_set(e, EINVAL,
				"ps: -o %.*s: not one of user, uid, gid, pid, ppid, c, stime, tty, "
				"time, comm, args, cmd",
				(int)(len < CELL_BYTES ? len : CELL_BYTES), list);
		table->columns[table->n++] = &columns[k];
		list += len;
		list += strspn(list, ", ");
	}
	return 0;
}

/* What ps itself is asked for with runc. All processes are shown in any case. */
static int read_ps_options(struct table *table, int argc, char **argv, struct err *e)
{
	for (int i = 0; i < argc; i++) {
		const char *word = argv[i] + (argv[i][0] == '-');
		size_t plain = strspn(word, "efA");
		if (word[plain] == '\0' && plain)
			continue;
		if (word[plain] != 'o' || argv[i][0] != '-')
			return err_set(
				e, EINVAL, "ps: %.64s: only -ef and -o COLUMNS are known", argv[i]);
		const char *list = word + plain + 1;
		if (!*list && i + 1 < argc)
			list = argv[++i];
		int ret = add_columns(table, list, e);
		if (ret < 0)
			return ret;
	}
	for (size_t i = 0; !table->n && i < sizeof(full) / sizeof(full[0]); i++)
		table->columns[i] = &full[i];
	if (!table->n)
		table->n = sizeof(full) / sizeof(full[0]);
	return 0;
}

/* No blanks behind the last cell. That the monitor has cleaned it is not believed. */
static void print_cell(const struct table *table, size_t i, const char *cell)
{
	int width =
		i + 1 == table->n && table->columns[i]->width < 0 ? 0 : table->columns[i]->width;
	cleanup_free char *shown = strdup(cell);

	if (shown)
		text_clean(shown, strlen(shown));
	printf("%s%*s", i ? " " : "", width, shown ? shown : "?");
}

static void print_table(const struct table *table, const json_t *processes)
{
	char cell[CELL_BYTES];

	for (size_t i = 0; i < table->n; i++)
		print_cell(table, i, table->columns[i]->title);
	putchar('\n');
	for (size_t k = 0; k < json_array_size(processes); k++) {
		const json_t *process = json_array_get(processes, k);
		for (size_t i = 0; i < table->n; i++) {
			const struct column *column = table->columns[i];
			if (column->cell)
				column->cell(process, processes, cell);
			print_cell(table, i, column->cell ? cell : text(process, "args"));
		}
		putchar('\n');
	}
}

static int show_table(const struct container *c, int argc, char **argv, struct err *e)
{
	cleanup_json json_t *reply = NULL;
	struct table table = {0};

	int ret = read_ps_options(&table, argc, argv, e);
	/* As with runc, where the cgroup of a stopped container is empty. */
	if (ret == 0 && container_status(c) == CONTAINER_STOPPED) {
		print_table(&table, NULL);
		return 0;
	}
	if (ret == 0)
		ret = monitor_request(c->dir, json_pack("{s:s}", "op", "ps"), MONITOR_PATIENCE_MS,
			&reply, NULL, e);
	if (ret == 0)
		print_table(&table, json_object_get(reply, "processes"));
	return ret;
}

static void show_json(const struct container *c)
{
	struct container_process monitor = container_process(c, "monitor");

	if (container_process_alive(&monitor))
		printf("[%d]\n", (int)monitor.pid);
	else
		puts("null");
}

static int command_ps_run(struct context *context, int argc, char **argv)
{
	struct ps_options options = {.format = "table"};
	cleanup_container struct container c;
	struct err e;
	int first;

	container_init(&c);
	int ret = options_parse(ps_specs, &options, argc, argv, &first, &e);
	if (ret == 0 && first == argc)
		ret = err_set(&e, EINVAL, "\"ps\" requires a minimum of 1 argument(s)");
	bool json = ret == 0 && strcmp(options.format, "json") == 0;
	if (ret == 0 && !json && strcmp(options.format, "table") != 0)
		ret = err_set(&e, EINVAL, "invalid format option");
	if (ret == 0)
		ret = command_open_container(context, argv[first], &c, &e);
	if (ret == 0 && json)
		show_json(&c);
	else if (ret == 0)
		ret = show_table(&c, argc - first - 1, argv + first + 1, &e);
	return ret < 0 ? command_fail(context, &e) : 0;
}

const struct command command_ps = {
	.name = "ps",
	.usage = "[OPTION...] ID [-ef | -o COLUMN,...]",
	.summary = "list the processes in a container",
	.text = "The table shows the processes as they are numbered inside. With --format json\n"
		"it is a list with the number of the one process of the host that stands for\n"
		"the container.\n",
	.options = ps_specs,
	.run = command_ps_run,
};
