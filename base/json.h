/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON with bounds, over jansson: parsing that refuses duplicate keys, NUL characters, too much
 * input and too deep nesting before jansson sees it, and the cleanup attribute for references.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

void json_unrefp(json_t **value);
#define cleanup_json __attribute__((cleanup(json_unrefp)))

/*
 * Parses one JSON text of len bytes, nested at most max_depth deep. NULL with e filled on a fault
 * (line and column named); else a new reference, the caller's.
 */
json_t *json_parse(const char *text, size_t len_bytes, unsigned max_depth, struct err *e) must_check;

/* The same for a whole file of at most max_bytes; the error names what. */
json_t *json_parse_fd(int fd, size_t max_bytes, unsigned max_depth, const char *what,
	struct err *e) must_check;

/* A member that is an integer from min to max; false without, and *out untouched. */
bool json_integer_in(const json_t *object, const char *key, json_int_t min, json_int_t max,
	json_int_t *out) must_check;

/*
 * A string of text that may be no valid UTF-8, which JSON must be (it names a file, or comes from an
 * image): then with a question mark for each of its odd bytes. A new reference, NULL without memory.
 */
json_t *json_text(const char *text) must_check;

#endif
