/* SPDX-License-Identifier: Apache-2.0 */
/* Up to the clone of a container's process; see launch.h. */
#include "guestinit/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/agent.h"
#include "guestinit/cgroup.h"
#include "guestinit/child.h"
#include "guestinit/container.h"
#include "guestinit/devcg_bpf.h"
#include "guestinit/disk.h"
#include "guestinit/guest.h"
#include "guestinit/mount.h"
#include "guestinit/ns.h"
#include "guestinit/process.h"
#include "guestinit/sockets.h"
#include "guestinit/syscalls.h"
#include "guestinit/sysfile.h"

/* The trees that the container's mounts are made of, as detached mounts. */
struct sources {
	int root_tree;
	int *mount_trees;
	size_t n;
	struct devices devices;
};

static void sources_close(struct sources *s)
{
	fd_closep(&s->root_tree);
	for (size_t i = 0; i < s->n; i++)
		fd_closep(&s->mount_trees[i]);
	devices_close(&s->devices);
}

static int launch_map_ids(struct guest *guest, const struct create *c, const struct cfg_mount *m,
	int tree, struct err *e)
{
	const struct cfg_id_maps *uids = m->uid_maps.n ? &m->uid_maps : &c->os.uid_maps;
	const struct cfg_id_maps *gids = m->gid_maps.n ? &m->gid_maps : &c->os.gid_maps;
	bool all = m->options.idmap == MOUNT_IDMAP_TREE;

	if (!m->options.idmap && !m->uid_maps.n && !m->gid_maps.n)
		return 0;
	if (!uids->n || !gids->n)
		return err_set(e, EINVAL, "idmap: needs uidMappings and gidMappings");
	int proc = guest_proc(guest, e);
	if (proc < 0)
		return proc;
	cleanup_close int user = ns_open_user(proc, uids, gids, e);
	if (user < 0)
		return user;
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)user};
	if (mount_setattr(
		    tree, "", AT_EMPTY_PATH | (all ? AT_RECURSIVE : 0), &attr, sizeof(attr)) == 0)
		return 0;
	if (errno == EINVAL)
		return err_set(e, ENOTSUP,
			"the guest's kernel can't map ids of virtiofs (Linux 6.12 and later can)");
	return err_sys(e, errno, "can't map ids of this file system");
}

static int launch_clone_exports(
	struct guest *guest, const struct create *c, struct sources *s, struct err *e)
{
	s->root_tree = c->root_export
		? exports_clone(&guest->exports, c->root_export, e)
		: disk_mount(guest->nodes_dir, (uint32_t)c->root_disk.value, c->root_readonly, e);
	if (s->root_tree < 0)
		return err_add(e, "root");
	for (size_t i = 0; i < c->mounts.n; i++) {
		const struct cfg_mount *m = &c->mounts.v[i];
		if (!m->export)
			continue;
		s->mount_trees[i] = exports_clone(&guest->exports, m->export, e);
		if (s->mount_trees[i] < 0 || launch_map_ids(guest, c, m, s->mount_trees[i], e) < 0)
			return err_add(e, "config.mounts[%zu] (%s)", i, m->destination);
	}
	return 0;
}

static int launch_sockets(struct container *container, struct sources *s, struct err *e)
{
	const struct create *c = container->create;

	for (size_t i = 0; i < c->mounts.n; i++) {
		const struct cfg_mount *m = &c->mounts.v[i];
		if (!m->socket)
			continue;
		s->mount_trees[i] = sockets_listen(container, m, e);
		if (s->mount_trees[i] < 0)
			return err_add(e, "config.mounts[%zu] (%s)", i, m->destination);
	}
	return 0;
}

