/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a bundle to the documents that start a container: the plans of hvrun-vmm and hvrun-fs, and a
 * create message that guestinit's own decoder takes. Exports are in test_runtime_exports.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/msg.h"
#include "guestinit/create.h"
#include "tests/unit/support/plan_box.h"

static json_t *read_json(int fd, size_t skip)
{
	cleanup_free char *text = NULL;
	size_t len;
	struct err e;

	assert_true(fd >= 0);
	assert_int_equal(fd_slurp(fd, 1 << 20, &text, &len), 0);
	json_t *json = json_parse(text + skip, len - skip, MSG_MAX_DEPTH, &e);
	if (!json)
		fail_msg("%s", e.text);
	return json;
}

/* All that the specification has, in one configuration: the guest must know every key of it. */
static const char everything[] =
	"'root':{'path':'rootfs','readonly':true},'hostname':'h','domainname':'d','process':{"
	"'args':['sh','-c','x'],'cwd':'/','env':['A=b'],'terminal':false,'consoleSize':{'height':1,"
	"'width':2},'user':{'uid':1,'gid':2,'umask':18,'additionalGids':[3],'username':'u'},"
	"'capabilities':{'bounding':['CAP_KILL'],'permitted':[],'effective':[],'inheritable':[],"
	"'ambient':[]},'rlimits':[{'type':'RLIMIT_CORE','soft':0,'hard':18446744073709551615}],"
	"'noNewPrivileges':true,'oomScoreAdj':5,'apparmorProfile':'a','selinuxLabel':'s',"
	"'ioPriority':{'class':'IOPRIO_CLASS_BE','priority':4},'scheduler':{'policy':'SCHED_OTHER',"
	"'nice':1},'execCPUAffinity':{'initial':'0'},'commandLine':'w','x-unknown':{}},"
	"'mounts':[{'destination':'/proc','type':'proc','source':'proc','x-unknown':1},"
	"{'destination':'/data','source':'data','options':['rbind','ro']}],"
	"'linux':{'namespaces':[{'type':'pid'},{'type':'network'},{'type':'ipc'},{'type':'uts'},"
	"{'type':'mount'},{'type':'cgroup'},{'type':'time'},{'type':'user'}],'uidMappings':[{"
	"'containerID':0,'hostID':0,'size':65536}],'gidMappings':[{'containerID':0,'hostID':0,"
	"'size':65536}],'timeOffsets':{'monotonic':{'secs':1,'nanosecs':2}},'devices':[{'type':'c',"
	"'path':'/dev/fuse','major':10,'minor':229,'fileMode':438,'uid':0,'gid':0}],'cgroupsPath':"
	"'/"
	"x','resources':{'devices':[{'allow':false,'access':'rwm'}],'pids':{'limit':10},'memory':{"
	"'limit':1000000,'reservation':500000,'swap':2000000,'checkBeforeUpdate':true,"
	"'useHierarchy':true},'cpu':{'shares':512,'quota':1000,'period':10000,'burst':0,'cpus':'0',"
	"'mems':'0','idle':0},'hugepageLimits':[{'pageSize':'2MB','limit':0}],'unified':{"
	"'memory.high':'1000'}},'sysctl':{'net.ipv4.ip_forward':'1'},'seccomp':{'defaultAction':"
	"'SCMP_ACT_ERRNO','defaultErrnoRet':1,'architectures':['SCMP_ARCH_X86_64'],'flags':["
	"'SECCOMP_FILTER_FLAG_LOG'],'syscalls':[{'names':['read'],'action':'SCMP_ACT_ALLOW','args':"
	"[{"
	"'index':0,'value':18446744073709551615,'valueTwo':1,'op':'SCMP_CMP_MASKED_EQ'}]}]},"
	"'rootfsPropagation':'private','maskedPaths':['/proc/kcore'],'readonlyPaths':['/proc/sys'],"
	"'mountLabel':'m','personality':{'domain':'LINUX','flags':[]},'x-unknown':[]}";

