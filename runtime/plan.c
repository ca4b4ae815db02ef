/* SPDX-License-Identifier: Apache-2.0 */
/* Plans for the other programs; see plan.h and docs/protocol.md. */
#include "runtime/plan.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/msg.h"
#include "oci/idmap.h"
#include "oci/schema.h"
#include "runtime/net_scan.h"
#include "runtime/plan_disks.h"
#include "runtime/preserve.h"
#include "runtime/report.h"
#include "runtime/support.h"

#define PLAN_MAX_BYTES (1u << 20)
#define OVERFLOW_ID    65534 /* as the kernel shows ids that nothing is mapped to */

/* Host ports of the first container's streams. */
#define PORT_STDIN     1025
#define PORT_STDOUT    1026
#define PORT_STDERR    1027
#define PORT_PRESERVED 1028 /* and upwards */

/* Of the resolver in the namespace's loopback. */
#define PORT_RESOLVER 2047

/* Of relayed Unix sockets: this and the number of the export. */
#define PORT_SOCKETS 2048

/* Requests of one vCPU can wait for each other's disk, so there are more threads than vCPUs. */
#define FS_THREADS_MIN 2
#define FS_THREADS_MAX 8

/* What the guest's kernel is to know a file's owner as: what the file server shows. */
static json_int_t shown_id(unsigned id, unsigned own)
{
	if (geteuid() == 0)
		return id;
	return id == own ? 0 : OVERFLOW_ID;
}

/* A socket of the guest's stands for the host's, and is open to the same users. */
static int guest_socket(json_t *mount, const struct export *export, size_t n, struct err *e)
{
	struct stat st;

	if (fstat(export->fd, &st) < 0)
		return err_sys(e, errno, "%s", export->path);
	cleanup_json json_t *members = json_pack("{s:I, s:i, s:I, s:I}", "socket",
		PORT_SOCKETS + (json_int_t)n, "socketMode", (int)(st.st_mode & 0777), "socketUid",
		shown_id(st.st_uid, geteuid()), "socketGid", shown_id(st.st_gid, getegid()));
	if (!members || json_object_update(mount, members) < 0)
		return err_sys(e, ENOMEM, "create message");
	return 0;
}

/* A bind mount names its export, or a socket's port, in place of the host's path. */
static int guest_mounts(const struct plan *plan, json_t *mounts, struct err *e)
{
	size_t n = 1; /* the root's export comes first */

	for (size_t i = 0; i < json_array_size(mounts); i++) {
		json_t *mount = json_array_get(mounts, i);
		char name[EXPORT_NAME_BYTES];
		if (!support_is_bind(mount))
			continue;
		const struct export *export = &plan->exports->list[n];
		exports_mount_name(i, name);
		json_object_del(mount, "source");
		int ret = 0;
		if (export->socket)
			ret = guest_socket(mount, export, n, e);
		else if (json_object_set_new(mount, "export", json_string(name)) < 0)
			ret = err_sys(e, ENOMEM, "create message");
		if (ret < 0)
			return ret;
		n++;
	}
	return 0;
}

/* Where the network namespace comes from is the host's affair: the guest's is its own. */
static void drop_network_path(json_t *section)
{
	const json_t *list = json_object_get(section, "namespaces");

	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *entry = json_array_get(list, i);
		if (strcmp(json_string_value(json_object_get(entry, "type")), "network") == 0)
			json_object_del(entry, "path");
	}
}

/* The part of linux that the guest applies; the rest is the host's, or was refused. */
static json_t *guest_linux(const struct oci_config *config)
{
	static const char *const names[] = {"namespaces", "uidMappings", "gidMappings",
		"timeOffsets", "devices", "sysctl", "seccomp", "rootfsPropagation", "maskedPaths",
		"readonlyPaths", "personality", "resources"};
	cleanup_json json_t *section = json_object();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		json_t *value = json_object_get(config->linux_section, names[i]);
		if (value && json_object_set(section, names[i], value) < 0)
			return NULL;
	}
	/* CPUs and memory nodes are the host's: the VM is bound to them as a whole. */
	json_t *cpu = oci_lookup(config->resources, "cpu");
	json_object_del(cpu, "cpus");
	json_object_del(cpu, "mems");
	return steal_ptr(&section);
}

static json_t *guest_config(const struct oci_config *config)
{
	static const char *const names[] = {"process", "hostname", "domainname", "mounts"};
	cleanup_json json_t *out = json_object();
	json_t *section = guest_linux(config);

	if (!section || json_object_set_new(out, "linux", section) < 0)
		return NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		json_t *value = json_object_get(config->json, names[i]);
		if (value && json_object_set(out, names[i], value) < 0)
			return NULL;
	}
	return steal_ptr(&out);
}

