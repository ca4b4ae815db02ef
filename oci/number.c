/* SPDX-License-Identifier: Apache-2.0 */
/* Integers that jansson can't hold; see number.h. */
#include "oci/number.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The mark: a control character that no OCI string has a use for, written as JSON demands. */
#define MARK	  '\x01'
#define MARK_JSON "\"\\u0001"

#define MARK_DIGITS_MIN 19 /* 2^63 and 2^64 have 19 and 20 digits */
#define MARK_DIGITS_MAX 20

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Decimal digits to a number; false over UINT64_MAX. */
static bool digits_parse(const char *digits, size_t n, uint64_t *number)
{
	uint64_t value = 0;

	for (size_t i = 0; i < n; i++)
		if (__builtin_mul_overflow(value, 10u, &value) ||
			__builtin_add_overflow(value, (uint64_t)(digits[i] - '0'), &value))
			return false;
	*number = value;
	return true;
}

/*
 * Finds the next integer from 2^63 to 2^64 - 1 at or behind *at, outside of strings: its place in
 * *at and its length, or 0.
 */
static size_t next_large(const char *text, size_t len, size_t *at)
{
	size_t i = *at;

	while (i < len) {
		if (text[i] == '"') {
			for (i++; i < len && text[i] != '"'; i++)
				if (text[i] == '\\')
					i++;
			i++;
			continue;
		}
		if (!is_digit(text[i])) {
			i++;
			continue;
		}
		size_t start = i;
		while (i < len && is_digit(text[i]))
			i++;
		size_t n = i - start;
		char before = start ? text[start - 1] : ' ', after = i < len ? text[i] : ' ';
		uint64_t number;
		if (n < MARK_DIGITS_MIN || n > MARK_DIGITS_MAX || text[start] == '0' ||
			before == '-' || before == '.' || before == '+' || before == 'e' ||
			before == 'E' || after == '.' || after == 'e' || after == 'E')
			continue;
		if (!digits_parse(text + start, n, &number) || number <= INT64_MAX)
			continue;
		*at = start;
		return n;
	}
	return 0;
}

int oci_number_mark(const char *text, size_t len_bytes, char **out, size_t *out_len_bytes)
{
	size_t count = 0, at = 0, n;

	*out = NULL;
	while ((n = next_large(text, len_bytes, &at))) {
		count++;
		at += n;
	}
	if (!count)
		return 0;
	char *buf = malloc(len_bytes + count * sizeof(MARK_JSON) + 1);
	if (!buf)
		return -ENOMEM;
	size_t used = 0, done = 0;
	at = 0;
	while ((n = next_large(text, len_bytes, &at))) {
		memcpy(buf + used, text + done, at - done);
		used += at - done;
		memcpy(buf + used, MARK_JSON, sizeof(MARK_JSON) - 1);
		used += sizeof(MARK_JSON) - 1;
		memcpy(buf + used, text + at, n);
		used += n;
		buf[used++] = '"';
		at += n;
		done = at;
	}
	memcpy(buf + used, text + done, len_bytes - done);
	*out_len_bytes = used + len_bytes - done;
	buf[*out_len_bytes] = '\0';
	*out = buf;
	return 0;
}

static bool marked(const json_t *value, uint64_t *number)
{
	if (!json_is_string(value))
		return false;
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);
	if (text[0] != MARK || len < 1 + MARK_DIGITS_MIN || len > 1 + MARK_DIGITS_MAX)
		return false;
	for (size_t i = 1; i < len; i++)
		if (!is_digit(text[i]))
			return false;
	return digits_parse(text + 1, len - 1, number);
}

bool oci_number_marked(const json_t *value)
{
	uint64_t number;

	return marked(value, &number);
}

int oci_number_get(const json_t *value, uint64_t *number)
{
	if (json_is_integer(value)) {
		json_int_t signed_number = json_integer_value(value);
		if (signed_number < 0)
			return -EINVAL;
		*number = (uint64_t)signed_number;
		return 0;
	}
	return marked(value, number) ? 0 : -EINVAL;
}

int oci_number_fold(json_t *value)
{
	uint64_t number;
	int ret = 0;

	if (json_is_object(value)) {
		const char *key;
		json_t *member;
		json_object_foreach (value, key, member) {
			if (marked(member, &number))
				/* Setting an existing key keeps the iterator valid. */
				ret = json_object_set_new(
					      value, key, json_integer((json_int_t)number)) < 0
					? -ENOMEM
					: 0;
			else
				ret = oci_number_fold(member);
			if (ret < 0)
				return ret;
		}
	} else if (json_is_array(value)) {
		for (size_t i = 0; i < json_array_size(value) && !ret; i++) {
			json_t *item = json_array_get(value, i);
			if (!marked(item, &number))
				ret = oci_number_fold(item);
			else if (json_array_set_new(value, i, json_integer((json_int_t)number)) < 0)
				ret = -ENOMEM;
		}
	}
	return ret;
}
