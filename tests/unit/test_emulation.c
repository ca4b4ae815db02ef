/* SPDX-License-Identifier: Apache-2.0 */
/* The emulation engine without QEMU: its command line, and the life of its child process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/emulation/arguments.h"
#include "microvm/emulation/child.h"
#include "microvm/emulation/clock.h"
#include "microvm/vhost/frontend_fs.h"

struct machine_fixture {
	struct loop loop;
	struct guest_memory memory;
	struct virtio_device console, rng, disk[20];
	struct virtio_device *fs;
	struct virtio_device *devices[VM_DEVICES_MAX];
	struct vm_config config;
	struct arguments_fds fds;
	struct arguments arguments;
	int peer;
};

static void lost(void *arg, const char *why)
{
	(void)arg;
	(void)why;
}

static int setup(void **state)
{
	struct machine_fixture *f = calloc(1, sizeof(*f));
	struct err e;
	int pair[2];

	assert_non_null(f);
	assert_int_equal(loop_init(&f->loop), 0);
	assert_int_equal(guest_memory_create(&f->memory, 64 << 20, &e), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->peer = pair[1];
	struct frontend_fs_config fs = {
		.loop = &f->loop,
		.sock_fd = pair[0],
		.tag = "hvrun",
		.request_queues = 2,
		.lost = lost,
	};
	assert_int_equal(frontend_fs_create(&fs, &f->fs, &e), 0);
	f->console.id = VIRTIO_ID_CONSOLE;
	f->rng.id = VIRTIO_ID_RNG;
	f->devices[0] = &f->console;
	f->devices[1] = &f->rng;
	f->devices[2] = f->fs;
	f->config = (struct vm_config){
		.vcpus = 3,
		.memory = &f->memory,
		.cmdline = "quiet words",
		.devices = f->devices,
		.n_devices = 3,
		.qemu_path = "/usr/bin/qemu",
	};
	f->fds = (struct arguments_fds){
		.kernel = 30, .initramfs = 31, .memory = 32, .serial = 33, .console = 34};
	for (unsigned i = 0; i < VM_DEVICES_MAX; i++)
		f->fds.devices[i] = -1;
	f->fds.devices[2] = 35;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct machine_fixture *f = *state;

	arguments_fini(&f->arguments);
	frontend_fs_free(f->fs);
	fd_closep(&f->peer);
	guest_memory_fini(&f->memory);
	loop_fini(&f->loop);
	free(f);
	return 0;
}

static bool has_word(const struct arguments *a, const char *part)
{
	for (unsigned i = 0; i < a->n; i++)
		if (strstr(a->words[i], part))
			return true;
	return false;
}

static void test_command_line(void **state)
{
	struct machine_fixture *f = *state;
	struct err e;

	assert_int_equal(arguments_build(&f->arguments, &f->config, &f->fds, &e), 0);
	assert_string_equal(f->arguments.words[0], "/usr/bin/qemu");
	assert_null(f->arguments.words[f->arguments.n]);
	assert_true(has_word(&f->arguments, "acpi=off"));
	assert_true(has_word(&f->arguments, "mem-path=/proc/self/fd/32,size=67108864B,share=on"));
	assert_true(has_word(&f->arguments,
		"vhost-user-fs-device,bus=virtio-mmio-bus.2,chardev=vhost2,tag=hvrun,"
		"num-request-queues=2,"));
	assert_true(has_word(&f->arguments, "socket,id=vhost2,fd=35"));
	assert_true(has_word(&f->arguments, "/proc/self/fd/30"));
	/* The kernel's words first, then one for each device in order. */
	assert_true(has_word(&f->arguments,
		"quiet words virtio_mmio.device=512@0xfeb00000:5 "
		"virtio_mmio.device=512@0xfeb00200:6 virtio_mmio.device=512@0xfeb00400:7"));
}

