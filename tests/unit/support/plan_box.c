/* SPDX-License-Identifier: Apache-2.0 */
/* See plan_box.h. */
#include "tests/unit/support/plan_box.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void plan_box_make(struct plan_box *box, const char *inner)
{
	char text[8192];
	struct err e;

	strcpy(box->path, "/tmp/plan.XXXXXX");
	assert_non_null(mkdtemp(box->path));
	box->dir = open(box->path, O_RDONLY | O_DIRECTORY);
	assert_true(box->dir >= 0);
	assert_int_equal(mkdirat(box->dir, "rootfs", 0755), 0);
	assert_int_equal(mkdirat(box->dir, "data", 0755), 0);
	assert_int_equal(close(openat(box->dir, "file", O_CREAT | O_WRONLY, 0600)), 0);
	assert_int_equal(symlinkat("data", box->dir, "link"), 0);
	snprintf(text, sizeof(text), "{'ociVersion':'1.0.0',%s}", inner);
	for (char *c = text; *c; c++)
		if (*c == '\'')
			*c = '"';
	if (oci_config_parse(&box->config, text, strlen(text), "config.json", &e) < 0)
		fail_msg("%s", e.text);
}

void plan_box_destroy(struct plan_box *box)
{
	char command[128];

	exports_close(&box->exports);
	json_decref(box->plan.message);
	oci_config_fini(&box->config);
	close(box->dir);
	free(box->kernel);
	snprintf(command, sizeof(command), "rm -rf %s", box->path);
	assert_int_equal(system(command), 0);
}

void plan_box_exports(struct plan_box *box)
{
	struct err e;

	if (exports_open(&box->exports, &box->config, box->dir, box->path, &e) < 0)
		fail_msg("%s", e.text);
}

void plan_box_fill(struct plan_box *box)
{
	box->kernel = calloc(1, sizeof(*box->kernel));
	assert_non_null(box->kernel);
	box->settings =
		(struct settings){.accel = ACCEL_EMULATION, .cache = "never", .boot_timeout_s = 90};
	box->sizing = (struct sizing){.vcpus = 2, .memory_bytes = 64 << 20};
	box->kernel->fd = 5;
	strcpy(box->kernel->path, "/k");
	strcpy(box->kernel->cmdline, "quiet");
	box->kernel->discovery = "acpi";
	box->kernel->n_files = 1;
	strcpy(box->kernel->files[0].path, "init");
	box->kernel->files[0].mode_perms = 0755;
	box->kernel->files[0].fd = 6;
	box->streams = (struct streams){.in = 10, .out = 11, .err = 12, .terminal = -1};
	box->plan = (struct plan){
		.id = "id-1",
		.config = &box->config,
		.settings = &box->settings,
		.sizing = &box->sizing,
		.kernel = box->kernel,
		.exports = &box->exports,
		.streams = &box->streams,
		.preserve = &box->preserve,
		.qemu = "/q",
		.start = true,
		.listen = -1,
		.keep = {-1, -1},
		.oom = -1,
		.resolver = -1,
		.vmm_fs_socket = 20,
		.vmm_control = 21,
		.fs_vmm_socket = 22,
		.fs_control = 23,
		.container = 24,
	};
}
