/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's kernel: which file, its command line, its discovery, and the initramfs's files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/guestkernel.h"

static struct programs programs;
static struct guestkernel kernel;
static struct oci_config config;
static struct settings settings;

static void put(const char *name, const char *text)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", programs.self_dir, name);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0700);
	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

static const char *in_dir(const char *name)
{
	static char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", programs.self_dir, name);
	return path;
}

static int setup(void **state)
{
	(void)state;
	strcpy(programs.self_dir, "/tmp/guestkernel.XXXXXX");
	assert_non_null(mkdtemp(programs.self_dir));
	put("vmlinux", "own");
	put("guestinit", "init");
	put("other", "other");
	memset(&settings, 0, sizeof(settings));
	memset(&config, 0, sizeof(config));
	config.namespaces = OCI_NS_UTS;
	return 0;
}

static int teardown(void **state)
{
	char command[PATH_MAX + 16];

	(void)state;
	guestkernel_close(&kernel);
	json_decref(config.vm_kernel_parameters);
	snprintf(command, sizeof(command), "rm -rf %s", programs.self_dir);
	return system(command);
}

static void open_kernel(void)
{
	struct err e;

	if (guestkernel_open(&kernel, &settings, &config, &programs, &e) < 0)
		fail_msg("%s", e.text);
}

static int fault(struct err *e)
{
	return guestkernel_open(&kernel, &settings, &config, &programs, e);
}

static void test_own(void **state)
{
	(void)state;
	open_kernel();
	assert_true(kernel.own);
	assert_string_equal(kernel.discovery, "cmdline");
	assert_string_equal(kernel.path, in_dir("vmlinux"));
	/* The words are those of kernel-config/cmdline, without its comments. */
	assert_non_null(strstr(kernel.cmdline, "console=hvc0"));
	assert_null(strchr(kernel.cmdline, '#'));
	assert_null(strchr(kernel.cmdline, '\n'));
	assert_null(strstr(kernel.cmdline, "hostname="));
	assert_int_equal(kernel.n_files, 1);
	assert_string_equal(kernel.files[0].path, "init");
	assert_int_equal(kernel.files[0].mode_perms, 0755);
	/* The same file by another name is still hvrun's own. */
	guestkernel_close(&kernel);
	assert_int_equal(symlink("vmlinux", in_dir("link")), 0);
	settings.kernel = in_dir("link");
	open_kernel();
	assert_true(kernel.own);
}

static void test_other(void **state)
{
	(void)state;
	settings.kernel = in_dir("other");
	open_kernel();
	assert_false(kernel.own);
	assert_string_equal(kernel.discovery, "acpi");
	assert_non_null(strstr(kernel.cmdline, "pci=off"));
	guestkernel_close(&kernel);
	settings.discovery = "cmdline";
	open_kernel();
	assert_string_equal(kernel.discovery, "cmdline");
}

static void test_words(void **state)
{
	struct err e;

	(void)state;
	settings.debug = true;
	settings.cmdline = "last=1";
	config.namespaces = 0;
	config.vm_kernel_parameters = json_pack("[s, s]", "a=1", "b");
	open_kernel();
	size_t n = strlen(kernel.cmdline);
	static const char end[] = " a=1 b last=1";
	assert_string_equal(kernel.cmdline + n - strlen(end), end);
	assert_non_null(strstr(kernel.cmdline, "loglevel="));
	assert_non_null(strstr(kernel.cmdline, " hostname="));
	guestkernel_close(&kernel);
	json_array_append_new(config.vm_kernel_parameters, json_string("x\ny"));
	assert_int_equal(fault(&e), -EINVAL);
	assert_non_null(strstr(e.text, "config.json: vm.kernel.parameters[2]: "));
	json_array_remove(config.vm_kernel_parameters, 2);
	char *many = calloc(1, 5000);
	assert_non_null(many);
	memset(many, 'w', 4999);
	settings.cmdline = many;
	assert_int_equal(fault(&e), -E2BIG);
	free(many);
}

static void test_modules(void **state)
{
	(void)state;
	put("modules.builtin", "virtio_console.ko\nfuse.ko\nvirtiofs.ko\nvirtio_mmio.ko\n");
	put("modules.dep", "vmw_vsock_virtio_transport.ko.xz: vsock.ko\nvsock.ko:\n");
	put("vmw_vsock_virtio_transport.ko.xz", "b");
	put("vsock.ko", "a");
	settings.kernel = in_dir("other");
	settings.modules = programs.self_dir;
	open_kernel();
	assert_int_equal(kernel.n_files, 3);
	assert_string_equal(kernel.files[1].path, "modules/000-vsock.ko");
	assert_string_equal(kernel.files[2].path, "modules/001-vmw_vsock_virtio_transport.ko.xz");
	guestkernel_close(&kernel);
	/* What modules.dep names must be there. */
	struct err e;
	unlink(in_dir("vsock.ko"));
	settings.kernel = NULL;
	assert_int_equal(fault(&e), -ENOENT);
	assert_non_null(strstr(e.text, "vsock.ko: no such file"));
	settings.modules = "/no/such/dir";
	assert_int_equal(fault(&e), -ENOENT);
	assert_non_null(strstr(e.text, "modules: /no/such/dir"));
}

static void test_faults(void **state)
{
	struct err e;

	(void)state;
	settings.kernel = "/no/such/kernel";
	assert_int_equal(fault(&e), -ENOENT);
	assert_string_equal(e.text, "kernel: /no/such/kernel: no such file or directory");
	settings.kernel = "/tmp";
	assert_int_equal(fault(&e), -EINVAL);
	assert_string_equal(e.text, "kernel: /tmp: not a regular file");
	config.vm_kernel_path = settings.kernel;
	assert_int_equal(fault(&e), -EINVAL);
	assert_string_equal(e.text, "config.json: vm.kernel.path: /tmp: not a regular file");
	settings.kernel = NULL;
	unlink(in_dir("vmlinux"));
	assert_int_equal(fault(&e), -ENOENT);
	assert_non_null(strstr(e.text, "make kernel"));
	assert_non_null(strstr(e.text, "--kernel FILE"));
	put("vmlinux", "own");
	unlink(in_dir("guestinit"));
	assert_int_equal(fault(&e), -ENOENT);
	assert_non_null(strstr(e.text, "guestinit: found neither in"));
	assert_int_equal(kernel.fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other, setup, teardown),
		cmocka_unit_test_setup_teardown(test_words, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
