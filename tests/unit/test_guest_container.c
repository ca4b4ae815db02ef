/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers as guestinit makes them, in namespaces of this machine: what the program in the
 * container sees, and what is reported about it. Skipped without root.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/guest_group.h"

#define CAPS "\"CAP_KILL\",\"CAP_CHOWN\",\"CAP_SETUID\",\"CAP_SETGID\""

/* Runs `sh -c script`; process, linux_ and mounts are further JSON members. */
static void run_full(const char *script, const char *process, const char *linux_,
	const char *mounts, const char *extra, struct guest_box_run *run)
{
	static char config[16384];

	snprintf(config, sizeof(config),
		"{\"process\":{\"args\":[\"sh\",\"-c\",\"%s\"],\"cwd\":\"/\",\"env\":["
		"\"PATH=/bin\"]%s},\"mounts\":[" MOUNTS "%s],\"linux\":{" NAMESPACES "%s}%s}",
		script, process, mounts, linux_, extra);
	run->config = config;
	guest_box_run(run, &result);
	if (result.failed)
		printf("failed: %s\n", result.message);
}

static void run_script(const char *script)
{
	struct guest_box_run run = {0};

	run_full(script, "", "", "", "", &run);
}

static void expect_output(const char *out)
{
	assert_false(result.failed);
	assert_string_equal(result.err, "");
	assert_string_equal(result.out, out);
	assert_int_equal(result.code, 0);
}

static void test_streams_and_exit(void **state)
{
	struct guest_box_run run = {.input = "one\ntwo\n"};

	(void)state;
	run_full("cat; echo oops >&2; exit 42", "", "", "", "", &run);
	assert_true(result.started);
	assert_string_equal(result.out, "one\ntwo\n");
	assert_string_equal(result.err, "oops\n");
	assert_int_equal(result.code, 42);
}

static void test_signals(void **state)
{
	struct guest_box_run run = {.kill_signal = SIGKILL};

	(void)state;
	run_full("echo ready; sleep 30", "", "", "", "", &run);
	assert_int_equal(result.code, 128 + SIGKILL);
	run.kill_signal = SIGTERM;
	run_full("trap 'exit 7' TERM; echo ready; sleep 30 & wait", "", "", "", "", &run);
	assert_int_equal(result.code, 7);
	run_script("kill -9 1; kill -TERM 1; echo alive $$");
	expect_output("alive 1\n");
}

static void test_not_found(void **state)
{
	struct guest_box_run run = {.config = "{\"process\":{\"args\":[\"nothere\"],\"cwd\":\"/\","
					      "\"env\":[\"PATH=/bin:/sbin\"]}}"};

	(void)state;
	guest_box_run(&run, &result);
	assert_true(result.failed);
	assert_int_equal(result.code, 127);
	assert_string_equal(
		result.message, "exec: \"nothere\": executable file not found in $PATH");
	run.config = "{\"process\":{\"args\":[\"/etc\"],\"cwd\":\"/\"}}";
	guest_box_run(&run, &result);
	assert_int_equal(result.code, 126);
	run.config = "{\"process\":{\"args\":[\"/not/here\"],\"cwd\":\"/\"}}";
	guest_box_run(&run, &result);
	assert_int_equal(result.code, 127);
	assert_string_equal(
		result.message, "exec: \"/not/here\": stat /not/here: no such file or directory");
}

static void test_devices(void **state)
{
	(void)state;
	run_script(
		"for d in null zero full random urandom tty; do stat -c '%a %t %T' /dev/$d; "
		"done; for l in fd stdin ptmx core; do readlink /dev/$l; done; echo x >/dev/null");
	expect_output("666 1 3\n666 1 5\n666 1 7\n666 1 8\n666 1 9\n666 5 0\n"
		      "/proc/self/fd\n/proc/self/fd/0\npts/ptmx\n/proc/kcore\n");
}

