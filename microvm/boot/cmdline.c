/* SPDX-License-Identifier: Apache-2.0 */
/* See cmdline.h. */
#include "microvm/boot/cmdline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void cmdline_init(struct cmdline *cmdline, size_t max_bytes)
{
	memset(cmdline, 0, sizeof(*cmdline));
	cmdline->max_bytes = max_bytes < CMDLINE_CAP_BYTES ? max_bytes : CMDLINE_CAP_BYTES - 1;
}

int cmdline_add(struct cmdline *cmdline, struct err *e, const char *fmt, ...)
{
	char words[CMDLINE_CAP_BYTES];
	va_list ap;

	va_start(ap, fmt);
	int len = vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	size_t space = cmdline->len_bytes ? 1 : 0;
	if (len < 0 || (size_t)len >= sizeof(words) ||
		cmdline->len_bytes + space + (size_t)len > cmdline->max_bytes)
		return err_set(
			e, E2BIG, "kernel command line: longer than %zu bytes", cmdline->max_bytes);
	for (int i = 0; i < len; i++)
		if ((unsigned char)words[i] < ' ')
			return err_set(e, EINVAL, "kernel command line: control character");
	if (!len)
		return 0;
	if (space)
		cmdline->text[cmdline->len_bytes++] = ' ';
	memcpy(cmdline->text + cmdline->len_bytes, words, (size_t)len + 1);
	cmdline->len_bytes += (size_t)len;
	return 0;
}
