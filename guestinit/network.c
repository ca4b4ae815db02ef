/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's network as a whole; see network.h. */
#include "guestinit/network.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "guestinit/agent.h"
#include "guestinit/guest.h"
#include "guestinit/network_pass.h"

/* A driver that is a module may still be looking for its device. */
#define NETWORK_DEVICE_TRIES   100
#define NETWORK_DEVICE_WAIT_MS 10

void guest_network_init(struct network *network)
{
	*network = (struct network){.ns_fd = -1};
}

void guest_network_fini(struct network *network)
{
	network_config_free(network->wanted);
	network->wanted = NULL;
	fd_closep(&network->ns_fd);
}

void guest_network_enter(struct network *network, int ns_fd)
{
	fd_closep(&network->ns_fd);
	network->ns_fd = ns_fd;
}

void pass_fail(struct network_pass *p, const char *who, int ret, const char *fmt, ...)
{
	char what[256];
	va_list ap;

	if (p->n_failures++)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	const char *why = p->nl.why;
	err_sys(p->e, -ret, "network: %s: %s%s%s%s", who, what, why[0] ? " (" : "", why,
		why[0] ? ")" : "");
}

int pass_after(const struct network_pass *p, int old)
{
	for (size_t i = 0; i < p->wanted->interfaces.n; i++)
		if (p->before[i] == old)
			return (int)i;
	return -1;
}