static void test_user_and_caps(void **state)
{
	struct guest_box_run run = {0};

	(void)state;
	run_full("id -u; id -G; umask; grep Cap /proc/self/status; echo hi >/dev/stdout; pwd",
		",\"user\":{\"uid\":1000,\"gid\":1001,\"additionalGids\":[5,7],\"umask\":63},"
		"\"capabilities\":{\"bounding\":[" CAPS "],\"permitted\":[" CAPS "],"
		"\"effective\":[" CAPS "],\"inheritable\":[\"CAP_KILL\"],\"ambient\":["
		"\"CAP_KILL\",\"CAP_CHOWN\"]}",
		"", "", "", &run);
	expect_output("1000\n1001 5 7\n0077\nCapInh:\t0000000000000020\n"
		      "CapPrm:\t0000000000000020\nCapEff:\t0000000000000020\n"
		      "CapBnd:\t00000000000000e1\nCapAmb:\t0000000000000020\nhi\n/\n");
}

static void test_no_caps_by_default(void **state)
{
	(void)state;
	run_script("grep -E 'CapPrm|CapBnd|NoNew' /proc/self/status; "
		   "mount -t tmpfs x /tmp 2>/dev/null || echo refused");
	expect_output("CapPrm:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t0\n"
		      "refused\n");
}

static void test_limits(void **state)
{
	struct guest_box_run run = {0};

	(void)state;
	run_full("ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj; "
		 "grep NoNew /proc/self/status",
		",\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":2048,\"soft\":512},"
		"{\"type\":\"RLIMIT_CORE\",\"hard\":-1,\"soft\":-1}],\"oomScoreAdj\":321,"
		"\"noNewPrivileges\":true",
		"", "", "", &run);
	expect_output("512\n2048\nunlimited\n321\nNoNewPrivs:\t1\n");
}

static void test_names_and_sysctl(void **state)
{
	struct guest_box_run run = {0};

	(void)state;
	run_full("hostname; cat /proc/sys/kernel/domainname /proc/sys/kernel/shmmni; "
		 "cat /sys/class/net/lo/flags",
		"", ",\"sysctl\":{\"kernel.shmmni\":\"1234\"}", "",
		",\"hostname\":\"box\",\"domainname\":\"example.org\"", &run);
	expect_output("box\nexample.org\n1234\n0x9\n");
}

static void test_masked_and_readonly(void **state)
{
	struct guest_box_run run = {0};

	(void)state;
	run_full("cat /proc/version; ls -a /proc/irq; ls -a /proc/sys/fs | wc -l; "
		 "(echo 1 >/proc/sys/kernel/shmmni) 2>/dev/null || echo readonly; "
		 "(echo 1 >/proc/irq/x) 2>/dev/null || echo empty",
		"",
		",\"maskedPaths\":[\"/proc/version\",\"/proc/irq\",\"/proc/sys/fs\","
		"\"/proc/nothing\"],\"readonlyPaths\":[\"/proc/sys\",\"/nowhere\"]",
		"", "", &run);
	expect_output(".\n..\n2\nreadonly\nempty\n");
}

static void test_readonly_root(void **state)
{
	struct guest_box_run run = {.root_extra = ",\"readonly\":true"};

	(void)state;
	run_full("touch /x 2>/dev/null || echo readonly; touch /dev/x && echo dev", "", "", "", "",
		&run);
	expect_output("readonly\ndev\n");
}

static void test_bind_mounts(void **state)
{
	struct guest_box_run run = {0};
	char command[256];
	const char *dir = *state;

	snprintf(command, sizeof(command),
		"cd %s && mkdir -p vol/sub && echo file >afile && echo in >vol/sub/x && "
		"ln -sf ../run/systemd/resolv.conf rootfs/etc/resolv.conf && ln -sf / "
		"rootfs/evil",
		dir);
	assert_int_equal(system(command), 0);
	run_full("cat /data/sub/x /etc/resolv.conf /run/systemd/resolv.conf /evil2/f; "
		 "touch /ro/y 2>/dev/null || echo ro; echo w >/data/w; "
		 "grep -c ' /ro ro,nosuid,nodev,noexec,noatime' /proc/self/mountinfo",
		"", "",
		",{\"destination\":\"/data\",\"type\":\"bind\",\"export\":\"vol\",\"options\":["
		"\"rbind\",\"rprivate\"]},"
		"{\"destination\":\"/ro\",\"export\":\"vol\",\"options\":[\"rbind\",\"ro\","
		"\"nosuid\",\"nodev\",\"noexec\",\"noatime\"]},"
		"{\"destination\":\"/etc/resolv.conf\",\"export\":\"afile\",\"options\":["
		"\"bind\"]},"
		"{\"destination\":\"/evil/../../evil2/f\",\"export\":\"afile\",\"options\":["
		"\"bind\"]}",
		"", &run);
	expect_output("in\nfile\nfile\nfile\nro\n1\n");
	snprintf(command, sizeof(command), "test \"$(cat %s/vol/w)\" = w", dir);
	assert_int_equal(system(command), 0);
}

