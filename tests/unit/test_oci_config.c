/* SPDX-License-Identifier: Apache-2.0 */
/* config.json: types, rules and messages, bounds, and what the struct holds afterwards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oci/config.h"
#include "oci/schema.h"

/* A text with ' for ", wrapped in what every configuration has. */
static char *config_text(const char *inner)
{
	char *text = NULL;

	if (asprintf(&text, "{'ociVersion':'1.0.2'%s%s}", *inner ? "," : "", inner) < 0)
		abort();
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	return text;
}

static int parse(struct oci_config *config, const char *inner, struct err *e)
{
	char *text = config_text(inner);
	int ret = oci_config_parse(config, text, strlen(text), "config.json", e);

	free(text);
	return ret;
}

static void accept(const char *inner)
{
	struct oci_config config;
	struct err e = {0};

	if (parse(&config, inner, &e) < 0)
		fail_msg("%s: %s", inner, e.text);
	oci_config_fini(&config);
}

/* The message is "config.json: " and then begins with `text`. */
static void refuse(const char *inner, const char *text)
{
	struct oci_config config;
	struct err e = {0};

	if (parse(&config, inner, &e) == 0)
		fail_msg("accepted: %s", inner);
	assert_true(strncmp(e.text, "config.json: ", 13) == 0);
	if (strncmp(e.text + 13, text, strlen(text)) != 0)
		fail_msg("%s: %s, not %s", inner, e.text, text);
	assert_null(config.json);
}

static void test_types(void **state)
{
	(void)state;
	refuse("'process':[]", "process: must be an object");
	refuse("'process':{'args':'sh','cwd':'/'}", "process.args: must be an array");
	refuse("'process':{'args':['sh',1],'cwd':'/'}", "process.args[1]: must be a string");
	refuse("'process':{'args':['sh']}", "process.cwd: is missing");
	refuse("'process':{'args':['sh'],'cwd':'/','terminal':1}",
		"process.terminal: must be true or false");
	refuse("'process':{'args':['sh'],'cwd':'/','user':{'uid':-1}}",
		"process.user.uid: -1 is less than 0");
	refuse("'process':{'args':['sh'],'cwd':'/','user':{'uid':4294967296}}",
		"process.user.uid: 4294967296 is larger than 4294967295");
	refuse("'process':{'args':['sh'],'cwd':'/','user':{'uid':1.5}}",
		"process.user.uid: must be an integer");
	refuse("'process':{'args':['sh'],'cwd':'/','user':{'uid':18446744073709551615}}",
		"process.user.uid: 18446744073709551615 is larger than 4294967295");
	refuse("'mounts':[{'destination':'/a'},{'destination':7}]",
		"mounts[1].destination: must be a string");
	refuse("'mounts':[{'source':'/a'}]", "mounts[0].destination: is missing");
	refuse("'linux':{'netDevices':{'a/b':{}}}",
		"linux.netDevices[\"a/b\"]: is not the name of a network device");
	refuse("'linux':{'netDevices':{'eth0':{'name':'sixteen-letters-'}}}",
		"linux.netDevices.eth0.name: \"sixteen-letters-\" is not the name of");
	refuse("'linux':{'netDevices':{'eth0':{},'eth1':{'name':'eth0'}}}",
		"linux.netDevices.eth1: \"eth0\" would be the name of \"eth0\", too");
	refuse("'root':{}", "root.path: is missing");
	refuse("'linux':{'namespaces':[{'type':'net'}]}",
		"linux.namespaces[0].type: \"net\" is not one of mount, pid, network");
	refuse("'linux':{'seccomp':{}}", "linux.seccomp.defaultAction: is missing");
	refuse("'linux':{'seccomp':{'defaultAction':'SCMP_ACT_ALLOW','syscalls':[{'names':[],"
	       "'action':'SCMP_ACT_ERRNO'}]}}",
		"linux.seccomp.syscalls[0].names: must not be empty");
	refuse("'annotations':{'a b':1}", "annotations[\"a b\"]: must be a string");
	refuse("'vm':{}", "vm.kernel: is missing");
	refuse("'hooks':{'poststop':[{'path':'/a','timeout':0}]}",
		"hooks.poststop[0].timeout: 0 is less than 1");
	refuse("'linux':{'devices':[{'type':'x','path':'/dev/x'}]}",
		"linux.devices[0].type: must be one of c, b, u and p, not \"x\"");
	refuse("'linux':{'devices':[{'type':'c','path':'/dev/x','major':1,'minor':3,"
	       "'fileMode':512}]}",
		"linux.devices[0].fileMode: 512 is larger than 511");
	refuse("'hostname':null", "hostname: must be a string");
}