static void test_acpi(void **state)
{
	struct machine_fixture *f = *state;
	struct err e;

	f->config.discovery = VM_DISCOVERY_ACPI;
	assert_int_equal(arguments_build(&f->arguments, &f->config, &f->fds, &e), 0);
	assert_true(has_word(&f->arguments, "acpi=on"));
	assert_false(has_word(&f->arguments, "virtio_mmio.device"));
	/* ACPI lists the last bus first. */
	assert_true(has_word(&f->arguments, "virtio-serial-device,bus=virtio-mmio-bus.23"));
	assert_true(has_word(&f->arguments, "virtio-rng-device,bus=virtio-mmio-bus.22"));
}

static void test_refusals(void **state)
{
	struct machine_fixture *f = *state;
	char cmdline[3000];
	struct err e;

	f->rng.id = VIRTIO_ID_BALLOON;
	f->rng.name = "balloon";
	assert_int_equal(arguments_build(&f->arguments, &f->config, &f->fds, &e), -ENOTSUP);
	assert_non_null(strstr(e.text, "balloon"));
	f->rng.id = VIRTIO_ID_RNG;
	for (unsigned i = 3; i < 9; i++) {
		f->disk[i].id = VIRTIO_ID_BLOCK;
		f->devices[i] = &f->disk[i];
	}
	f->config.n_devices = 9;
	assert_int_equal(arguments_build(&f->arguments, &f->config, &f->fds, &e), -ENOTSUP);
	assert_string_equal(e.text, "emulation has room for 8 devices, not for 9");
	f->config.n_devices = 3;
	memset(cmdline, 'x', sizeof(cmdline));
	cmdline[sizeof(cmdline) - 1] = '\0';
	f->config.cmdline = cmdline;
	assert_int_equal(arguments_build(&f->arguments, &f->config, &f->fds, &e), -E2BIG);
}

static void test_network(void **state)
{
	struct machine_fixture *f = *state;
	struct vm_net nets[VM_DEVICES_MAX] = {
		[3] = {.fds = {40, 41}, .n_fds = 2, .mac = {2, 0xa, 0, 0, 0, 0xff}, .mtu = 1500},
		[4] = {.fds = {42},
			.n_fds = 1,
			.stream = true,
			.mac = {2, 0, 0, 0, 0, 1},
			.mtu = 65520},
	};
	struct err e;

	for (unsigned i = 3; i < 5; i++) {
		f->disk[i].id = VIRTIO_ID_NET;
		f->devices[i] = &f->disk[i];
	}
	f->config.nets = nets;
	f->config.n_devices = 5;
	assert_int_equal(arguments_build(&f->arguments, &f->config, &f->fds, &e), 0);
	assert_true(has_word(&f->arguments, "tap,id=net3,fds=40:41,vhost=off"));
	assert_true(has_word(&f->arguments,
		"virtio-net-device,bus=virtio-mmio-bus.3,netdev=net3,mq=on,"
		"mac=02:0a:00:00:00:ff,host_mtu=1500"));
	assert_true(has_word(&f->arguments, "stream,id=net4,server=off,addr.type=fd,addr.str=42"));
	assert_true(has_word(&f->arguments,
		"virtio-net-device,bus=virtio-mmio-bus.4,netdev=net4,mq=off,"
		"mac=02:00:00:00:00:01,host_mtu=65520"));
	arguments_fini(&f->arguments);
	nets[3].n_fds = 1;
	assert_int_equal(arguments_build(&f->arguments, &f->config, &f->fds, &e), 0);
	assert_true(has_word(&f->arguments, "tap,id=net3,fd=40,vhost=off"));
}

struct child_fixture {
	struct loop loop;
	struct child child;
	unsigned exits;
	int status;
};

static void exited(void *arg, int status)
{
	struct child_fixture *f = arg;

	f->exits++;
	f->status = status;
}

static int child_setup(void **state)
{
	struct child_fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(loop_init(&f->loop), 0);
	child_init(&f->child, &f->loop, exited, f);
	*state = f;
	return 0;
}

