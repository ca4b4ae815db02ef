/* SPDX-License-Identifier: Apache-2.0 */
/* The specification's own examples: each good one is accepted, each bad one refused by its path. */
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
#include "oci/config.h"

#define VECTORS "tests/data/oci-1.3.0"

static int parse(const char *folder, const char *name, struct err *e)
{
	char path[300];
	struct oci_config config;

	snprintf(path, sizeof(path), "%s/%s/%s", VECTORS, folder, name);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	int ret = oci_config_parse_fd(&config, fd, "config.json", e);
	if (ret == 0)
		oci_config_fini(&config);
	return ret;
}

static void test_good(void **state)
{
	DIR *dir = opendir(VECTORS "/good");
	struct dirent *entry;
	unsigned n = 0;

	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		struct err e = {0};
		if (entry->d_name[0] == '.')
			continue;
		if (parse("good", entry->d_name, &e) < 0)
			fail_msg("%s: %s", entry->d_name, e.text);
		n++;
	}
	closedir(dir);
	assert_int_equal(n, 9);
}

static void test_bad(void **state)
{
	static const struct {
		const char *name, *text;
	} bad[] = {
		{"freebsd-vnet-disable.json", "config.json: freebsd.jail.vnet: \"disable\" is not"},
		{"invalid-json.json", "config.json: line 1, column 2: not valid JSON"},
		{"linux-hugepage.json",
			"config.json: linux.resources.hugepageLimits[0].pageSize: must be"},
		{"linux-netdevice.json",
			"config.json: linux.netDevices.eth0.name: must be a string"},
		{"linux-rdma.json",
			"config.json: linux.resources.rdma.mlx5_1.hcaHandles: must be an integer"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err e = {0};
		assert_true(parse("bad", bad[i].name, &e) < 0);
		if (strncmp(e.text, bad[i].text, strlen(bad[i].text)) != 0)
			fail_msg("%s: %s", bad[i].name, e.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
