/* SPDX-License-Identifier: Apache-2.0 */
/* The host's configuration: keys, faults, and which annotations count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/settings.h"

/* Loads a text with ' for ". */
static int load(struct settings *settings, const char *text, struct err *e)
{
	char buf[1024], path[32];

	snprintf(buf, sizeof(buf), "%s", text);
	for (char *c = buf; *c; c++)
		if (*c == '\'')
			*c = '"';
	cleanup_close int fd = fd_memfile("settings", buf, strlen(buf));
	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return settings_load(settings, path, e);
}

static void test_keys(void **state)
{
	struct settings s;
	struct err e;

	(void)state;
	assert_int_equal(load(&s, "{}", &e), 0);
	assert_int_equal(s.accel, ACCEL_KVM);
	assert_int_equal(s.vcpus, 0);
	assert_int_equal(s.memory_overhead_mib, 64);
	assert_false(s.vm_namespaces);
	assert_int_equal(s.network, NETWORK_NAMESPACE);
	assert_int_equal(s.spare_interfaces, -1);
	assert_int_equal(s.uid_base, UID_BASE_DEFAULT);
	settings_fini(&s);
	assert_int_equal(load(&s,
				 "{'network':'none','spareInterfaces':0,'rxBytesPerSecond':2000,"
				 "'txBytesPerSecond':3000,'antiSpoof':true,'passt':'/p'}",
				 &e),
		0);
	assert_int_equal(s.network, NETWORK_NONE);
	assert_int_equal(s.spare_interfaces, 0);
	assert_true(s.rx_bytes == 2000 && s.tx_bytes == 3000 && s.anti_spoof);
	settings_fini(&s);
	assert_int_equal(load(&s,
				 "{'accel':'emulation','kernel':'/k','vcpus':4,'memoryMiB':512,"
				 "'cache':'never','hostNamespaces':'vm','debug':true,'threads':3,"
				 "'uidBase':100000,'bootTimeoutSeconds':7}",
				 &e),
		0);
	assert_int_equal(s.boot_timeout_s, 7);
	assert_int_equal(s.accel, ACCEL_EMULATION);
	assert_string_equal(s.kernel, "/k");
	assert_int_equal(s.vcpus, 4);
	assert_int_equal(s.memory_mib, 512);
	assert_int_equal(s.uid_base, 100000);
	assert_string_equal(s.cache, "never");
	assert_true(s.vm_namespaces);
	assert_true(s.debug);
	settings_fini(&s);
}

