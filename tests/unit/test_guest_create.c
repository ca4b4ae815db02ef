/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of create messages and mount options: values, and refusals with the JSON path. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include <cmocka.h>

#include "base/json.h"
#include "guestinit/create.h"
#include "guestinit/syscalls.h"

static struct err e;

/* A message around the JSON members of process, linux and config, each with a comma in front. */
static struct create *decode_parts(const char *process, const char *linux_, const char *config)
{
	static char text[8192];

	snprintf(text, sizeof(text),
		"{\"type\":\"create\",\"id\":\"c\",\"start\":true,\"root\":{\"export\":\"r\"},"
		"\"stdio\":{\"stdin\":5,\"stdout\":6},\"config\":{\"process\":{\"args\":[\"a\"],"
		"\"cwd\":\"/\"%s},\"linux\":{\"personality\":null%s}%s}}",
		process, linux_, config);
	cleanup_json json_t *message = json_parse(text, strlen(text), 32, &e);
	assert_non_null(message);
	return create_decode(message, &e);
}

static void expect_refusal(
	const char *process, const char *linux_, const char *config, const char *expected)
{
	struct create *c = decode_parts(process, linux_, config);

	assert_null(c);
	assert_string_equal(e.text, expected);
}

static void test_values(void **state)
{
	struct create *c = decode_parts(
		",\"user\":{\"uid\":7,\"gid\":8,\"umask\":18,\"additionalGids\":[9,10]},"
		"\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_CHECKPOINT_RESTORE\"]},"
		"\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"hard\":-1,\"soft\":0}],"
		"\"ioPriority\":{\"class\":\"IOPRIO_CLASS_RT\",\"priority\":3}",
		",\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\",\"path\":\"/x\"}],"
		"\"rootfsPropagation\":\"rshared\",\"resources\":{\"cpu\":{\"shares\":4},"
		"\"unified\":{\"memory.high\":\"1\"}},\"sysctl\":{\"net.a\":\"1\"}",
		"");

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->process.user.uid, 7);
	assert_int_equal(c->process.user.umask.value, 18);
	assert_int_equal(c->process.user.groups.n, 2);
	assert_int_equal(c->process.user.groups.v[1].gid, 10);
	assert_true(c->process.caps.bounding == (1 | UINT64_C(1) << 40));
	assert_true(c->process.rlimits.v[0].hard == UINT64_MAX);
	assert_int_equal(c->process.io_priority.class_number, 1);
	assert_true(c->os.clone_flags == (CLONE_NEWPID | CLONE_NEWNET));
	assert_true(c->os.propagation == (MS_SHARED | MS_REC));
	assert_int_equal(c->os.resources.cpu.shares.value, 4);
	assert_string_equal(c->os.resources.unified.v[0].key, "memory.high");
	assert_string_equal(c->os.sysctl.v[0].value, "1");
	assert_int_equal(c->stdio.in, 5);
	assert_int_equal(c->stdio.err, 0);
	assert_false(c->process.oom_score_adj.set);
	assert_null(c->process.args.v[1]);
	create_free(c);
}

static struct create *decode_preserved(const char *list)
{
	char text[2048];

	snprintf(text, sizeof(text),
		"{\"type\":\"create\",\"id\":\"c\",\"start\":true,\"root\":{\"export\":\"r\"},"
		"\"stdio\":{\"preserved\":[%s]},\"config\":{\"process\":{\"args\":[\"a\"],"
		"\"cwd\":\"/\"}}}",
		list);
	cleanup_json json_t *message = json_parse(text, strlen(text), 32, &e);
	assert_non_null(message);
	return create_decode(message, &e);
}

static void test_preserved(void **state)
{
	char many[1024] = "{\"port\":9,\"in\":true}";
	struct create *c = decode_preserved("{\"port\":9,\"in\":true},{\"port\":10,\"out\":true}");

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->stdio.preserved.n, 2);
	assert_int_equal(c->stdio.preserved.v[1].port, 10);
	assert_true(c->stdio.preserved.v[1].out && !c->stdio.preserved.v[1].in);
	create_free(c);
	assert_null(decode_preserved("{\"port\":9}"));
	assert_string_equal(e.text, "stdio.preserved[0]: goes nowhere");
	assert_null(decode_preserved("{\"in\":true}"));
	for (int i = 0; i < 16; i++)
		strcat(many, ",{\"port\":9,\"in\":true}");
	assert_null(decode_preserved(many));
	assert_string_equal(e.text, "stdio.preserved: more than 16");
}

