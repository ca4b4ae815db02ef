/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvrun run: from a bundle to a running container, and to its end. All that can be found wrong is
 * found before anything is started; from then on supervise.c has the word.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "runtime/commands.h"
#include "runtime/exports.h"
#include "runtime/guestkernel.h"
#include "runtime/idlock.h"
#include "runtime/plan.h"
#include "runtime/settings.h"
#include "runtime/sizing.h"
#include "runtime/spawn.h"
#include "runtime/streams.h"
#include "runtime/supervise.h"
#include "runtime/support.h"

#define KVM_STAMP "kvm-works"

struct run_options {
	const char *bundle, *accel, *kernel, *modules, *discovery, *cmdline;
	unsigned vcpus, memory_mib;
};

/* Everything that one run owns; descriptors start at -1. */
struct run {
	struct context *context;
	struct run_options options;
	char id[ID_MAX_BYTES + 1];
	char bundle_path[PATH_MAX];
	int bundle, null;
	struct settings settings;
	struct oci_config config;
	struct sizing sizing;
	struct guestkernel kernel;
	struct exports exports;
	struct streams streams;
	struct idlock lock;
	struct plan plan;
	struct supervise supervise;
	char vmm[PATH_MAX], fs[PATH_MAX], qemu[PATH_MAX];
	int control, fs_control; /* hvrun's ends */
};

#define PLACE(member) offsetof(struct run_options, member)

static const struct option_spec run_specs[] = {
	{.name = "bundle",
		.letter = 'b',
		.kind = OPTION_TEXT,
		.offset = PLACE(bundle),
		.value_name = "DIR",
		.help = "the bundle (default: the current directory)"},
	{.name = "accel",
		.kind = OPTION_TEXT,
		.offset = PLACE(accel),
		.value_name = "ENGINE",
		.help = "kvm (default), or emulation: QEMU without hardware\n"
			"virtualisation, slow and no security boundary"},
	{.name = "kernel",
		.kind = OPTION_TEXT,
		.offset = PLACE(kernel),
		.value_name = "FILE",
		.help = "the guest's kernel, an ELF vmlinux or a bzImage"},
	{.name = "modules",
		.kind = OPTION_TEXT,
		.offset = PLACE(modules),
		.value_name = "DIR",
		.help = "that kernel's /lib/modules/VERSION, if its drivers are modules"},
	{.name = "discovery",
		.kind = OPTION_TEXT,
		.offset = PLACE(discovery),
		.value_name = "HOW",
		.help = "how the kernel finds its devices: cmdline (hvrun's own\n"
			"kernel) or acpi (others)"},
	{.name = "cmdline",
		.kind = OPTION_TEXT,
		.offset = PLACE(cmdline),
		.value_name = "WORDS",
		.help = "more words for the kernel's command line"},
	{.name = "vcpus",
		.kind = OPTION_NUMBER,
		.offset = PLACE(vcpus),
		.min = 1,
		.max = VCPUS_MAX,
		.value_name = "N",
		.help = "virtual CPUs, 1 to 64"},
	{.name = "memory",
		.kind = OPTION_NUMBER,
		.offset = PLACE(memory_mib),
		.min = MEMORY_MIN_MIB,
		.max = MEMORY_MAX_MIB,
		.value_name = "MIB",
		.help = "memory of the virtual machine"},
	/* Callers pass these to runc; here they have no effect. */
	{.name = "no-pivot", .kind = OPTION_ACCEPT},
	{.name = "no-new-keyring", .kind = OPTION_ACCEPT},
	{0},
};

/*
 * `run BUNDLE/` and `run ID` look alike: what contains a slash, or is a directory with a
 * config.json and no --bundle beside it, is a bundle.
 */
static bool names_bundle(const struct run_options *options, const char *word)
{
	char path[PATH_MAX];

	if (options->bundle)
		return false;
	return strchr(word, '/') ||
		(snprintf(path, sizeof(path), "%s/config.json", word) < PATH_MAX &&
			access(path, F_OK) == 0);
}

