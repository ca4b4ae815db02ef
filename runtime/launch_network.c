/* SPDX-License-Identifier: Apache-2.0 */
/* Networks of containers that are started; see launch_network.h. */
#include "runtime/launch_network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/resolv.h"
#include "runtime/launch.h"
#include "runtime/net_devices.h"
#include "runtime/net_watch.h"
#include "runtime/netns.h"
#include "runtime/spawn.h"

/* Of QEMU's eight virtio-mmio devices, those that are left for disks and net devices. */
#define EMULATION_ROOM 4

#define SPARES		2
#define SPARES_OF_EMPTY 4

void launch_network_init(struct launch_network *net)
{
	*net = (struct launch_network){.ns = -1, .rt = {.fd = -1}, .stream = -1};
}

/* linux.namespaces' entry of type network; *index is for messages. */
static const json_t *namespace_of(const struct launch *l, size_t *index)
{
	const json_t *list = json_object_get(l->config.linux_section, "namespaces");

	for (*index = 0; *index < json_array_size(list); (*index)++) {
		const json_t *entry = json_array_get(list, *index);
		if (strcmp(json_string_value(json_object_get(entry, "type")), "network") == 0)
			return entry;
	}
	return NULL;
}

static const json_t *devices_of(const struct launch *l)
{
	return json_object_get(l->config.linux_section, "netDevices");
}

static bool is_mounted(const struct launch *l, const char *destination)
{
	for (size_t i = 0; i < json_array_size(l->config.mounts); i++)
		if (strcmp(json_string_value(json_object_get(
				   json_array_get(l->config.mounts, i), "destination")),
			    destination) == 0)
			return true;
	return false;
}

/* Nothing can be mounted on a file that is not there and can't be made. */
static bool has_place(const struct launch *l)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
	cleanup_close int root =
		openat(l->bundle, l->config.root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_close int fd =
		root < 0 ? -1 : (int)syscall(SYS_openat2, root, RESOLV_CONF, &how, sizeof(how));

	return fd >= 0 || !l->config.root_readonly;
}

/* A file in memory, as a bind mount: it is opened with the others, and not needed after that. */
static int add_resolver(struct launch *l, struct err *e)
{
	char source[64];

	if (is_mounted(l, RESOLV_CONF) || is_mounted(l, "/etc") || !has_place(l))
		return 0;
	const char *text = net_user_resolv(&l->network.user);
	l->resolv = fd_memfile("resolv.conf", text, strlen(text));
	if (l->resolv < 0)
		return err_sys(e, -l->resolv, RESOLV_CONF);
	snprintf(source, sizeof(source), "/proc/self/fd/%d", l->resolv);
	if (!l->config.mounts) {
		l->config.mounts = json_array();
		if (json_object_set_new(l->config.json, "mounts", l->config.mounts) < 0)
			return err_sys(e, ENOMEM, RESOLV_CONF);
	}
	return json_array_append_new(l->config.mounts,
		       json_pack("{s:s, s:s, s:s, s:[s, s]}", "destination", RESOLV_CONF, "type",
			       "bind", "source", source, "options", "bind", "ro")) < 0
		? err_sys(e, ENOMEM, RESOLV_CONF)
		: 0;
}

static int publish(struct launch *l, struct err *e)
{
	struct net_user *user = &l->network.user;
	const struct option_list *list = &l->options->publish;
	int ret = 0;

	if (l->settings.ports)
		ret = net_user_publish_list(user, l->settings.ports, e);
	if (ret < 0)
		return err_add(e, "config.json: annotations[\"dev.hvrun.net.ports\"]");
	for (size_t i = 0; i < list->n; i++) {
		ret = net_user_publish(user, list->texts[i], e);
		if (ret < 0)
			return err_add(e, "--publish");
	}
	return 0;
}

/* What asks for --network=user beside a namespace that has a path, NULL: nothing that counts. */
static const char *insists_on_user(const struct launch *l)
{
	if (l->options->network)
		return "--network=user";
	/* The host's configuration says what is done where nothing else is asked for. */
	return json_object_get(l->config.annotations, "dev.hvrun.network")
		? "annotation dev.hvrun.network=user"
		: NULL;
}

/*
 * The namespace that the container joins, if any. The host's own is as good as none: wired, its
 * interfaces would be the container's, and the host without a network.
 */
