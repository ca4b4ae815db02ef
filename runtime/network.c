/* SPDX-License-Identifier: Apache-2.0 */
/* A container's network; see network.h. */
#include "runtime/network.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "runtime/net_message.h"
#include "runtime/net_tap.h"
#include "runtime/net_wire.h"

#define FILE_NAME      "network.json"
#define LOCK_NAME      "network.lock"
#define FILE_MAX_BYTES (16u << 20)
#define FILE_MAX_DEPTH 16

int network_lock(int dir, struct err *e)
{
	cleanup_close int fd = openat(
		dir, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

	if (fd < 0)
		return err_sys(e, errno, LOCK_NAME);
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return err_sys(e, errno, LOCK_NAME);
	return steal_fd(&fd);
}

int network_make_mac(uint8_t *mac)
{
	if (getrandom(mac, NET_MAC_BYTES, 0) != NET_MAC_BYTES)
		return -errno;
	mac[0] = 0x02;
	return 0;
}

static unsigned index_of(const json_t *object, const char *key)
{
	return (unsigned)json_integer_value(json_object_get(object, key));
}

static int read_devices(struct network *net, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *entry = json_array_get(list, i);
		const char *name = json_string_value(json_object_get(entry, "tapName"));
		if (net->n == NET_INTERFACES_MAX || !name)
			return -EINVAL;
		struct network_device *device = &net->devices[net->n++];
		device->tap = index_of(entry, "tap");
		device->interface = index_of(entry, "interface");
		device->mark = json_is_true(json_object_get(entry, "mark"));
		device->retry = json_is_true(json_object_get(entry, "retry"));
		snprintf(device->tap_name, sizeof(device->tap_name), "%s", name);
		if (!net_mac_parse(json_string_value(json_object_get(entry, "mac")), device->mac))
			return -EINVAL;
	}
	return 0;
}

