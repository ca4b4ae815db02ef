/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts; see err.h. */
#include "base/err.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void err_format(struct err *e, int code, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

static void err_format(struct err *e, int code, const char *fmt, va_list ap)
{
	e->code = code;
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	if (e) {
		va_list ap;
		va_start(ap, fmt);
		err_format(e, code, fmt, ap);
		va_end(ap);
	}
	return -code;
}

const char *err_reason(int code, char text[static ERR_REASON_BYTES])
{
	snprintf(text, ERR_REASON_BYTES, "%s", strerror(code));
	/* Not of a name: "RFS specific error". */
	if (!isupper((unsigned char)text[1]))
		text[0] = (char)tolower((unsigned char)text[0]);
	return text;
}

int err_sys(struct err *e, int code, const char *fmt, ...)
{
	if (e) {
		va_list ap;
		va_start(ap, fmt);
		err_format(e, code, fmt, ap);
		va_end(ap);
		char reason[ERR_REASON_BYTES];
		size_t used = strlen(e->text);
		snprintf(e->text + used, sizeof(e->text) - used, ": %s", err_reason(code, reason));
	}
	return -code;
}

int err_add(struct err *e, const char *fmt, ...)
{
	char old[ERR_TEXT_BYTES];
	va_list ap;

	memcpy(old, e->text, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	size_t used = strlen(e->text);
	snprintf(e->text + used, sizeof(e->text) - used, ": %s", old);
	return -e->code;
}