static void test_create_message(void **state)
{
	struct plan_box box = {0};
	struct err e = {0};

	(void)state;
	plan_box_make(&box, everything);
	plan_box_exports(&box);
	plan_box_fill(&box);
	cleanup_close int fd = plan_container_file(&box.plan, &e);
	if (fd < 0)
		fail_msg("%s", e.text);
	cleanup_json json_t *message = read_json(fd, MSG_HEADER_BYTES);
	struct create *create = create_decode(message, &e);
	if (!create)
		fail_msg("%s", e.text);
	assert_string_equal(create->id, "id-1");
	assert_true(create->start);
	assert_string_equal(create->root_export, "rootfs");
	assert_true(create->root_readonly);
	assert_int_equal(create->stdio.in, 1025);
	assert_int_equal(create->stdio.err, 1027);
	assert_int_equal(create->process.rlimits.n, 1);
	assert_true(create->process.rlimits.v[0].hard == UINT64_MAX);
	assert_true(create->os.seccomp.rules.v[0].args.v[0].value == UINT64_MAX);
	assert_int_equal(create->mounts.n, 2);
	assert_string_equal(create->mounts.v[1].export, "mount-1");
	assert_null(create->mounts.v[1].source);
	/* The host's CPUs are not the guest's. */
	assert_null(create->os.resources.cpu.cpus);
	assert_true(create->os.resources.cpu.shares.set);
	create_free(create);
	plan_box_destroy(&box);
}

static void test_terminal_message(void **state)
{
	struct plan_box box = {0};
	struct err e;

	(void)state;
	plan_box_make(&box,
		"'root':{'path':'rootfs'},'process':{'args':['a'],'cwd':'/','terminal':true}");
	plan_box_exports(&box);
	plan_box_fill(&box);
	box.streams = (struct streams){
		.in = -1, .out = -1, .err = -1, .terminal = 7, .rows = 24, .columns = 80};
	cleanup_close int fd = plan_container_file(&box.plan, &e);
	cleanup_json json_t *message = read_json(fd, MSG_HEADER_BYTES);
	struct create *create = create_decode(message, &e);
	if (!create)
		fail_msg("%s", e.text);
	assert_true(create->stdio.terminal);
	assert_int_equal(create->stdio.rows, 24);
	create_free(create);
	cleanup_close int vmm = plan_vmm_file(&box.plan, &e);
	cleanup_json json_t *json = read_json(vmm, 0);
	assert_int_equal(json_integer_value(oci_lookup(json, "stdio.terminal")), 7);
	plan_box_destroy(&box);
}

/* Host and guest agree on a port of vsock; where there is nothing to relay neither has one. */
static void test_resolver(void **state)
{
	struct plan_box box = {0};
	struct err e;

	(void)state;
	plan_box_make(&box, "'root':{'path':'rootfs'},'process':{'args':['a'],'cwd':'/'}");
	plan_box_exports(&box);
	plan_box_fill(&box);
	box.plan.resolver = 40;
	cleanup_close int fd = plan_container_file(&box.plan, &e);
	cleanup_json json_t *message = read_json(fd, MSG_HEADER_BYTES);
	struct create *create = create_decode(message, &e);
	if (!create)
		fail_msg("%s", e.text);
	cleanup_close int vmm = plan_vmm_file(&box.plan, &e);
	cleanup_json json_t *json = read_json(vmm, 0);
	assert_int_equal(json_integer_value(oci_lookup(json, "resolver.fd")), 40);
	assert_int_equal(json_integer_value(oci_lookup(json, "resolver.port")), create->resolver);
	assert_true(create->resolver > 1024);
	create_free(create);
	box.plan.resolver = -1;
	cleanup_close int without = plan_vmm_file(&box.plan, &e);
	cleanup_json json_t *other = read_json(without, 0);
	assert_null(json_object_get(other, "resolver"));
	plan_box_destroy(&box);
}