int network_load(struct network *net, int dir, struct err *e)
{
	memset(net, 0, sizeof(*net));
	cleanup_close int fd = openat(dir, FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? -ENOENT : err_sys(e, errno, FILE_NAME);
	cleanup_json json_t *json = json_parse_fd(fd, FILE_MAX_BYTES, FILE_MAX_DEPTH, FILE_NAME, e);
	if (!json)
		return -EINVAL;
	const char *path = json_string_value(json_object_get(json, "path"));
	const char *without = json_string_value(json_object_get(json, "without"));
	net->id.device = (dev_t)json_integer_value(json_object_get(json, "device"));
	net->id.inode = (ino_t)json_integer_value(json_object_get(json, "inode"));
	net->guard = json_is_true(json_object_get(json, "guard"));
	net->rx_bytes = (uint64_t)json_integer_value(json_object_get(json, "rxBytes"));
	net->tx_bytes = (uint64_t)json_integer_value(json_object_get(json, "txBytes"));
	net->wanted = json_incref(json_object_get(json, "wanted"));
	net->notes = json_incref(json_object_get(json, "notes"));
	net->now = json_incref(json_object_get(json, "now"));
	net->sent = json_incref(json_object_get(json, "sent"));
	net->path = path ? strdup(path) : NULL;
	if (without)
		snprintf(net->without, sizeof(net->without), "%s", without);
	int ret =
		path && !net->path ? -ENOMEM : read_devices(net, json_object_get(json, "devices"));
	if (ret == 0)
		return 0;
	network_fini(net);
	return err_sys(e, -ret, FILE_NAME);
}

static json_t *to_json(const struct network *net)
{
	cleanup_json json_t *json = json_pack(
		"{s:I, s:I, s:b, s:I, s:I, s:[], s:s*, s:s, s:O*, s:O*, s:O*, s:O*}", "device",
		(json_int_t)net->id.device, "inode", (json_int_t)net->id.inode, "guard",
		(int)net->guard, "rxBytes", (json_int_t)net->rx_bytes, "txBytes",
		(json_int_t)net->tx_bytes, "devices", "path", net->path, "without", net->without,
		"wanted", net->wanted, "notes", net->notes, "now", net->now, "sent", net->sent);
	json_t *list = json_object_get(json, "devices");

	for (unsigned i = 0; i < net->n; i++) {
		const struct network_device *device = &net->devices[i];
		char mac[NET_MAC_TEXT_BYTES];
		net_mac_format(device->mac, mac);
		if (json_array_append_new(list,
			    json_pack("{s:I, s:s, s:s, s:I, s:b, s:b}", "tap",
				    (json_int_t)device->tap, "tapName", device->tap_name, "mac",
				    mac, "interface", (json_int_t)device->interface, "mark",
				    (int)device->mark, "retry", (int)device->retry)) < 0)
			return NULL;
	}
	return steal_ptr(&json);
}

static int write_json(const json_t *json, int dir, struct err *e)
{
	cleanup_free char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	if (!text)
		return err_sys(e, ENOMEM, FILE_NAME);
	cleanup_close int fd = openat(
		dir, FILE_NAME ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int ret = fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
	if (ret == 0 && renameat(dir, FILE_NAME ".new", dir, FILE_NAME) < 0)
		ret = -errno;
	return ret < 0 ? err_sys(e, -ret, FILE_NAME) : 0;
}

int network_save(const struct network *net, int dir, struct err *e)
{
	cleanup_json json_t *json = to_json(net);

	return write_json(json, dir, e);
}

/*
 * Nothing is written when nothing has changed: the guest can have the namespace looked at as often
 * as the watcher does it.
 */
static int save_changed(
	const struct network *net, const json_t *before, int dir, bool *changed, struct err *e)
{
	cleanup_json json_t *json = to_json(net);

	*changed = !json_equal(before, json);
	return *changed ? write_json(json, dir, e) : 0;
}

void network_fini(struct network *net)
{
	free(net->path);
	json_decref(net->wanted);
	json_decref(net->notes);
	json_decref(net->now);
	json_decref(net->sent);
	memset(net, 0, sizeof(*net));
}

static struct network_device *device_of(struct network *net, unsigned interface)
{
	for (unsigned i = 0; i < net->n; i++)
		if (net->devices[i].interface == interface)
			return &net->devices[i];
	return NULL;
}

/* What was found of the device before, NULL. */
static const json_t *entry_of(const json_t *network, const struct network_device *device)
{
	const json_t *list = json_object_get(network, "interfaces");
	char mac[NET_MAC_TEXT_BYTES];

	net_mac_format(device->mac, mac);
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *entry = json_array_get(list, i);
		if (strcmp(json_string_value(json_object_get(entry, "device")), mac) == 0)
			return entry;
	}
	return NULL;
}

static int join(const struct network *net, struct rtnl *rt, const struct net_interface *interface,
	struct network_device *device, struct err *e)
{
	struct net_wire wire = {
		.interface = interface,
		.tap = device->tap,
		.guard = net->guard,
		.mark = device->mark,
		.rx_bytes = net->rx_bytes,
		.tx_bytes = net->tx_bytes,
	};
	int ret = net_wire_join(rt, &wire, e);

	if (ret == 0)
		device->mark = wire.mark;
	return ret;
}

/* Those that went away, or that are another's now, make room. */
static void drop_gone(struct network *net, struct rtnl *rt, const struct net_scan *scan)
{
	for (unsigned i = 0; i < net->n; i++) {
		struct network_device *device = &net->devices[i];
		if (!device->interface || net_scan_find(scan, device->interface))
			continue;
		/* Down first: nothing of the guest's reaches the namespace's own stack. */
		int ret = rtnl_link_set(rt, device->tap, 0, false);
		int parted = net_wire_part(rt, device->interface, device->tap, device->mark);
		if (ret == 0)
			ret = parted;
		if (ret < 0)
			log_warn("network: %s: %s", device->tap_name, strerror(-ret));
		device->interface = 0;
		device->mark = device->retry = false;
	}
}

static int add_new(
	struct network *net, struct rtnl *rt, const struct net_interface *interface, struct err *e)
{
	struct network_device *device = device_of(net, 0);

	if (!device) {
		memcpy(net->without, interface->name, sizeof(net->without));
		return 0;
	}
	int ret = join(net, rt, interface, device, e);
	if (ret == 0)
		device->interface = interface->index;
	return ret;
}

/* MTU, what the guard lets pass, and the wire itself, which others can cut. */
static int follow(struct network *net, struct rtnl *rt, const struct net_interface *interface,
	struct network_device *device, const json_t *before, struct err *e)
{
	const json_t *was = entry_of(before, device), *is = entry_of(net->now, device);

	int cut = net_wire_is_cut(rt, interface, device->tap);
	if (cut < 0)
		return err_sys(e, -cut, "%s: looking at its filters", interface->name);
	if (cut) {
		int ret = join(net, rt, interface, device, e);
		if (ret == 0) {
			net->mended = true;
			log_info("network: %s: is joined to the virtual machine anew",
				interface->name);
		}
		return ret;
	}
	bool differs = was && is && !json_equal(was, is);
	if (device->retry ||
		(differs && !json_equal(json_object_get(was, "mtu"), json_object_get(is, "mtu")))) {
		int ret = net_wire_resize(rt, interface, device->tap);
		if (ret < 0)
			return err_sys(e, -ret, "%s: setting the MTU of %s to its %u",
				interface->name, device->tap_name, interface->mtu);
	}
	if (net->guard && (device->retry || differs))
		return join(net, rt, interface, device, e);
	return 0;
}

static int describe(struct network *net, const struct net_scan *scan, struct err *e)
{
	json_t *now = net_message(scan, net->devices, net->n);

	if (!now)
		return err_sys(e, ENOMEM, "network");
	json_decref(net->now);
	net->now = now;
	return 0;
}

int network_complete(const struct network *net, struct err *e)
{
	return net->without[0]
		? err_set(e, ENOSPC,
			  "network: %s: the virtual machine has no net device left for it: raise "
			  "\"spareInterfaces\" in the host's configuration (at most %d devices in "
			  "all), or add the interface before the container is created",
			  net->without, NET_INTERFACES_MAX)
		: 0;
}

static bool has_text(const json_t *list, const char *text)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
			return true;
	return false;
}

