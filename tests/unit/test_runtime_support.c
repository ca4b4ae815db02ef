/* SPDX-License-Identifier: Apache-2.0 */
/* What a valid configuration asks for in vain is refused by its path; what asks for nothing is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/support.h"

#define NAMESPACES "'namespaces':[{'type':'pid'},{'type':'network'},{'type':'ipc'}]"

/* rest follows process and root; section is the inside of linux. */
static int check(
	const char *rest, const char *section, const struct settings *settings, struct err *e)
{
	char text[4096];
	struct oci_config config;

	snprintf(text, sizeof(text),
		"{'ociVersion':'1.0.0','process':{'args':['a'],'cwd':'/'},'root':{'path':'r'}%s%s,"
		"'linux':{%s}}",
		*rest ? "," : "", rest, section);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	if (oci_config_parse(&config, text, strlen(text), "config.json", e) < 0)
		fail_msg("%s", e->text);
	int ret = support_check(&config, settings, e);
	oci_config_fini(&config);
	return ret;
}

static void accept(const char *rest, const char *section)
{
	struct settings settings = {0};
	struct err e;
	char text[2048];

	snprintf(text, sizeof(text), NAMESPACES "%s%s", *section ? "," : "", section);
	if (check(rest, text, &settings, &e) < 0)
		fail_msg("%s %s: %s", rest, section, e.text);
}

static void refuse(const char *rest, const char *section, const char *path)
{
	struct settings settings = {0};
	struct err e;
	char text[2048], want[256];

	snprintf(text, sizeof(text), NAMESPACES "%s%s", *section ? "," : "", section);
	snprintf(want, sizeof(want), "config.json: %s", path);
	if (check(rest, text, &settings, &e) == 0)
		fail_msg("accepted: %s %s", rest, section);
	if (strncmp(e.text, want, strlen(want)) != 0)
		fail_msg("%s, not %s", e.text, want);
}

static void test_fields(void **state)
{
	(void)state;
	accept("", "");
	accept("", "'netDevices':{'eth0':{}}");
	refuse("", "'intelRdt':{'closID':'a'}", "linux.intelRdt: ");
	refuse("", "'memoryPolicy':{'mode':'MPOL_BIND'}", "linux.memoryPolicy: ");
	refuse("", "'seccomp':{'defaultAction':'SCMP_ACT_ALLOW','listenerPath':'/s'}",
		"linux.seccomp.listenerPath: ");
	refuse("", "'resources':{'rdma':{'x':{'hcaHandles':1}}}", "linux.resources.rdma: ");
	refuse("", "'resources':{'network':{'classID':1}}", "linux.resources.network.classID: ");
	refuse("", "'resources':{'memory':{'swappiness':10}}",
		"linux.resources.memory.swappiness: ");
	refuse("", "'resources':{'memory':{'disableOOMKiller':true}}",
		"linux.resources.memory.disableOOMKiller: ");
	refuse("", "'resources':{'blockIO':{'weight':500}}", "linux.resources.blockIO.weight: ");
	refuse("", "'resources':{'cpu':{'realtimeRuntime':5}}",
		"linux.resources.cpu.realtimeRuntime: ");
	/* What callers write when they mean nothing. */
	accept("'hooks':{'prestart':[]}",
		"'netDevices':{},'resources':{'network':{'classID':0,'priorities':[]},'memory':"
		"{'disableOOMKiller':false,'kernelTCP':-1,'swappiness':0},'blockIO':{'weight':0},"
		"'rdma':{}}");
	accept("", "'mountLabel':'system_u:object_r:container_t','cgroupsPath':'/a/b'");
	refuse("'vm':{'kernel':{'path':'/k','initrd':'/i'}}", "", "vm.kernel.initrd: ");
	refuse("'vm':{'kernel':{'path':'/k'},'image':{'path':'/i','format':'vmdk'}}", "",
		"vm.image.format: vmdk: ");
	accept("'vm':{'kernel':{'path':'/k'},'image':{'path':'/i','format':'raw'}}", "");
	refuse("'vm':{'kernel':{'path':'/k'},'hwConfig':{'deviceTree':'/d'}}", "",
		"vm.hwConfig.deviceTree: ");
	refuse("'vm':{'kernel':{'path':'/k'},'hwConfig':{'irqs':[5]}}", "", "vm.hwConfig.irqs: ");
	refuse("'vm':{'kernel':{'path':'/k'},'hwConfig':{'vcpus':65}}", "", "vm.hwConfig.vcpus: ");
	refuse("'vm':{'kernel':{'path':'/k'},'hypervisor':{'path':'/q'}}", "",
		"vm.hypervisor.path: ");
	accept("'vm':{'kernel':{'path':'/k'},'hwConfig':{'vcpus':2,'memory':67108864}}", "");
}

