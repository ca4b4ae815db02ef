/* SPDX-License-Identifier: Apache-2.0 */
/* Moving network devices; see net_devices.h. */
#include "runtime/net_devices.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "runtime/rtnl.h"

#define ADDRESSES_MAX 64
#define ATTRS_BYTES   512

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
};

static int take_link(const struct nlmsghdr *message, void *arg)
{
	struct by_name *want = arg;
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	const struct nlattr *attr;

	mnl_attr_for_each (attr, message, sizeof(*link))
		if (mnl_attr_get_type(attr) == IFLA_IFNAME &&
			strcmp(mnl_attr_get_str(attr), want->name) == 0)
			want->index = (unsigned)link->ifi_index;
	return 0;
}

static unsigned find_link(struct rtnl *rt, const char *name)
{
	struct by_name want = {.name = name};
	char buf[RTNL_BYTES];
	void *fixed;

	int ret = rtnl_dump(rt, rtnl_begin(buf, RTM_GETLINK, 0, &fixed, sizeof(struct ifinfomsg)),
		take_link, &want);
	return ret < 0 && ret != -EINTR ? 0 : want.index;
}

static int move_one(struct rtnl *here, struct rtnl *there, int ns, const char *name,
	const char *inside, struct err *e)
{
	struct addresses addresses = {.index = find_link(here, name)};

	if (!addresses.index)
		return err_set(e, ENODEV, "the host has no such network device");
	if (find_link(there, inside))
		return err_set(e, EEXIST,
			"the container's network namespace has a device \"%s\" already", inside);
	int ret = list_addresses(here, &addresses);
	/* The kernel takes it down, after it has found that it can be moved. */
	if (ret == 0)
		ret = move_link(here, addresses.index, ns, inside);
	if (ret < 0)
		return err_sys(e, -ret, "moving it into the container's network namespace");
	unsigned index = find_link(there, inside);
	for (unsigned i = 0; ret == 0 && i < addresses.n; i++)
		ret = add_address(there, index, &addresses.list[i]);
	if (ret == 0)
		ret = rtnl_link_set(there, index, 0, true);
	return ret < 0 ? err_sys(e, -ret, "setting it up as \"%s\"", inside) : 0;
}

int net_devices_move(const json_t *devices, int ns, json_t **names, struct err *e)
{
	cleanup_rtnl struct rtnl here = {.fd = -1}, there = {.fd = -1};
	cleanup_json json_t *moved = json_array();
	const char *name;
	json_t *device;

	int ret = moved ? rtnl_open(&here, -1, e) : err_sys(e, ENOMEM, "linux.netDevices");
	if (ret == 0)
		ret = rtnl_open(&there, ns, e);
	if (ret < 0)
		return ret;
	json_object_foreach ((json_t *)(uintptr_t)devices, name, device) {
		const char *inside = json_string_value(json_object_get(device, "name"));
		if (!inside || !*inside)
			inside = name;
		ret = move_one(&here, &there, ns, name, inside, e);
		if (ret == 0 && json_array_append_new(moved, json_string(inside)) < 0)
			ret = err_sys(e, ENOMEM, "%s", inside);
		if (ret < 0)
			return err_add(e, "config.json: linux.netDevices.%s", name);
	}
	*names = steal_ptr(&moved);
	return 0;
}