/* Each once, though all that look around, one after the other, find it. */
static void say_notes(struct network *net, json_t *notes)
{
	for (size_t i = 0; i < json_array_size(notes); i++) {
		const char *text = json_string_value(json_array_get(notes, i));
		if (!has_text(net->notes, text))
			log_warn("%s", text);
	}
	json_decref(net->notes);
	net->notes = json_incref(notes);
}

/* The first failure is the one that is told. */
static void note(int *first, int ret, struct err *e, const struct err *one)
{
	if (*first < 0 || ret == 0)
		return;
	*first = ret;
	*e = *one;
}

/* Each on its own: one that can't be followed is no reason to leave the others. */
static int follow_all(struct network *net, struct rtnl *rt, const struct net_scan *scan,
	const json_t *before, struct err *e)
{
	int first = 0;

	for (unsigned i = 0; i < scan->n; i++) {
		struct network_device *device = device_of(net, scan->list[i].index);
		struct err one;
		int ret = device ? follow(net, rt, &scan->list[i], device, before, &one) : 0;
		if (device)
			device->retry = ret < 0;
		note(&first, ret, e, &one);
	}
	return first;
}

int network_scan(struct network *net, struct rtnl *rt, struct err *e)
{
	cleanup_scan struct net_scan scan = {0};
	cleanup_json json_t *before = json_incref(net->now);
	struct net_wanted wanted = {.names = net->wanted};
	struct err one;
	int first = 0;

	for (unsigned i = 0; i < net->n; i++)
		if (net->devices[i].interface)
			wanted.indexes[wanted.n++] = net->devices[i].interface;
	int ret = net_scan(rt, &wanted, &scan, e);
	if (ret < 0)
		return ret;
	drop_gone(net, rt, &scan);
	net->without[0] = '\0';
	for (unsigned i = 0; i < scan.n; i++)
		if (!device_of(net, scan.list[i].index))
			note(&first, add_new(net, rt, &scan.list[i], &one), e, &one);
	say_notes(net, scan.notes);
	ret = describe(net, &scan, &one);
	if (ret == 0)
		ret = follow_all(net, rt, &scan, before, &one);
	note(&first, ret, e, &one);
	return first;
}

