/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded JSON: parsing ends with a value or a message, no deeper than allowed, from a file as from
 * memory; any text becomes a string; and marking large integers changes nothing but these.
 *
 * Covers: base/json.c oci/number.c
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

/* The same from a file, but for one that is too large by a byte. */
static void check_file(const uint8_t *data, size_t size, const json_t *plain)
{
	static int fd = -1;
	struct err e = {0};

	if (fd < 0)
		fd = memfd_create("json", MFD_CLOEXEC);
	if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	(void)lseek(fd, 0, SEEK_SET);
	cleanup_json json_t *value = json_parse_fd(fd, size, DEPTH, "a file", &e);
	if (plain ? !json_equal(plain, value) : value || !e.text[0])
		abort();
	(void)lseek(fd, 0, SEEK_SET);
	if (size && (json_parse_fd(fd, size - 1, DEPTH, "a file", &e) || e.code != EFBIG))
		abort();
}

/* Whatever it is, it becomes a string with as many bytes, those of ASCII as they were. */
static void check_text(const uint8_t *data, size_t size)
{
	cleanup_free char *text = strndup((const char *)data, size);
	cleanup_json json_t *value = json_text(text);
	const char *clean = json_string_value(value);

	if (!clean || json_string_length(value) != strlen(text))
		abort();
	for (size_t i = 0; text[i]; i++)
		if (clean[i] != text[i] && (clean[i] != '?' || !((uint8_t)text[i] & 0x80)))
			abort();
}

/* Members as integers: marked ones from 2^63 on, others as jansson has them. */
static void check_integers(const json_t *object)
{
	const char *key;
	json_t *member;

	json_object_foreach ((json_t *)(uintptr_t)object, key, member) {
		json_int_t want = json_integer_value(member), number = 0;
		bool is = json_is_integer(member);
		uint64_t unsigned_number = 0;
		if (json_integer_in(object, key, -1, INT64_MAX, &number) != (is && want >= -1))
			abort();
		if (is && want >= -1 && number != want)
			abort();
		int ret = oci_number_get(member, &unsigned_number);
		if ((ret == 0) != ((is && want >= 0) || oci_number_marked(member)))
			abort();
		if (ret == 0 &&
			(is ? unsigned_number != (uint64_t)want : unsigned_number >> 63 == 0))
			abort();
	}
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
	check_file(data, size, plain);
	check_text(data, size);
	if (plain)
		check_integers(plain);
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
	check_integers(other);
	/* A text that is nothing but a number has no place to be folded in. */
	if (oci_number_marked(other))
		return 0;
	if (oci_number_fold(other) < 0 || any_marked(other))
		abort();
	return 0;
}