/* Without privileges, the file server shows the user's files as root's: so must the mappings. */
static int own_ids(const struct oci_config *config, struct err *e)
{
	json_t *section = config->linux_section;

	if (geteuid() == 0)
		return 0;
	if (oci_idmap_own_as_root(json_object_get(section, "uidMappings"), geteuid(), e) < 0)
		return err_add(e, "config.json: linux.uidMappings");
	if (oci_idmap_own_as_root(json_object_get(section, "gidMappings"), getegid(), e) < 0)
		return err_add(e, "config.json: linux.gidMappings");
	return 0;
}

/* The root file system: an export, or the first disk. */
static json_t *guest_root(const struct plan *plan)
{
	int readonly = plan->config->root_readonly;

	if (plan->n_disks && !plan->disks[0].device)
		return json_pack("{s:i, s:b}", "disk", 0, "readonly", readonly);
	return json_pack("{s:s, s:b}", "export", EXPORT_ROOTFS, "readonly", readonly);
}

/* Hooks that run in the guest, with what they are told on stdin; guestinit adds the pid. */
static int add_hooks(const struct plan *plan, json_t *message)
{
	json_t *hooks = json_object_get(plan->hooks, "startContainer");
	json_t *annotations = plan->config->annotations;

	if (!json_array_size(hooks))
		return 0;
	cleanup_json json_t *more = json_pack("{s:{s:O}, s:{s:s, s:s, s:s, s:s}}", "hooks",
		"startContainer", hooks, "state", "ociVersion", "1.3.0", "id", plan->id, "status",
		"created", "bundle", plan->bundle);
	if (!more ||
		(annotations &&
			json_object_set(
				json_object_get(more, "state"), "annotations", annotations) < 0))
		return -ENOMEM;
	return json_object_update(message, more);
}

int plan_container_again(struct plan *plan, int fd, struct err *e)
{
	cleanup_free char *frame = NULL;
	size_t len;

	if (plan->network && json_object_set(plan->message, "network", plan->network) < 0)
		return err_sys(e, ENOMEM, "create message");
	int ret = msg_encode(plan->message, MSG_MAX_BYTES, &frame, &len);
	if (ret == -EMSGSIZE)
		return err_set(e, EMSGSIZE,
			"config.json: what the container needs of it is more than %u bytes",
			MSG_MAX_BYTES);
	if (ret < 0)
		return err_sys(e, -ret, "create message");
	/* Whoever has the descriptor, too, reads from the beginning. */
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, frame + done, len - done, (off_t)done);
		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "create message");
		done += n > 0 ? (size_t)n : 0;
	}
	return ftruncate(fd, (off_t)len) < 0 ? err_sys(e, errno, "create message") : 0;
}

/* As sd_listen_fds(3) has it: of the last of a name, the guest takes the value. */
static int add_listen_fds(const struct plan *plan)
{
	json_t *process = plan->config->process, *env = json_object_get(process, "env");

	if (!plan->listen_fds)
		return 0;
	if (!env && json_object_set_new(process, "env", env = json_array()) < 0)
		return -ENOMEM;
	return json_array_append_new(env, json_sprintf("LISTEN_FDS=%u", plan->listen_fds)) < 0 ||
			json_array_append_new(env, json_string("LISTEN_PID=1")) < 0
		? -ENOMEM
		: 0;
}

