/* SPDX-License-Identifier: Apache-2.0 */
/* What must be known before a virtual machine is started; see launch.h. */
#include "runtime/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "runtime/console.h"
#include "runtime/launch_resolver.h"
#include "runtime/monitor.h"
#include "runtime/support.h"

#define KVM_STAMP "kvm-works"
#define CONFIG_FILE_MODE 0600

static int load_bundle(struct launch *l, struct err *e)
{
	const char *path = l->options->bundle ? l->options->bundle : ".";

	l->bundle = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (l->bundle < 0)
		return err_sys(e, errno, "bundle: %s", path);
	if (!realpath(path, l->bundle_path))
		return err_sys(e, errno, "bundle: %s", path);
	cleanup_close int fd =
		openat(l->bundle, "config.json", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return err_sys(e, errno, "%s/config.json%s", l->bundle_path,
			errno == ENOENT ? " (`hvrun spec` writes one)" : "");
	return oci_config_parse_fd(&l->config, fd, "config.json", e);
}

/* The host's configuration, then the bundle, its annotations last, then the command line. */
static int apply_settings(struct launch *l, struct err *e)
{
	const struct launch_options *options = l->options;
	struct settings *settings = &l->settings;

	int ret = settings_load(settings, l->context->options.config, e);
	if (ret == 0 && l->config.vm_kernel_path)
		settings_use_kernel(settings, l->config.vm_kernel_path);
	if (ret == 0)
		ret = settings_annotate(settings, l->config.annotations, e);
	if (ret == 0 && options->network &&
		settings_network(options->network, &settings->network, e) < 0)
		ret = err_add(e, "--network");
	if (ret == 0 && options->accel && settings_accel(options->accel, &settings->accel, e) < 0)
		ret = err_add(e, "--accel");
	if (ret < 0)
		return ret;
	if (options->kernel)
		settings_use_kernel(settings, options->kernel);
	if (options->modules)
		settings->modules = options->modules;
	if (options->discovery) {
		if (strcmp(options->discovery, "cmdline") != 0 &&
			strcmp(options->discovery, "acpi") != 0)
			return err_set(e, EINVAL, "--discovery: \"%s\" is neither cmdline nor acpi",
				options->discovery);
		settings->discovery = options->discovery;
	}
	if (options->cmdline)
		settings->cmdline = options->cmdline;
	if (options->vcpus)
		settings->vcpus_forced = options->vcpus;
	if (options->memory_mib)
		settings->memory_forced_mib = options->memory_mib;
	settings->debug |= l->context->options.debug;
	return 0;
}

static int find_programs(struct launch *l, struct err *e)
{
	const struct programs *programs = &l->context->programs;
	const struct settings *settings = &l->settings;

	int ret = programs_find(programs, PROGRAM_VMM, l->vmm, e);
	if (ret == 0)
		ret = programs_find(programs, PROGRAM_FS, l->fs, e);
	if (ret < 0 || settings->accel != ACCEL_EMULATION)
		return ret;
	const char *qemu = l->config.vm_hypervisor_path;
	if (!qemu)
		qemu = settings->qemu ? settings->qemu : PROGRAM_QEMU;
	ret = programs_which(qemu, l->qemu, e);
	if (ret < 0 && l->config.vm_hypervisor_path)
		return err_add(e, "config.json: vm.hypervisor.path");
	if (ret < 0)
		return err_add(e, "the emulation engine needs QEMU (Debian: qemu-system-x86)");
	l->plan.qemu = l->qemu;
	return 0;
}

/*
 * A /dev/kvm that opens may still be unable to run a kernel, and would then creep for minutes. So
 * the monitor is asked, once per boot of the host: the answer is kept in the root directory.
 */
static int check_engine(struct launch *l, struct err *e)
{
	if (l->settings.accel != ACCEL_KVM || faccessat(l->container.root, KVM_STAMP, F_OK, 0) == 0)
		return 0;
	int ret = command_probe_kvm(&l->context->programs, e);
	if (ret < 0) {
		err_add(e, "KVM can't be used");
		struct err reason = *e;
		return err_set(e, -ret,
			"%.1500s; --accel=emulation does without it (slowly, and not as a security "
			"boundary); see `hvrun check`",
			reason.text);
	}
	int fd = openat(
		l->container.root, KVM_STAMP, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	fd_closep(&fd); /* if it can't be made, the next run asks again */
	return 0;
}

/* What of the options has a meaning only together with others, or none here. */
static int check_options(struct launch *l, struct err *e)
{
	const struct launch_options *options = l->options;

	l->plan.listen_fds = preserve_listen_fds();
	int ret = preserve_take(&l->preserve, l->context->inherited_fds, l->plan.listen_fds,
		options->preserve_fds, e);
	if (ret < 0)
		return ret;
	return console_check(l->detached, l->config.terminal, options->console_socket, e);
}

static int open_streams(struct launch *l, struct err *e)
{
	struct streams *streams = &l->streams;
	int ret;

	if (l->options->console_socket) {
		streams->rows = l->config.rows;
		streams->columns = l->config.columns;
		return console_send(l->options->console_socket, streams->rows, streams->columns,
			&streams->terminal, e);
	}
	ret = streams_open(streams, l->config.terminal, e);
	if (ret == 0 && !streams->rows) {
		streams->rows = l->config.rows;
		streams->columns = l->config.columns;
	}
	return ret;
}

static int open_null(struct launch *l, struct err *e)
{
	l->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	return l->null < 0 ? err_sys(e, errno, "/dev/null") : 0;
}

/* The configuration as it is now, for commands to come; the bundle may change. */
static int keep_config(struct launch *l, struct err *e)
{
	cleanup_free char *text = json_dumps(l->config.json, JSON_COMPACT);
	cleanup_close int fd = openat(l->container.dir, "config.json",
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, CONFIG_FILE_MODE);

	if (!text)
		return err_sys(e, ENOMEM, "config.json");
	int ret = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
	return ret < 0 ? err_sys(e, -ret, "%s/%s/config.json", l->root, l->id) : 0;
}

static int set_state(struct launch *l, struct err *e)
{
	const struct sizing *sizing = &l->sizing;
	json_t *state = l->container.state;
	struct timespec now;
	struct tm tm;
	char created[64];
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	n = strftime(created, sizeof(created), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(created + n, sizeof(created) - n, ".%09ldZ", now.tv_nsec);
	cleanup_json json_t *more = json_pack("{s:s, s:s, s:s, s:s, s:i, s:b, s:b, s:{s:i, s:I, s:I}}",
		"id", l->id, "bundle", l->bundle_path, "rootfs", l->exports.list[0].path, "created",
		created, "uid", (int)getuid(), "hooks", l->hooks != NULL, "terminal",
		(int)l->config.terminal, "vm", "vcpus", (int)sizing->vcpus, "memoryBytes",
		(json_int_t)sizing->memory_bytes, "memoryOverheadBytes",
		(json_int_t)sizing->overhead_bytes);
	if (!more || json_object_update(state, more) < 0)
		return err_set(e, EINVAL, "%s: can't be recorded: is its path valid UTF-8?",
			l->bundle_path);
	if (l->config.annotations &&
		json_object_set(state, "annotations", l->config.annotations) < 0)
		return err_sys(e, ENOMEM, "%s", l->id);
	return 0;
}

static int plan_cgroup(struct launch *l, struct err *e)
{
	struct cgroup_spec spec = launch_cgroup_spec(l);

	int ret = cgroup_plan(&l->cgroup, &spec, e);
	if (ret < 0)
		return ret;
	json_t *json = cgroup_to_json(&l->cgroup);
	if (!json || json_object_set_new(l->container.state, "cgroup", json) < 0)
		return err_sys(e, ENOMEM, "%s", l->id);
	return 0;
}

/* From here on there is a directory, and a janitor that removes it. */
static int take_id(struct launch *l, struct err *e)
{
	int ret = container_new(&l->container, l->root, l->id, e);

	if (ret < 0)
		return ret;
	l->created = true;
	l->plan.listen = monitor_listen(l->container.dir, e);
	if (l->plan.listen < 0)
		return l->plan.listen;
	ret = keep_config(l, e);
	if (ret == 0)
		ret = set_state(l, e);
	if (ret == 0)
		ret = plan_cgroup(l, e);
	if (ret == 0)
		ret = container_save(&l->container, e);
	if (ret == 0)
		ret = janitor_start(&l->janitor, &l->container, l->root, e);
	return ret;
}

int launch_prepare(struct launch *l, struct err *e)
{
	int ret = load_bundle(l, e);

	if (ret == 0)
		ret = apply_settings(l, e);
	if (ret == 0)
		ret = support_check(&l->config, &l->settings, e);
	if (ret == 0)
		ret = check_options(l, e);
	if (ret == 0)
		ret = sizing_make(&l->sizing, &l->config, &l->settings, e);
	if (ret == 0)
		ret = launch_network_choose(l, e);
	if (ret == 0)
		ret = exports_open(&l->exports, &l->config, l->bundle, l->bundle_path, e);
	if (ret == 0)
		ret = plan_open_disks(&l->plan, e);
	if (ret == 0)
		ret = find_programs(l, e);
	if (ret == 0)
		ret = guestkernel_open(
			&l->kernel, &l->settings, &l->config, &l->context->programs, e);
	if (ret == 0)
		ret = container_root_path(l->context->options.root, l->root, e);
	if (ret == 0 && json_object_size(l->config.hooks))
		l->hooks = json_incref(l->config.hooks);
	if (ret == 0)
		ret = open_null(l, e);
	if (ret == 0)
		ret = take_id(l, e);
	if (ret == 0)
		ret = check_engine(l, e);
	if (ret == 0)
		ret = open_streams(l, e);
	if (ret == 0)
		ret = launch_network_prepare(l, e);
	if (ret == 0)
		launch_resolver_open(l);
	return ret;
}
