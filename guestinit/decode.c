/* SPDX-License-Identifier: Apache-2.0 */
/* Table-driven decoding of JSON; see decode.h. */
#include "guestinit/decode.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

size_t decode_enter(struct decode *d, const char *fmt, ...)
{
	size_t old = strlen(d->path);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->path + old, sizeof(d->path) - old, fmt, ap);
	va_end(ap);
	return old;
}

void decode_leave(struct decode *d, size_t old_len)
{
	d->path[old_len] = '\0';
}

int decode_fail(struct decode *d, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return err_set(d->e, EINVAL, "%s: %s", d->path[0] ? d->path : "message", text);
}

void decode_warn(struct decode *d, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (d->warnings->n == DECODE_WARNINGS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	const char *line = arena_printf(d->arena, "%s: %s", d->path, text);
	if (line)
		d->warnings->v[d->warnings->n++] = line;
}

int decode_no_memory(struct decode *d)
{
	return err_set(d->e, ENOMEM, "%s: out of memory", d->path);
}

int decode_strings(struct decode *d, const json_t *value, struct strings *out)
{
	if (!json_is_array(value))
		return decode_fail(d, "must be an array of strings");
	size_t n = json_array_size(value);
	if (n > DECODE_LIST_MAX)
		return decode_fail(d, "has more than %d elements", DECODE_LIST_MAX);
	out->v = arena_array(d->arena, n + 1, sizeof(*out->v));
	if (!out->v)
		return decode_no_memory(d);
	for (size_t i = 0; i < n; i++) {
		out->v[i] = json_string_value(json_array_get(value, i));
		if (!out->v[i]) {
			decode_enter(d, "[%zu]", i);
			return decode_fail(d, "must be a string");
		}
	}
	out->n = n;
	out->set = true;
	return 0;
}

int decode_list(struct decode *d, const json_t *value, const struct decode_field *fields,
	size_t elem_bytes, struct decode_list *out)
{
	if (!json_is_array(value))
		return decode_fail(d, "must be an array");
	size_t n = json_array_size(value);
	if (n > DECODE_LIST_MAX)
		return decode_fail(d, "has more than %d elements", DECODE_LIST_MAX);
	char *v = arena_array(d->arena, n, elem_bytes);
	if (!v)
		return decode_no_memory(d);
	for (size_t i = 0; i < n; i++) {
		size_t old = decode_enter(d, "[%zu]", i);
		int ret = decode_object(d, json_array_get(value, i), fields, v + i * elem_bytes);
		if (ret < 0)
			return ret;
		decode_leave(d, old);
	}
	out->v = v;
	out->n = n;
	return 0;
}

static int decode_number(
	struct decode *d, const json_t *value, int64_t min, int64_t max, int64_t *out)
{
	if (!json_is_integer(value))
		return decode_fail(d, "must be an integer");
	int64_t number = json_integer_value(value);
	if (number < min || number > max)
		return decode_fail(d, "%lld is out of range", (long long)number);
	*out = number;
	return 0;
}

static int decode_scalar(struct decode *d, const json_t *value, enum decode_type type, void *out)
{
	struct opt_i64 *i64 = out;
	struct opt_u64 *u64 = out;
	int64_t number = 0;
	int ret;

	switch (type) {
	case DECODE_STRING:
		if (!json_is_string(value))
			return decode_fail(d, "must be a string");
		*(const char **)out = json_string_value(value);
		return 0;
	case DECODE_BOOL:
		if (!json_is_boolean(value))
			return decode_fail(d, "must be true or false");
		*(bool *)out = json_is_true(value);
		return 0;
	case DECODE_U32:
	case DECODE_PORT:
		ret = type == DECODE_U32 ? decode_number(d, value, 0, UINT32_MAX, &number)
					 : decode_number(d, value, 1, UINT32_MAX - 1, &number);
		*(uint32_t *)out = (uint32_t)number;
		return ret;
	case DECODE_I64:
		ret = decode_number(d, value, INT64_MIN, INT64_MAX, &number);
		*i64 = (struct opt_i64){true, number};
		return ret;
	case DECODE_U64:
		ret = decode_number(d, value, INT64_MIN, INT64_MAX, &number);
		*u64 = (struct opt_u64){true, (uint64_t)number};
		return ret;
	case DECODE_RAW64:
		ret = decode_number(d, value, INT64_MIN, INT64_MAX, &number);
		*(uint64_t *)out = (uint64_t)number;
		return ret;
	default:
		return decode_fail(d, "can't be decoded");
	}
}

static int decode_value(
	struct decode *d, const json_t *value, const struct decode_field *field, void *out)
{
	switch (field->type) {
	case DECODE_IGNORE:
		return 0;
	case DECODE_STRINGS:
		return decode_strings(d, value, out);
	case DECODE_OBJECT:
		return decode_object(d, value, field->fields, out);
	case DECODE_LIST:
		return decode_list(d, value, field->fields, field->elem_bytes, out);
	case DECODE_CUSTOM:
		return field->custom(d, value, out);
	default:
		return decode_scalar(d, value, field->type, out);
	}
}

/* The keys that no field took: an error for the first of them. */
static int decode_check_unknown(
	struct decode *d, const json_t *value, const struct decode_field *fields)
{
	const char *key;
	json_t *child;

	json_object_foreach ((json_t *)(uintptr_t)value, key, child) {
		const struct decode_field *field = fields;
		while (field->key && strcmp(field->key, key) != 0)
			field++;
		if (field->key || json_is_null(child))
			continue;
		decode_enter(d, "%s%.100s", d->path[0] ? "." : "", key);
		return decode_fail(d, "is not supported in the guest");
	}
	return 0;
}

int decode_object(
	struct decode *d, const json_t *value, const struct decode_field *fields, void *out)
{
	size_t taken = 0;

	if (!json_is_object(value))
		return decode_fail(d, "must be an object");
	for (const struct decode_field *field = fields; field->key; field++) {
		const json_t *child = json_object_get(value, field->key);

		if (child)
			taken++;
		if (json_is_null(child)) /* as Go writes an absent value */
			child = NULL;
		if (!child && !field->required)
			continue;
		size_t old = decode_enter(d, "%s%s", d->path[0] ? "." : "", field->key);
		if (!child)
			return decode_fail(d, "is missing");
		int ret = decode_value(d, child, field, (char *)out + field->offset);
		if (ret < 0)
			return ret;
		decode_leave(d, old);
	}
	if (taken == json_object_size(value))
		return 0;
	return decode_check_unknown(d, value, fields);
}
