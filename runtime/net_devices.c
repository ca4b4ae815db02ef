/* SPDX-License-Identifier: Apache-2.0 */
/* Moving network devices; see net_devices.h. */
#include "runtime/net_devices.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <net/if_arp.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "runtime/rtnl.h"

#define ADDRESSES_MAX 64
#define ATTRS_BYTES   512

#define NET_DEVICES_MAX 64u

/* Addresses as the kernel has listed them, to be given back as they are. */
struct address {
	struct ifaddrmsg fixed;
	size_t len_bytes;
	char attrs[ATTRS_BYTES];
};

struct addresses {
	unsigned index, n;
	struct address list[ADDRESSES_MAX];
};

static int take_address(const struct nlmsghdr *message, void *arg)
{
	struct addresses *addresses = arg;
	const struct ifaddrmsg *fixed = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;
	uint32_t flags = fixed->ifa_flags;

	mnl_attr_for_each (attr, message, sizeof(*fixed))
		if (mnl_attr_get_type(attr) == IFA_FLAGS)
			flags = mnl_attr_get_u32(attr);
	if (fixed->ifa_index != addresses->index || fixed->ifa_scope != RT_SCOPE_UNIVERSE ||
		!(flags & IFA_F_PERMANENT))
		return 0;
	if (addresses->n == ADDRESSES_MAX)
		return -E2BIG;
	struct address *address = &addresses->list[addresses->n++];
	address->fixed = *fixed;
	mnl_attr_for_each (attr, message, sizeof(*fixed)) {
		unsigned type = mnl_attr_get_type(attr);
		size_t len = MNL_ALIGN(attr->nla_len);
		if (type != IFA_LOCAL && type != IFA_ADDRESS && type != IFA_BROADCAST)
			continue;
		if (address->len_bytes + len > ATTRS_BYTES)
			return -E2BIG;
		memcpy(address->attrs + address->len_bytes, attr, attr->nla_len);
		address->len_bytes += len;
	}
	return 0;
}

static int list_addresses(struct rtnl *rt, struct addresses *addresses)
{
	char buf[RTNL_BYTES];
	void *fixed;
	int ret = -EINTR;

	for (int tries = 0; ret == -EINTR && tries < 8; tries++) {
		addresses->n = 0;
		memset(addresses->list, 0, sizeof(addresses->list));
		ret = rtnl_dump(rt,
			rtnl_begin(buf, RTM_GETADDR, 0, &fixed, sizeof(struct ifaddrmsg)),
			take_address, addresses);
	}
	return ret;
}

/* The same address on the interface in its new place. */
static int add_address(struct rtnl *rt, unsigned index, const struct address *address)
{
	char buf[RTNL_BYTES];
	void *fixed;
	struct nlmsghdr *message = rtnl_begin(
		buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &fixed, sizeof(struct ifaddrmsg));
	struct ifaddrmsg *to = fixed;

	*to = address->fixed;
	to->ifa_index = index;
	to->ifa_flags = 0;
	memcpy(mnl_nlmsg_get_payload_tail(message), address->attrs, address->len_bytes);
	message->nlmsg_len += (uint32_t)address->len_bytes;
	return rtnl_ack(rt, message);
}

static int move_link(struct rtnl *rt, unsigned index, int ns, const char *name)
{
	char buf[RTNL_BYTES];
	void *fixed;
	struct nlmsghdr *message =
		rtnl_begin(buf, RTM_NEWLINK, 0, &fixed, sizeof(struct ifinfomsg));

	((struct ifinfomsg *)fixed)->ifi_index = (int)index;
	mnl_attr_put_u32(message, IFLA_NET_NS_FD, (uint32_t)ns);
	mnl_attr_put_strz(message, IFLA_IFNAME, name);
	return rtnl_ack(rt, message);
}

struct by_name {
	const char *name;
	unsigned index;
	bool up;
	bool ethernet, part; /* the latter: of a bridge, a bond */
};

/* A device that is in the container's namespace now. */
struct moved_device {
	char name[IFNAMSIZ], inside[IFNAMSIZ];
	bool up;
	struct addresses addresses;
};

struct net_devices {
	unsigned n;
	struct moved_device *list[NET_DEVICES_MAX];
};

static int take_link(const struct nlmsghdr *message, void *arg)
{
	struct by_name *want = arg;
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;
	bool found = false, part = false;

	mnl_attr_for_each (attr, message, sizeof(*link)) {
		found |= mnl_attr_get_type(attr) == IFLA_IFNAME &&
			strcmp(mnl_attr_get_str(attr), want->name) == 0;
		part |= mnl_attr_get_type(attr) == IFLA_MASTER;
	}
	if (!found)
		return 0;
	want->index = (unsigned)link->ifi_index;
	want->up = link->ifi_flags & IFF_UP;
	want->ethernet = link->ifi_type == ARPHRD_ETHER;
	want->part = part;
	return 0;
}

/* The index is 0 where there is none. */
static struct by_name find_link(struct rtnl *rt, const char *name)
{
	struct by_name want = {.name = name};
	char buf[RTNL_BYTES];
	void *fixed;

