/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded JSON parsing; see json.h. */
#include "base/json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

void json_unrefp(json_t **value)
{
	json_decref(*value);
	*value = NULL;
}

/* jansson recurses per level of nesting, so the depth is bounded before it runs. */
static int json_check_depth(const char *text, size_t len, unsigned max_depth, struct err *e)
{
	unsigned depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > max_depth)
				return err_set(e, E2BIG, "JSON nested deeper than %u levels",
					max_depth);
		} else if ((c == ']' || c == '}') && depth) {
			depth--;
		}
	}
	return 0;
}

json_t *json_parse(const char *text, size_t len_bytes, unsigned max_depth, struct err *e)
{
	json_error_t fault;

	if (json_check_depth(text, len_bytes, max_depth, e) < 0)
		return NULL;
	json_t *value = json_loadb(text, len_bytes, JSON_REJECT_DUPLICATES, &fault);
	if (!value)
		err_set(e, EINVAL, "line %d, column %d: not valid JSON: %s", fault.line,
			fault.column, fault.text);
	return value;
}

json_t *json_parse_fd(int fd, size_t max_bytes, unsigned max_depth, const char *what, struct err *e)
{
	cleanup_free char *text = NULL;
	size_t len = 0;

	int ret = fd_slurp(fd, max_bytes, &text, &len);
	if (ret == -EFBIG)
		err_set(e, EFBIG, "%s: larger than %zu bytes", what, max_bytes);
	else if (ret < 0)
		err_sys(e, -ret, "%s: can't read", what);
	if (ret < 0)
		return NULL;
	json_t *value = json_parse(text, len, max_depth, e);
	if (!value)
		err_add(e, "%s", what);
	return value;
}

bool json_integer_in(const json_t *object, const char *key, json_int_t min, json_int_t max,
	json_int_t *out)
{
	const json_t *value = json_object_get(object, key);
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < min || number > max)
		return false;
	*out = number;
	return true;
}

json_t *json_text(const char *text)
{
	json_t *value = json_string(text);
	char *clean = value ? NULL : strdup(text);

	if (!clean)
		return value;
	for (size_t i = 0; clean[i]; i++)
		if ((unsigned char)clean[i] >= 0x80)
			clean[i] = '?';
	value = json_string(clean);
	free(clean);
	return value;
}
