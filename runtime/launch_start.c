/* SPDX-License-Identifier: Apache-2.0 */
/* Starting what launch_prepare has prepared; see launch.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "runtime/hooks.h"
#include "runtime/launch.h"
#include "runtime/pidfile.h"
#include "runtime/rootless.h"
#include "runtime/spawn.h"
#include "runtime/teardown.h"
#include "runtime/view.h"
#include "runtime/witness.h"

#define LOG_FILE "monitor.log"

void launch_init(struct launch *l, struct context *context, const struct launch_options *options,
	const char *id)
{
	*l = (struct launch){
		.context = context,
		.options = options,
		.id = id,
		.bundle = -1,
		.null = -1,
		.log = -1,
		.control = -1,
		.fs_control = -1,
		.resolv = -1,
		.create_file = -1,
		.kernel = {.fd = -1},
		.streams = {.in = -1, .out = -1, .err = -1, .terminal = -1},
		.janitor = {.pipe = -1},
	};
	container_init(&l->container);
	launch_network_init(&l->network);
	supervise_clear(&l->supervise);
	l->plan = (struct plan){
		.id = id,
		.config = &l->config,
		.settings = &l->settings,
		.sizing = &l->sizing,
		.kernel = &l->kernel,
		.exports = &l->exports,
		.streams = &l->streams,
		.preserve = &l->preserve,
		.report = &context->report,
		.listen = -1,
		.keep = {-1, -1},
		.oom = -1,
		.resolver = -1,
	};
}

/*
 * Beside vCPUs: those of hvrun-vmm (two for a disk, one for a pair of queues of a network device),
 * of hvrun-fs and of QEMU, and far more than they ever are. It keeps whoever has taken over
 * hvrun-fs, which may start threads, from using up the host's.
 */
#define THREADS_MAX 4096u

struct cgroup_spec launch_cgroup_spec(const struct launch *l)
{
	return (struct cgroup_spec){
		.path = json_string_value(json_object_get(l->config.linux_section, "cgroupsPath")),
		.id = l->id,
		.systemd = l->context->options.systemd_cgroup,
		.rootless = rootless(NULL),
		.resources = l->config.resources,
		.overhead_bytes = l->sizing.overhead_bytes,
		.bound_bytes = l->sizing.bound_bytes,
		.overhead_pids = l->sizing.vcpus + THREADS_MAX,
	};
}

int launch_hooks(struct launch *l, const char *kind, enum container_status status, struct err *e)
{
	struct hooks_env env = {
		.bundle = l->bundle_path, .netns = -1, .report = &l->context->report};
	char path[64];

	if (!json_array_size(json_object_get(l->hooks, kind)))
		return 0;
	cleanup_json json_t *state = container_oci_state(&l->container, status);
	if (!state)
		return err_sys(e, ENOMEM, "%s", kind);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)l->supervise.vmm);
	cleanup_close int netns = open(path, O_RDONLY | O_CLOEXEC);
	env.netns = netns;
	return hooks_run(l->hooks, kind, state, &env, e);
}

/* What dies with us: nothing of a container that is to outlive us, and nothing with a terminal. */
static int death_signal(const struct launch *l)
{
	return l->detached ? 0 : SIGKILL;
}

struct streams_of_program {
	int in, out, err;
};

static pid_t start_program(const struct launch *l, const char *path, const char *option, int plan,
	const struct streams_of_program *streams, const int *fds, size_t n_fds, int death_signal,
	const int *netns, struct err *e)
{
	int cgroup[CGROUP_PLACES_MAX];
	char number[16];
	char *argv[] = {strrchr(path, '/') + 1, (char *)(uintptr_t)option, number, NULL};
	struct spawn spawn = {
		.path = path,
		.argv = argv,
		.fds = fds,
		.n_fds = n_fds,
		.out = streams->out,
		.err = streams->err,
		.death_signal = death_signal,
		.mask = &l->supervise.old_mask,
		.cpus = l->sizing.have_cpus ? &l->sizing.cpus : NULL,
		.mems = l->sizing.have_mems ? l->sizing.mems : NULL,
		.mems_bits = sizeof(l->sizing.mems) * 8,
		.cgroup_fds = cgroup,
		.n_cgroup_fds = cgroup_fds(&l->cgroup, cgroup),
		.cgroup_may_fail = l->cgroup.attach_late,
		.session = l->detached,
		.netns = netns,
		/* Rootless podman enters it (podman cp), and may not enter the host's. */
		.own_pids = path == l->vmm && rootless(NULL),
	};

	snprintf(number, sizeof(number), "%d", plan);
	return spawn_start(&spawn, streams->in, e);
}