/* The path of a namespace is the host's; the network is the guest's, also when it comes later. */
static void test_network(void **state)
{
	static const uint8_t macs[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
	static const int taps[] = {30, 31};
	struct plan_box box = {0};
	struct err e;

	(void)state;
	plan_box_make(&box,
		"'root':{'path':'rootfs'},'process':{'args':['a'],'cwd':'/'},'linux':{"
		"'namespaces':[{'type':'network','path':'/run/netns/x'}]}");
	plan_box_exports(&box);
	plan_box_fill(&box);
	box.plan.nets[0] =
		(struct plan_net){.taps = taps, .n_taps = 2, .mac = macs[0], .mtu = 9000};
	box.plan.nets[1] = (struct plan_net){.stream = 32, .mac = macs[1], .mtu = 1500};
	box.plan.n_nets = 2;
	cleanup_json json_t *first = json_pack("{s:[{s:s, s:s}, {s:s, s:s}]}", "interfaces",
		"device", "02:00:00:00:00:01", "name", "eth0", "device", "02:00:00:00:00:02",
		"name", "eth1");
	cleanup_json json_t *second = json_pack("{s:[]}", "interfaces");
	box.plan.network = first;
	cleanup_close int fd = plan_container_file(&box.plan, &e);
	if (fd < 0)
		fail_msg("%s", e.text);
	box.plan.network = second;
	assert_int_equal(plan_container_again(&box.plan, fd, &e), 0);
	/* Shorter now, and whole for whoever reads it from the beginning. */
	cleanup_json json_t *message = read_json(fd, MSG_HEADER_BYTES);
	assert_true(json_equal(json_object_get(message, "network"), second));
	assert_null(oci_lookup(
		json_array_get(oci_lookup(message, "config.linux.namespaces"), 0), "path"));
	struct create *create = create_decode(message, &e);
	if (!create)
		fail_msg("%s", e.text);
	create_free(create);
	cleanup_close int vmm = plan_vmm_file(&box.plan, &e);
	cleanup_json json_t *json = read_json(vmm, 0);
	cleanup_json json_t *want = json_pack("[{s:s, s:i, s:[i, i]}, {s:s, s:i, s:i}]", "mac",
		"02:00:00:00:00:01", "mtu", 9000, "taps", 30, 31, "mac", "02:00:00:00:00:02", "mtu",
		1500, "stream", 32);
	assert_true(json_equal(json_object_get(json, "net"), want));
	plan_box_destroy(&box);
}

static void test_plans(void **state)
{
	struct plan_box box = {0};
	struct err e;

	(void)state;
	plan_box_make(&box,
		"'root':{'path':'rootfs'},'process':{'args':['a'],'cwd':'/'},'mounts':["
		"{'destination':'/a','source':'data','options':['bind','ro']}]");
	plan_box_exports(&box);
	plan_box_fill(&box);
	cleanup_close int vmm = plan_vmm_file(&box.plan, &e), fs = plan_fs_file(&box.plan, &e);
	cleanup_json json_t *json = read_json(vmm, 0), *files = read_json(fs, 0);
	static const struct {
		const char *path;
		json_int_t number;
	} numbers[] = {
		{"version", 1},
		{"vcpus", 2},
		{"memoryBytes", 64 << 20},
		{"kernel.fd", 5},
		{"fs.fd", 20},
		{"control.fd", 21},
		{"container.fd", 24},
		{"stdio.in", 10},
		{"stdio.out", 11},
		{"stdio.err", 12},
	};
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		assert_int_equal(
			json_integer_value(oci_lookup(json, numbers[i].path)), numbers[i].number);
	assert_string_equal(json_string_value(oci_lookup(json, "accel")), "emulation");
	assert_string_equal(json_string_value(oci_lookup(json, "qemu")), "/q");
	assert_string_equal(json_string_value(oci_lookup(json, "fs.tag")), "hvrun");
	assert_string_equal(json_string_value(oci_lookup(json, "discovery")), "acpi");
	assert_int_equal(json_integer_value(oci_lookup(json, "bootTimeoutSeconds")), 90);
	const json_t *init = json_array_get(oci_lookup(json, "initramfs"), 0);
	assert_string_equal(json_string_value(json_object_get(init, "path")), "init");
	assert_int_equal(json_integer_value(json_object_get(init, "mode")), 0755);
	assert_int_equal(json_integer_value(oci_lookup(files, "socket")), 22);
	assert_int_equal(json_integer_value(oci_lookup(files, "control")), 23);
	assert_int_equal(json_integer_value(oci_lookup(files, "threads")), 4);
	const json_t *list = oci_lookup(files, "exports");
	assert_int_equal(json_array_size(list), 2);
	const json_t *mount = json_array_get(list, 1);
	assert_string_equal(json_string_value(json_object_get(mount, "name")), "mount-0");
	assert_string_equal(json_string_value(json_object_get(mount, "cache")), "never");
	assert_true(json_is_true(json_object_get(mount, "readonly")));
	assert_true(json_is_false(json_object_get(mount, "nodev")));
	plan_box_destroy(&box);
}

/* What a container asks of a monitor that outlives hvrun; and a Unix socket among its mounts. */
static void test_detached(void **state)
{
	struct plan_box box = {0};
	struct err e = {0};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int shown[2] = {0, 0}; /* the user's own files, without privileges */

	(void)state;
	plan_box_make(&box,
		"'root':{'path':'rootfs'},'process':{'args':['a'],'cwd':'/'},'mounts':["
		"{'destination':'/a','source':'data','options':['bind']},"
		"{'destination':'/s','source':'sock','options':['bind']}],'hooks':{"
		"'startContainer':[{'path':'/h'}]}");
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", box.path);
	cleanup_close int sock = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(sock, (void *)&address, sizeof(address)), 0);
	assert_int_equal(chmod(address.sun_path, 0640), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(address.sun_path, 1234, 77), 0);
		shown[0] = 1234;
		shown[1] = 77;
	}
	plan_box_exports(&box);
	assert_true(box.exports.list[2].socket);
	plan_box_fill(&box);
	box.plan.start = false;
	box.plan.hold = box.plan.detached = true;
	box.plan.hooks = box.config.hooks;
	box.plan.bundle = "/b";
	box.plan.listen = 30;
	box.plan.keep[0] = 31;
	box.plan.keep[1] = 33;
	box.plan.oom = 32;
	box.plan.uid_base = 70000;
	box.preserve = (struct preserve){.v = {{50, true, false}, {51, true, true}}, .n = 2};
	box.plan.listen_fds = 1;
	cleanup_close int vmm = plan_vmm_file(&box.plan, &e), fs = plan_fs_file(&box.plan, &e);
	cleanup_json json_t *json = read_json(vmm, 0), *files = read_json(fs, 0);
	assert_int_equal(json_integer_value(oci_lookup(json, "listen.fd")), 30);
	assert_int_equal(json_integer_value(json_array_get(oci_lookup(json, "keep"), 0)), 31);
	assert_int_equal(json_integer_value(json_array_get(oci_lookup(json, "keep"), 1)), 33);
	assert_int_equal(json_integer_value(oci_lookup(json, "oom.fd")), 32);
	assert_int_equal(json_integer_value(oci_lookup(json, "uidBase")), 70000);
	assert_true(json_is_true(oci_lookup(json, "hold")));
	assert_true(json_is_true(oci_lookup(json, "forwardSignals")));
	const json_t *preserved = json_array_get(oci_lookup(json, "preserved"), 1);
	assert_int_equal(json_integer_value(json_object_get(preserved, "fd")), 51);
	assert_true(json_is_true(json_object_get(preserved, "out")));
	const json_t *relay = json_array_get(oci_lookup(json, "sockets"), 0);
	assert_int_equal(json_integer_value(json_object_get(relay, "port")), 2050);
	assert_int_equal(json_integer_value(json_object_get(relay, "fd")), box.exports.list[2].fd);
	assert_int_equal(json_array_size(oci_lookup(files, "exports")), 2);
	cleanup_close int fd = plan_container_file(&box.plan, &e);
	assert_true(fd >= 0);
	cleanup_json json_t *message = read_json(fd, MSG_HEADER_BYTES);
	assert_true(json_is_false(json_object_get(message, "start")));
	assert_int_equal(json_array_size(oci_lookup(message, "hooks.startContainer")), 1);
	assert_string_equal(json_string_value(oci_lookup(message, "state.bundle")), "/b");
	preserved = oci_lookup(message, "stdio.preserved");
	assert_int_equal(json_array_size(preserved), 2);
	preserved = json_array_get(preserved, 0);
	assert_int_equal(json_integer_value(json_object_get(preserved, "port")), 1028);
	assert_true(json_is_true(json_object_get(preserved, "in")));
	assert_true(json_is_false(json_object_get(preserved, "out")));
	assert_null(json_object_get(preserved, "fd"));
	const json_t *env = oci_lookup(message, "config.process.env");
	size_t n_env = json_array_size(env);
	assert_true(n_env >= 2);
	assert_string_equal(json_string_value(json_array_get(env, n_env - 2)), "LISTEN_FDS=1");
	assert_string_equal(json_string_value(json_array_get(env, n_env - 1)), "LISTEN_PID=1");
	const json_t *mounts = oci_lookup(message, "config.mounts");
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(mounts, 0), "export")), "mount-0");
	const json_t *mount = json_array_get(mounts, 1);
	assert_int_equal(json_integer_value(json_object_get(mount, "socket")), 2050);
	/* Open to whom the host's is open to. */
	assert_int_equal(json_integer_value(json_object_get(mount, "socketMode")), 0640);
	assert_int_equal(json_integer_value(json_object_get(mount, "socketUid")), shown[0]);
	assert_int_equal(json_integer_value(json_object_get(mount, "socketGid")), shown[1]);
	plan_box_destroy(&box);
}