static void test_namespaces(void **state)
{
	static const char *const missing[] = {
		"'namespaces':[{'type':'pid'},{'type':'ipc'}]",
		"'namespaces':[{'type':'network'},{'type':'ipc'}]",
		"'namespaces':[{'type':'network'},{'type':'pid'}]",
		"",
	};
	struct settings settings = {0};
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
		settings.vm_namespaces = false;
		assert_int_equal(check("", missing[i], &settings, &e), -ENOTSUP);
		assert_non_null(strstr(e.text, "config.json: linux.namespaces: "));
		settings.vm_namespaces = true;
		assert_int_equal(check("", missing[i], &settings, &e), 0);
	}
	/* A network of the host is joined by its namespace, or not at all. */
	settings.vm_namespaces = false;
	assert_int_equal(
		check("", "'namespaces':[{'type':'pid'},{'type':'ipc'}]", &settings, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "no network namespace: a virtual machine can't share"));
	assert_non_null(strstr(e.text, "--network=user"));
	settings.network = NETWORK_USER;
	assert_int_equal(
		check("", "'namespaces':[{'type':'pid'},{'type':'ipc'}]", &settings, &e), 0);
	settings.network = NETWORK_NAMESPACE;
	assert_int_equal(check("",
				 "'namespaces':[{'type':'ipc'},{'type':'pid'},{'type':'network',"
				 "'path':'/n'}]",
				 &settings, &e),
		0);
	settings.vm_namespaces = true;
	assert_int_equal(check("", "'netDevices':{'eth0':{}}", &settings, &e), -EINVAL);
	assert_non_null(strstr(e.text, "config.json: linux.netDevices: "));
	/* No setting makes another namespace of the host reachable. */
	assert_int_equal(
		check("", "'namespaces':[{'type':'ipc','path':'/proc/1/ns/ipc'}]", &settings, &e),
		-ENOTSUP);
	assert_non_null(strstr(e.text, "config.json: linux.namespaces[0].path: "));
}

static void test_devices_and_mounts(void **state)
{
	(void)state;
	accept("",
		"'devices':[{'type':'c','path':'/dev/fuse','major':10,'minor':229},"
		"{'type':'p','path':'/dev/pipe'},{'type':'b','path':'/dev/b','major':8,"
		"'minor':0}]");
	refuse("", "'devices':[{'type':'c','path':'/dev/nvidia0','major':195,'minor':0}]",
		"linux.devices[0]: /dev/nvidia0: character device 195:0 is not passed");
}

#define MAPPINGS                                                                                   \
	"'uidMappings':[{'containerID':0,'hostID':1,'size':1}],"                                   \
	"'gidMappings':[{'containerID':0,'hostID':1,'size':1}]"

static void test_mapped_ids(void **state)
{
	const char *mapped =
		"'mounts':[{'destination':'/a','source':'/b','options':['bind']," MAPPINGS "}]";

	(void)state;
	if (geteuid() == 0)
		accept(mapped, "");
	else
		refuse(mapped, "", "mounts[0].uidMappings: mapped ids need root");
	refuse("'mounts':[{'destination':'/a','source':'/b','options':['bind','ridmap']}]", "",
		"mounts[0].options: idmap needs uidMappings");
	refuse("'mounts':[{'destination':'/a','type':'tmpfs'," MAPPINGS "}]", "",
		"mounts[0].uidMappings: mapped ids: only a bind mount");
	refuse("'mounts':[{'destination':'/a','type':'tmpfs','options':['idmap']}]", "",
		"mounts[0].options: mapped ids: only a bind mount");
}

static void test_other_platforms(void **state)
{
	struct settings settings = {0};
	struct oci_config config;
	struct err e;
	static const char *const texts[][2] = {
		{"{\"ociVersion\":\"0.5.0\",\"linux\":{}}", "config.json: ociVersion: 0.5.0: "},
		{"{\"ociVersion\":\"2.0.0\",\"linux\":{}}", "config.json: ociVersion: 2.0.0: "},
		{"{\"ociVersion\":\"1.0.0\",\"windows\":{}}", "config.json: windows: "},
		{"{\"ociVersion\":\"1.3.0\",\"freebsd\":{}}", "config.json: freebsd: "},
		{"{\"ociVersion\":\"1.3.0\",\"zos\":{}}", "config.json: zos: "},
		{"{\"ociVersion\":\"1.3.0\",\"linux\":{}}", "config.json: process: is missing"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(oci_config_parse(&config, texts[i][0], strlen(texts[i][0]),
					 "config.json", &e),
			0);
		assert_true(support_check(&config, &settings, &e) < 0);
		if (strncmp(e.text, texts[i][1], strlen(texts[i][1])) != 0)
			fail_msg("%s", e.text);
		oci_config_fini(&config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_namespaces),
		cmocka_unit_test(test_devices_and_mounts),
		cmocka_unit_test(test_mapped_ids),
		cmocka_unit_test(test_other_platforms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
