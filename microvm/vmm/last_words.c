/* SPDX-License-Identifier: Apache-2.0 */
/* How the VM failed, with nobody there to tell; see last_words.h. */
#include "microvm/vmm/last_words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "microvm/devices/stream_fd.h"

#define STAMP_BYTES  32
#define S_PER_DAY    86400
#define CONSOLE_HEAD "; the last lines of the guest's console:"

void last_words_init(struct last_words *words)
{
	*words = (struct last_words){.stream_fd = -1, .log_fd = -1};
}

void last_words_keep_stream(struct last_words *words, int fd, bool terminal)
{
	words->stream_fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
	words->terminal = terminal;
}

void last_words_close_stream(struct last_words *words)
{
	fd_closep(&words->stream_fd);
}

void last_words_fini(struct last_words *words)
{
	fd_closep(&words->stream_fd);
	fd_closep(&words->log_fd);
}

/*
 * Of the host's clock, as in runc's log. Not gmtime(3), which reads the file of the time zone the
 * first time: this process may open nothing by now. The calendar is the proleptic Gregorian one,
 * counted in years that begin in March.
 */
static void stamp(char text[STAMP_BYTES])
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	uint32_t days = (uint32_t)(now.tv_sec / S_PER_DAY) + 719468; /* since 1 March of year 0 */
	uint32_t second = (uint32_t)(now.tv_sec % S_PER_DAY), era = days / 146097;
	uint32_t day = days % 146097;
	uint32_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	day -= 365 * year + year / 4 - year / 100;
	uint32_t month = (5 * day + 2) / 153;

	snprintf(text, STAMP_BYTES, "%04u-%02u-%02uT%02u:%02u:%02uZ",
		(year + era * 400 + (month >= 10)) % 10000, (month + 2) % 12 + 1,
		(day - (153 * month + 2) / 5 + 1) % 100, second / 3600, second / 60 % 60,
		second % 60);
}

/* All of it as one message, each line of the console on a line of its own behind `head`. */
static char *compose(const char *message, const json_t *console, const char *head, const char *end)
{
	char *whole = NULL;
	size_t len, i;
	const json_t *line;
	FILE *out = open_memstream(&whole, &len);

	if (!out)
		return NULL;
	fprintf(out, "%s%s", message, json_array_size(console) ? CONSOLE_HEAD : "");
	json_array_foreach (console, i, line) {
		fprintf(out, "%s%sguest: %s", end, head, json_string_value(line));
	}
	if (fclose(out) == 0)
		return whole;
	mem_freep(&whole);
	return NULL;
}

/* Nobody may be reading: what there is no room for is lost. */
static void say_on_stream(struct last_words *words, const char *message, const json_t *console)
{
	const char *end = words->terminal ? "\r\n" : "\n";
	cleanup_free char *text = compose(message, console, "hvrun: ", end), *line = NULL;
	struct stream_fd stream;

	if (words->stream_fd < 0 || !text)
		return;
	int len = asprintf(&line, "hvrun: %s%s", text, end);
	if (len < 0) {
		line = NULL; /* undefined after a failure */
		return;
	}
	stream_fd_init(&stream, words->stream_fd, NULL);
	for (size_t done = 0; done < (size_t)len;) {
		struct iovec iov = {.iov_base = line + done, .iov_len = (size_t)len - done};
		ssize_t n = stream_fd_write(&stream, &iov, 1);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	last_words_close_stream(words);
}

/* In one write, as several processes may log there. */
static void say_in_log(const struct last_words *words, const char *message, const json_t *console)
{
	cleanup_free char *text = compose(message, console, "", "\n"), *dump = NULL, *line = NULL;
	char now[STAMP_BYTES];
	int len = -1;

	if (words->log_fd < 0 || !text)
		return;
	stamp(now);
	cleanup_json json_t *msg = words->json
		? json_pack("{s:s, s:s, s:s}", "level", "error", "msg", text, "time", now)
		: json_string(text);
	dump = msg ? json_dumps(msg, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	if (dump)
		len = words->json ? asprintf(&line, "%s\n", dump)
				  : asprintf(&line, "time=\"%s\" level=error msg=%s\n", now, dump);
	if (len < 0) {
		line = NULL;
		return;
	}
	ssize_t ignored = write(words->log_fd, line, (size_t)len);
	(void)ignored; /* there is nowhere left to say it */
}

void last_words_say(struct last_words *words, const json_t *event)
{
	const char *message = json_string_value(json_object_get(event, "message"));
	const json_t *console = json_object_get(event, "console"), *line;
	size_t i;

	if (!message)
		return;
	log_error("%s%s", message, json_array_size(console) ? CONSOLE_HEAD : "");
	json_array_foreach (console, i, line) {
		log_error("guest: %s", json_string_value(line));
	}
	say_on_stream(words, message, console);
	say_in_log(words, message, console);
}