static void test_destinations(void **state)
{
	struct oci_config config;
	struct err e = {0};

	(void)state;
	assert_int_equal(
		parse(&config, "'linux':{},'mounts':[{'destination':'a/b'},{'destination':'/c'}]",
			&e),
		0);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(config.mounts, 0), "destination")),
		"/a/b");
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(config.mounts, 1), "destination")),
		"/c");
	oci_config_fini(&config);
}

static void test_propagation(void **state)
{
	(void)state;
	accept("'linux':{'rootfsPropagation':'slave'}");
	accept("'linux':{'rootfsPropagation':'rslave'}");
	refuse("'linux':{'rootfsPropagation':'rslaves'}", "linux.rootfsPropagation: ");
}

static void test_rules(void **state)
{
	(void)state;
	refuse("'process':{'args':[],'cwd':'/'}", "process.args: must not be empty");
	refuse("'process':{'cwd':'/'}", "process.args: must not be empty");
	refuse("'process':{'args':['sh'],'cwd':'/','env':['A=','B']}",
		"process.env[1]: invalid environment variable: \"B\"");
	refuse("'process':{'args':['sh'],'cwd':'/','env':['=B']}",
		"process.env[0]: environment variable name can't be empty: \"=B\"");
	refuse("'process':{'args':['sh'],'cwd':'x'}", "process.cwd: must be absolute");
	refuse("'process':{'args':['sh'],'cwd':''}", "process.cwd: must not be empty");
	refuse("'process':{'args':['sh'],'cwd':'/','oomScoreAdj':1001}", "process.oomScoreAdj: ");
	refuse("'process':{'args':['sh'],'cwd':'/','user':{'umask':512}}", "process.user.umask: ");
	refuse("'process':{'args':['sh'],'cwd':'/','rlimits':[{'type':'RLIMIT_X','soft':1,"
	       "'hard':1}]}",
		"process.rlimits[0].type: \"RLIMIT_X\" is not known");
	refuse("'process':{'args':['sh'],'cwd':'/','rlimits':[{'type':'RLIMIT_CPU','soft':1,"
	       "'hard':1},{'type':'RLIMIT_CPU','soft':1,'hard':1}]}",
		"process.rlimits[1].type: \"RLIMIT_CPU\" is given twice");
	refuse("'process':{'args':['sh'],'cwd':'/','rlimits':[{'type':'RLIMIT_CPU','soft':2,"
	       "'hard':1}]}",
		"process.rlimits[0].soft: 2 is larger than the hard limit, 1");
	refuse("'mounts':[{'destination':'/a'},{'destination':''}]",
		"mounts[1].destination: must not be empty");
	refuse("'mounts':[{'destination':'/a','options':['rbind']}]",
		"mounts[0].source: is missing from a bind mount");
	refuse("'mounts':[{'destination':'/a','uidMappings':[{'containerID':0,'hostID':0,"
	       "'size':1}]}]",
		"mounts[0].gidMappings: is missing");
	refuse("'root':{'path':''}", "root.path: must not be empty");
	refuse("'hooks':{'prestart':[{'path':'a'}]}", "hooks.prestart[0].path: must be absolute");
	refuse("'linux':{'namespaces':[{'type':'pid'},{'type':'pid'}]}",
		"linux.namespaces[1].type: \"pid\" is given twice");
	refuse("'linux':{'namespaces':[{'type':'pid','path':'ns'}]}",
		"linux.namespaces[0].path: must be absolute");
	refuse("'hostname':'a','linux':{}", "hostname: needs a namespace of type uts");
	refuse("'linux':{'timeOffsets':{'boottime':{'secs':1}}}",
		"linux.timeOffsets: needs a namespace of type time");
	refuse("'linux':{'namespaces':[{'type':'time'}],'timeOffsets':{'boottime':"
	       "{'nanosecs':1000000000}}}",
		"linux.timeOffsets.boottime.nanosecs: must be less than");
	refuse("'linux':{'uidMappings':[{'containerID':0,'hostID':0,'size':1}]}",
		"linux.uidMappings: needs a namespace of type user");
	refuse("'linux':{'devices':[{'type':'c','path':'/dev/x','major':1}]}",
		"linux.devices[0].minor: is missing");
	refuse("'linux':{'devices':[{'type':'c','path':'dev','major':1,'minor':1}]}",
		"linux.devices[0].path: must be absolute");
	refuse("'linux':{'maskedPaths':['/a','b']}", "linux.maskedPaths[1]: must be absolute");
	refuse("'linux':{'readonlyPaths':['b']}", "linux.readonlyPaths[0]: must be absolute");
	refuse("'linux':{'sysctl':{'../x':'1'}}",
		"linux.sysctl[\"../x\"]: is not the name of a sysctl");
	refuse("'linux':{'seccomp':{'defaultAction':'SCMP_ACT_NOTIFY'}}",
		"linux.seccomp.defaultAction: ");
	refuse("'linux':{'seccomp':{'defaultAction':'SCMP_ACT_ALLOW','syscalls':[{'names':['a'],"
	       "'action':'SCMP_ACT_NOTIFY'}]}}",
		"linux.seccomp.listenerPath: is needed");
	refuse("'linux':{'seccomp':{'defaultAction':'SCMP_ACT_ALLOW','defaultErrnoRet':1}}",
		"linux.seccomp.defaultErrnoRet: has no meaning");
	refuse("'linux':{'seccomp':{'defaultAction':'SCMP_ACT_ALLOW','syscalls':[{'names':['a'],"
	       "'action':'SCMP_ACT_ERRNO','args':[{'index':6,'value':1,'op':'SCMP_CMP_EQ'}]}]}}",
		"linux.seccomp.syscalls[0].args[0].index: must be between 0 and 5");
	refuse("'vm':{'kernel':{'path':'vmlinux'}}", "vm.kernel.path: must be absolute");
	refuse("'annotations':{'':'x'}", "annotations: has an empty name");
	accept("'process':{'args':['sh'],'cwd':'/','rlimits':[{'type':'RLIMIT_NOFILE',"
	       "'soft':18446744073709551615,'hard':18446744073709551615}]}");
	accept("'unknown':{'deep':[1,2,{'x':null}]},'process':{'args':['sh'],'cwd':'/','new':1}");
}

