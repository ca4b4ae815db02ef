/* SPDX-License-Identifier: Apache-2.0 */
/* The walk that compares a JSON document with constant tables; see schema.h. */
#include "oci/schema.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "oci/number.h"
#include "oci/tables.h"

#define OCI_PATH_BYTES	512
#define OCI_QUOTE_BYTES 64

/* A name that can stand in a path without quotes. */
static bool path_plain(const char *key)
{
	if (!*key)
		return false;
	for (const char *c = key; *c; c++)
		if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			    (*c >= '0' && *c <= '9') || *c == '_' || *c == '-'))
			return false;
	return true;
}

static size_t path_put(const struct oci_path *path, char *buf, size_t cap, size_t at)
{
	int n;

	if (!path)
		return at;
	at = path_put(path->up, buf, cap, at);
	if (at >= cap)
		return at;
	if (!path->key)
		n = snprintf(buf + at, cap - at, "[%zu]", path->index);
	else if (path_plain(path->key))
		n = snprintf(buf + at, cap - at, "%s%s", at ? "." : "", path->key);
	else
		n = snprintf(buf + at, cap - at, "[\"%s\"]", path->key);
	return n < 0 ? at : at + (size_t)n;
}

/* Texts come from the document: what could disturb a terminal or a log line is masked. */
static void mask(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

void oci_path_format(const struct oci_path *path, char *buf, size_t cap_bytes)
{
	buf[0] = '\0';
	path_put(path, buf, cap_bytes, 0);
	mask(buf);
}

int oci_fault(const struct oci_path *path, struct err *e, const char *fmt, ...)
{
	char where[OCI_PATH_BYTES], text[ERR_TEXT_BYTES - OCI_PATH_BYTES - 64];
	va_list ap;

	oci_path_format(path, where, sizeof(where));
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	mask(text);
	return err_set(e, EINVAL, "%s%s%s", where, *where ? ": " : "", text);
}

/* The beginning of a text of the document, short enough for a message. */
static const char *quote(const char *text, char *buf)
{
	size_t n = 0;

	for (; n < OCI_QUOTE_BYTES - 4 && text[n]; n++)
		buf[n] = text[n];
	memcpy(buf + n, text[n] ? "..." : "\0\0\0", 4);
	return buf;
}

static int check_string(const struct oci_schema *schema, const json_t *value,
	const struct oci_path *path, struct err *e)
{
	char buf[OCI_QUOTE_BYTES];

	if (!json_is_string(value) || oci_number_marked(value))
		return oci_fault(path, e, "must be a string");
	const char *text = json_string_value(value);
	if (schema->words) {
		const char *const *word = schema->words;
		while (*word && strcmp(*word, text) != 0)
			word++;
		if (*word)
			return 0;
		char list[512];
		size_t at = 0;
		list[0] = '\0';
		for (word = schema->words; *word && at < sizeof(list); word++)
			at += (size_t)snprintf(
				list + at, sizeof(list) - at, "%s%s", at ? ", " : "", *word);
		return oci_fault(path, e, "\"%s\" is not one of %s", quote(text, buf), list);
	}
	if (schema->match && !schema->match(text))
		return oci_fault(path, e, "must %s, not \"%s\"", schema->want, quote(text, buf));
	return 0;
}

static int check_int(const struct oci_schema *schema, const json_t *value,
	const struct oci_path *path, struct err *e)
{
	if (!json_is_integer(value)) {
		uint64_t big;
		if (oci_number_get(value, &big) == 0)
			return oci_fault(
				path, e, "%" PRIu64 " is larger than %" PRId64, big, schema->max);
		return oci_fault(path, e, "must be an integer");
	}
	int64_t number = json_integer_value(value);
	if (number < schema->min)
		return oci_fault(path, e, "%" PRId64 " is less than %" PRId64, number, schema->min);
	if (number > schema->max)
		return oci_fault(
			path, e, "%" PRId64 " is larger than %" PRId64, number, schema->max);
	return 0;
}

static const struct oci_field *field_find(const struct oci_field *field, const char *name)
{
	while (field && field->name && strcmp(field->name, name) != 0)
		field++;
	return field && field->name ? field : NULL;
}

static int check_object(const struct oci_schema *schema, const json_t *value,
	const struct oci_path *path, struct err *e)
{
	if (!json_is_object(value))
		return oci_fault(path, e, "must be an object");
	size_t known = 0;
	for (const struct oci_field *field = schema->fields; field && field->name; field++) {
		struct oci_path here = {.up = path, .key = field->name};
		const json_t *member = json_object_get(value, field->name);
		if (member) {
			int ret = oci_schema_check(field->schema, member, &here, e);
			if (ret < 0)
				return ret;
			known++;
		} else if (field->required) {
			return oci_fault(&here, e, "is missing");
		}
	}
	if (!schema->closed || known == json_object_size(value))
		return 0;
	const char *key;
	json_t *member;
	json_object_foreach ((json_t *)(uintptr_t)value, key, member) {
		if (!field_find(schema->fields, key)) {
			struct oci_path here = {.up = path, .key = key};
			return oci_fault(&here, e, "is not known");
		}
	}
	return 0;
}

static int check_items(const struct oci_schema *schema, const json_t *value,
	const struct oci_path *path, struct err *e)
{
	json_t *item;
	int ret;

	if (schema->kind == OCI_MAP) {
		const char *key;
		if (!json_is_object(value))
			return oci_fault(path, e, "must be an object");
		json_object_foreach ((json_t *)(uintptr_t)value, key, item) {
			struct oci_path here = {.up = path, .key = key};
			ret = oci_schema_check(schema->items, item, &here, e);
			if (ret < 0)
				return ret;
		}
		return 0;
	}
	if (!json_is_array(value))
		return oci_fault(path, e, "must be an array");
	if (json_array_size(value) < schema->min_items)
		return oci_fault(path, e, "must not be empty");
	for (size_t i = 0; i < json_array_size(value); i++) {
		struct oci_path here = {.up = path, .index = i};
		ret = oci_schema_check(schema->items, json_array_get(value, i), &here, e);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int oci_schema_check(const struct oci_schema *schema, const json_t *value,
	const struct oci_path *path, struct err *e)
{
	uint64_t number;

	switch (schema->kind) {
	case OCI_ANY:
		return 0;
	case OCI_BOOL:
		return json_is_boolean(value) ? 0 : oci_fault(path, e, "must be true or false");
	case OCI_STRING:
		return check_string(schema, value, path, e);
	case OCI_INT:
		return check_int(schema, value, path, e);
	case OCI_UINT64:
		if (oci_number_get(value, &number) == 0)
			return 0;
		if (json_is_integer(value))
			return oci_fault(path, e, "%" JSON_INTEGER_FORMAT " is less than 0",
				json_integer_value(value));
		return oci_fault(path, e, "must be an integer");
	case OCI_OBJECT:
		return check_object(schema, value, path, e);
	case OCI_ARRAY:
	case OCI_MAP:
		return check_items(schema, value, path, e);
	}
	return oci_fault(path, e, "has no schema");
}

void oci_schema_prune(const struct oci_schema *schema, json_t *value)
{
	const char *key;
	json_t *item;
	void *next;

	if (schema->kind == OCI_OBJECT) {
		json_object_foreach_safe (value, next, key, item) {
			const struct oci_field *field = field_find(schema->fields, key);
			if (field)
				oci_schema_prune(field->schema, item);
			else
				json_object_del(value, key);
		}
	} else if (schema->kind == OCI_MAP) {
		json_object_foreach (value, key, item) {
			oci_schema_prune(schema->items, item);
		}
	} else if (schema->kind == OCI_ARRAY && schema->items->kind != OCI_STRING) {
		for (size_t i = 0; i < json_array_size(value); i++)
			oci_schema_prune(schema->items, json_array_get(value, i));
	}
}

const struct oci_schema oci_any = {.kind = OCI_ANY};
const struct oci_schema oci_bool = {.kind = OCI_BOOL};
const struct oci_schema oci_string = {.kind = OCI_STRING};
const struct oci_schema oci_strings = ARRAY(oci_string);
const struct oci_schema oci_string_map = MAP(oci_string);
const struct oci_schema oci_int32 = {.kind = OCI_INT, .min = INT32_MIN, .max = INT32_MAX};
const struct oci_schema oci_int64 = {.kind = OCI_INT, .min = INT64_MIN, .max = INT64_MAX};
const struct oci_schema oci_uint8 = {.kind = OCI_INT, .max = UINT8_MAX};
const struct oci_schema oci_uint16 = {.kind = OCI_INT, .max = UINT16_MAX};
const struct oci_schema oci_uint32 = {.kind = OCI_INT, .max = UINT32_MAX};
const struct oci_schema oci_uint64 = {.kind = OCI_UINT64};
const struct oci_schema oci_uint32s = ARRAY(oci_uint32);
/* Permission bits without setuid, setgid and sticky, as the specification has them. */
const struct oci_schema oci_file_mode = {.kind = OCI_INT, .max = 0777};

static const struct oci_field id_mapping_fields[] = {
	REQUIRED("containerID", oci_uint32),
	REQUIRED("hostID", oci_uint32),
	REQUIRED("size", oci_uint32),
	FIELDS_END,
};
static const struct oci_schema id_mapping = OBJECT(id_mapping_fields);
const struct oci_schema oci_id_mappings = ARRAY(id_mapping);