static int launch_sources(struct container *container, struct sources *s, struct err *e)
{
	struct guest *guest = container->guest;
	struct create *c = container->create;

	s->mount_trees = arena_array(&c->arena, c->mounts.n, sizeof(int));
	if (!s->mount_trees)
		return err_set(e, ENOMEM, "out of memory");
	for (size_t i = 0; i < c->mounts.n; i++)
		s->mount_trees[i] = -1;
	s->n = c->mounts.n;
	int ret = exports_attach(&guest->exports, e);
	if (ret < 0)
		return ret;
	ret = launch_clone_exports(guest, c, s, e);
	exports_detach(&guest->exports);
	if (ret == 0)
		ret = launch_sockets(container, s, e);
	if (ret == 0)
		ret = devices_list(c, &s->devices, e);
	if (ret < 0 || !(c->os.clone_flags & CLONE_NEWUSER))
		return ret;
	/* A user namespace may not make nodes that work: they come from outside. */
	cleanup_close int nodes = open(guest->nodes_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return nodes < 0 ? err_sys(e, errno, "%s", guest->nodes_dir)
			 : devices_prepare(nodes, &s->devices, e);
}

static struct cfg_devcg_rule launch_disk_rule(
	const struct device_node *node, bool allow, const char *access)
{
	return (struct cfg_devcg_rule){.allow = allow,
		.type = "b",
		.major = {true, major(node->number)},
		.minor = {true, minor(node->number)},
		.access = access};
}

/*
 * The rules of the configuration name the container's disks by the host's numbers, which are not
 * the guest's. What they say of the guest's numbers is of some other device of the host: of a
 * disk the last word is what hvrun has found them to grant.
 */
static int launch_device_rules(struct container *c, const struct devices *devices, struct err *e)
{
	const struct cfg_resources *r = &c->create->os.resources;
	size_t n = r->devices.n;
	struct cfg_devcg_rule *rules =
		arena_array(&c->create->arena, n + 2 * c->create->disks.n, sizeof(*rules));

	if (!rules)
		return err_set(e, ENOMEM, "out of memory");
	if (n)
		memcpy(rules, r->devices.v, n * sizeof(*rules));
	for (size_t i = 0; i < devices->n; i++) {
		const struct device_node *node = &devices->nodes[i];
		if (!node->disk_access)
			continue;
		rules[n++] = launch_disk_rule(node, false, "rwm");
		rules[n++] = launch_disk_rule(node, true, node->disk_access);
	}
	int ret = devcg_attach(c->cgroup_fd, rules, n, e);
	if (ret != -ENOSYS)
		return ret;
	agent_log(c->guest->agent, LOG_LEVEL_WARNING,
		"the guest's kernel can't restrict devices (no BPF for cgroups)");
	return 0;
}

static int launch_cgroup(struct container *c, const struct devices *devices, struct err *e)
{
	const struct cfg_resources *r = &c->create->os.resources;
	int root = guest_cgroups(c->guest, e);

	if (root < 0)
		return root;
	c->cgroup_fd = guest_cgroup_create(root, c->create->id, e);
	if (c->cgroup_fd < 0)
		return c->cgroup_fd;
	int ret = guest_cgroup_limit(c->cgroup_fd, r, e);
	if (ret < 0)
		return ret;
	ret = thrash_watch(&c->thrash, &c->guest->loop, c->cgroup_fd);
	if (ret < 0)
		return err_sys(e, -ret, "can't watch the cgroup's memory");
	if (c->create->os.clone_flags & CLONE_NEWUSER) {
		uint32_t uid = ns_map_id(&c->create->os.uid_maps, 0);
		ret = guest_cgroup_delegate(c->cgroup_fd, uid, e);
		if (ret < 0)
			return ret;
	}
	return launch_device_rules(c, devices, e);
}

static int launch_apply_network(struct container *c, struct err *e)
{
	c->has_network = true;
	return c->create->network ? guest_network_apply(c->guest, steal_ptr(&c->create->network), e)
				  : 0;
}

/*
 * The VM is a network stack of its own: the first container that asks for a new network namespace
 * gets the VM's. Not with a user namespace, which would not own it, nor where there are interfaces
 * of the host's, because it would see the net devices that are to spare: those get a new one, to
 * which net devices are moved once it is there (launch_enter_network).
 */
static int launch_network(struct container *c, uint64_t *clone_flags, struct err *e)
{
	struct guest *guest = c->guest;
	bool wants = *clone_flags & CLONE_NEWNET;
	bool own = *clone_flags & CLONE_NEWUSER || c->create->network;
	bool unused = !guest->network_taken && !guest->network.wanted && guest->network.ns_fd < 0;

	if (c->create->network && !unused)
		return err_set(e, EBUSY, "network: the VM's is another container's already");
	if (wants && (own || guest->network_taken)) {
		c->network_later = own && unused;
		guest->network_taken |= own;
		return 0;
	}
	*clone_flags &= ~(uint64_t)CLONE_NEWNET;
	guest->network_taken |= wants;
	if (!guest->loopback_up) {
		int ret = ns_loopback_up(e);
		if (ret < 0)
			return ret;
		guest->loopback_up = true;
	}
	return guest->network.ns_fd < 0 ? launch_apply_network(c, e) : 0;
}

static int launch_enter_network(struct container *c, int proc_fd, struct err *e)
{
	char path[64];

	if (!c->network_later)
		return 0;
	c->network_later = false;
	snprintf(path, sizeof(path), "%d/ns/net", (int)c->pid);
	int fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, errno, "network: can't open the container's namespace");
	guest_network_enter(&c->guest->network, fd);
	return launch_apply_network(c, e);
}

