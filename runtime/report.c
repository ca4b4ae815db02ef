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

static void report_file(const struct report *report, const char *level, const char *text)
{
	char stamp[40], line[ERR_TEXT_BYTES + 128];
	time_t now = time(NULL);
	struct tm tm;
	int ignored;

	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	if (!report->json) {
		int n = snprintf(line, sizeof(line), "time=\"%s\" level=%s msg=\"%s\"\n", stamp,
			level, text);
		if (n >= (int)sizeof(line))
			n = (int)sizeof(line) - 1;
		ignored = fd_write_all(report->fd, line, (size_t)n);
	} else {
		cleanup_json json_t *json = json_pack("{s:s, s:s%, s:s}", "level", level, "msg",
			text, strlen(text), "time", stamp);
		/* A text that is no UTF-8 (it names a file) is written without its odd bytes. */
		if (!json) {
			char plain[ERR_TEXT_BYTES];
			size_t n = 0;
			for (; text[n] && n + 1 < sizeof(plain); n++)
				plain[n] = (unsigned char)text[n] < 0x80 ? text[n] : '?';
			plain[n] = '\0';
			json = json_pack(
				"{s:s, s:s, s:s}", "level", level, "msg", plain, "time", stamp);
		}
		cleanup_free char *dump = json ? json_dumps(json, JSON_COMPACT) : NULL;
		int n = snprintf(line, sizeof(line), "%s\n", dump ? dump : "{}");
		if (n >= (int)sizeof(line))
			n = (int)sizeof(line) - 1;
		ignored = fd_write_all(report->fd, line, (size_t)n);
	}
	(void)ignored; /* there is nowhere left to say it */
}

void report_line(const struct report *report, const char *level, const char *message)
{
	char text[ERR_TEXT_BYTES];

	/* Parts of it may come from a bundle or a guest, and must not reach the terminal as codes.
	 */
	snprintf(text, sizeof(text), "%s", message);
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	if (strcmp(level, "error") == 0)
		log_error("%s", text);
	else
		log_warn("%s", text);
	if (report->fd >= 0)
		report_file(report, level, text);
}