static int choose_namespace(struct launch *l, struct err *e)
{
	struct launch_network *net = &l->network;
	size_t index;
	const json_t *entry = namespace_of(l, &index);
	const char *path = json_string_value(json_object_get(entry, "path"));

	if (!path || !*path) {
		net->own = entry != NULL;
		return 0;
	}
	net->ns = netns_open(path, e);
	if (net->ns < 0)
		return err_add(e, "config.json: linux.namespaces[%zu].path", index);
	if (netns_is_host(net->ns)) {
		fd_closep(&net->ns);
		if (l->settings.network != NETWORK_NAMESPACE || l->settings.vm_namespaces)
			return 0;
		return err_set(e, ENOTSUP,
			"config.json: linux.namespaces[%zu].path: %s: is the host's network, "
			"which a virtual machine can't share: leave the path out, or use "
			"--network=user (connections by passt) or --network=none",
			index, path);
	}
	net->path = path;
	const char *user = l->settings.network == NETWORK_USER ? insists_on_user(l) : NULL;
	return user ? err_set(e, EINVAL,
			      "%s: config.json: linux.namespaces[%zu].path asks for the network "
			      "of %s",
			      user, index, path)
		    : 0;
}

int launch_network_choose(struct launch *l, struct err *e)
{
	struct launch_network *net = &l->network;

	int ret = choose_namespace(l, e);
	if (ret < 0)
		return ret;
	net->by_user = l->settings.network == NETWORK_USER && !net->path;
	if (json_object_size(devices_of(l)) &&
		(net->by_user || l->settings.network == NETWORK_NONE))
		return err_set(e, EINVAL,
			"config.json: linux.netDevices: there is no place for them with "
			"--network=%s",
			net->by_user ? "user" : "none");
	if (!net->by_user) {
		if (l->options->publish.n || l->settings.ports)
			return err_set(e, EINVAL,
				"%s: ports are published with --network=user only: in a network "
				"namespace, whoever made it does that",
				l->options->publish.n ? "--publish"
						      : "annotation dev.hvrun.net.ports");
		return 0;
	}
	if ((l->settings.rx_bytes || l->settings.tx_bytes) && l->settings.accel == ACCEL_EMULATION)
		return err_set(e, EINVAL,
			"--network=user: rxBytesPerSecond and txBytesPerSecond: neither passt nor "
			"QEMU keeps to a rate, hvrun's own machine does (--accel=kvm)");
	ret = publish(l, e);
	if (ret == 0)
		ret = net_user_choose(&net->user, e);
	return ret < 0 ? ret : add_resolver(l, e);
}

/* Whether interfaces may come into a namespace that nobody but the monitor has. */
static bool may_get_interfaces(const struct launch *l)
{
	return l->detached || l->hooks || json_object_size(devices_of(l));
}

/* The namespace that the monitor is to be in. */
static int open_namespace(struct launch *l, struct err *e)
{
	struct launch_network *net = &l->network;

	if (net->path)
		return 0;
	/* Without hvrun's doing so, a VM without net devices has just a loopback. */
	if (geteuid() != 0 && json_object_size(devices_of(l)))
		return err_set(e, EPERM,
			"config.json: linux.netDevices: moving network devices takes root");
	if (geteuid() != 0 || !may_get_interfaces(l) || (!net->own && !l->hooks))
		return 0;
	int ns = netns_new(e);
	if (ns == -EPERM && !json_object_size(devices_of(l))) {
		log_info("%s: the container has no network", e->text);
		return 0;
	}
	if (ns < 0)
		return ns;
	net->ns = ns;
	return 0;
}

static unsigned queues_of(const struct launch *l)
{
	return l->sizing.vcpus < NET_QUEUES_MAX ? l->sizing.vcpus : NET_QUEUES_MAX;
}