static void test_version(void **state)
{
	static const char *const good[] = {"1.0.0", "1.3.0", "1.0.2-dev", "1.0.0-rc.5+x", "0.5.0"};
	static const char *const bad[] = {"", "1", "1.0", "1.0.0.0", "v1.0.0", "01.0.0", "1.0.0-",
		"1.0.0-a b", "1..0", "1.0.x"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]) + sizeof(bad) / sizeof(bad[0]); i++) {
		struct oci_config config;
		struct err e = {0};
		char text[64];
		bool is_good = i < sizeof(good) / sizeof(good[0]);
		const char *version = is_good ? good[i] : bad[i - sizeof(good) / sizeof(good[0])];
		snprintf(text, sizeof(text), "{\"ociVersion\":\"%s\"}", version);
		int ret = oci_config_parse(&config, text, strlen(text), "c", &e);
		if ((ret == 0) != is_good)
			fail_msg("\"%s\": %s", version, ret ? e.text : "accepted");
		if (ret == 0)
			oci_config_fini(&config);
	}
}

static void test_bounds(void **state)
{
	struct oci_config config;
	struct err e = {0};
	char deep[400] = "{\"ociVersion\":\"1.0.0\",\"x\":";
	size_t n = strlen(deep);

	(void)state;
	memset(deep + n, '[', 100);
	memset(deep + n + 100, ']', 100);
	strcpy(deep + n + 200, "}");
	assert_int_equal(oci_config_parse(&config, deep, strlen(deep), "c", &e), -EINVAL);
	assert_non_null(strstr(e.text, "nested deeper"));
	char *big = calloc(1, OCI_CONFIG_MAX_BYTES + 2);
	assert_non_null(big);
	memset(big, ' ', OCI_CONFIG_MAX_BYTES + 1);
	assert_int_equal(oci_config_parse(&config, big, OCI_CONFIG_MAX_BYTES + 1, "c", &e), -EFBIG);
	free(big);
	refuse("'root':{'path':'a'},'root':{'path':'b'}", "line 1");
	assert_true(oci_config_parse(&config, "", 0, "c", &e) < 0);
	assert_true(oci_config_parse(&config, "[]", 2, "c", &e) < 0);
	assert_string_equal(e.text, "c: must be an object");
}