static void test_tmpfs(void **state)
{
	struct guest_box_run run = {0};
	char command[256];

	snprintf(command, sizeof(command),
		"cd %s/rootfs && mkdir -p seed/d && echo seed >seed/d/f && chmod 750 seed && "
		"ln -s d seed/l && chown 12:13 seed/d",
		(const char *)*state);
	assert_int_equal(system(command), 0);
	run_full("cat /seed/l/f; stat -c '%a' /seed; stat -c '%u:%g' /seed/d; echo x >/seed/n; "
		 "touch /lock/x 2>/dev/null || echo ro",
		"", "",
		",{\"destination\":\"/seed\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":["
		"\"tmpcopyup\",\"size=1m\"]},"
		"{\"destination\":\"/lock\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":["
		"\"ro\"]}",
		"", &run);
	expect_output("seed\n750\n12:13\nro\n");
	snprintf(command, sizeof(command), "test ! -e %s/rootfs/seed/n", (const char *)*state);
	assert_int_equal(system(command), 0);
}

static void test_bad_mounts(void **state)
{
	struct guest_box_run run = {0};

	(void)state;
	run_full("true", "", "", ",{\"destination\":\"/proc/sys\",\"type\":\"tmpfs\"}", "", &run);
	assert_true(result.failed);
	assert_non_null(strstr(result.message, "config.mounts[6] (/proc/sys): "));
	assert_non_null(strstr(result.message, "inside of /proc"));
	run_full("true", "", "",
		",{\"destination\":\"/x\",\"type\":\"tmpfs\",\"options\":[\"nonsense=1\"]}", "",
		&run);
	assert_true(result.failed);
	assert_non_null(strstr(result.message, "nonsense"));
	run_full("true", "", "", ",{\"destination\":\"/x\",\"type\":\"nofs\"}", "", &run);
	assert_true(result.failed);
	assert_non_null(strstr(result.message, "no file system \"nofs\""));
	run_full("true", "", "",
		",{\"destination\":\"/x\",\"export\":\"missing\",\"type\":\"bind\"}", "", &run);
	assert_true(result.failed);
	assert_non_null(strstr(result.message, "missing"));
}

static void test_terminal(void **state)
{
	struct guest_box_run run = {.terminal = true, .input = "echo in-$((1+1)); exit 3\n"};

	(void)state;
	run_full("stty size; readlink /proc/self/fd/0; test -c /dev/console && echo console; "
		 "exec sh -i",
		",\"user\":{\"uid\":1000}", "", "", "", &run);
	assert_false(result.failed);
	assert_non_null(strstr(result.out, "24 80\r\n"));
	assert_non_null(strstr(result.out, "/dev/pts/0\r\n"));
	assert_non_null(strstr(result.out, "console\r\n"));
	assert_non_null(strstr(result.out, "in-2\r\n"));
	assert_int_equal(result.code, 3);
}

static void test_user_namespace(void **state)
{
	struct guest_box_run run = {
		.config =
			"{\"process\":{\"args\":[\"sh\",\"-c\","
			"\"id -u; cat /proc/self/uid_map | tr -s ' '; stat -c '%u' /bin/busybox "
			"/dev/null; "
			"echo x >/dev/null; ulimit -Hn; cat /proc/self/oom_score_adj; echo y "
			">/dev/stdout; "
			"touch /nope 2>/dev/null || echo denied; grep CapEff /proc/self/status\"],"
			"\"cwd\":\"/"
			"\",\"user\":{\"uid\":5},\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\","
			"\"hard\":2048,\"soft\":1024}],\"oomScoreAdj\":5},\"mounts\":[" MOUNTS "],"
			"\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"user\"},{"
			"\"type\":"
			"\"ipc\"},{\"type\":\"network\"},{\"type\":\"uts\"},{\"type\":\"cgroup\"}],"
			"\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":1000}],"
			"\"gidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":1000}]}}"};
	char command[256];

	snprintf(command, sizeof(command), "chown -R -h 100000:100000 %s/rootfs",
		(const char *)*state);
	assert_int_equal(system(command), 0);
	guest_box_run(&run, &result);
	if (result.failed)
		printf("failed: %s\n", result.message);
	expect_output("5\n 0 100000 1000\n0\n65534\n2048\n5\ny\ndenied\n"
		      "CapEff:\t0000000000000000\n");
	snprintf(command, sizeof(command), "chown -R -h 0:0 %s/rootfs", (const char *)*state);
	assert_int_equal(system(command), 0);
}