static int add_device(struct launch *l, struct err *e)
{
	struct launch_network *net = &l->network;
	struct network_device *device = &net->state.devices[net->n_taps];
	struct net_tap *tap = &net->taps[net->n_taps];

	int ret = net_tap_make(tap, net->ns, &net->rt, queues_of(l), e);
	if (ret < 0)
		return ret;
	*device = (struct network_device){.tap = tap->index};
	memcpy(device->tap_name, tap->name, sizeof(device->tap_name));
	ret = network_make_mac(device->mac);
	l->plan.nets[net->n_taps] = (struct plan_net){.taps = tap->queues,
		.n_taps = tap->n_queues,
		.mac = device->mac,
		.mtu = NET_MTU_MAX};
	net->state.n = l->plan.n_nets = ++net->n_taps;
	return ret < 0 ? err_sys(e, -ret, "a net device's address") : 0;
}

/* How many net devices the machine has room for; disks are no fewer for spares. */
static unsigned room_of(const struct launch *l)
{
	if (l->settings.accel != ACCEL_EMULATION || strcmp(l->kernel.discovery, "cmdline") != 0)
		return NET_INTERFACES_MAX;
	return l->plan.n_disks < EMULATION_ROOM ? EMULATION_ROOM - l->plan.n_disks : 0;
}

/* Callers that make the namespace without interfaces bring them, one for each network, later. */
static unsigned spares_of(const struct launch *l, unsigned interfaces)
{
	if (l->settings.spare_interfaces >= 0)
		return (unsigned)l->settings.spare_interfaces;
	return interfaces ? SPARES : SPARES_OF_EMPTY;
}

/* One for each interface that is there, and the spares, as far as there is room. */
static int add_devices(struct launch *l, struct err *e)
{
	struct launch_network *net = &l->network;
	cleanup_scan struct net_scan scan = {0};
	const struct net_wanted wanted = {.names = net->state.wanted};

	int ret = net_scan(&net->rt, &wanted, &scan, e);
	unsigned n = scan.n + spares_of(l, scan.n);
	if (n > room_of(l))
		n = room_of(l) > scan.n ? room_of(l) : scan.n;
	while (ret == 0 && net->n_taps < n) {
		ret = add_device(l, e);
		if (ret < 0 && net->n_taps >= scan.n) {
			/* Nothing is lost yet: there is no interface that would need it. */
			log_warn("%s: the container gets no interfaces that are added later",
				e->text);
			return 0;
		}
	}
	return ret;
}

static int describe(struct launch *l, struct err *e)
{
	struct launch_network *net = &l->network;
	struct network *state = &net->state;

	if (net->path) {
		state->path = strdup(net->path);
		if (!state->path)
			return err_sys(e, ENOMEM, "%s", net->path);
	}
	state->guard = l->settings.anti_spoof;
	state->rx_bytes = l->settings.rx_bytes;
	state->tx_bytes = l->settings.tx_bytes;
	int ret = netns_identify(net->ns, &state->id);
	return ret < 0 ? err_sys(e, -ret, "network namespace") : 0;
}

/* Under the lock. What the create message says is what the guest knows. */
static int scan_locked(struct launch *l, struct err *e)
{
	struct launch_network *net = &l->network;
	struct err second;

	/* Before the first wire: should we be killed, the janitor must know the taps. */
	int ret = network_save(&net->state, l->container.dir, e);
	if (ret == 0)
		ret = network_scan(&net->state, &net->rt, e);
	if (ret == 0)
		ret = network_complete(&net->state, e);
	if (ret == 0) {
		json_decref(net->state.sent);
		net->state.sent = json_incref(net->state.now);
		l->plan.network = net->state.now;
	}
	int saved = network_save(&net->state, l->container.dir, ret < 0 ? &second : e);
	return ret < 0 ? ret : saved;
}

static int scan_and_save(struct launch *l, struct err *e)
{
	cleanup_close int lock = network_lock(l->container.dir, e);

	return lock < 0 ? lock : scan_locked(l, e);
}

static int follow_namespace(struct launch *l, struct err *e)
{
	struct launch_network *net = &l->network;

	int ret = describe(l, e);
	if (ret == 0)
		ret = rtnl_open(&net->rt, net->ns, e);
	if (ret == 0 && json_object_size(devices_of(l)))
		ret = net_devices_move(
			devices_of(l), net->ns, &net->devices, &net->state.wanted, e);
	if (ret == 0)
		ret = add_devices(l, e);
	if (ret < 0)
		return ret;
	net->follow = net->n_taps > 0;
	return net->follow ? scan_and_save(l, e) : 0;
}

