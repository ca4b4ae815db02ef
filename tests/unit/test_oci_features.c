/* SPDX-License-Identifier: Apache-2.0 */
/* The features document: valid, and true to what guestinit knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "guestinit/caps.h"
#include "guestinit/create.h"
#include "guestinit/mount_options.h"
#include "guestinit/seccomp.h"
#include "oci/config.h"
#include "oci/features.h"
#include "oci/schema.h"

static json_t *features;

static int make(void **state)
{
	(void)state;
	features = oci_features("0.0");
	return features ? 0 : -1;
}

static int drop(void **state)
{
	(void)state;
	json_decref(features);
	return 0;
}

static const json_t *at(const char *path)
{
	const json_t *value = oci_lookup(features, path);

	assert_non_null(value);
	return value;
}

static bool lists(const char *path, const char *word)
{
	const json_t *list = at(path);

	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_array_get(list, i)), word) == 0)
			return true;
	return false;
}

static const char *word_at(const char *path, size_t i)
{
	return json_string_value(json_array_get(at(path), i));
}

static void test_valid(void **state)
{
	struct err e;

	(void)state;
	if (oci_schema_check(&oci_features_schema, features, NULL, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(json_string_value(at("ociVersionMax")), "1.3.0");
	assert_int_equal(json_array_size(at("hooks")), 6);
	assert_int_equal(json_array_size(at("linux.namespaces")), 8);
}

static bool mount_option_known(const char *word)
{
	struct arena arena = {0};
	struct mount_options parsed;
	struct strings words = {.v = &word, .n = 1};

	assert_int_equal(mount_options_parse(&arena, &words, &parsed), 0);
	bool known = parsed.n_data == 0;
	arena_fini(&arena);
	return known;
}

/* Every word that there might be is in the list exactly if guestinit takes it for its own. */
static void test_mount_options(void **state)
{
	static const char *const plain[] = {"acl", "async", "atime", "bind", "defaults", "dev",
		"diratime", "dirsync", "exec", "idmap", "iversion", "lazytime", "loud", "mand",
		"private", "relatime", "remount", "ro", "rw", "shared", "silent", "slave",
		"strictatime", "suid", "symfollow", "sync", "tmpcopyup", "unbindable", "mode=755",
		"size=65536k", "user", "auto", "context", "quiet", "newinstance", "nr_inodes"};
	static const char *const before[] = {"", "no", "r", "rno", "un", "ri"};
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		for (size_t k = 0; k < sizeof(before) / sizeof(before[0]); k++) {
			char word[40];
			snprintf(word, sizeof(word), "%s%s", before[k], plain[i]);
			bool known = mount_option_known(word);
			if (known != lists("mountOptions", word))
				fail_msg("\"%s\" is %s", word, known ? "not listed" : "not known");
			n += known;
		}
	}
	assert_int_equal(n, json_array_size(at("mountOptions")));
}

static void test_capabilities(void **state)
{
	uint64_t seen = 0;

	(void)state;
	size_t n = json_array_size(at("linux.capabilities"));
	for (size_t i = 0; i < n; i++) {
		int number = caps_number(word_at("linux.capabilities", i));
		assert_in_range(number, 0, 63);
		seen |= UINT64_C(1) << number;
	}
	/* The lowest n, each once: all that there are. */
	assert_true(seen == (UINT64_C(1) << n) - 1);
	assert_int_equal(n, 41);
}

/* Whether guestinit takes a filter with one word of the specification at a time. */
static bool seccomp_known(const char *action, const char *op, const char *arch, const char *flag)
{
	struct cfg_seccomp_arg arg = {.op = op};
	const char *name = "getpid";
	struct cfg_seccomp_rule rule = {.names = {.v = &name, .n = 1}, .action = action};
	struct cfg_seccomp config = {.set = true,
		.default_action = "SCMP_ACT_ALLOW",
		.architectures = {.v = &arch, .n = 1},
		.flags = {.v = &flag, .n = 1}};
	uint32_t flags;
	struct err e;

	rule.args.v = &arg;
	rule.args.n = 1;
	config.rules.v = &rule;
	config.rules.n = 1;
	return guest_seccomp_check(&config, &flags, &e) == 0;
}

static void test_seccomp(void **state)
{
	static const char action[] = "SCMP_ACT_ERRNO", op[] = "SCMP_CMP_EQ",
			  arch[] = "SCMP_ARCH_X86_64", flag[] = "SECCOMP_FILTER_FLAG_LOG";
	const char *const *word;

	(void)state;
	assert_true(seccomp_known(action, op, arch, flag));
	for (word = oci_seccomp_action.words; *word; word++)
		assert_int_equal(lists("linux.seccomp.actions", *word),
			seccomp_known(*word, op, arch, flag));
	for (word = oci_seccomp_op.words; *word; word++)
		assert_int_equal(lists("linux.seccomp.operators", *word),
			seccomp_known(action, *word, arch, flag));
	for (word = oci_seccomp_arch.words; *word; word++)
		assert_int_equal(lists("linux.seccomp.archs", *word),
			seccomp_known(action, op, *word, flag));
	for (word = oci_seccomp_flag.words; *word; word++) {
		bool known = seccomp_known(action, op, arch, *word);
		assert_int_equal(lists("linux.seccomp.knownFlags", *word), known);
		assert_int_equal(lists("linux.seccomp.supportedFlags", *word), known);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_mount_options),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_seccomp),
	};

	return cmocka_run_group_tests(tests, make, drop);
}
