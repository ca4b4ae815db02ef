/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's statistics, as hvrun prints them: whatever they are, they are refused with a message
 * or become one line of JSON.
 *
 * Covers: runtime/stats.c
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/monitor.h"
#include "runtime/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *line = NULL;
	struct err e = {0};
	cleanup_json json_t *stats = json_parse((const char *)data, size, MONITOR_MAX_DEPTH, &e);

	if (!stats)
		return 0;
	e.text[0] = '\0';
	if (stats_line("box", stats, &line, &e) < 0) {
		if (!e.text[0] || line)
			abort();
		return 0;
	}
	size_t len = strlen(line);
	if (!len || memchr(line, '\n', len) != line + len - 1)
		abort();
	/* Numbers have 64 bits, which are too many for jansson's integers. */
	cleanup_json json_t *again =
		json_loadb(line, len - 1, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
	if (!json_is_object(json_object_get(again, "data")))
		abort();
	return 0;
}
