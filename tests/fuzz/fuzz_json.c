/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded JSON: parsing ends with a value or a message, no deeper than allowed, and marking large
 * integers changes nothing but these.
 *
 * Covers: base/json.c oci/number.c
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "oci/number.h"

#define DEPTH 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned depth_of(const json_t *value)
{
	unsigned deepest = 0;
	const char *key;
	json_t *item;
	size_t i;

	if (json_is_object(value)) {
		json_object_foreach ((json_t *)(uintptr_t)value, key, item) {
			unsigned d = depth_of(item);
			deepest = d > deepest ? d : deepest;
		}
	} else if (json_is_array(value)) {
		json_array_foreach (value, i, item) {
			unsigned d = depth_of(item);
			deepest = d > deepest ? d : deepest;
		}
	} else {
		return 0;
	}
	return deepest + 1;
}

static bool any_marked(const json_t *value)
{
	const char *key;
	json_t *item;
	size_t i;

	if (oci_number_marked(value))
		return true;
	if (json_is_object(value)) {
		json_object_foreach ((json_t *)(uintptr_t)value, key, item)
			if (any_marked(item))
				return true;
	} else if (json_is_array(value)) {
		json_array_foreach (value, i, item)
			if (any_marked(item))
				return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *marked = NULL;
	size_t marked_len = 0;
	struct err e = {0};
	cleanup_json json_t *plain = json_parse((const char *)data, size, DEPTH, &e);

	if (!plain && !e.text[0])
		abort();
	if (plain && depth_of(plain) > DEPTH)
		abort();
	if (oci_number_mark((const char *)data, size, &marked, &marked_len) < 0)
		return 0;
	/* jansson took it, so there was no large integer to mark; or none outside of strings. */
	if (plain && marked)
		abort();
	if (!marked)
		return 0;
	if (strlen(marked) > marked_len)
		abort();
	cleanup_json json_t *other = json_parse(marked, marked_len, DEPTH, &e);
	if (!other)
		return 0;
	/* A text that is nothing but a number has no place to be folded in. */
	if (oci_number_marked(other))
		return 0;
	if (oci_number_fold(other) < 0 || any_marked(other))
		abort();
	return 0;
}
