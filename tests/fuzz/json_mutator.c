/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How libFuzzer changes inputs that are one JSON text: as trees, so that what comes out is JSON
 * again and most of it makes sense. Members go, come twice, come from another place or another
 * input, and scalars become others. An input that is no JSON, and one of eight that is, is changed
 * as bytes. mk/fuzz.mk says whose inputs these are.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define STRING_MAX 4096u

/* libFuzzer's. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data, size_t size, const uint8_t *other,
	size_t other_size, uint8_t *out, size_t max_out_size, unsigned seed);

/* A value and where it is: in an object under key, or in an array. */
struct place {
	json_t *container, *value;
	const char *key;
	size_t index;
};

static unsigned below(unsigned *seed, size_t n)
{
	return (unsigned)rand_r(seed) % (unsigned)n;
}

/* Counts *left down at each value below; true when it found the one at 0. */
static bool find(json_t *container, size_t *left, struct place *place)
{
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_object(container)) {
		json_object_foreach (container, key, value) {
			*place = (struct place){.container = container, .value = value, .key = key};
			if ((*left)-- == 0 || find(value, left, place))
				return true;
		}
	} else if (json_is_array(container)) {
		json_array_foreach (container, i, value) {
			*place = (struct place){.container = container, .value = value, .index = i};
			if ((*left)-- == 0 || find(value, left, place))
				return true;
		}
	}
	return false;
}

/* Any value below the root; false when there is none. */
static bool pick(json_t *root, unsigned *seed, struct place *place)
{
	size_t left = SIZE_MAX, n;

	find(root, &left, place);
	n = SIZE_MAX - left;
	if (n == 0)
		return false;
	left = below(seed, n);
	return find(root, &left, place);
}

static json_t *any_integer(const json_t *value, unsigned *seed)
{
	static const json_int_t edges[] = {0, 1, -1, 2, 3, 5, 7, 8, 31, 32, 63, 64, 255, 256, 511,
		512, 1000, 1001, 4095, 4096, 65535, 65536, INT32_MAX, INT32_MAX + 1LL, UINT32_MAX,
		UINT32_MAX + 1LL, INT64_MAX, INT64_MIN};
	uint64_t old = (uint64_t)json_integer_value(value);

	switch (below(seed, 4)) {
	case 0:
		return json_integer((json_int_t)(old + below(seed, 17) - 8));
	case 1:
		old <<= below(seed, 24);
		return json_integer((json_int_t)old);
	default:
		return json_integer(edges[below(seed, sizeof(edges) / sizeof(edges[0]))]);
	}
}

static json_t *any_string(const json_t *value, unsigned *seed)
{
	static const char *const words[] = {"", "/", "..", "a", "0", "4294967296", "-1", "\n"};
	static uint8_t text[STRING_MAX];
	size_t len = json_is_string(value) ? json_string_length(value) : 0;
	json_t *string = NULL;

	if (len && len <= STRING_MAX / 2 && below(seed, 4)) {
		memcpy(text, json_string_value(value), len);
		len = LLVMFuzzerMutate(text, len, STRING_MAX);
		string = json_stringn((const char *)text, len); /* NULL when it is not UTF-8 */
	}
	return string ? string : json_string(words[below(seed, sizeof(words) / sizeof(words[0]))]);
}

static json_t *any_value(const json_t *value, unsigned *seed)
{
	/* Of the same type, mostly. */
	if (below(seed, 8)) {
		if (json_is_integer(value))
			return any_integer(value, seed);
		if (json_is_string(value))
			return any_string(value, seed);
		if (json_is_boolean(value))
			return json_boolean(!json_is_true(value));
	}
	switch (below(seed, 7)) {
	case 0:
		return json_object();
	case 1:
		return json_array();
	case 2:
		return json_null();
	case 3:
		return json_boolean(below(seed, 2));
	case 4:
		return json_real(0.5);
	case 5:
		return any_integer(value, seed);
	default:
		return any_string(value, seed);
	}
}

static void put(const struct place *at, json_t *value)
{
	/* A container that holds itself can't come of it: value is new. */
	if (at->key)
		json_object_set_new(at->container, at->key, value);
	else
		json_array_set_new(at->container, at->index, value);
}

static void take_away(const struct place *at)
{
	if (at->key)
		json_object_del(at->container, at->key);
	else
		json_array_remove(at->container, at->index);
}

/* Into the container of `at`, or into the value itself when that is one. */
static void add(const struct place *at, const struct place *from, unsigned *seed)
{
	bool inside = (json_is_object(at->value) || json_is_array(at->value)) && below(seed, 2);
	json_t *container = inside ? at->value : at->container;
	json_t *value = json_deep_copy(from->value);

	if (json_is_array(container))
		json_array_insert_new(
			container, below(seed, json_array_size(container) + 1), value);
	else
		json_object_set_new(container, from->key ? from->key : "name", value);
}

/* One change to root, with values of donor, which may be root. */
static void change(json_t *root, json_t *donor, unsigned *seed)
{
	struct place at, from;

	if (!pick(root, seed, &at) || !pick(donor, seed, &from))
		return;
	switch (below(seed, 8)) {
	case 0:
		take_away(&at);
		break;
	case 1:
		put(&at, json_deep_copy(from.value));
		break;
	case 2:
	case 3:
		add(&at, &from, seed);
		break;
	default:
		put(&at, any_value(at.value, seed));
	}
}

/* Returns the length of the text in out, 0 when it is too long. */
static size_t write_out(const json_t *root, uint8_t *out, size_t cap)
{
	size_t len = json_dumpb(root, (char *)out, cap, JSON_COMPACT);

	return len <= cap ? len : 0;
}

static json_t *parse(const uint8_t *data, size_t size)
{
	return json_loadb((const char *)data, size, JSON_ALLOW_NUL, NULL);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	cleanup_json json_t *root = below(&seed, 8) ? parse(data, size) : NULL;
	size_t len = 0;

	if (root) {
		for (unsigned n = 1 + below(&seed, 3); n; n--)
			change(root, root, &seed);
		len = write_out(root, data, max_size);
	}
	return len ? len : LLVMFuzzerMutate(data, size, max_size);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data, size_t size, const uint8_t *other,
	size_t other_size, uint8_t *out, size_t max_out_size, unsigned seed)
{
	cleanup_json json_t *root = parse(data, size);
	cleanup_json json_t *donor = parse(other, other_size);

	if (!root || !donor)
		return 0;
	for (unsigned n = 1 + below(&seed, 3); n; n--)
		change(root, donor, &seed);
	return write_out(root, out, max_out_size);
}
