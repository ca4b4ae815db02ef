/* SPDX-License-Identifier: Apache-2.0 */
/* hvrun check: which engines work on this machine, and what is missing for those that don't. */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/commands.h"
#include "runtime/settings.h"

#define QEMU_OUTPUT_BYTES (256u << 10) /* the list of all its devices */

struct check_options {
	const char *accel;
};

static const struct option_spec check_specs[] = {
	{.name = "accel",
		.kind = OPTION_TEXT,
		.offset = offsetof(struct check_options, accel),
		.value_name = "ENGINE",
		.help = "look at one engine only: kvm or emulation"},
	{0},
};

static void line(const char *what, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void line(const char *what, const char *fmt, ...)
{
	va_list ap;

	printf("%-12s", what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* The answer of QEMU to one option. 0 or -errno with e. */
static int ask_qemu(const char *path, const char *option, const char *value, char *out, size_t cap,
	struct err *e)
{
	char *argv[] = {
		(char *)(uintptr_t)path, (char *)(uintptr_t)option, (char *)(uintptr_t)value, NULL};

	int status = command_capture(path, argv, false, out, cap, e);
	if (status < 0)
		return status;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, EIO, "%s %s fails", path, option);
	return 0;
}

static int check_qemu(
	const char *path, char *text, char *version, size_t version_cap, struct err *e)
{
	static const char *const devices[] = {
		"\"vhost-user-fs-device\"", "\"vhost-user-vsock-device\""};

	int ret = ask_qemu(path, "--version", NULL, text, QEMU_OUTPUT_BYTES, e);
	if (ret < 0)
		return ret;
	/* "QEMU emulator version 7.2.22 (Debian ...)" */
	const char *number = strstr(text, "version ");
	number = number ? number + strlen("version ") : text;
	snprintf(version, version_cap, "%.*s", (int)strcspn(number, " \n"), number);
	ret = ask_qemu(path, "-device", "help", text, QEMU_OUTPUT_BYTES, e);
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]) && ret == 0; i++)
		if (!strstr(text, devices[i]))
			ret = err_set(
				e, ENOTSUP, "%s (%s) has no device %s", path, version, devices[i]);
	return ret;
}

static int check_emulation(const struct settings *settings, char *path, char *version,
	size_t version_cap, struct err *e)
{
	int ret = programs_which(settings->qemu ? settings->qemu : PROGRAM_QEMU, path, e);

	if (ret < 0)
		return err_add(e, "QEMU is needed (Debian: apt-get install qemu-system-x86)");
	char *text = malloc(QEMU_OUTPUT_BYTES);
	if (!text)
		return err_sys(e, ENOMEM, "QEMU");
	ret = check_qemu(path, text, version, version_cap, e);
	free(text);
	return ret;
}

static bool report_kvm(const struct programs *programs)
{
	struct err e;
	bool works = command_probe_kvm(programs, &e) == 0;

	if (works)
		line("kvm", "works");
	else
		line("kvm", "does not work: %s", e.text);
	return works;
}

static bool report_emulation(const struct programs *programs, const struct settings *settings)
{
	char path[PATH_MAX], version[64];
	struct err e;
	bool works = programs_find(programs, PROGRAM_VMM, path, &e) == 0 &&
		check_emulation(settings, path, version, sizeof(version), &e) == 0;

	if (works)
		line("emulation", "works: QEMU %s, %s (slow, no security boundary)", version, path);
	else
		line("emulation", "does not work: %s", e.text);
	return works;
}

/* False when something is missing that every engine needs. */
static bool report_files(const struct programs *programs, const struct settings *settings)
{
	static const char *const names[] = {PROGRAM_VMM, PROGRAM_FS, PROGRAM_INIT};
	char path[PATH_MAX];
	struct err e;
	bool all = true;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		bool found = programs_find(programs, names[i], path, &e) == 0;
		line(names[i], "%s", found ? path : e.text);
		all &= found;
	}
	if (settings->kernel)
		line("kernel", "%s%s", settings->kernel,
			access(settings->kernel, R_OK) == 0 ? "" : " (can't be read)");
	else if (programs_find(programs, PROGRAM_KERNEL, path, &e) == 0)
		line("kernel", "%s", path);
	else
		line("kernel", "%s; `make kernel` builds it, --kernel FILE names another", e.text);
	return all;
}

static int command_check_run(struct context *context, int argc, char **argv)
{
	struct check_options options = {0};
	struct settings settings = {0};
	enum accel only = ACCEL_KVM;
	bool works = false;
	struct err e;
	int first;

	int ret = options_parse(check_specs, &options, argc, argv, &first, &e);
	if (ret == 0 && first < argc)
		ret = err_set(&e, EINVAL, "check: %s: takes no arguments", argv[first]);
	if (ret == 0 && options.accel) {
		ret = settings_accel(options.accel, &only, &e);
		if (ret < 0)
			err_add(&e, "--accel");
	}
	if (ret == 0)
		ret = settings_load(&settings, context->options.config, &e);
	if (ret < 0)
		return command_fail(context, &e);
	bool complete = report_files(&context->programs, &settings);
	if (!options.accel || only == ACCEL_KVM)
		works |= report_kvm(&context->programs);
	if (!options.accel || only == ACCEL_EMULATION)
		works |= report_emulation(&context->programs, &settings);
	settings_fini(&settings);
	return works && complete ? 0 : EXIT_ERROR;
}

const struct command command_check = {
	.name = "check",
	.usage = "[OPTION...]",
	.summary = "say which engines work on this machine",
	.text = "Tries each engine and says which works, or why it does not. A /dev/kvm that\n"
		"can be opened is no proof: guest instructions are run.\n"
		"\n"
		"The exit code is 0 if one of them works (with --accel: if that one does) and\n"
		"hvrun's programs are all there.\n",
	.options = check_specs,
	.run = command_check_run,
};