static void test_idmapped_mount(void **state)
{
	struct guest_box_run run = {0};
	char command[256];

	snprintf(command, sizeof(command), "cd %s && mkdir -p idm && chown 5000:5000 idm",
		(const char *)*state);
	assert_int_equal(system(command), 0);
	run_full("stat -c '%u' /idm", "", "",
		",{\"destination\":\"/idm\",\"export\":\"idm\",\"options\":[\"bind\",\"idmap\"],"
		"\"uidMappings\":[{\"containerID\":5000,\"hostID\":77,\"size\":1}],"
		"\"gidMappings\":[{\"containerID\":5000,\"hostID\":77,\"size\":1}]}",
		"", &run);
	expect_output("77\n");
}

static void test_orphans_and_leftovers(void **state)
{
	struct guest_box_run run = {0};

	(void)state;
	/* A left-over writer must not keep the container alive. */
	run_script("setsid sleep 100 & (sleep 0 &) ; echo done");
	expect_output("done\n");
	/* Nor without a pid namespace of its own. */
	run.config =
		"{\"process\":{\"args\":[\"/bin/sh\",\"-c\",\"setsid sleep 100 & echo shared\"],"
		"\"cwd\":\"/\"},\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}}";
	guest_box_run(&run, &result);
	assert_string_equal(result.out, "shared\n");
}

static void test_seccomp(void **state)
{
	struct guest_box_run run = {0};
	static const char seccomp[] =
		",\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"architectures\":["
		"\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_AARCH64\"],\"syscalls\":["
		"{\"names\":[\"mkdir\",\"mkdirat\",\"no_such_call\"],\"action\":"
		"\"SCMP_ACT_ERRNO\",\"errnoRet\":95}]}";

	(void)state;
	run_full("mkdir /d 2>&1; grep Seccomp: /proc/self/status", "", seccomp, "", "", &run);
	expect_output("mkdir: can't create directory '/d': Operation not supported\n"
		      "Seccomp:\t2\n");
	run_full("mkdir /d 2>&1; grep Seccomp: /proc/self/status",
		",\"noNewPrivileges\":true,\"user\":{\"uid\":9}", seccomp, "", "", &run);
	expect_output("mkdir: can't create directory '/d': Operation not supported\n"
		      "Seccomp:\t2\n");
}

static void test_cwd_and_home(void **state)
{
	struct guest_box_run run = {
		.config = "{\"process\":{\"args\":[\"/bin/sh\",\"-c\","
			  "\"pwd; echo $HOME\"],\"cwd\":\"/made/for/me\",\"user\":{\"uid\":33}}}"};
	char command[256];

	snprintf(command, sizeof(command),
		"echo 'www:x:33:33:web:/var/www:/bin/sh' >%s/rootfs/etc/passwd",
		(const char *)*state);
	assert_int_equal(system(command), 0);
	guest_box_run(&run, &result);
	expect_output("/made/for/me\n/var/www\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_streams_and_exit),
		TEST(test_signals),
		TEST(test_not_found),
		TEST(test_devices),
		TEST(test_user_and_caps),
		TEST(test_no_caps_by_default),
		TEST(test_limits),
		TEST(test_names_and_sysctl),
		TEST(test_masked_and_readonly),
		TEST(test_readonly_root),
		TEST(test_bind_mounts),
		TEST(test_tmpfs),
		TEST(test_bad_mounts),
		TEST(test_terminal),
		TEST(test_user_namespace),
		TEST(test_idmapped_mount),
		TEST(test_orphans_and_leftovers),
		TEST(test_seccomp),
		TEST(test_cwd_and_home),
	};

	return cmocka_run_group_tests(tests, group_begin, group_end);
}