static int read_arguments(struct run *run, int argc, char **argv, struct err *e)
{
	struct run_options *options = &run->options;
	int first;

	int ret = options_parse(run_specs, options, argc, argv, &first, e);
	if (ret < 0)
		return ret;
	if (argc - first > 1)
		return err_set(e, EINVAL, "run: %s: one container at a time", argv[first + 1]);
	if (argc - first < 1)
		return err_set(e, EINVAL,
			"run: name a bundle (hvrun run BUNDLE/) or an id (hvrun run --bundle DIR "
			"ID)");
	if (names_bundle(options, argv[first])) {
		options->bundle = argv[first];
		return idlock_make_id(run->id, e);
	}
	ret = idlock_check_id(argv[first], e);
	if (ret == 0)
		snprintf(run->id, sizeof(run->id), "%s", argv[first]);
	return ret;
}

static int load_bundle(struct run *run, struct err *e)
{
	const char *path = run->options.bundle ? run->options.bundle : ".";

	run->bundle = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run->bundle < 0)
		return err_sys(e, errno, "bundle: %s", path);
	if (!realpath(path, run->bundle_path))
		return err_sys(e, errno, "bundle: %s", path);
	cleanup_close int fd =
		openat(run->bundle, "config.json", O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return err_sys(e, errno, "%s/config.json%s", run->bundle_path,
			errno == ENOENT ? " (`hvrun spec` writes one)" : "");
	return oci_config_parse_fd(&run->config, fd, "config.json", e);
}

/* The host's configuration, then the bundle, its annotations last, then the command line. */
static int apply_settings(struct run *run, struct err *e)
{
	const struct run_options *options = &run->options;
	struct settings *settings = &run->settings;

	int ret = settings_load(settings, run->context->options.config, e);
	if (ret == 0 && run->config.vm_kernel_path)
		settings_use_kernel(settings, run->config.vm_kernel_path);
	if (ret == 0)
		ret = settings_annotate(settings, run->config.annotations, e);
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
	settings->debug |= run->context->options.debug;
	return 0;
}

static int find_programs(struct run *run, struct err *e)
{
	const struct programs *programs = &run->context->programs;
	const struct settings *settings = &run->settings;

	int ret = programs_find(programs, PROGRAM_VMM, run->vmm, e);
	if (ret == 0)
		ret = programs_find(programs, PROGRAM_FS, run->fs, e);
	if (ret < 0 || settings->accel != ACCEL_EMULATION)
		return ret;
	const char *qemu = run->config.vm_hypervisor_path;
	if (!qemu)
		qemu = settings->qemu ? settings->qemu : PROGRAM_QEMU;
	ret = programs_which(qemu, run->qemu, e);
	if (ret < 0)
		return err_add(e, "the emulation engine needs QEMU (Debian: qemu-system-x86)");
	run->plan.qemu = run->qemu;
	return 0;
}

/*
 * A /dev/kvm that opens may still be unable to run a kernel, and would then creep for minutes. So
 * the monitor is asked, once per boot of the host: the answer is kept in the root directory.
 */