static void test_fields(void **state)
{
	struct oci_config config;
	struct err e = {0};

	(void)state;
	assert_int_equal(
		parse(&config,
			"'process':{'args':['sh'],'cwd':'/"
			"','terminal':true,'consoleSize':{'height':25,"
			"'width':100000}},'root':{'path':'r','readonly':true},'hostname':'h',"
			"'linux':{'namespaces':[{'type':'uts'},{'type':'network'}],'resources':"
			"{'memory':{'limit':-1},'cpu':{'quota':150000,'cpus':'0-1'}}},"
			"'vm':{'kernel':{'path':'/k','parameters':['a']},'hwConfig':{'vcpus':2,"
			"'memory':1048576}}",
			&e),
		0);
	assert_true(config.terminal);
	assert_int_equal(config.rows, 25);
	assert_int_equal(config.columns, UINT16_MAX);
	assert_string_equal(config.root_path, "r");
	assert_true(config.root_readonly);
	assert_string_equal(config.hostname, "h");
	assert_int_equal(config.namespaces, OCI_NS_UTS | OCI_NS_NETWORK);
	assert_int_equal(config.memory_limit_bytes, 0);
	assert_int_equal(config.cpu_quota_us, 150000);
	assert_int_equal(config.cpu_period_us, 100000);
	assert_string_equal(config.cpus, "0-1");
	assert_string_equal(config.vm_kernel_path, "/k");
	assert_int_equal(config.vm_vcpus, 2);
	assert_int_equal(config.vm_memory_bytes, 1048576);
	assert_non_null(oci_lookup(config.json, "linux.resources.cpu.quota"));
	assert_null(oci_lookup(config.json, "linux.resources.none.quota"));
	oci_config_fini(&config);
}

/* RLIM_INFINITY arrives at the guest as the signed integer of the same bits. */
static void test_large(void **state)
{
	struct oci_config config;
	struct err e = {0};

	(void)state;
	assert_int_equal(parse(&config,
				 "'process':{'args':['18446744073709551615'],'cwd':'/','rlimits':"
				 "[{'type':'RLIMIT_CORE','soft':0,'hard':18446744073709551615}]}",
				 &e),
		0);
	const json_t *limit = json_array_get(oci_lookup(config.json, "process.rlimits"), 0);
	assert_int_equal(json_integer_value(json_object_get(limit, "hard")), -1);
	assert_string_equal(
		json_string_value(json_array_get(oci_lookup(config.json, "process.args"), 0)),
		"18446744073709551615");
	oci_config_fini(&config);
	refuse("'process':{'args':['sh'],'cwd':'/','rlimits':[{'type':'RLIMIT_CORE','soft':0,"
	       "'hard':18446744073709551616}]}",
		"line 1");
	refuse("'process':{'args':['sh'],'cwd':'/','rlimits':[{'type':'RLIMIT_CORE','soft':0,"
	       "'hard':-1}]}",
		"process.rlimits[0].hard: -1 is less than 0");
	/* A number is no string, however large. */
	refuse("'hostname':18446744073709551615", "hostname: must be a string");
}

static void test_prune(void **state)
{
	struct oci_config config;
	struct err e = {0};

	(void)state;
	assert_int_equal(parse(&config,
				 "'process':{'args':['sh'],'cwd':'/','x':1,'user':{'uid':1,'y':2},"
				 "'rlimits':[{'type':'RLIMIT_CPU','soft':1,'hard':1,'z':3}]}",
				 &e),
		0);
	oci_schema_prune(&oci_process_schema, config.process);
	assert_null(oci_lookup(config.process, "x"));
	assert_null(oci_lookup(config.process, "user.y"));
	assert_non_null(oci_lookup(config.process, "user.uid"));
	const json_t *limit = json_array_get(oci_lookup(config.process, "rlimits"), 0);
	assert_int_equal(json_object_size(limit), 3);
	oci_config_fini(&config);
}

/* What comes from the document can neither disturb a terminal nor overrun a message. */
static void test_messages(void **state)
{
	struct oci_config config;
	struct err e = {0};
	char text[9000] = "{\"ociVersion\":\"1.0.0\",\"annotations\":{\"";
	size_t n = strlen(text);

	(void)state;
	memset(text + n, 'k', 8000);
	strcpy(text + n + 8000, "\":1}}");
	assert_true(oci_config_parse(&config, text, strlen(text), "c", &e) < 0);
	assert_true(strlen(e.text) < ERR_TEXT_BYTES);
	const char *escape = "{\"ociVersion\":\"1.0.0\",\"annotations\":{\"\\u001b[2J\":1}}";
	assert_true(oci_config_parse(&config, escape, strlen(escape), "c", &e) < 0);
	assert_null(strchr(e.text, '\x1b'));
	const char *version = "{\"ociVersion\":\"\\u001b[2J\"}";
	assert_true(oci_config_parse(&config, version, strlen(version), "c", &e) < 0);
	assert_null(strchr(e.text, '\x1b'));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_propagation),
		cmocka_unit_test(test_version),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_prune),
		cmocka_unit_test(test_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