/* log: see docs/protocol.md. It is all that hvrun-fs has on the host, but for its exports. */
static int start_fs_with(
	struct launch *l, int socket, int control, int log, int *fds, struct err *e)
{
	const struct streams_of_program streams = {log, log, log};
	size_t n = 0;

	l->plan.fs_vmm_socket = socket;
	l->plan.fs_control = control;
	cleanup_close int file = plan_fs_file(&l->plan, e);
	if (file < 0)
		return file;
	for (size_t i = 0; i < l->exports.n; i++)
		if (!l->exports.list[i].socket)
			fds[n++] = l->exports.list[i].fd;
	fds[n++] = socket;
	fds[n++] = control;
	fds[n++] = file;
	pid_t pid = start_program(l, l->fs, "--config-fd", file, &streams, fds, n, death_signal(l),
		l->hooks && l->network.ns >= 0 ? &l->network.ns : NULL, e);
	if (pid < 0)
		return pid;
	l->supervise.fs = pid;
	return 0;
}

static int start_fs(struct launch *l, int socket, int control, int log, struct err *e)
{
	int *fds = calloc(l->exports.n + 3, sizeof(*fds));

	if (!fds)
		return err_sys(e, ENOMEM, "hvrun-fs");
	int ret = start_fs_with(l, socket, control, log, fds, e);
	free(fds);
	return ret;
}

static int start_vmm(struct launch *l, int socket, int control, int fs_log, struct err *e)
{
	const struct streams_of_program streams = {
		l->null, l->null, l->log >= 0 ? l->log : STDERR_FILENO};
	int fds[17 + 1 + MODULES_MAX + PLAN_DISKS_MAX + PLAN_SOCKETS_MAX + MSG_PRESERVED_MAX +
		NET_INTERFACES_MAX * NET_QUEUES_MAX];
	size_t n = 0;

	l->plan.vmm_fs_socket = socket;
	l->plan.vmm_fs_log = fs_log;
	l->plan.vmm_control = control;
	l->create_file = plan_container_file(&l->plan, e);
	if (l->create_file < 0)
		return l->create_file;
	l->plan.container = l->create_file;
	cleanup_close int file = plan_vmm_file(&l->plan, e);
	if (file < 0)
		return file;
	const int single[] = {socket, control, l->create_file, file, l->kernel.fd, l->streams.in,
		l->streams.out, l->streams.err, l->streams.terminal, l->plan.listen,
		l->plan.keep[0], l->plan.keep[1], l->plan.oom, l->plan.resolver, l->network.stream,
		l->context->report.fd, fs_log};
	memcpy(fds, single, sizeof(single));
	n = sizeof(single) / sizeof(single[0]);
	for (unsigned i = 0; i < l->kernel.n_files; i++)
		fds[n++] = l->kernel.files[i].fd;
	for (unsigned i = 0; i < l->plan.n_disks; i++)
		fds[n++] = l->plan.disks[i].fd;
	for (size_t i = 0; i < l->exports.n; i++)
		if (l->exports.list[i].socket)
			fds[n++] = l->exports.list[i].fd;
	for (unsigned i = 0; i < l->preserve.n; i++)
		fds[n++] = l->preserve.v[i].fd;
	for (unsigned i = 0; i < l->network.n_taps; i++)
		for (unsigned k = 0; k < l->network.taps[i].n_queues; k++)
			fds[n++] = l->network.taps[i].queues[k];
	/* It ends with its control socket; killed, it could not restore the terminal. */
	pid_t pid = start_program(l, l->vmm, "--plan-fd", file, &streams, fds, n,
		l->streams.terminal >= 0 ? 0 : death_signal(l),
		l->network.ns >= 0 ? &l->network.ns : NULL, e);
	if (pid < 0)
		return pid;
	l->supervise.vmm = pid;
	return 0;
}

