/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun events: what a container uses, every now and then, and when it ran out of memory. */
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/commands.h"
#include "runtime/monitor.h"
#include "runtime/stats.h"

#define MS_PER_S     1000
#define INTERVAL_MAX (86400.0 * 366)

struct events_options {
	const char *interval;
	bool stats;
};

static const struct option_spec events_specs[] = {
	{.name = "interval",
		.kind = OPTION_TEXT,
		.offset = offsetof(struct events_options, interval),
		.value_name = "TIME",
		.help = "between two statistics (default: 5s)"},
	{.name = "stats",
		.kind = OPTION_FLAG,
		.offset = offsetof(struct events_options, stats),
		.help = "print the statistics once and return"},
	{0},
};

/* As Go writes durations: "5s", "1m30s", "0.5h". */
static int parse_interval(const char *text, int64_t *ms, struct err *e)
{
	static const struct {
		const char *unit;
		double seconds;
	} units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"m", 60}, {"h", 3600}};
	double seconds = 0;
	const char *at = text;

	while (*at) {
		char *end;
		if (!isdigit((unsigned char)*at) && *at != '.')
			goto bad;
		double n = strtod(at, &end);
		size_t len = strspn(end, "numsh"), k = 0;
		while (k < sizeof(units) / sizeof(units[0]) &&
			(strlen(units[k].unit) != len || memcmp(units[k].unit, end, len) != 0))
			k++;
		if (end == at || k == sizeof(units) / sizeof(units[0]))
			goto bad;
		seconds += n * units[k].seconds;
		at = end + len;
	}
	if (!*text || !(seconds <= INTERVAL_MAX))
		goto bad;
	if (seconds <= 0)
		return err_set(e, EINVAL, "duration interval must be greater than 0");
	*ms = (int64_t)(seconds * MS_PER_S);
	if (!*ms)
		*ms = 1;
	return 0;
bad:
	return err_set(e, EINVAL, "invalid value \"%.64s\" for flag -interval: parse error", text);
}

static int print_line(const char *line, struct err *e)
{
	if (fputs(line, stdout) < 0 || fflush(stdout) != 0)
		return err_sys(e, errno, "standard output");
	return 0;
}

static int print_stats(const struct container *c, struct err *e)
{
	cleanup_json json_t *reply = NULL;
	cleanup_free char *line = NULL;

	int ret = monitor_request(
		c->dir, json_pack("{s:s}", "op", "stats"), MONITOR_PATIENCE_MS, &reply, NULL, e);
	if (ret == 0)
		ret = stats_line(c->id, json_object_get(reply, "stats"), &line, e);
	if (ret < 0 || !line)
		return ret;
	return print_line(line, e);
}

static int subscribe(const struct container *c, struct err *e)
{
	cleanup_close int sock = monitor_connect(c->dir, e);
	if (sock < 0)
		return sock;
	int ret = monitor_send(sock, json_pack("{s:s}", "op", "subscribe"), NULL, 0, e);
	if (ret < 0)
		return ret;
	cleanup_json json_t *reply = monitor_receive(sock, MONITOR_PATIENCE_MS, e);
	if (!reply)
		return -e->code;
	if (!json_is_true(json_object_get(reply, "ok")))
		return err_set(e, ESRCH, "container with id %s is not running", c->id);
	return steal_fd(&sock);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / 1000000;
}

/* One event of the monitor's; *end when it has gone, and the container with it. */
static int take_event(const struct container *c, int sock, bool *end, struct err *e)
{
	char line[CONTAINER_ID_MAX_BYTES + 64];

	cleanup_json json_t *packet = monitor_receive(sock, 0, e);
	*end = !packet && e->code == ECONNRESET;
	if (!packet)
		return *end ? 0 : -e->code;
	const char *event = json_string_value(json_object_get(packet, "event"));
	if (!event || strcmp(event, "oom") != 0)
		return 0;
	snprintf(line, sizeof(line), "{\"type\":\"oom\",\"id\":\"%s\"}\n", c->id);
	return print_line(line, e);
}

static int follow(const struct context *context, const struct container *c, int64_t interval_ms,
	struct err *e)
{
	cleanup_close int sock = subscribe(c, e);
	int64_t due = now_ms() + interval_ms;
	bool end = false;

	if (sock < 0)
		return sock;
	for (;;) {
		struct pollfd poller = {.fd = sock, .events = POLLIN};
		int64_t wait = due - now_ms();
		wait = wait < 0 ? 0 : wait > INT32_MAX ? INT32_MAX : wait;
		if (poll(&poller, 1, (int)wait) < 0 && errno != EINTR)
			return err_sys(e, errno, "waiting for events");
		if (poller.revents) {
			int ret = take_event(c, sock, &end, e);
			if (ret < 0 || end)
				return ret;
			continue;
		}
		if (now_ms() < due)
			continue;
		due = now_ms() + interval_ms;
		if (container_status(c) == CONTAINER_PAUSED)
			continue; /* it stands still, and can't be asked */
		if (print_stats(c, e) == 0)
			continue;
		if (ferror(stdout))
			return -e->code;
		/* When it has ended, the connection tells; other failures may pass. */
		if (poll(&poller, 1, MS_PER_S) == 0)
			report_line(&context->report, "error", e->text);
	}
}

static int command_events_run(struct context *context, int argc, char **argv)
{
	struct events_options options = {.interval = "5s"};
	cleanup_container struct container c;
	int64_t interval_ms = 0;
	const char *id;
	struct err e;

	container_init(&c);
	int ret = options_parse_words(events_specs, &options, argc, argv, &id, 1, &e);
	if (ret == 0)
		ret = parse_interval(options.interval, &interval_ms, &e);
	if (ret == 0)
		ret = command_open_container(context, id, &c, &e);
	if (ret == 0 && container_status(&c) == CONTAINER_STOPPED)
		ret = err_set(&e, ESRCH, "container with id %s is not running", c.id);
	if (ret == 0)
		ret = options.stats ? print_stats(&c, &e) : follow(context, &c, interval_ms, &e);
	return ret < 0 ? command_fail(context, &e) : 0;
}

const struct command command_events = {
	.name = "events",
	.usage = "[OPTION...] ID",
	.summary = "print what a container uses",
	.text = "Prints a line of JSON at each interval, with what the container uses of its\n"
		"virtual machine, and one each time that it ran out of memory, until it ends.\n",
	.options = events_specs,
	.run = command_events_run,
};
