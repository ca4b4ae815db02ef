/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The specification's own examples of all three documents: each good one is accepted, each bad one
 * refused with the path of its fault.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "oci/config.h"
#include "oci/schema.h"

#define VECTORS "tests/data/oci-1.3.0"

/* One document; kind is config, features or state. */
static int parse(const char *kind, const char *folder, const char *name, struct err *e)
{
	char path[600];
	struct oci_config config;

	snprintf(path, sizeof(path), "%s/%s/%s/%s", VECTORS, kind, folder, name);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	if (strcmp(kind, "config") == 0) {
		int ret = oci_config_parse_fd(&config, fd, "config.json", e);
		if (ret == 0)
			oci_config_fini(&config);
		return ret;
	}
	cleanup_json json_t *json =
		json_parse_fd(fd, OCI_CONFIG_MAX_BYTES, OCI_CONFIG_MAX_DEPTH, kind, e);
	if (!json)
		return -1;
	return oci_schema_check(
		strcmp(kind, "state") == 0 ? &oci_state_schema : &oci_features_schema, json, NULL,
		e);
}

static unsigned count(const char *kind, const char *folder, bool check)
{
	char path[300];
	struct dirent *entry;
	unsigned n = 0;

	snprintf(path, sizeof(path), "%s/%s/%s", VECTORS, kind, folder);
	DIR *dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		struct err e = {0};
		if (entry->d_name[0] == '.')
			continue;
		if (check && parse(kind, folder, entry->d_name, &e) < 0)
			fail_msg("%s: %s", entry->d_name, e.text);
		n++;
	}
	closedir(dir);
	return n;
}

static void test_good(void **state)
{
	(void)state;
	assert_int_equal(count("config", "good", true), 9);
	assert_int_equal(count("features", "good", true), 2);
	assert_int_equal(count("state", "good", true), 1);
}

static void test_bad(void **state)
{
	static const struct {
		const char *kind, *name, *text;
	} bad[] = {
		{"config", "freebsd-vnet-disable.json",
			"config.json: freebsd.jail.vnet: \"disable\" is not one of new, inherit"},
		{"config", "invalid-json.json", "config.json: line 1, column 2: not valid JSON"},
		{"config", "linux-hugepage.json",
			"config.json: linux.resources.hugepageLimits[0].pageSize: must be"},
		{"config", "linux-netdevice.json",
			"config.json: linux.netDevices.eth0.name: must be a string"},
		{"config", "linux-rdma.json",
			"config.json: linux.resources.rdma.mlx5_1.hcaHandles: must be an integer"},
		{"features", "missing-ociVersionMax.json", "ociVersionMax: is missing"},
		{"state", "invalid-json.json", "state: line 1, column 2: not valid JSON"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err e = {0};
		assert_true(parse(bad[i].kind, "bad", bad[i].name, &e) < 0);
		if (strncmp(e.text, bad[i].text, strlen(bad[i].text)) != 0)
			fail_msg("%s: %s", bad[i].name, e.text);
	}
	/* All of them. */
	assert_int_equal(count("config", "bad", false), 5);
	assert_int_equal(count("features", "bad", false), 1);
	assert_int_equal(count("state", "bad", false), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