static int check_engine(struct run *run, struct err *e)
{
	if (run->settings.accel != ACCEL_KVM || faccessat(run->lock.root, KVM_STAMP, F_OK, 0) == 0)
		return 0;
	int ret = command_probe_kvm(&run->context->programs, e);
	if (ret < 0) {
		err_add(e, "KVM can't be used");
		struct err reason = *e;
		return err_set(e, -ret,
			"%.1500s; --accel=emulation does without it (slowly, and not as a security "
			"boundary); see `hvrun check`",
			reason.text);
	}
	int fd = openat(
		run->lock.root, KVM_STAMP, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	fd_closep(&fd); /* if it can't be made, the next run asks again */
	return 0;
}

static int prepare(struct run *run, struct err *e)
{
	char default_root[PATH_MAX];
	const char *root = run->context->options.root;

	int ret = load_bundle(run, e);
	if (ret == 0)
		ret = apply_settings(run, e);
	if (ret == 0)
		ret = support_check(&run->config, &run->settings, e);
	if (ret == 0)
		ret = sizing_make(&run->sizing, &run->config, &run->settings, e);
	if (ret == 0)
		ret = exports_open(&run->exports, &run->config, run->bundle, run->bundle_path, e);
	if (ret == 0)
		ret = plan_open_disks(&run->plan, e);
	if (ret == 0)
		ret = find_programs(run, e);
	if (ret == 0)
		ret = guestkernel_open(
			&run->kernel, &run->settings, &run->config, &run->context->programs, e);
	if (ret == 0 && !root) {
		ret = idlock_default_root(default_root, e);
		root = default_root;
	}
	if (ret == 0)
		ret = idlock_take(&run->lock, root, run->id, e);
	if (ret == 0)
		ret = check_engine(run, e);
	if (ret == 0)
		ret = streams_open(&run->streams, run->config.terminal, e);
	if (ret == 0 && !run->streams.rows) {
		run->streams.rows = run->config.rows;
		run->streams.columns = run->config.columns;
	}
	if (ret == 0) {
		run->null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (run->null < 0)
			ret = err_sys(e, errno, "/dev/null");
	}
	return ret;
}

static pid_t start_program(const struct run *run, const char *path, const char *option, int plan,
	const int *fds, size_t n_fds, int death_signal, struct err *e)
{
	char number[16];
	char *argv[] = {strrchr(path, '/') + 1, (char *)(uintptr_t)option, number, NULL};
	struct spawn spawn = {
		.path = path,
		.argv = argv,
		.fds = fds,
		.n_fds = n_fds,
		.out = run->null,
		.err = STDERR_FILENO,
		.death_signal = death_signal,
		.mask = &run->supervise.old_mask,
		.cpus = run->sizing.have_cpus ? &run->sizing.cpus : NULL,
		.mems = run->sizing.have_mems ? run->sizing.mems : NULL,
		.mems_bits = sizeof(run->sizing.mems) * 8,
	};

	snprintf(number, sizeof(number), "%d", plan);
	return spawn_start(&spawn, run->null, e);
}

static int start_fs_with(struct run *run, int socket, int control, int *fds, struct err *e)
{
	size_t n = 0;

	run->plan.fs_vmm_socket = socket;
	run->plan.fs_control = control;
	cleanup_close int file = plan_fs_file(&run->plan, e);
	if (file < 0)
		return file;
	for (size_t i = 0; i < run->exports.n; i++)
		fds[n++] = run->exports.list[i].fd;
	fds[n++] = socket;
	fds[n++] = control;
	fds[n++] = file;
	pid_t pid = start_program(run, run->fs, "--config-fd", file, fds, n, SIGKILL, e);
	if (pid < 0)
		return pid;
	run->supervise.fs = pid;
	return 0;
}

static int start_fs(struct run *run, int socket, int control, struct err *e)
{
	int *fds = calloc(run->exports.n + 3, sizeof(*fds));

	if (!fds)
		return err_sys(e, ENOMEM, "hvrun-fs");
	int ret = start_fs_with(run, socket, control, fds, e);
	free(fds);
	return ret;
}

static int start_vmm(struct run *run, int socket, int control, struct err *e)
{
	int fds[10 + 1 + MODULES_MAX + PLAN_DISKS_MAX];
	size_t n = 0;

	run->plan.vmm_fs_socket = socket;
	run->plan.vmm_control = control;
	cleanup_close int container = plan_container_file(&run->plan, e);
	if (container < 0)
		return container;
	run->plan.container = container;
	cleanup_close int file = plan_vmm_file(&run->plan, e);
	if (file < 0)
		return file;
	const int single[] = {socket, control, container, file, run->kernel.fd, run->streams.in,
		run->streams.out, run->streams.err, run->streams.terminal, run->lock.fd};
	memcpy(fds, single, sizeof(single));
	n = sizeof(single) / sizeof(single[0]);
	for (unsigned i = 0; i < run->kernel.n_files; i++)
		fds[n++] = run->kernel.files[i].fd;
	for (unsigned i = 0; i < run->plan.n_disks; i++)
		fds[n++] = run->plan.disks[i].fd;
	/* It ends with its control socket; killed, it could not restore the terminal. */
	pid_t pid = start_program(run, run->vmm, "--plan-fd", file, fds, n,
		run->streams.terminal >= 0 ? 0 : SIGKILL, e);
	if (pid < 0)
		return pid;
	run->supervise.vmm = pid;
	return 0;
}

static int start(struct run *run, struct err *e)
{
	cleanup_close int fs_end = -1, vmm_end = -1, fs_control = -1, vmm_control = -1;
	int pair[3][2];
	static const int types[3] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_SEQPACKET};

	for (int i = 0; i < 3; i++) {
		if (socketpair(AF_UNIX, types[i] | SOCK_CLOEXEC, 0, pair[i]) < 0) {
			int code = errno;
			while (i-- > 0) {
				close(pair[i][0]);
				close(pair[i][1]);
			}
			return err_sys(e, code, "socket");
		}
	}
	vmm_end = pair[0][0];
	fs_end = pair[0][1];
	run->control = pair[1][0];
	vmm_control = pair[1][1];
	run->fs_control = pair[2][0];
	fs_control = pair[2][1];
	/* The file server first: it gets ready while the monitor builds the machine. */
	int ret = start_fs(run, fs_end, fs_control, e);
	if (ret == 0)
		ret = start_vmm(run, vmm_end, vmm_control, e);
	return ret;
}

