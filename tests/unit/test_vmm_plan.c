/* SPDX-License-Identifier: Apache-2.0 */
/* The VM plan: a good one is read whole, each fault in one is refused and named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "microvm/vmm/plan.h"

/* Descriptors FIRST_FD and up are open, as if inherited. */
#define FIRST_FD 200
#define N_FDS	 18

static const char good[] =
	"{'version':1,'id':'c1','accel':'kvm','vcpus':2,'memoryBytes':134217728,"
	"'kernel':{'fd':200,'path':'/boot/vmlinux'},'cmdline':'quiet','discovery':'cmdline',"
	"'initramfs':[{'path':'init','mode':493,'fd':201},{'path':'modules/000-a.ko','mode':420,"
	"'fd':202}],'fs':{'fd':203,'tag':'hvrun'},'disks':[{'fd':204,'readonly':true,"
	"'serial':'disk-0'}],'control':{'fd':205},'stdio':{'in':206,'out':207,'err':208},"
	"'container':{'fd':209},'debug':false}";

static int setup(void **state)
{
	(void)state;
	for (int fd = FIRST_FD; fd < FIRST_FD + N_FDS; fd++) {
		int null = open("/dev/null", O_RDWR);
		assert_int_equal(dup2(null, fd), fd); /* not close-on-exec */
		close(null);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int fd = FIRST_FD; fd < FIRST_FD + N_FDS; fd++)
		close(fd);
	return 0;
}

/* The good plan with one text replaced by another; single quotes stand for double ones. */
static int parse_with(struct plan *plan, const char *from, const char *to, struct err *e)
{
	char text[4096];
	const char *at = *from ? strstr(good, from) : good;

	assert_non_null(at);
	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
	for (char *p = text; *p; p++)
		if (*p == '\'')
			*p = '"';
	return plan_parse(plan, text, strlen(text), e);
}