/* A user namespace may mount proc and sysfs only where they are in sight already. */
static int launch_show_pseudo(struct guest *guest, struct err *e)
{
	static const char *const types[] = {"proc", "sysfs"};
	static const char *const dirs[] = {"/proc", "/sys"};

	if (!guest->exports.tag) /* not in a guest of our own making: they are there */
		return 0;
	for (int i = 0; i < 2; i++) {
		if (mkdir(dirs[i], 0755) < 0 && errno != EEXIST)
			return err_sys(e, errno, "%s", dirs[i]);
		if (mount(types[i], dirs[i], types[i], MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) <
				0 &&
			errno != EBUSY)
			return err_sys(e, errno, "%s", dirs[i]);
	}
	return 0;
}

/*
 * A mount namespace is made in any case: without, the container would be at home in guestinit's.
 * Those of cgroup and time follow in the child (ns_unshare_late).
 */
static int launch_clone(struct container *c, struct child *ch, struct err *e)
{
	const uint64_t late = CLONE_NEWCGROUP | CLONE_NEWTIME;
	struct clone_args args = {
		.flags = (c->create->os.clone_flags & ~late) | CLONE_NEWNS | CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = (uint64_t)(unsigned)c->cgroup_fd,
	};
	uint64_t flags = args.flags;

	int ret = launch_network(c, &flags, e);
	args.flags = flags;
	if (ret < 0)
		return ret;
	if (flags & CLONE_NEWUSER) {
		ret = launch_show_pseudo(c->guest, e);
		if (ret < 0)
			return ret;
	}
	ch->user_ns = flags & CLONE_NEWUSER;
	ch->network_ns = flags & CLONE_NEWNET;
	ch->net_devices = c->network_later;
	c->ns_flags = (c->create->os.clone_flags & late) | (flags & ~(uint64_t)CLONE_INTO_CGROUP);
	c->pid = sys_clone3(&args);
	if (c->pid < 0) {
		int code = errno;
		c->pid = 0;
		return err_sys(e, code, "can't clone the container's process");
	}
	if (c->pid == 0)
		child_main(ch);
	return 0;
}

static int launch_process(struct container *c, struct sources *s, struct err *e)
{
	const struct create *create = c->create;
	struct child ch = {
		.create = create,
		.files = c->guest->files_raised ? &c->guest->files : NULL,
		.null_path = c->guest->null_path,
		.nodes_dir = c->guest->nodes_dir,
		.root_tree = s->root_tree,
		.mount_trees = s->mount_trees,
		.devices = &s->devices,
		.rows = create->stdio.rows,
		.columns = create->stdio.columns,
	};
	uint32_t uid = ns_map_id(&create->os.uid_maps, create->process.user.uid);
	int pair[2];

	if (uid == (uint32_t)-1)
		return err_set(e, EINVAL, "config.process.user.uid: %u is not mapped",
			create->process.user.uid);
	int ret = guest_streams_prepare(&c->streams, &c->guest->loop, &create->stdio, uid,
		c->guest->null_path, ch.stdio, e);
	if (ret == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		ret = err_sys(e, errno, "can't make a socket");
	if (ret == 0) {
		c->report_fd = pair[0];
		ch.report_fd = pair[1];
		ret = launch_clone(c, &ch, e);
		close(pair[1]);
	}
	for (unsigned i = 0; i < STREAM_FDS_MAX; i++)
		fd_closep(&ch.stdio[i]);
	return ret;
}

int launch_container(struct container *c, struct err *e)
{
	struct sources sources = {.root_tree = -1};

	if (c->create->realtime_ns.set)
		guest_set_clock(c->create->realtime_ns.value);
	int ret = launch_sources(c, &sources, e);
	if (ret == 0)
		ret = launch_cgroup(c, &sources.devices, e);
	if (ret == 0)
		ret = launch_process(c, &sources, e);
	sources_close(&sources);
	return ret;
}

static int launch_write_maps(struct container *c, int proc, struct err *e)
{
	const struct create *create = c->create;
	const struct opt_i64 *adj = &create->process.oom_score_adj;
	char path[64];

	if (adj->set && adj->value) {
		snprintf(path, sizeof(path), "%d/oom_score_adj", (int)c->pid);
		int ret = sysfile_writef(proc, path, "%" PRId64, adj->value);
		if (ret < 0)
			return err_sys(e, -ret, "config.process.oomScoreAdj");
	}
	int ret = ns_write_maps(proc, c->pid, &create->os.uid_maps, &create->os.gid_maps, e);
	return ret < 0 ? err_add(e, "config.linux") : 0;
}

int launch_outside(struct container *c, struct err *e)
{
	int proc = guest_proc(c->guest, e);
	int ret = proc < 0 ? proc : 0;

	if (ret == 0 && (c->create->os.clone_flags & CLONE_NEWUSER))
		ret = launch_write_maps(c, proc, e);
	return ret < 0 ? ret : launch_enter_network(c, proc, e);
}

int launch_set_limits(struct container *c, struct err *e)
{
	return process_set_limits(c->pid, c->create, e);
}