/* A block device that no rule grants is not opened: its node goes to the guest as it is. */
static void test_device_refused(void **state)
{
	struct plan_box box = {0};
	struct err e = {0};

	(void)state;
	plan_box_make(&box,
		"'root':{'path':'rootfs'},'process':{'args':['a'],'cwd':'/'},'linux':{'devices':"
		"[{'type':'b','path':'/dev/d','major':4095,'minor':3}],'resources':{'devices':"
		"[{'allow':true},{'allow':false,'type':'b','major':4095,'access':'rw'}]}}");
	plan_box_exports(&box);
	plan_box_fill(&box);
	assert_int_equal(plan_open_disks(&box.plan, &e), 0);
	assert_int_equal(box.plan.n_disks, 0);
	cleanup_close int fd = plan_container_file(&box.plan, &e);
	cleanup_json json_t *message = read_json(fd, MSG_HEADER_BYTES);
	assert_int_equal(json_array_size(oci_lookup(message, "devices")), 0);
	assert_int_equal(json_array_size(oci_lookup(message, "config.linux.devices")), 1);
	plan_box_destroy(&box);

	/* One that is granted is, and this one is not there. */
	memset(&box, 0, sizeof(box));
	plan_box_make(&box,
		"'root':{'path':'rootfs'},'process':{'args':['a'],'cwd':'/'},'linux':{'devices':"
		"[{'type':'b','path':'/dev/d','major':4095,'minor':3}],'resources':{'devices':"
		"[{'allow':true,'type':'b','major':4095,'minor':3,'access':'r'}]}}");
	plan_box_exports(&box);
	plan_box_fill(&box);
	assert_true(plan_open_disks(&box.plan, &e) < 0);
	assert_non_null(strstr(e.text, "linux.devices[0]: "));
	plan_box_destroy(&box);
}