static int start_programs(struct launch *l, struct err *e)
{
	cleanup_close int fs_end = -1, vmm_end = -1, fs_control = -1, vmm_control = -1;
	cleanup_close int fs_log = -1, vmm_fs_log = -1;
	int pair[3][2], log[2];
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
	l->control = pair[1][0];
	vmm_control = pair[1][1];
	l->fs_control = pair[2][0];
	fs_control = pair[2][1];
	/* hvrun-fs loses words rather than wait for the monitor. */
	if (pipe2(log, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_sys(e, errno, "pipe");
	vmm_fs_log = log[0];
	fs_log = log[1];
	l->plan.keep[0] = l->container.run;
	if (l->detached)
		l->plan.keep[1] = l->fs_control; /* hvrun-fs ends with it: now with the monitor */
	/* The file server first: it gets ready while the monitor builds the machine. */
	int ret = start_fs(l, fs_end, fs_control, fs_log, e);
	if (ret == 0)
		ret = start_vmm(l, vmm_end, vmm_control, vmm_fs_log, e);
	return ret;
}

/* Those of the host that come before the container's process. */
static int run_early_hooks(struct launch *l, struct err *e)
{
	static const char *const kinds[] = {"prestart", "createRuntime", "createContainer"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		int ret = launch_hooks(l, kinds[i], CONTAINER_CREATING, e);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* The pids, so that whoever has to can take them down. */
static int record_programs(struct launch *l, struct err *e)
{
	json_t *state = l->container.state;

	if (json_object_set_new(state, "monitor", container_process_json(l->supervise.vmm)) < 0 ||
		json_object_set_new(state, "fs", container_process_json(l->supervise.fs)) < 0)
		return err_sys(e, ENOMEM, "%s", l->id);
	return container_save(&l->container, e);
}

/* What an unattended monitor has to say goes into the container's directory. */
static int open_log(struct launch *l, struct err *e)
{
	if (!l->detached)
		return 0;
	l->log = openat(l->container.dir, LOG_FILE,
		O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	return l->log < 0 ? err_sys(e, errno, "%s/%s/" LOG_FILE, l->root, l->id) : 0;
}

/* Where nobody but systemd may put a process into its scope; the monitor has forked by then. */
static int attach_late(struct launch *l, struct err *e)
{
	const pid_t programs[] = {l->supervise.vmm, l->supervise.fs, l->witness, l->network.passt};
	int ret = 0;

	if (l->cgroup.attach_late)
		ret = cgroup_attach_trees(
			&l->cgroup, programs, sizeof(programs) / sizeof(programs[0]), e);
	cgroup_settle(&l->cgroup);
	return ret;
}

/* The other programs have their own by now. */
static void close_files(struct launch *l)
{
	guestkernel_close(&l->kernel);
	plan_close_disks(&l->plan);
	preserve_close(&l->preserve);
	fd_closep(&l->plan.listen);
	fd_closep(&l->plan.oom);
	fd_closep(&l->plan.resolver);
	fd_closep(&l->resolv);
	fd_closep(&l->bundle);
	fd_closep(&l->null);
	fd_closep(&l->log);
}

/* What is recorded is what was made: a cgroup that turns out to be another's is not ours to remove.
 */
static int make_cgroup(struct launch *l, struct err *e)
{
	struct cgroup_spec spec = launch_cgroup_spec(l);
	char lock[PATH_MAX];
	struct err second;

	int ret = container_common_path(l->root, CGROUPS_LOCK, lock, e);
	spec.lock_path = lock;
	if (ret == 0)
		ret = cgroup_create(&l->cgroup, &spec, e);
	if (ret < 0) {
		json_object_del(l->container.state, "cgroup");
		if (container_save(&l->container, &second) < 0)
			log_warn("%s", second.text);
		return ret;
	}
	json_t *json = cgroup_to_json(&l->cgroup);
	if (!json || json_object_set_new(l->container.state, "cgroup", json) < 0)
		return err_sys(e, ENOMEM, "%s", l->id);
	return container_save(&l->container, e);
}

static int start_witness(struct launch *l, struct err *e)
{
	/* There is none for a container without a limit: no OOM inside is one of the host's. */
	if (l->cgroup.bounded)
		return 0;
	pid_t pid =
		witness_start(&l->cgroup, l->log >= 0 ? l->log : STDERR_FILENO, &l->plan.oom, e);

	if (pid < 0)
		return pid;
	l->witness = pid;
	return 0;
}

int launch_start(struct launch *l, struct err *e)
{
	/*
	 * QEMU stays what it is, and so does its monitor, which has to be able to kill it. Within a
	 * user namespace there is no such range.
	 */
	if (l->settings.accel == ACCEL_KVM && !rootless(NULL))
		l->plan.uid_base = l->settings.uid_base;
	l->plan.hooks = l->hooks;
	l->plan.bundle = l->bundle_path;
	l->plan.hold = l->hooks != NULL;
	l->plan.detached = l->detached;
	l->plan.start = l->start;
	l->plan.console = l->options->console_socket != NULL;
	int ret = supervise_init(&l->supervise, e);
	l->supervise.streams = &l->streams;
	if (ret == 0)
		ret = open_log(l, e);
	if (ret == 0)
		ret = make_cgroup(l, e);
	if (ret == 0)
		ret = start_witness(l, e);
	if (ret == 0)
		ret = launch_network_start(l, e);
	if (ret == 0)
		ret = start_programs(l, e);
	if (ret == 0)
		ret = launch_network_watch(l, e);
	if (ret == 0)
		ret = record_programs(l, e);
	if (ret == 0)
		ret = attach_late(l, e);
	if (ret < 0)
		return ret;
	close_files(l);
	if (!l->detached)
		exports_close(&l->exports); /* else for show_files */
	streams_hand_over(&l->streams);
	if (!l->hooks)
		return 0;
	ret = run_early_hooks(l, e);
	if (ret == 0)
		ret = launch_network_again(l, e);
	if (ret < 0)
		return ret;
	/* Through the socket that supervise_run is going to take. */
	static const char go_on[] = "{\"op\":\"create\"}";
	ret = fd_send_packet(l->control, go_on, sizeof(go_on) - 1, NULL, 0);
	return ret == -EPIPE ? 0 : ret < 0 ? err_sys(e, -ret, "monitor") : 0;
}

static int write_pid_file(const struct launch *l, struct err *e)
{
	const char *path = l->options->pid_file;

	return path ? pidfile_write(path, l->supervise.vmm, e) : 0;
}

/* Host programs that look for the container's files by its pid find them; it does without them. */
static void show_files(struct launch *l)
{
	struct err e;

	if (view_show(l->supervise.vmm, &l->exports, &l->config, &e) < 0)
		log_warn("the container's files can't be seen by way of its pid (podman cp): %s",
			e.text);
}

/* The container stays when we go. */
static int let_go(struct launch *l, struct err *e)
{
	show_files(l);
	int ret = container_keep(&l->container, e);

	if (ret == 0)
		ret = write_pid_file(l, e);
	if (ret < 0)
		return ret;
	supervise_detach(&l->supervise);
	janitor_dismiss(&l->janitor);
	launch_network_keep(&l->network);
	l->created = false;
	return 0;
}

int launch_wait(struct launch *l, struct err *e)
{
	int ret = 0;

	if (!l->detached) {
		/* Others may have a say from now on. */
		container_unlock(&l->container);
		ret = write_pid_file(l, e);
	}
	if (ret == 0)
		ret = supervise_run(
			&l->supervise, steal_fd(&l->control), steal_fd(&l->fs_control), e);
	if (ret < 0 || !l->detached || !l->supervise.reached)
		return ret;
	return let_go(l, e);
}

void launch_close(struct launch *l)
{
	struct err e;

	fd_closep(&l->control);
	fd_closep(&l->fs_control);
	supervise_fini(&l->supervise);
	if (l->created && l->container.lock < 0 && container_lock(&l->container, &e) < 0)
		l->created = false; /* somebody else has deleted it */
	if (l->created && teardown(&l->container, -1, &l->context->report, &e) < 0)
		report_line(&l->context->report, "warning", e.text);
	janitor_dismiss(&l->janitor);
	streams_close(&l->streams);
	close_files(l);
	exports_close(&l->exports);
	launch_network_close(&l->network);
	fd_closep(&l->create_file);
	json_decref(l->plan.message);
	cgroup_fini(&l->cgroup);
	container_close(&l->container);
	json_decref(l->hooks);
	oci_config_fini(&l->config);
	settings_fini(&l->settings);
}