static void test_faults(void **state)
{
	static const char *const bad[][2] = {
		{"{'acel':'kvm'}", "acel: is not known"},
		{"{'accel':'xen'}", "accel: \"xen\" is not one of kvm, emulation"},
		{"{'vcpus':65}", "vcpus: 65 is larger than 64"},
		{"{'memoryMiB':8}", "memoryMiB: 8 is less than 32"},
		{"{'network':'host'}", "network: \"host\" is not one of namespace, user, none"},
		{"{'spareInterfaces':9}", "spareInterfaces: 9 is larger than 8"},
		{"{'rxBytesPerSecond':1}", "rxBytesPerSecond: 1 is less than 1024"},
		{"{'uidBase':2147483647}", "uidBase: 2147483647 is larger than 2143289343"},
		{"{'annotations':'vcpus'}", "annotations: must be an array"},
		{"[]", "must be an object"},
		{"{", "not valid JSON"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct settings s;
		struct err e;
		assert_true(load(&s, bad[i][0], &e) < 0);
		if (!strstr(e.text, bad[i][1]) || strncmp(e.text, "/proc/self/fd/", 14) != 0)
			fail_msg("%s: %s", bad[i][0], e.text);
		assert_null(s.json);
	}
	struct settings s;
	struct err e;
	assert_int_equal(settings_load(&s, "/no/such/file", &e), -ENOENT);
	assert_non_null(strstr(e.text, "/no/such/file"));
}

static void annotate(const char *allowed, const char *name, const char *value, const char *fault)
{
	struct settings s;
	struct err e;
	char text[128];
	cleanup_json json_t *annotations = json_pack("{s:s, s:s}", "org.other", "x", name, value);

	snprintf(text, sizeof(text), "{'annotations':[%s]}", allowed);
	assert_int_equal(load(&s, text, &e), 0);
	int ret = settings_annotate(&s, annotations, &e);
	if (!fault && ret < 0)
		fail_msg("%s: %s", name, e.text);
	if (fault && (ret == 0 || !strstr(e.text, fault)))
		fail_msg("%s: %s", name, ret ? e.text : "accepted");
	if (ret == 0 && strcmp(name, "dev.hvrun.vcpus") == 0)
		assert_int_equal(s.vcpus_forced, 3);
	if (ret == 0 && strcmp(name, "dev.hvrun.accel") == 0)
		assert_int_equal(s.accel, ACCEL_EMULATION);
	settings_fini(&s);
}

static void test_annotations(void **state)
{
	(void)state;
	annotate("", "dev.other.vcpus", "3", NULL);
	annotate("'vcpus'", "dev.hvrun.vcpus", "3", NULL);
	annotate("'memoryMiB','accel'", "dev.hvrun.accel", "emulation", NULL);
	annotate("'cache'", "dev.hvrun.cache", "always", NULL);
	annotate("'network'", "dev.hvrun.network", "user", NULL);
	annotate("'network'", "dev.hvrun.network", "host", "there are namespace, user and none");
	annotate("", "dev.hvrun.net.antiSpoof", "false", "not allowed");
	annotate("'net.antiSpoof'", "dev.hvrun.net.antiSpoof", "true", NULL);
	annotate("'net.antiSpoof'", "dev.hvrun.net.antiSpoof", "1", "must be true or false");
	annotate("'net.rxBytesPerSecond'", "dev.hvrun.net.rxBytesPerSecond", "1000000", NULL);
	annotate("'net.txBytesPerSecond'", "dev.hvrun.net.txBytesPerSecond", "-1", "must be a number");
	annotate("'net.txBytesPerSecond'", "dev.hvrun.net.txBytesPerSecond", "9x", "must be a number");
	/* Denied unless the host names it; and a name that means nothing is a fault. */
	annotate("", "dev.hvrun.vcpus", "3",
		"config.json: annotations[\"dev.hvrun.vcpus\"]: not allowed");
	annotate("'vcpus'", "dev.hvrun.kernel", "/k", "not allowed");
	annotate("'colour'", "dev.hvrun.colour", "red", "is not known");
	annotate("'vcpus'", "dev.hvrun.vcpus", "1000", "must be a number from 1 to 64");
	annotate("'memoryMiB'", "dev.hvrun.memoryMiB", "1", "must be a number");
	annotate("'accel'", "dev.hvrun.accel", "xen", "is not an engine");
	annotate("'cache'", "dev.hvrun.cache", "some", "must be auto, never or always");
}

/* A kernel that somebody names does not get the modules that the host has for its own. */
static void test_kernel(void **state)
{
	struct settings s;
	struct err e;
	cleanup_json json_t *annotations =
		json_pack("{s:s, s:s}", "dev.hvrun.modules", "/mine", "dev.hvrun.kernel", "/other");
	static const char text[] = "{'kernel':'/k','modules':'/m','discovery':'acpi',"
				   "'annotations':['kernel','modules']}";

	(void)state;
	assert_int_equal(load(&s, text, &e), 0);
	settings_use_kernel(&s, "/bundle");
	assert_string_equal(s.kernel, "/bundle");
	assert_null(s.modules);
	assert_null(s.discovery);
	settings_fini(&s);
	assert_int_equal(load(&s, text, &e), 0);
	assert_int_equal(settings_annotate(&s, annotations, &e), 0);
	assert_string_equal(s.kernel, "/other");
	assert_string_equal(s.modules, "/mine");
	assert_null(s.discovery);
	settings_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_annotations),
		cmocka_unit_test(test_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