static int child_teardown(void **state)
{
	struct child_fixture *f = *state;

	child_fini(&f->child);
	loop_fini(&f->loop);
	free(f);
	return 0;
}

static int start_shell(struct child_fixture *f, const char *script, const int *keep, unsigned n)
{
	struct err e;
	char *const words[] = {(char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-c",
		(char *)(uintptr_t)script, NULL};

	return child_start(&f->child, words, keep, n, &e);
}

static void wait_exit(struct child_fixture *f)
{
	/* A child that floods us takes any number of turns; the test's runner ends one that hangs.
	 */
	while (!f->exits)
		assert_int_equal(loop_run_once(&f->loop, 100), 0);
	assert_int_equal(f->exits, 1);
}

static void test_child_says_why(void **state)
{
	struct child_fixture *f = *state;

	assert_int_equal(
		start_shell(f, "echo one; printf 'two\\033[2J\\n' >&2; exit 3", NULL, 0), 0);
	wait_exit(f);
	assert_true(WIFEXITED(f->status) && WEXITSTATUS(f->status) == 3);
	assert_string_equal(child_said(&f->child), "one;two?[2J");
}

/* A child that floods its output neither blocks nor fills memory; the beginning is kept. */
static void test_child_floods(void **state)
{
	struct child_fixture *f = *state;

	assert_int_equal(start_shell(f,
				 "echo first; i=0; while [ $i -lt 20000 ]; do echo flood$i; "
				 "i=$((i+1)); done",
				 NULL, 0),
		0);
	wait_exit(f);
	assert_memory_equal(child_said(&f->child), "first;flood0;", 13);
	assert_int_equal(strlen(child_said(&f->child)), CHILD_SAID_BYTES - 1);
}

static void test_child_descriptors(void **state)
{
	struct child_fixture *f = *state;
	cleanup_close int kept = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cleanup_close int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char script[200];

	snprintf(script, sizeof(script),
		"[ -e /proc/self/fd/%d ] && [ ! -e /proc/self/fd/%d ] && ! read x", kept, other);
	assert_int_equal(start_shell(f, script, &kept, 1), 0);
	wait_exit(f);
	assert_int_equal(f->status, 0);
	assert_true(fcntl(kept, F_GETFD) & FD_CLOEXEC);
}

static void test_child_killed(void **state)
{
	struct child_fixture *f = *state;

	assert_int_equal(start_shell(f, "sleep 100", NULL, 0), 0);
	pid_t pid = f->child.pid;
	child_kill(&f->child);
	child_kill(&f->child);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(loop_run_once(&f->loop, 0), 0);
	assert_int_equal(f->exits, 0); /* it was no news */
}

static void test_child_missing(void **state)
{
	struct child_fixture *f = *state;
	char *const words[] = {(char *)(uintptr_t) "/nonexistent/qemu", NULL};
	struct err e;

	assert_int_equal(child_start(&f->child, words, NULL, 0, &e), -ENOENT);
	assert_string_equal(e.text, "/nonexistent/qemu: no such file or directory");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_clock(void **state)
{
	unsigned khz = clock_tsc_khz();

	(void)state;
	/* 0 is for hosts without an even counter; two measurements agree within 1 %. */
	if (khz) {
		unsigned again = clock_tsc_khz();
		assert_in_range(khz, 500000, 10000000);
		assert_in_range(again, khz - khz / 100, khz + khz / 100);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define C(name) cmocka_unit_test_setup_teardown(name, child_setup, child_teardown)
	const struct CMUnitTest tests[] = {
		T(test_command_line),
		T(test_acpi),
		T(test_network),
		T(test_refusals),
		C(test_child_says_why),
		C(test_child_floods),
		C(test_child_descriptors),
		C(test_child_killed),
		C(test_child_missing),
		cmocka_unit_test(test_clock),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