/* Where the namespace is another one, goes there; *home is the way back, else -1. */
static int network_go(struct guest *guest, int *home, struct err *e)
{
	*home = -1;
	if (guest->network.ns_fd < 0)
		return 0;
	int proc = guest_proc(guest, e);
	if (proc < 0)
		return proc;
	cleanup_close int fd = openat(proc, "self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(guest->network.ns_fd, CLONE_NEWNET) < 0)
		return err_sys(e, errno, "network: can't enter the container's namespace");
	*home = steal_fd(&fd);
	return 0;
}

static void network_return(struct guest *guest, int *home)
{
	/* Elsewhere than at home, what comes next would go to the container. */
	if (*home >= 0 && setns(*home, CLONE_NEWNET) < 0 && guest->agent)
		agent_end(guest->agent);
	fd_closep(home);
}

static struct network_device *device_find(struct network *network, const struct net_mac *mac)
{
	for (size_t i = 0; i < network->n_devices; i++)
		if (net_mac_equal(&network->devices[i].mac, mac))
			return &network->devices[i];
	return NULL;
}

static bool devices_complete(struct network *network, const struct network_config *wanted)
{
	for (size_t i = 0; i < wanted->interfaces.n; i++)
		if (!device_find(network, &wanted->interfaces.v[i].device))
			return false;
	return true;
}

/*
 * The VM's net devices are all there from its boot on: they are listed before the container has
 * made any that look like them.
 */
static int devices_list(
	struct network *network, const struct network_config *wanted, struct netlink *home)
{
	const struct timespec wait = {.tv_nsec = NETWORK_DEVICE_WAIT_MS * 1000000L};

	if (network->n_devices)
		return 0;
	for (int i = 0;; i++) {
		network->n_devices = NETWORK_DEVICES_MAX;
		int ret = link_list(home, network->devices, &network->n_devices);
		if (ret < 0)
			network->n_devices = 0;
		if (ret < 0 || devices_complete(network, wanted) || i == NETWORK_DEVICE_TRIES)
			return ret;
		nanosleep(&wait, NULL);
	}
}

int pass_device_move(
	struct netlink *from, int ns_fd, struct netlink *to, struct network_device *device)
{
	struct network_device there[NETWORK_DEVICES_MAX];
	size_t n = NETWORK_DEVICES_MAX;
	int ret = link_move(from, device->index, ns_fd);

	if (ret < 0)
		return ret;
	ret = link_list(to, there, &n);
	if (ret < 0)
		return ret;
	for (size_t i = 0; i < n; i++) {
		if (net_mac_equal(&there[i].mac, &device->mac)) {
			device->index = there[i].index;
			return 0;
		}
	}
	return -ENODEV;
}

static int device_enter(struct network_pass *p, struct network_device *device)
{
	int ret = pass_device_move(p->home, p->network->ns_fd, &p->nl, device);

	device->moved |= ret == 0;
	return ret;
}

/* Finds each interface's device, and what the interface was before. */
static void pass_match(struct network_pass *p)
{
	for (size_t i = 0; i < p->wanted->interfaces.n; i++) {
		const struct net_interface *interface = &p->wanted->interfaces.v[i];
		struct network_device *device = device_find(p->network, &interface->device);
		const uint8_t *m = interface->device.bytes;

		p->before[i] = -1;
		for (size_t k = 0; p->old && k < p->old->interfaces.n; k++)
			if (net_mac_equal(&p->old->interfaces.v[k].device, &interface->device))
				p->before[i] = (int)k;
		p->renew[i] = p->before[i] < 0 || p->network->incomplete;
		int ret = device ? 0 : -ENODEV;
		if (device && p->network->ns_fd >= 0 && !device->moved)
			ret = device_enter(p, device);
		if (ret == 0)
			p->index[i] = device->index;
		else
			pass_fail(p, interface->name, ret,
				"the VM's net device %02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1],
				m[2], m[3], m[4], m[5]);
	}
}

static void pass_run(struct guest *guest, struct network_pass *p)
{
	p->ipv6 = faccessat(p->proc_fd, "sys/net/ipv6", F_OK, 0) == 0;
	if (!p->ipv6 && network_config_has_ipv6(p->wanted) &&
		!(p->old && network_config_has_ipv6(p->old)))
		agent_log(guest->agent, LOG_LEVEL_WARNING,
			"network: the guest's kernel has no IPv6: what is of IPv6 is left out");
	pass_match(p);
	pass_links_remove(p);
	pass_vrfs_remove(p);
	pass_links_rename(p);
	pass_vrfs_add(p);
	pass_items_remove(p);
	pass_links_set(p);
	pass_items_add(p);
	if (p->one_way)
		agent_log(guest->agent, LOG_LEVEL_WARNING,
			"network: the guest's kernel has no IP_ROUTE_MULTIPATH: of several ways to "
			"an IPv4 destination, further ones are left out");
}

static int network_run(struct guest *guest, struct network_pass *p)
{
	struct network *network = p->network;
	struct netlink first = {.fd = -1};
	int ret;

	p->nl.fd = -1;
	ret = netlink_open(&first);
	if (ret == 0)
		ret = devices_list(network, p->wanted, &first);
	if (ret < 0) {
		netlink_close(&first);
		return err_sys(p->e, -ret, "network: can't list the VM's net devices");
	}
	ret = network_go(guest, &p->home_fd, p->e);
	if (ret == 0) {
		ret = netlink_open(&p->nl);
		p->home = &first;
		if (ret == 0)
			pass_run(guest, p);
		else
			err_sys(p->e, -ret, "network: can't ask the kernel");
		p->home = NULL;
		network_return(guest, &p->home_fd);
	}
	netlink_close(&p->nl);
	netlink_close(&first);
	return ret;
}

int guest_network_apply(struct guest *guest, struct network_config *wanted, struct err *e)
{
	struct network *network = &guest->network;
	struct network_pass p = {.network = network,
		.old = network->wanted,
		.wanted = wanted,
		.renew_loopback = network->incomplete,
		.e = e};

	p.proc_fd = guest_proc(guest, e);
	int ret = p.proc_fd < 0 ? p.proc_fd : network_run(guest, &p);
	if (ret < 0) {
		/* Nothing was touched: what was wanted before is still there. */
		network_config_free(wanted);
		return ret;
	}
	network_config_free(network->wanted);
	network->wanted = wanted;
	memcpy(network->index, p.index, sizeof(p.index));
	memcpy(network->vrf_index, p.vrf_index, sizeof(p.vrf_index));
	network->incomplete = p.n_failures > 0;
	return p.n_failures ? -e->code : 0;
}

static json_t *stats_of(const struct link_info *info)
{
	const struct rtnl_link_stats64 *s = &info->stats;

	return json_pack("{so sI sI sI sI sI sI sI sI}", "name", json_text(info->name), "rxBytes",
		(json_int_t)(s->rx_bytes & INT64_MAX), "rxPackets",
		(json_int_t)(s->rx_packets & INT64_MAX), "rxErrors",
		(json_int_t)(s->rx_errors & INT64_MAX), "rxDropped",
		(json_int_t)(s->rx_dropped & INT64_MAX), "txBytes",
		(json_int_t)(s->tx_bytes & INT64_MAX), "txPackets",
		(json_int_t)(s->tx_packets & INT64_MAX), "txErrors",
		(json_int_t)(s->tx_errors & INT64_MAX), "txDropped",
		(json_int_t)(s->tx_dropped & INT64_MAX));
}

static void stats_list(struct network *network, json_t *out)
{
	struct netlink nl;
	struct link_info info;

	if (netlink_open(&nl) < 0)
		return;
	for (size_t i = 0; i < network->wanted->interfaces.n; i++) {
		/* One that the container has given away is not there any more. */
		if (!network->index[i] || link_get(&nl, network->index[i], &info) < 0)
			continue;
		if (json_array_append_new(out, stats_of(&info)) < 0)
			break;
	}
	netlink_close(&nl);
}

json_t *guest_network_stats(struct guest *guest)
{
	json_t *out = json_array();
	struct err e;
	int home;

	if (!out || !guest->network.wanted || !guest->network.wanted->interfaces.n)
		return out;
	if (network_go(guest, &home, &e) < 0)
		return out;
	stats_list(&guest->network, out);
	network_return(guest, &home);
	return out;
}