int plan_container_file(struct plan *plan, struct err *e)
{
	struct oci_config *config = plan->config;
	const struct streams *streams = plan->streams;
	struct timespec now;

	/* The guest refuses what it does not know; the specification has us ignore it. */
	json_object_del(config->process, "commandLine"); /* for Windows */
	oci_schema_prune(&oci_process_schema, config->process);
	if (config->mounts)
		oci_schema_prune(&oci_mounts_schema, config->mounts);
	if (config->linux_section)
		oci_schema_prune(&oci_linux_schema, config->linux_section);
	int ret = guest_mounts(plan, config->mounts, e);
	if (ret < 0)
		return ret;
	ret = own_ids(config, e);
	if (ret < 0)
		return ret;
	if (add_listen_fds(plan) < 0)
		return err_sys(e, ENOMEM, "create message");
	json_t *root = guest_root(plan);
	json_t *disks = plan_disks_of_guest(plan);
	for (unsigned i = 0; i < plan->n_disks; i++)
		plan->disks[i].device = NULL; /* goes with what is dropped now */
	plan_drop_disks(plan);
	drop_network_path(config->linux_section);
	json_t *stdio = streams->terminal >= 0
		? json_pack("{s:i, s:i, s:i}", "terminal", PORT_STDIN, "rows", streams->rows,
			  "columns", streams->columns)
		: json_pack("{s:i, s:i, s:i}", "stdin", PORT_STDIN, "stdout", PORT_STDOUT, "stderr",
			  PORT_STDERR);
	if (plan->preserve->n &&
		json_object_set_new(stdio, "preserved",
			preserve_json(plan->preserve, "port", PORT_PRESERVED)) < 0) {
		json_decref(stdio);
		stdio = NULL;
	}
	json_t *guest = guest_config(config);
	clock_gettime(CLOCK_REALTIME, &now);
	plan->message = json_pack("{s:s, s:s, s:b, s:I, s:o, s:o, s:o, s:o}", "type", "create",
		"id", plan->id, "start", (int)plan->start, "realtimeNs",
		(json_int_t)now.tv_sec * 1000000000 + now.tv_nsec, "root", root, "stdio", stdio,
		"devices", disks, "config", guest);
	if (!plan->message || add_hooks(plan, plan->message) < 0 ||
		(plan->resolver >= 0 &&
			json_object_set_new(
				plan->message, "resolver", json_integer(PORT_RESOLVER)) < 0))
		return err_sys(e, ENOMEM, "create message");
	cleanup_close int fd = fd_memfile("hvrun-create", "", 0);
	if (fd < 0)
		return err_sys(e, -fd, "create message");
	ret = plan_container_again(plan, fd, e);
	return ret < 0 ? ret : steal_fd(&fd);
}

/* Dumps a plan into an anonymous file; takes the reference. */
static int plan_file(json_t *json, const char *name, struct err *e)
{
	cleanup_json json_t *plan = json;
	cleanup_free char *text = plan ? json_dumps(plan, JSON_COMPACT) : NULL;

	if (!text)
		return err_sys(e, ENOMEM, "%s", name);
	size_t len = strlen(text);
	if (len > PLAN_MAX_BYTES)
		return err_set(e, EMSGSIZE, "%s: more than %u bytes", name, PLAN_MAX_BYTES);
	int fd = fd_memfile(name, text, len);
	return fd < 0 ? err_sys(e, -fd, "%s", name) : fd;
}

static json_t *initramfs_list(const struct guestkernel *kernel)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < kernel->n_files; i++) {
		const struct guestkernel_file *file = &kernel->files[i];
		json_array_append_new(list,
			json_pack("{s:s, s:i, s:i}", "path", file->path, "mode",
				(int)file->mode_perms, "fd", file->fd));
	}
	return list;
}

static json_t *net_list(const struct plan *plan)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < plan->n_nets; i++) {
		const struct plan_net *net = &plan->nets[i];
		char mac[NET_MAC_TEXT_BYTES];
		net_mac_format(net->mac, mac);
		json_t *entry = json_pack("{s:s, s:i}", "mac", mac, "mtu", (int)net->mtu);
		if (net->n_taps) {
			json_t *taps = json_array();
			for (unsigned k = 0; k < net->n_taps; k++)
				json_array_append_new(taps, json_integer(net->taps[k]));
			json_object_set_new(entry, "taps", taps);
		} else {
			json_object_set_new(entry, "stream", json_integer(net->stream));
		}
		if (net->rx_bytes)
			json_object_set_new(
				entry, "rxBytesPerSecond", json_integer((json_int_t)net->rx_bytes));
		if (net->tx_bytes)
			json_object_set_new(
				entry, "txBytesPerSecond", json_integer((json_int_t)net->tx_bytes));
		json_array_append_new(list, entry);
	}
	return list;
}