static void test_unknown_keys(void **state)
{
	(void)state;
	expect_refusal(
		"", ",\"intelRdt\":{}", "", "config.linux.intelRdt: is not supported in the guest");
	expect_refusal("", "", ",\"hooks\":{}", "config.hooks: is not supported in the guest");
	expect_refusal("", ",\"seccomp\":{\"defaultAction\":\"x\",\"listenerPath\":\"/s\"}", "",
		"config.linux.seccomp.listenerPath: is not supported in the guest");
	expect_refusal("", ",\"resources\":{\"network\":{\"classID\":1}}", "",
		"config.linux.resources.network: is not supported in the guest");
}

static void test_types_and_ranges(void **state)
{
	(void)state;
	expect_refusal(",\"env\":[\"A=b\",5]", "", "", "config.process.env[1]: must be a string");
	expect_refusal(
		",\"user\":{\"uid\":-1}", "", "", "config.process.user.uid: -1 is out of range");
	expect_refusal(",\"rlimits\":[{\"type\":\"RLIMIT_X\",\"hard\":1,\"soft\":1}]", "", "",
		"config.process.rlimits[0].type: no resource \"RLIMIT_X\"");
	expect_refusal("", ",\"namespaces\":[{\"type\":\"pid\",\"path\":\"/proc/1/ns/pid\"}]", "",
		"config.linux.namespaces[0]: joining by path is not supported in the guest");
	expect_refusal("", ",\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]", "",
		"config.linux.namespaces[1]: a second one of type \"pid\"");
	expect_refusal("", ",\"resources\":{\"memory\":{\"disableOOMKiller\":true}}", "",
		"config.linux.resources.memory.disableOOMKiller: is not supported with cgroup v2");
	expect_refusal("", "", ",\"hostname\":\"h\"", "config.hostname: needs a uts namespace");
	expect_refusal("", ",\"namespaces\":[{\"type\":\"user\"}]", "",
		"config.linux.uidMappings: a user namespace needs them");
	expect_refusal("",
		",\"gidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]", "",
		"config.linux.gidMappings: they need a user namespace");
	expect_refusal("", ",\"resources\":{\"unified\":{\"../x\":\"1\"}}", "",
		"config.linux.resources.unified[\"../x\"]: is not a cgroup file's name");
}

static void test_mounts(void **state)
{
	(void)state;
	expect_refusal("", "",
		",\"mounts\":[{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"/etc\"}]",
		"config.mounts[0]: a bind mount needs an export");
	expect_refusal("", "",
		",\"mounts\":[{\"destination\":\"/a\",\"type\":\"bind\",\"export\":\"..\"}]",
		"config.mounts[0].export: is not a name");
	expect_refusal("", "",
		",\"mounts\":[{\"destination\":\"/a\",\"type\":\"bind\",\"export\":\"x\","
		"\"options\":[\"rbind\",\"mode=5\"]}]",
		"config.mounts[0].options[1]: \"mode=5\" can't be honoured by a bind mount");
	expect_refusal("", "", ",\"mounts\":[{\"destination\":\"/a\"}]",
		"config.mounts[0].type: is missing");
	expect_refusal("", "",
		",\"mounts\":[{\"destination\":\"/a\",\"type\":\"bind\",\"export\":\"x\","
		"\"socket\":2048}]",
		"config.mounts[0].socket: only with a bind mount without an export");
	expect_refusal("", "",
		",\"mounts\":[{\"destination\":\"/a\",\"type\":\"bind\",\"socket\":0}]",
		"config.mounts[0].socket: 0 is out of range");
}

/* `more` stands behind the members that a message must have. */
static struct create *decode_with(const char *root, const char *more)
{
	static char text[2048];

