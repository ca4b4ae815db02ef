/* SPDX-License-Identifier: Apache-2.0 */
/* Rules for devices of the host; see devrules.h. As guestinit/devcg_bpf.c reads them. */
#include "runtime/devrules.h"

#include <stdbool.h>
#include <string.h>

#define ANY (-1)

static bool number_matches(const json_t *rule, const char *key, unsigned number)
{
	const json_t *value = json_object_get(rule, key);
	json_int_t wanted = json_is_integer(value) ? json_integer_value(value) : ANY;

	return wanted == ANY || wanted == (json_int_t)number;
}

static bool rule_matches(const json_t *rule, unsigned major, unsigned minor)
{
	const char *type = json_string_value(json_object_get(rule, "type"));

	if (type && *type && strcmp(type, "a") != 0 && strcmp(type, "b") != 0)
		return false;
	return number_matches(rule, "major", major) && number_matches(rule, "minor", minor);
}

static unsigned rule_access(const json_t *rule)
{
	const char *text = json_string_value(json_object_get(rule, "access"));
	unsigned access = 0;

	if (!text || !*text)
		return DEVRULES_READ | DEVRULES_WRITE | DEVRULES_MKNOD;
	access |= strchr(text, 'r') ? DEVRULES_READ : 0;
	access |= strchr(text, 'w') ? DEVRULES_WRITE : 0;
	access |= strchr(text, 'm') ? DEVRULES_MKNOD : 0;
	return access;
}

unsigned devrules_block(const json_t *resources, unsigned major, unsigned minor)
{
	const json_t *rules = json_object_get(resources, "devices");
	unsigned granted = 0;

	for (size_t i = 0; i < json_array_size(rules); i++) {
		const json_t *rule = json_array_get(rules, i);
		if (!rule_matches(rule, major, minor))
			continue;
		if (json_is_true(json_object_get(rule, "allow")))
			granted |= rule_access(rule);
		else
			granted &= ~rule_access(rule);
	}
	return granted;
}