	int ret = rtnl_dump(rt, rtnl_begin(buf, RTM_GETLINK, 0, &fixed, sizeof(struct ifinfomsg)),
		take_link, &want);
	if (ret < 0 && ret != -EINTR)
		want.index = 0;
	return want;
}

/* Gives a device in its new place the addresses it had. */
static int set_up(struct rtnl *rt, const char *name, const struct addresses *addresses, bool up)
{
	unsigned index = find_link(rt, name).index;
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < addresses->n; i++)
		ret = add_address(rt, index, &addresses->list[i]);
	return ret == 0 && up ? rtnl_link_set(rt, index, 0, true) : ret;
}

/* *moved is set as soon as there is something to undo. */
static int move_one(struct rtnl *here, struct rtnl *there, int ns, const char *name,
	const char *inside, struct moved_device **moved, struct err *e)
{
	struct by_name link = find_link(here, name);

	if (!link.index)
		return err_set(e, ENODEV, "the host has no such network device");
	if (!link.ethernet)
		return err_set(e, ENOTSUP,
			"is no Ethernet interface: a virtual machine can't be given it");
	if (link.part)
		return err_set(e, EBUSY,
			"is part of another interface (a bridge, a bond, a VRF): take it out "
			"first, as "
			"by \"ip link set %s nomaster\"",
			name);
	if (find_link(there, inside).index)
		return err_set(e, EEXIST,
			"the container's network namespace has a device \"%s\" already", inside);
	cleanup_free struct moved_device *device = calloc(1, sizeof(*device));
	if (!device)
		return err_sys(e, ENOMEM, "moving it");
	snprintf(device->name, sizeof(device->name), "%s", name);
	snprintf(device->inside, sizeof(device->inside), "%s", inside);
	device->up = link.up;
	device->addresses.index = link.index;
	int ret = list_addresses(here, &device->addresses);
	/* The kernel takes it down, after it has found that it can be moved. */
	if (ret == 0)
		ret = move_link(here, link.index, ns, inside);
	if (ret < 0)
		return err_sys(e, -ret, "moving it into the container's network namespace");
	*moved = steal_ptr(&device);
	ret = set_up(there, inside, &(*moved)->addresses, true);
	return ret < 0 ? err_sys(e, -ret, "setting it up as \"%s\"", inside) : 0;
}

static int move_all(
	const json_t *devices, int ns, struct net_devices *moved, json_t *names, struct err *e)
{
	cleanup_rtnl struct rtnl here = {.fd = -1}, there = {.fd = -1};
	const char *name;
	json_t *device;

	int ret = rtnl_open(&here, -1, e);
	if (ret == 0)
		ret = rtnl_open(&there, ns, e);
	if (ret < 0)
		return ret;
	json_object_foreach ((json_t *)(uintptr_t)devices, name, device) {
		const char *inside = json_string_value(json_object_get(device, "name"));
		struct moved_device *one = NULL;
		if (!inside || !*inside)
			inside = name;
		if (moved->n == NET_DEVICES_MAX)
			return err_set(e, E2BIG, "config.json: linux.netDevices: more than %u",
				NET_DEVICES_MAX);
		ret = move_one(&here, &there, ns, name, inside, &one, e);
		if (one)
			moved->list[moved->n++] = one;
		if (ret == 0 && json_array_append_new(names, json_string(inside)) < 0)
			ret = err_sys(e, ENOMEM, "%s", inside);
		if (ret < 0)
			return err_add(e, "config.json: linux.netDevices.%s", name);
	}
	return 0;
}

int net_devices_move(
	const json_t *devices, int ns, struct net_devices **moved, json_t **names, struct err *e)
{
	struct net_devices *all = calloc(1, sizeof(*all));
	cleanup_json json_t *list = json_array();

	int ret = all && list ? move_all(devices, ns, all, list, e)
			      : err_sys(e, ENOMEM, "linux.netDevices");
	if (ret < 0) {
		net_devices_undo(all, ns);
		return ret;
	}
	*moved = all;
	*names = steal_ptr(&list);
	return 0;
}

static int move_back(const struct moved_device *device, struct rtnl *here, struct rtnl *there)
{
	cleanup_close int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	unsigned index = find_link(there, device->inside).index;

	if (home < 0)
		return -errno;
	if (!index)
		return -ENODEV;
	int ret = move_link(there, index, home, device->name);
	return ret < 0 ? ret : set_up(here, device->name, &device->addresses, device->up);
}

void net_devices_undo(struct net_devices *moved, int ns)
{
	cleanup_rtnl struct rtnl here = {.fd = -1}, there = {.fd = -1};
	struct err e;

	if (!moved || !moved->n) {
		net_devices_free(moved);
		return;
	}
	int ret = rtnl_open(&here, -1, &e);
	if (ret == 0)
		ret = rtnl_open(&there, ns, &e);
	for (unsigned i = moved->n; i-- > 0;) {
		const struct moved_device *device = moved->list[i];
		int back = ret < 0 ? ret : move_back(device, &here, &there);
		if (back < 0)
			log_warn("linux.netDevices.%s: can't be moved back: %s", device->name,
				strerror(-back));
	}
	net_devices_free(moved);
}

void net_devices_free(struct net_devices *moved)
{
	for (unsigned i = 0; moved && i < moved->n; i++)
		free(moved->list[i]);
	free(moved);
}