/* What only some containers ask of their monitor. */
static int add_options(const struct plan *plan, json_t *json)
{
	const struct exports *exports = plan->exports;
	cleanup_json json_t *sockets = json_array();
	int ret = 0;

	for (size_t i = 0; i < exports->n; i++)
		if (exports->list[i].socket)
			ret |= json_array_append_new(sockets,
				json_pack("{s:I, s:i}", "port", PORT_SOCKETS + (json_int_t)i, "fd",
					exports->list[i].fd));
	if (json_array_size(sockets))
		ret |= json_object_set(json, "sockets", sockets);
	if (plan->preserve->n)
		ret |= json_object_set_new(
			json, "preserved", preserve_json(plan->preserve, "fd", -1));
	if (plan->listen >= 0)
		ret |= json_object_set_new(json, "listen", json_pack("{s:i}", "fd", plan->listen));
	if (plan->oom >= 0)
		ret |= json_object_set_new(json, "oom", json_pack("{s:i}", "fd", plan->oom));
	if (plan->resolver >= 0)
		ret |= json_object_set_new(json, "resolver",
			json_pack("{s:i, s:i}", "port", PORT_RESOLVER, "fd", plan->resolver));
	json_t *keep = json_array();
	for (size_t i = 0; i < sizeof(plan->keep) / sizeof(plan->keep[0]); i++)
		if (plan->keep[i] >= 0)
			ret |= json_array_append_new(keep, json_integer(plan->keep[i]));
	ret |= json_object_set_new(json, "keep", keep);
	if (plan->detached && plan->report && plan->report->fd >= 0)
		ret |= json_object_set_new(json, "report",
			json_pack("{s:i, s:b}", "fd", plan->report->fd, "json",
				(int)plan->report->json));
	if (plan->n_nets)
		ret |= json_object_set_new(json, "net", net_list(plan));
	if (plan->hold)
		ret |= json_object_set_new(json, "hold", json_true());
	if (plan->detached)
		ret |= json_object_set_new(json, "forwardSignals", json_true());
	if (plan->uid_base)
		ret |= json_object_set_new(json, "uidBase", json_integer(plan->uid_base));
	if (plan->settings->boot_timeout_s)
		ret |= json_object_set_new(
			json, "bootTimeoutSeconds", json_integer(plan->settings->boot_timeout_s));
	if (plan->qemu)
		ret |= json_object_set_new(json, "qemu", json_string(plan->qemu));
	return ret;
}

int plan_vmm_file(const struct plan *plan, struct err *e)
{
	const struct guestkernel *kernel = plan->kernel;
	const struct streams *streams = plan->streams;
	json_t *stdio = streams->terminal >= 0
		? json_pack("{s:i, s:b}", "terminal", streams->terminal, "controlling",
			  (int)plan->console)
		: json_pack("{s:i, s:i, s:i}", "in", streams->in, "out", streams->out, "err",
			  streams->err);
	json_t *json = json_pack("{s:i, s:s, s:s, s:i, s:I, s:{s:i, s:s}, s:s, s:s, s:o,"
				 "s:{s:i, s:s, s:i}, s:o, s:{s:i}, s:o, s:{s:i}, s:b}",
		"version", 1, "id", plan->id, "accel", accel_name(plan->settings->accel), "vcpus",
		(int)plan->sizing->vcpus, "memoryBytes", (json_int_t)plan->sizing->memory_bytes,
		"kernel", "fd", kernel->fd, "path", kernel->path, "cmdline", kernel->cmdline,
		"discovery", kernel->discovery, "initramfs", initramfs_list(kernel), "fs", "fd",
		plan->vmm_fs_socket, "tag", "hvrun", "log", plan->vmm_fs_log, "disks",
		plan_disks_of_monitor(plan), "control", "fd", plan->vmm_control, "stdio", stdio,
		"container", "fd", plan->container, "debug", (int)plan->settings->debug);

	if (json && add_options(plan, json) < 0) {
		json_decref(json);
		json = NULL;
	}
	return plan_file(json, "hvrun-plan", e);
}

static unsigned fs_threads(const struct plan *plan)
{
	unsigned threads = plan->sizing->vcpus * 2;

	if (plan->settings->threads)
		return plan->settings->threads;
	if (threads < FS_THREADS_MIN)
		return FS_THREADS_MIN;
	return threads > FS_THREADS_MAX ? FS_THREADS_MAX : threads;
}

int plan_fs_file(const struct plan *plan, struct err *e)
{
	const struct settings *settings = plan->settings;
	json_t *list = json_array();

	for (size_t i = 0; i < plan->exports->n; i++) {
		const struct export *export = &plan->exports->list[i];
		if (export->socket)
			continue;
		json_t *entry = json_pack("{s:s, s:i, s:s, s:b, s:b, s:b, s:b}", "name",
			export->name, "fd", export->fd, "path", export->path, "readonly",
			(int)export->readonly, "nodev", (int)export->nodev, "nosuid",
			(int)export->nosuid, "recursive", (int)export->recursive);
		if (!entry) {
			json_decref(list);
			return err_set(e, EINVAL, "%s: the path is not valid UTF-8", export->path);
		}
		if (settings->cache)
			json_object_set_new(entry, "cache", json_string(settings->cache));
		if (settings->locks)
			json_object_set_new(entry, "locks", json_string(settings->locks));
		json_array_append_new(list, entry);
	}
	json_t *json = json_pack("{s:i, s:i, s:i, s:i, s:o, s:b, s:b}", "version", 1, "socket",
		plan->fs_vmm_socket, "control", plan->fs_control, "threads", (int)fs_threads(plan),
		"exports", list, "mapIds", (int)plan->exports->map_ids, "debug",
		(int)settings->debug);
	return plan_file(json, "hvrun-fs-config", e);
}