static void test_good(void **state)
{
	struct plan plan;
	struct err e = {0};

	(void)state;
	assert_int_equal(parse_with(&plan, "", "", &e), 0);
	assert_string_equal(plan.id, "c1");
	assert_false(plan.emulation);
	assert_int_equal(plan.vcpus, 2);
	assert_int_equal(plan.memory_bytes, 128 << 20);
	assert_int_equal(plan.kernel_fd, 200);
	assert_string_equal(plan.kernel_path, "/boot/vmlinux");
	assert_int_equal(plan.discovery, VM_DISCOVERY_CMDLINE);
	assert_int_equal(plan.boot_timeout_s, 0);
	assert_int_equal(plan.n_initramfs, 2);
	assert_string_equal(plan.initramfs[1].path, "modules/000-a.ko");
	assert_int_equal(plan.initramfs[0].mode_perms, 0755);
	assert_int_equal(plan.fs_fd, 203);
	assert_int_equal(plan.n_disks, 1);
	assert_true(plan.disks[0].readonly);
	assert_string_equal(plan.disks[0].serial, "disk-0");
	assert_int_equal(plan.control_fd, 205);
	assert_int_equal(plan.out_fd, 207);
	assert_int_equal(plan.terminal_fd, -1);
	assert_true(plan.lifeline);
	assert_int_equal(plan.listen_fd, -1);
	assert_false(plan.hold || plan.forward_signals || plan.controlling);
	assert_int_equal(plan.n_sockets + plan.n_keep, 0);
	assert_null(plan.qemu);
	assert_true(fcntl(209, F_GETFD) & FD_CLOEXEC);
	plan_fini(&plan);
	for (int fd = 200; fd <= 209; fd++)
		assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void test_terminal_and_low_descriptors(void **state)
{
	struct plan plan;
	struct err e = {0};

	(void)state;
	assert_int_equal(
		parse_with(&plan, "{'in':206,'out':207,'err':208}", "{'terminal':0}", &e), 0);
	assert_true(plan.terminal_fd > 2);
	assert_int_equal(plan.in_fd, -1);
	plan_fini(&plan);
	assert_true(fcntl(0, F_GETFD) >= 0);
}

static void test_fs_log(void **state)
{
	struct plan plan;
	struct err e = {0};

	(void)state;
	assert_int_equal(parse_with(&plan, "'tag':'hvrun'", "'tag':'t','log':217", &e), 0);
	assert_int_equal(plan.fs_log_fd, 217);
	plan_fini(&plan);
	assert_int_equal(fcntl(217, F_GETFD), -1);
}

static void test_detached(void **state)
{
	struct plan plan;
	struct err e = {0};

	(void)state;
	assert_int_equal(
		parse_with(&plan, "'control':{'fd':205},",
			"'control':{'fd':205,'lifeline':false},'listen':{'fd':210},"
			"'hold':true,'forwardSignals':true,'keep':[212,213],'oom':{'fd':214},"
			"'uidBase':1879048192,"
			"'report':{'fd':216,'json':true},'preserved':[{'fd':215,'in':true,'out':"
			"false}],"
			"'sockets':[{'port':2048,'fd':211}],'resolver':{'port':2047,'fd':217},",
			&e),
		0);
	assert_false(plan.lifeline);
	assert_int_equal(plan.fs_log_fd, -1);
	assert_true(plan.hold && plan.forward_signals);
	assert_int_equal(plan.listen_fd, 210);
	assert_int_equal(plan.oom_fd, 214);
	assert_int_equal(plan.n_sockets, 1);
	assert_int_equal(plan.sockets[0].port, 2048);
	assert_int_equal(plan.sockets[0].fd, 211);
	assert_int_equal(plan.resolver_port, 2047);
	assert_int_equal(plan.resolver_fd, 217);
	assert_int_equal(plan.n_keep, 2);
	assert_int_equal(plan.report_fd, 216);
	assert_true(plan.report_json);
	assert_int_equal(plan.n_preserved, 1);
	assert_int_equal(plan.preserved[0].fd, 215);
	assert_true(plan.preserved[0].in && !plan.preserved[0].out);
	assert_int_equal(plan.uid_base, 1879048192);
	plan_fini(&plan);
	for (int fd = 200; fd < 217; fd++)
		assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void test_controlling(void **state)
{
	struct plan plan;
	struct err e = {0};

	(void)state;
	assert_int_equal(parse_with(&plan, "{'in':206,'out':207,'err':208}",
				 "{'terminal':206,'controlling':true}", &e),
		0);
	assert_true(plan.controlling);
	assert_int_equal(plan.terminal_fd, 206);
	plan_fini(&plan);
}

static void test_net(void **state)
{
	static const uint8_t mac[] = {2, 0xab, 0xCD, 0, 0, 1};
	struct plan plan;
	struct err e = {0};

	(void)state;
	assert_int_equal(parse_with(&plan, "'debug':false",
				 "'net':[{'taps':[210,211],'mac':'02:ab:CD:00:00:01','mtu':1500},"
				 "{'stream':212,'mac':'02:00:00:00:00:02','mtu':65535,"
				 "'rxBytesPerSecond':1024,'txBytesPerSecond':1000000000000}]",
				 &e),
		0);
	assert_int_equal(plan.n_nets, 2);
	assert_int_equal(plan.nets[0].n_fds, 2);
	assert_int_equal(plan.nets[0].fds[1], 211);
	assert_memory_equal(plan.nets[0].mac, mac, 6);
	assert_int_equal(plan.nets[0].mtu, 1500);
	assert_false(plan.nets[0].stream);
	assert_true(plan.nets[1].stream);
	assert_int_equal(plan.nets[1].fds[0], 212);
	assert_int_equal(plan.nets[0].rx_bytes_per_s, 0);
	assert_int_equal(plan.nets[1].rx_bytes_per_s, 1024);
	assert_int_equal(plan.nets[1].tx_bytes_per_s, 1000000000000);
	plan_fini(&plan);
	for (int fd = 210; fd <= 212; fd++)
		assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void test_emulation(void **state)
{
	struct plan plan;
	struct err e = {0};

	(void)state;
	assert_int_equal(parse_with(&plan, "'kvm'", "'emulation','qemu':'/usr/bin/qemu'", &e), 0);
	assert_true(plan.emulation);
	assert_string_equal(plan.qemu, "/usr/bin/qemu");
	plan_fini(&plan);
}

static void test_faults(void **state)
{
	static const struct {
		const char *from, *to, *says;
	} faults[] = {
		{"'version':1", "'version':2", "plan: version: must be between 1 and 1"},
		{"'version':1,", "", "plan: version is missing"},
		{"'id':'c1'", "'id':1", "plan: id: must be a string"},
		{"'kvm'", "'xen'", "plan: accel: must be"},
		{"'kvm'", "'emulation'", "plan: qemu: must be"},
		{"'kvm'", "'emulation','qemu':'qemu'", "plan: qemu: must be"},
		{"'vcpus':2", "'vcpus':0", "plan: vcpus: must be between 1 and 64"},
		{"'vcpus':2", "'vcpus':65", "plan: vcpus: must be between 1 and 64"},
		{"'vcpus':2", "'vcpus':2.0", "plan: vcpus: must be an integer"},
		{"134217728", "134217729", "plan: memoryBytes: must be a multiple"},
		{"134217728", "2097152", "plan: memoryBytes: must be between"},
		{"134217728", "-1", "plan: memoryBytes: must be between"},
		{"'fd':200", "'fd':300", "plan: kernel.fd: descriptor 300 is not open"},
		{"'fd':200", "'fd':-1", "plan: kernel.fd: must be between"},
		{"'fd':200", "'fd':99999999999", "plan: kernel.fd: must be between"},
		{"'fd':209", "'fd':200", "plan: container.fd: descriptor 200 is named twice"},
		{"'fd':202", "'fd':201", "plan: initramfs[].fd: descriptor 201 is named twice"},
		{"'discovery':'cmdline'", "'discovery':'pci'", "plan: discovery: must be"},
		{"'mode':493", "'mode':4096", "plan: initramfs[].mode: must be"},
		{"'tag':'hvrun'", "'tag':'a,b'", "plan: fs.tag: must be"},
		{"'tag':'hvrun'", "'tag':''", "plan: fs.tag: must be"},
		{"'serial':'disk-0'", "'serial':'123456789012345678901'", "plan: disks[].serial"},
		{"'readonly':true", "'readonly':1", "plan: disks[].readonly: must be true or"},
		{"'readonly':true", "'readonly':true,'x':1", "plan: disks[].x: unknown key"},
		{"'in':206,", "", "plan: stdio.in is missing"},
		{"'in':206,", "'terminal':206,", "plan: stdio.out: unknown key"},
		{"'debug':false", "'debug':0", "plan: debug: must be true or false"},
		{"'debug':false", "'debug':false,'more':1", "plan: more: unknown key"},
		{"{'version'", "[{'version'", "plan: line"},
		{"'control':{'fd':205}", "'control':205", "plan: control: must be an object"},
		{"'fd':205", "'fd':205,'lifeline':1", "plan: control.lifeline: must be true or"},
		{"'debug':false", "'listen':210", "plan: listen: must be an object"},
		{"'debug':false", "'keep':[210,210]", "plan: keep: descriptor 210 is named twice"},
		{"'debug':false", "'preserved':{}",
			"plan: preserved: must be a list of at most 16 streams"},
		{"'debug':false", "'preserved':[1]", "plan: preserved: must be a list of objects"},
		{"'debug':false", "'preserved':[{'in':true}]", "plan: preserved[].fd is missing"},
		{"'debug':false", "'preserved':[{'fd':210,'in':false}]",
			"plan: preserved[].out: must be true where \"in\" is not"},
		{"'debug':false", "'preserved':[{'fd':210,'out':true,'x':1}]",
			"plan: preserved[].x: unknown key"},
		{"'debug':false", "'preserved':[{'fd':210,'out':true},{'fd':210,'out':true}]",
			"plan: preserved[].fd: descriptor 210 is named twice"},
		{"'debug':false", "'keep':['x']", "plan: keep: must be a list of descriptors"},
		{"'debug':false", "'keep':[300]", "plan: keep: descriptor 300 is not open"},
		{"'debug':false", "'sockets':{}", "plan: sockets: must be a list"},
		{"'debug':false", "'sockets':[{'port':1024,'fd':210}]",
			"plan: sockets[].port: must"},
		{"'debug':false", "'resolver':{'port':2048,'fd':210}", "plan: resolver.port: must"},
		{"'debug':false", "'resolver':{'port':2047}", "plan: resolver.fd is missing"},
		{"'debug':false", "'sockets':[{'port':2048}]", "plan: sockets[].fd is missing"},
		{"'debug':false", "'net':{}", "plan: net: must be a list of at most 8"},
		{"'debug':false", "'net':[1]", "plan: net: must be a list of objects"},
		{"'debug':false", "'net':[{'mac':'02:00:00:00:00:01','mtu':1500}]",
			"plan: net[0].taps is missing"},
		{"'debug':false", "'net':[{'taps':[]}]", "plan: net[0].taps: must be a list of 1"},
		{"'debug':false", "'net':[{'taps':[210,210]}]",
			"plan: net[0].taps: descriptor 210 is named twice"},
		{"'debug':false", "'net':[{'taps':['x']}]",
			"plan: net[0].taps: must be a list of d"},
		{"'debug':false", "'net':[{'stream':210,'taps':[211]}]",
			"plan: net[0].mac is missing"},
		{"'debug':false",
			"'net':[{'stream':210,'taps':[211],'mac':'02:00:00:00:00:01','mtu':68}]",
			"plan: net[0].taps: unknown key"},
		{"'debug':false", "'net':[{'stream':210,'mac':'02:00:00:00:00:1','mtu':68}]",
			"plan: net[0].mac: must be the address"},
		{"'debug':false", "'net':[{'stream':210,'mac':'01:00:00:00:00:01','mtu':68}]",
			"plan: net[0].mac: must be the address"},
		{"'debug':false", "'net':[{'stream':210,'mac':'02:00:00:00:00,01','mtu':68}]",
			"plan: net[0].mac: must be the address"},
		{"'debug':false", "'net':[{'stream':210,'mac':'02:00:00:00:00:01','mtu':67}]",
			"plan: net[0].mtu: must be between 68 and 65535"},
		{"'debug':false",
			"'net':[{'stream':210,'mac':'02:00:00:00:00:01','mtu':68,"
			"'rxBytesPerSecond':0}]",
			"plan: net[0].rxBytesPerSecond: must be between 1 and"},
		{"'debug':false",
			"'net':[{'stream':210,'mac':'02:00:00:00:00:0a','mtu':68},"
			"{'stream':211,'mac':'02:00:00:00:00:0A','mtu':68}]",
			"plan: net[1].mac: must be another one"},
		{"'disks':[", "'disks':[3,", "plan: disks: must be a list of objects"},
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct plan plan;
		struct err e = {0};
		setup(state);
		assert_true(parse_with(&plan, faults[i].from, faults[i].to, &e) < 0);
		plan_fini(&plan);
		if (!strstr(e.text, faults[i].says))
			fail_msg("%s: says \"%s\"", faults[i].to, e.text);
	}
}

static void test_read(void **state)
{
	struct plan plan;
	struct err e = {0};
	cleanup_close int fd = fd_memfile("plan", "{}", 2);

	(void)state;
	assert_true(plan_read(&plan, fd, &e) < 0);
	assert_string_equal(e.text, "plan: version is missing");
	plan_fini(&plan);
	assert_true(plan_read(&plan, 999, &e) < 0);
	assert_non_null(strstr(e.text, "plan: descriptor 999"));
	plan_fini(&plan);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_good),
		T(test_terminal_and_low_descriptors),
		T(test_detached),
		T(test_fs_log),
		T(test_controlling),
		T(test_net),
		T(test_emulation),
		T(test_faults),
		T(test_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
