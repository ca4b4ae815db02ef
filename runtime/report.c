/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of a command; see report.h. */
#include "runtime/report.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

int report_open(struct report *report, const char *file, const char *format, struct err *e)
{
	*report = (struct report){.fd = -1};
	if (format && strcmp(format, "json") == 0)
		report->json = true;
	else if (format && strcmp(format, "text") != 0)
		return err_set(e, EINVAL, "--log-format: \"%s\" is neither text nor json", format);
	if (!file || !*file)
		return 0;
	report->fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
	return report->fd < 0 ? err_sys(e, errno, "--log: %s", file) : 0;
}

void report_close(struct report *report)
{
	fd_closep(&report->fd);
}

/* In one write, so that lines of several processes don't mix; whole, or a reader can't parse it. */
static void report_file(const struct report *report, const char *level, const char *text)
{
	cleanup_free char *dump = NULL, *line = NULL;
	char stamp[40];
	time_t now = time(NULL);
	struct tm tm;
	int len;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	cleanup_json json_t *msg = json_text(text);
	if (report->json) {
		cleanup_json json_t *json =
			json_pack("{s:s, s:O, s:s}", "level", level, "msg", msg, "time", stamp);
		dump = json ? json_dumps(json, JSON_COMPACT) : NULL;
		len = dump ? asprintf(&line, "%s\n", dump) : -1;
	} else {
		dump = msg ? json_dumps(msg, JSON_ENCODE_ANY) : NULL;
		len = dump ? asprintf(&line, "time=\"%s\" level=%s msg=%s\n", stamp, level, dump)
			   : -1;
	}
	if (len < 0) {
		line = NULL; /* undefined after a failure */
		return;
	}
	int ignored = fd_write_all(report->fd, line, (size_t)len);
	(void)ignored; /* there is nowhere left to say it */
}

/* Parts may come from a bundle or a guest. */
static void clean(char text[static ERR_TEXT_BYTES], const char *message)
{
	snprintf(text, ERR_TEXT_BYTES, "%s", message);
	text_clean(text, strlen(text));
}

void report_failure(const struct report *report, const char *message, const json_t *console)
{
	size_t n = json_array_size(console), len, i;
	cleanup_free char *whole = NULL;
	char text[ERR_TEXT_BYTES];
	const json_t *line;

	if (!n) {
		report_line(report, "error", message);
		return;
	}
	FILE *out = open_memstream(&whole, &len);
	clean(text, message);
	log_error("%s; the last lines of the guest's console:", text);
	if (out)
		fprintf(out, "%s; the last lines of the guest's console:", text);
	json_array_foreach (console, i, line) {
		const char *said = json_string_value(line);
		clean(text, said ? said : "");
		log_error("guest: %s", text);
		if (out)
			fprintf(out, "\nguest: %s", text);
	}
	if (out && fclose(out) == 0 && report->fd >= 0)
		report_file(report, "error", whole);
}

void report_line(const struct report *report, const char *level, const char *message)
{
	char text[ERR_TEXT_BYTES];

	clean(text, message);
	if (strcmp(level, "error") == 0)
		log_error("%s", text);
	else
		log_warn("%s", text);
	if (report->fd >= 0)
		report_file(report, level, text);
}