static int finish(struct run *run)
{
	const struct supervise *s = &run->supervise;

	if (s->failed)
		report_line(&run->context->report, "error", s->err.text);
	if (s->oom)
		report_line(&run->context->report, "warning",
			"the container ran out of memory: a process of it was killed");
	return s->code;
}

static void run_close(struct run *run)
{
	guestkernel_close(&run->kernel);
	exports_close(&run->exports);
	plan_close_disks(&run->plan);
	fd_closep(&run->bundle);
	fd_closep(&run->null);
}

static int run_container(struct run *run, struct err *e)
{
	int ret = prepare(run, e);

	if (ret < 0)
		return ret;
	ret = supervise_init(&run->supervise, e);
	run->supervise.streams = &run->streams;
	if (ret == 0)
		ret = start(run, e);
	if (ret == 0) {
		/* The other programs have their own by now. */
		run_close(run);
		streams_hand_over(&run->streams);
		ret = supervise_run(
			&run->supervise, steal_fd(&run->control), steal_fd(&run->fs_control), e);
	}
	fd_closep(&run->control);
	fd_closep(&run->fs_control);
	supervise_fini(&run->supervise);
	return ret;
}

static int command_run_run(struct context *context, int argc, char **argv)
{
	struct run *run = calloc(1, sizeof(*run));
	struct err e;
	int code;

	if (!run) {
		err_sys(&e, ENOMEM, "run");
		return command_fail(context, &e);
	}
	run->context = context;
	run->bundle = run->null = run->control = run->fs_control = -1;
	run->kernel.fd = run->lock.fd = run->lock.root = -1;
	run->streams.in = run->streams.out = run->streams.err = run->streams.terminal = -1;
	run->plan = (struct plan){
		.id = run->id,
		.config = &run->config,
		.settings = &run->settings,
		.sizing = &run->sizing,
		.kernel = &run->kernel,
		.exports = &run->exports,
		.streams = &run->streams,
	};
	int ret = read_arguments(run, argc, argv, &e);
	if (ret == 0)
		ret = run_container(run, &e);
	/* The terminal is put right before anything is said on it. */
	streams_close(&run->streams);
	code = ret < 0 ? command_fail(context, &e) : finish(run);
	idlock_release(&run->lock);
	run_close(run);
	oci_config_fini(&run->config);
	settings_fini(&run->settings);
	free(run);
	return code;
}

const struct command command_run = {
	.name = "run",
	.usage = "BUNDLE/\n  hvrun run [OPTION...] [--bundle DIR] ID",
	.summary = "run a container and wait for its end",
	.text = "Runs the container that BUNDLE/config.json describes (OCI runtime\n"
		"specification 1.0 to 1.3) in a virtual machine of its own, with hvrun's\n"
		"standard streams, or with its terminal if process.terminal is true. Signals\n"
		"are passed on to the container.\n"
		"\n"
		"The exit code is the container's: its process's own, or 128 and the number of\n"
		"the signal that killed it; 127 when its program is missing, 126 when it can't\n"
		"be run; 125 when the virtual machine failed; 1 when it could not be started.\n",
	.options = run_specs,
	.run = command_run_run,
};