	snprintf(text, sizeof(text),
		"{\"id\":\"c\",\"start\":false,\"root\":%s,\"stdio\":{},\"config\":{"
		"\"process\":{\"args\":[\"a\"],\"cwd\":\"/\"}}%s}",
		root, more);
	cleanup_json json_t *message = json_parse(text, strlen(text), 32, &e);
	assert_non_null(message);
	return create_decode(message, &e);
}

static struct create *decode_more(const char *more)
{
	return decode_with("{\"export\":\"r\"}", more);
}

static void test_root(void **state)
{
	struct create *c = decode_with("{\"disk\":0,\"readonly\":true}", "");

	(void)state;
	assert_non_null(c);
	assert_true(c->root_disk.set && c->root_readonly && !c->root_export);
	create_free(c);
	assert_null(decode_with("{}", ""));
	assert_string_equal(e.text, "root: must have either export or disk");
	assert_null(decode_with("{\"export\":\"r\",\"disk\":0}", ""));
	assert_string_equal(e.text, "root: must have either export or disk");
	assert_null(decode_with("{\"disk\":4294967296}", ""));
	assert_string_equal(e.text, "root.disk: there are no such numbers");
	assert_null(decode_with("{\"disk\":-1}", ""));
	assert_null(decode_with("{\"export\":\"..\"}", ""));
	assert_string_equal(e.text, "root.export: is not a name");
}

static void test_hooks(void **state)
{
	struct create *c = decode_more(
		",\"hooks\":{\"startContainer\":[{\"path\":\"/h\",\"args\":[\"h\",\"x\"],\"env\":["
		"\"A=b\"],\"timeout\":5}]},\"state\":{\"id\":\"c\"}");

	(void)state;
	assert_non_null(c);
	assert_false(c->start);
	assert_int_equal(c->start_hooks.n, 1);
	assert_string_equal(c->start_hooks.v[0].path, "/h");
	assert_string_equal(c->start_hooks.v[0].args.v[1], "x");
	assert_null(c->start_hooks.v[0].args.v[2]);
	assert_int_equal(c->start_hooks.v[0].timeout.value, 5);
	assert_true(json_is_object(c->state));
	create_free(c);
	assert_null(decode_more(",\"hooks\":{\"startContainer\":[{\"path\":\"h\"}]}"));
	assert_string_equal(e.text, "hooks.startContainer[0].path: must be absolute");
	assert_null(decode_more(",\"hooks\":{\"prestart\":[]}"));
	assert_string_equal(e.text, "hooks.prestart: is not supported in the guest");
	assert_null(decode_more(",\"state\":\"x\""));
	assert_string_equal(e.text, "state: must be an object");
}

static struct create *decode_exec(const struct create *container, const char *text)
{
	cleanup_json json_t *message = json_parse(text, strlen(text), 32, &e);

	assert_non_null(message);
	return create_decode_exec(message, container, &e);
}

static void test_exec(void **state)
{
	struct create *c =
		decode_parts("", ",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\"}", "");
	struct create *x = decode_exec(c,
		"{\"type\":\"exec\",\"id\":\"c\",\"exec\":\"e1\",\"stdio\":{\"terminal\":9},"
		"\"process\":{\"args\":[\"b\"],\"cwd\":\"/x\",\"selinuxLabel\":\"l\"}}");

	(void)state;
	assert_non_null(c);
	assert_non_null(x);
	assert_true(x->start && x->stdio.terminal && x->os.seccomp.set);
	assert_string_equal(x->exec, "e1");
	assert_string_equal(x->process.args.v[0], "b");
	assert_int_equal(x->os.clone_flags, 0);
	assert_non_null(strstr(x->warnings.v[0], "process.selinuxLabel: "));
	create_free(x);
	assert_null(decode_exec(c,
		"{\"id\":\"c\",\"exec\":\"a/b\",\"stdio\":{},\"process\":{"
		"\"args\":[\"b\"],\"cwd\":\"/x\"}}"));
	assert_string_equal(e.text, "exec: is not a name");
	assert_null(decode_exec(c,
		"{\"id\":\"c\",\"exec\":\"e\",\"stdio\":{},\"process\":{"
		"\"args\":[],\"cwd\":\"/x\"}}"));
	assert_string_equal(e.text, "process.args: must name a program");
	assert_null(decode_exec(c,
		"{\"id\":\"c\",\"exec\":\"e\",\"stdio\":{},\"process\":{"
		"\"args\":[\"b\"],\"cwd\":\"x\"}}"));
	assert_string_equal(e.text, "process.cwd: must be absolute");
	create_free(c);
}