/* vm.image is the first disk and the root, and one machine at a time may write to it. */
static void test_image(void **state)
{
	struct plan_box box = {0};
	struct err e = {0};
	char image[] = "/tmp/plan-image-XXXXXX", text[512];

	(void)state;
	cleanup_close int file = mkstemp(image);
	assert_true(file >= 0);
	snprintf(text, sizeof(text),
		"'root':{'path':'empty'},'process':{'args':['a'],'cwd':'/'},'vm':{'kernel':"
		"{'path':'/k'},'image':{'path':'%s','format':'raw'}}",
		image);
	plan_box_make(&box, text);
	snprintf(text, sizeof(text), "%s/empty", box.path);
	assert_int_equal(mkdir(text, 0755), 0);
	plan_box_exports(&box);
	assert_true(box.exports.list[0].readonly);
	plan_box_fill(&box);
	assert_int_equal(flock(file, LOCK_SH), 0);
	assert_int_equal(plan_open_disks(&box.plan, &e), -EBUSY);
	assert_non_null(strstr(e.text, "vm.image.path: "));
	assert_int_equal(flock(file, LOCK_UN), 0);
	assert_int_equal(plan_open_disks(&box.plan, &e), 0);
	assert_int_equal(flock(file, LOCK_SH | LOCK_NB), -1);
	assert_int_equal(box.plan.n_disks, 1);
	cleanup_close int vmm = plan_vmm_file(&box.plan, &e),
			  fd = plan_container_file(&box.plan, &e);
	cleanup_json json_t *json = read_json(vmm, 0), *message = read_json(fd, MSG_HEADER_BYTES);
	const json_t *disk = json_array_get(oci_lookup(json, "disks"), 0);
	assert_true(json_is_false(json_object_get(disk, "readonly")));
	assert_int_equal(json_integer_value(json_object_get(disk, "fd")), box.plan.disks[0].fd);
	assert_int_equal(json_array_size(oci_lookup(message, "devices")), 0);
	struct create *create = create_decode(message, &e);
	assert_non_null(create);
	assert_true(create->root_disk.set && !create->root_disk.value && !create->root_export);
	create_free(create);
	plan_close_disks(&box.plan);
	unlink(image);
	plan_box_destroy(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_device_refused),
		cmocka_unit_test(test_image),
		cmocka_unit_test(test_create_message),
		cmocka_unit_test(test_detached),
		cmocka_unit_test(test_terminal_message),
		cmocka_unit_test(test_resolver),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_plans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