bool network_changed(const struct network *net)
{
	return net->now && !(net->sent && json_equal(net->now, net->sent));
}

/* The lock of what is on record, held, and that in *net; *lock -1: there is nothing on record. */
static int lock_and_load(struct network *net, int dir, int *lock, struct err *e)
{
	*lock = network_lock(dir, e);
	if (*lock < 0)
		return *lock;
	int ret = network_load(net, dir, e);
	if (ret < 0)
		fd_closep(lock);
	return ret == -ENOENT ? 0 : ret;
}

void network_change_fini(struct network_change *change)
{
	json_decref(change->network);
	change->network = NULL;
	fd_closep(&change->lock);
}

int network_sync(
	int dir, struct rtnl *rt, bool complete, struct network_change *change, struct err *e)
{
	cleanup_network struct network net = {0};
	cleanup_close int lock = -1;
	char without[IFNAMSIZ];
	struct err second;

	*change = (struct network_change){.lock = -1};
	int ret = lock_and_load(&net, dir, &lock, e);
	if (ret < 0 || lock < 0)
		return ret;
	memcpy(without, net.without, sizeof(without));
	cleanup_json json_t *before = to_json(&net);
	ret = network_scan(&net, rt, e);
	if (ret == 0 && complete)
		ret = network_complete(&net, e);
	else if (!complete && network_complete(&net, &second) < 0 &&
		strcmp(without, net.without) != 0)
		log_warn("%s", second.text);
	int saved = save_changed(&net, before, dir, &change->found, ret < 0 ? &second : e);
	change->found |= net.mended;
	if (saved == 0 && !(complete && ret < 0) && network_changed(&net)) {
		change->network = json_incref(net.now);
		change->lock = steal_fd(&lock);
	}
	return ret < 0 ? ret : saved;
}

int network_told(int dir, const struct network_change *change, struct err *e)
{
	cleanup_network struct network net = {0};

	int ret = network_load(&net, dir, e);
	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	json_decref(net.sent);
	net.sent = json_incref(change->network);
	return network_save(&net, dir, e);
}

int network_part(const struct network *net, struct rtnl *rt)
{
	unsigned taps[NET_INTERFACES_MAX] = {0};
	int ret = 0;

	/* All, not only what is on record: whoever made them may have been killed in between. */
	for (unsigned i = 0; i < net->n; i++) {
		const struct network_device *device = &net->devices[i];
		int parted =
			device->mark ? net_wire_part(rt, device->interface, device->tap, true) : 0;
		taps[i] = device->tap;
		ret = ret < 0 ? ret : parted;
	}
	int all = net_wire_part_all(rt, taps, net->n);
	return ret < 0 ? ret : all;
}

int network_hold(const struct container_process *monitor)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)monitor->pid);
	cleanup_close int ns = open(path, O_RDONLY | O_CLOEXEC);
	/* It is of the process that has the pid now: is it the one that is meant? */
	return ns >= 0 && container_process_alive(monitor) ? steal_fd(&ns) : -1;
}

static void clean(const struct network *net, int held)
{
	cleanup_rtnl struct rtnl rt = {.fd = -1};
	struct netns_id id;
	struct err e;

	cleanup_close int ns =
		held >= 0 ? fcntl(held, F_DUPFD_CLOEXEC, 3) : netns_open(net->path, &e);
	/* A namespace that is gone has taken everything along. */
	if (ns < 0 || netns_identify(ns, &id) < 0 || !netns_same(&id, &net->id))
		return;
	int ret = rtnl_open(&rt, ns, &e);
	if (ret < 0) {
		log_warn("%s", e.text);
		return;
	}
	ret = network_part(net, &rt);
	if (ret < 0)
		log_warn("network: taking the virtual machine's wires away: %s", strerror(-ret));
}

void network_clean(int dir, int ns)
{
	struct network net;
	struct err e;

	if (network_load(&net, dir, &e) < 0)
		return;
	if (ns >= 0 || net.path)
		clean(&net, ns);
	network_fini(&net);
}