static void test_warnings(void **state)
{
	struct create *c = decode_parts(
		",\"apparmorProfile\":\"p\",\"capabilities\":{\"bounding\":[\"CAP_NEW\"]}",
		",\"resources\":{\"memory\":{\"kernel\":5}}", "");

	(void)state;
	assert_non_null(c);
	assert_int_equal(c->warnings.n, 3);
	assert_string_equal(c->warnings.v[0],
		"config.process.capabilities.bounding: no capability \"CAP_NEW\", left out");
	create_free(c);
}

static void parse_options(struct arena *arena, struct mount_options *o, const char *first, ...)
{
	const char *v[16];
	struct strings words = {.v = v};
	va_list ap;

	va_start(ap, first);
	for (const char *w = first; w; w = va_arg(ap, const char *))
		v[words.n++] = w;
	va_end(ap);
	assert_int_equal(mount_options_parse(arena, &words, o), 0);
}

static void test_options(void **state)
{
	struct arena arena = {0};
	struct mount_options o;

	(void)state;
	parse_options(&arena, &o, "ro", "nosuid", "rw", "noexec", "noatime", "rbind", "rslave",
		"private", NULL);
	assert_true(o.attr_set == (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOATIME));
	assert_true(o.attr_clear == (MOUNT_ATTR_RDONLY | MOUNT_ATTR__ATIME));
	assert_true(o.bind && o.recursive);
	assert_int_equal(o.n_propagation, 2);
	assert_true(o.propagation[0] == (MS_SLAVE | MS_REC));
	assert_true(o.propagation[1] == MS_PRIVATE);

	parse_options(&arena, &o, "rro", "rnodev", "rstrictatime", "remount", "relatime", NULL);
	assert_true(o.tree_set == (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV | MOUNT_ATTR_STRICTATIME));
	assert_true(o.tree_clear == MOUNT_ATTR__ATIME);
	assert_true(o.remount);
	assert_int_equal(o.attr_set, 0);

	parse_options(&arena, &o, "size=1m,mode=755", "sync", "lazytime", "context=\"a,b\"",
		"gid=5", "defaults", "", NULL);
	assert_int_equal(o.n_data, 4);
	assert_string_equal(o.data[0], "size=1m");
	assert_string_equal(o.data[1], "mode=755");
	assert_string_equal(o.data[2], "context=\"a,b\"");
	assert_string_equal(o.data[3], "gid=5");
	assert_int_equal(o.n_sb_flags, 2);
	assert_string_equal(o.sb_flags[1], "lazytime");
	arena_fini(&arena);
}

/* Every word of the specification's table is known, none ends up as data. */
static void test_option_words(void **state)
{
	static const char *const words[] = {"async", "atime", "bind", "defaults", "dev", "diratime",
		"dirsync", "exec", "iversion", "lazytime", "loud", "mand", "noatime", "nodev",
		"nodiratime", "noexec", "noiversion", "nolazytime", "nomand", "norelatime",
		"nostrictatime", "nosuid", "nosymfollow", "private", "ratime", "rbind", "rdev",
		"rdiratime", "relatime", "remount", "rexec", "rnoatime", "rnodev", "rnodiratime",
		"rnoexec", "rnorelatime", "rnostrictatime", "rnosuid", "rnosymfollow", "ro",
		"rprivate", "rrelatime", "rro", "rrw", "rshared", "rslave", "rstrictatime", "rsuid",
		"rsymfollow", "runbindable", "rw", "shared", "silent", "slave", "strictatime",
		"suid", "symfollow", "sync", "tmpcopyup", "unbindable", "idmap", "ridmap"};

	(void)state;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		struct arena arena = {0};
		struct mount_options o;
		parse_options(&arena, &o, words[i], NULL);
		if (o.n_data)
			fail_msg("%s", words[i]);
		arena_fini(&arena);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_preserved),
		cmocka_unit_test(test_unknown_keys),
		cmocka_unit_test(test_types_and_ranges),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_hooks),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_option_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