static int use_passt(struct launch *l, struct err *e)
{
	struct launch_network *net = &l->network;

	int ret = network_make_mac(net->user.mac);
	if (ret < 0)
		return err_sys(e, -ret, "a net device's address");
	net->state.now = net_user_message(&net->user);
	l->plan.network = net->state.now;
	return net->state.now ? 0 : err_sys(e, ENOMEM, "network");
}

int launch_network_prepare(struct launch *l, struct err *e)
{
	struct launch_network *net = &l->network;

	int ret = open_namespace(l, e);
	if (ret < 0)
		return ret;
	if (net->by_user)
		return use_passt(l, e);
	if (net->ns < 0 || l->settings.network == NETWORK_NONE)
		return 0;
	ret = follow_namespace(l, e);
	return ret < 0 && net->path ? err_add(e, "%s", net->path) : ret;
}

int launch_network_start(struct launch *l, struct err *e)
{
	struct launch_network *net = &l->network;
	int cgroup[CGROUP_PLACES_MAX];

	if (!net->by_user)
		return 0;
	const struct spawn spawn = {
		.death_signal = l->detached ? 0 : SIGKILL,
		.mask = &l->supervise.old_mask,
		.cgroup_fds = cgroup,
		.n_cgroup_fds = cgroup_fds(&l->cgroup, cgroup),
		.cgroup_may_fail = l->cgroup.attach_late,
		.session = l->detached,
	};
	int ret = net_user_start(
		&net->user, l->settings.passt, &spawn, l->null, &net->passt, &net->stream, e);
	if (ret < 0)
		return ret;
	l->plan.nets[0] = (struct plan_net){.stream = net->stream,
		.mac = net->user.mac,
		.mtu = NET_USER_MTU,
		.rx_bytes = l->settings.rx_bytes,
		.tx_bytes = l->settings.tx_bytes};
	l->plan.n_nets = 1;
	return 0;
}

int launch_network_watch(struct launch *l, struct err *e)
{
	struct launch_network *net = &l->network;

	if (net->follow) {
		pid_t pid = net_watch_start(&l->container, net->ns, l->log, e);
		if (pid < 0)
			return pid;
		net->watcher = pid;
		/* What it has to do is in part the guest's doing. */
		int ret = cgroup_attach(&l->cgroup, pid, e);
		if (ret < 0)
			return ret;
	}
	/* The monitor and QEMU have the taps now: with a copy of ours they would outlive them. */
	for (unsigned i = 0; i < net->n_taps; i++)
		net_tap_close(&net->taps[i]);
	fd_closep(&net->stream);
	if ((net->watcher &&
		    json_object_set_new(l->container.state, "watcher",
			    container_process_json(net->watcher)) < 0) ||
		(net->passt &&
			json_object_set_new(l->container.state, "passt",
				container_process_json(net->passt)) < 0))
		return err_sys(e, ENOMEM, "%s", l->id);
	return 0;
}

int launch_network_again(struct launch *l, struct err *e)
{
	struct launch_network *net = &l->network;

	if (!net->follow)
		return 0;
	cleanup_close int lock = network_lock(l->container.dir, e);
	if (lock < 0)
		return lock;
	network_fini(&net->state);
	l->plan.network = NULL;
	int ret = network_load(&net->state, l->container.dir, e);
	if (ret == -ENOENT)
		ret = err_set(e, ENOENT, "network.json: is gone");
	if (ret == 0)
		ret = scan_locked(l, e);
	return ret < 0 ? ret : plan_container_again(&l->plan, l->create_file, e);
}

void launch_network_keep(struct launch_network *net)
{
	net_devices_free(net->devices);
	net->devices = NULL;
}

void launch_network_close(struct launch_network *net)
{
	net_devices_undo(net->devices, net->ns);
	/* Those of a container that is over have ended; the others are left to whoever adopts them.
	 */
	if (net->passt > 0)
		(void)!waitpid(net->passt, NULL, WNOHANG);
	if (net->watcher > 0)
		(void)!waitpid(net->watcher, NULL, WNOHANG);
	for (unsigned i = 0; i < net->n_taps; i++)
		net_tap_close(&net->taps[i]);
	rtnl_close(&net->rt);
	fd_closep(&net->stream);
	fd_closep(&net->ns);
	network_fini(&net->state);
}
