/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about the guest's network; see network_link.h. */
#include "guestinit/network_link.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define LINK_FLUSH_MAX	  256 /* addresses removed at a time */
#define LINK_FLUSH_ROUNDS 64

#define VRF_KIND "vrf"

static const struct ifinfomsg *link_header(const struct nlmsghdr *message)
{
	if (message->nlmsg_type != RTM_NEWLINK ||
		message->nlmsg_len < NLMSG_LENGTH(sizeof(struct ifinfomsg)))
		return NULL;
	return NLMSG_DATA(message);
}

static bool link_mac(const struct nlmsghdr *message, uint16_t type, struct net_mac *mac)
{
	const struct rtattr *attr =
		netlink_attr(message, sizeof(struct ifinfomsg), type, sizeof(mac->bytes));

	if (!attr)
		return false;
	memcpy(mac->bytes, RTA_DATA(attr), sizeof(mac->bytes));
	return true;
}

struct device_list {
	struct network_device *v;
	size_t n, max;
};

static int list_device(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *info = link_header(message);
	struct device_list *list = arg;
	struct network_device device = {.moved = false};

	if (!info || info->ifi_type != ARPHRD_ETHER || list->n == list->max)
		return 0;
	if (!link_mac(message, IFLA_PERM_ADDRESS, &device.mac) &&
		!link_mac(message, IFLA_ADDRESS, &device.mac))
		return 0;
	device.index = info->ifi_index;
	list->v[list->n++] = device;
	return 0;
}

int link_list(struct netlink *nl, struct network_device *devices, size_t *n)
{
	const struct ifinfomsg any = {.ifi_family = AF_UNSPEC};
	struct device_list list = {.v = devices, .max = *n};
	struct netlink_request r;

	netlink_begin(&r, RTM_GETLINK, NLM_F_DUMP, &any, sizeof(any));
	netlink_put_u32(&r, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	int ret = netlink_talk(nl, &r, list_device, &list);
	*n = list.n;
	return ret;
}

static uint32_t link_vrf_table(const struct nlmsghdr *message)
{
	const struct rtattr *info =
		netlink_attr(message, sizeof(struct ifinfomsg), IFLA_LINKINFO, 0);
	const struct rtattr *kind = netlink_attr_in(info, IFLA_INFO_KIND, sizeof(VRF_KIND));
	uint32_t table;

	if (!kind || memcmp(RTA_DATA(kind), VRF_KIND, sizeof(VRF_KIND)) != 0)
		return 0;
	const struct rtattr *attr = netlink_attr_in(
		netlink_attr_in(info, IFLA_INFO_DATA, 0), IFLA_VRF_TABLE, sizeof(table));
	if (!attr)
		return 0;
	memcpy(&table, RTA_DATA(attr), sizeof(table));
	return table;
}

static int fill_info(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *header = link_header(message);
	struct link_info *info = arg;

	if (!header)
		return 0;
	info->flags = header->ifi_flags;
	link_mac(message, IFLA_ADDRESS, &info->mac);
	const struct rtattr *name = netlink_attr(message, sizeof(*header), IFLA_IFNAME, 1);
	if (name)
		snprintf(info->name, sizeof(info->name), "%.*s", (int)RTA_PAYLOAD(name),
			(const char *)RTA_DATA(name));
	const struct rtattr *mtu =
		netlink_attr(message, sizeof(*header), IFLA_MTU, sizeof(info->mtu));
	if (mtu)
		memcpy(&info->mtu, RTA_DATA(mtu), sizeof(info->mtu));
	const struct rtattr *master =
		netlink_attr(message, sizeof(*header), IFLA_MASTER, sizeof(info->master));
	if (master)
		memcpy(&info->master, RTA_DATA(master), sizeof(info->master));
	info->vrf_table = link_vrf_table(message);
	/* The numbers at its end are younger than some kernels. */
	const struct rtattr *stats = netlink_attr(message, sizeof(*header), IFLA_STATS64, 1);
	if (stats) {
		size_t len = RTA_PAYLOAD(stats);
		memcpy(&info->stats, RTA_DATA(stats),
			len < sizeof(info->stats) ? len : sizeof(info->stats));
	}
	return 0;
}

int link_get(struct netlink *nl, int index, struct link_info *info)
{
	const struct ifinfomsg which = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	struct netlink_request r;

	memset(info, 0, sizeof(*info));
	netlink_begin(&r, RTM_GETLINK, 0, &which, sizeof(which));
	return netlink_talk(nl, &r, fill_info, info);
}

static int take_index(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *header = link_header(message);

	if (header)
		*(int *)arg = header->ifi_index;
	return 0;
}

int link_find(struct netlink *nl, const char *name)
{
	const struct ifinfomsg any = {.ifi_family = AF_UNSPEC};
	int index = -ENODEV;
	struct netlink_request r;

	netlink_begin(&r, RTM_GETLINK, 0, &any, sizeof(any));
	netlink_put_text(&r, IFLA_IFNAME, name);
	int ret = netlink_talk(nl, &r, take_index, &index);
	return ret < 0 ? ret : index;
}

static void link_begin(struct netlink_request *r, int index)
{
	const struct ifinfomsg which = {.ifi_family = AF_UNSPEC, .ifi_index = index};

	netlink_begin(r, RTM_SETLINK, 0, &which, sizeof(which));
}

int link_rename(struct netlink *nl, int index, const char *name)
{
	struct netlink_request r;

	link_begin(&r, index);
	netlink_put_text(&r, IFLA_IFNAME, name);
	return netlink_talk(nl, &r, NULL, NULL);
}

static int link_set_flag(struct netlink *nl, int index, unsigned flag, bool on)
{
	const struct ifinfomsg change = {.ifi_family = AF_UNSPEC,
		.ifi_index = index,
		.ifi_flags = on ? flag : 0,
		.ifi_change = flag};
	struct netlink_request r;

	netlink_begin(&r, RTM_SETLINK, 0, &change, sizeof(change));
	return netlink_talk(nl, &r, NULL, NULL);
}

int link_set_up(struct netlink *nl, int index, bool up)
{
	return link_set_flag(nl, index, IFF_UP, up);
}

int link_set_noarp(struct netlink *nl, int index, bool noarp)
{
	return link_set_flag(nl, index, IFF_NOARP, noarp);
}

int link_set_mac(struct netlink *nl, int index, const struct net_mac *mac)
{
	struct netlink_request r;

	link_begin(&r, index);
	netlink_put(&r, IFLA_ADDRESS, mac->bytes, sizeof(mac->bytes));
	return netlink_talk(nl, &r, NULL, NULL);
}

int link_set_mtu(struct netlink *nl, int index, uint32_t mtu)
{
	struct netlink_request r;

	link_begin(&r, index);
	netlink_put_u32(&r, IFLA_MTU, mtu);
	return netlink_talk(nl, &r, NULL, NULL);
}

int link_set_master(struct netlink *nl, int index, int master)
{
	struct netlink_request r;

	link_begin(&r, index);
	netlink_put_u32(&r, IFLA_MASTER, (uint32_t)master);
	return netlink_talk(nl, &r, NULL, NULL);
}

int link_delete(struct netlink *nl, int index)
{
	const struct ifinfomsg which = {.ifi_family = AF_UNSPEC, .ifi_index = index};
	struct netlink_request r;

	netlink_begin(&r, RTM_DELLINK, 0, &which, sizeof(which));
	return netlink_talk(nl, &r, NULL, NULL);
}

int link_move(struct netlink *nl, int index, int ns_fd)
{
	struct netlink_request r;

	link_begin(&r, index);
	netlink_put_u32(&r, IFLA_NET_NS_FD, (uint32_t)ns_fd);
	netlink_put_text(&r, IFLA_IFNAME, NETWORK_SPARE_NAME);
	return netlink_talk(nl, &r, NULL, NULL);
}

/* What a dump shows of a device's addresses: nothing can be removed while it goes on. */
struct flush {
	int index;
	size_t n;
	struct net_address addresses[LINK_FLUSH_MAX];
};

static size_t ip_bytes(uint8_t family)
{
	return family == AF_INET ? 4 : 16;
}

static bool take_ip(
	const struct nlmsghdr *message, uint16_t type, uint8_t family, struct net_ip *ip)
{
	const struct rtattr *attr =
		netlink_attr(message, sizeof(struct ifaddrmsg), type, ip_bytes(family));

	if (!attr)
		return false;
	ip->family = family;
	memcpy(ip->bytes, RTA_DATA(attr), ip_bytes(family));
	return true;
}

static int flush_note(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *header = NLMSG_DATA(message);
	struct flush *flush = arg;
	struct net_address a = {.prefix_bits = 0};

	if (message->nlmsg_type != RTM_NEWADDR ||
		message->nlmsg_len < NLMSG_LENGTH(sizeof(*header)) ||
		(int)header->ifa_index != flush->index || flush->n == LINK_FLUSH_MAX ||
		(header->ifa_family != AF_INET && header->ifa_family != AF_INET6))
		return 0;
	a.prefix_bits = header->ifa_prefixlen;
	/* Without a peer, IPv4 has both attributes, and IPv6 the second only. */
	if (!take_ip(message, IFA_LOCAL, header->ifa_family, &a.ip) &&
		!take_ip(message, IFA_ADDRESS, header->ifa_family, &a.ip))
		return 0;
	if (take_ip(message, IFA_ADDRESS, header->ifa_family, &a.peer) &&
		memcmp(a.peer.bytes, a.ip.bytes, ip_bytes(a.ip.family)) == 0)
		a.peer.family = 0;
	flush->addresses[flush->n++] = a;
	return 0;
}

int link_flush(struct netlink *nl, int index)
{
	const struct ifaddrmsg any = {.ifa_family = AF_UNSPEC};
	struct flush flush;
	struct netlink_request r;

	for (int round = 0; round < LINK_FLUSH_ROUNDS; round++) {
		flush.index = index;
		flush.n = 0;
		netlink_begin(&r, RTM_GETADDR, NLM_F_DUMP, &any, sizeof(any));
		int ret = netlink_talk(nl, &r, flush_note, &flush);
		if (ret < 0)
			return ret;
		for (size_t i = 0; i < flush.n; i++) {
			/* A secondary one goes with its primary one. */
			ret = link_address(nl, RTM_DELADDR, index, &flush.addresses[i], true);
			if (ret < 0 && ret != -EADDRNOTAVAIL)
				return ret;
		}
		if (flush.n < LINK_FLUSH_MAX)
			return 0;
	}
	return -E2BIG;
}

static void put_ip(struct netlink_request *r, uint16_t type, const struct net_ip *ip)
{
	if (ip->family)
		netlink_put(r, type, ip->bytes, ip_bytes(ip->family));
}

int link_address(struct netlink *nl, uint16_t type, int index, const struct net_address *a,
	bool prefix_route)
{
	const struct ifaddrmsg header = {.ifa_family = a->ip.family,
		.ifa_prefixlen = (uint8_t)a->prefix_bits,
		.ifa_scope = (uint8_t)a->scope,
		.ifa_index = (uint32_t)index};
	const struct ifa_cacheinfo deprecated = {.ifa_valid = UINT32_MAX /* for ever */};
	struct netlink_request r;

	netlink_begin(&r, type, type == RTM_NEWADDR ? NLM_F_CREATE | NLM_F_EXCL : 0, &header,
		sizeof(header));
	put_ip(&r, IFA_LOCAL, &a->ip);
	put_ip(&r, IFA_ADDRESS, a->peer.family ? &a->peer : &a->ip);
	if (type == RTM_NEWADDR) {
		netlink_put_u32(&r, IFA_FLAGS,
			(a->ip.family == AF_INET6 ? IFA_F_NODAD : 0) |
				(prefix_route ? 0 : IFA_F_NOPREFIXROUTE));
		if (a->deprecated)
			netlink_put(&r, IFA_CACHEINFO, &deprecated, sizeof(deprecated));
		put_ip(&r, IFA_BROADCAST, &a->broadcast);
		if (a->label)
			netlink_put_text(&r, IFA_LABEL, a->label);
	}
	return netlink_talk(nl, &r, NULL, NULL);
}

/* An attribute behind *len bytes of a blob that has room for it. */
static void blob_put(char *blob, size_t *len, uint16_t type, const void *data, size_t len_bytes)
{
	const struct rtattr attr = {.rta_len = (uint16_t)RTA_LENGTH(len_bytes), .rta_type = type};

	memcpy(blob + *len, &attr, sizeof(attr));
	memcpy(blob + *len + RTA_LENGTH(0), data, len_bytes);
	*len += RTA_ALIGN(attr.rta_len);
}

int link_make_vrf(struct netlink *nl, const char *name, uint32_t table)
{
	const struct ifinfomsg up = {
		.ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	char data[RTA_SPACE(sizeof(table))] = {0};
	char info[RTA_SPACE(sizeof(VRF_KIND)) + RTA_SPACE(sizeof(data))] = {0};
	size_t data_bytes = 0, len = 0;
	struct netlink_request r;

	blob_put(data, &data_bytes, IFLA_VRF_TABLE, &table, sizeof(table));
	blob_put(info, &len, IFLA_INFO_KIND, VRF_KIND, sizeof(VRF_KIND));
	blob_put(info, &len, IFLA_INFO_DATA, data, data_bytes);
	netlink_begin(&r, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &up, sizeof(up));
	netlink_put_text(&r, IFLA_IFNAME, name);
	netlink_put(&r, IFLA_LINKINFO, info, len);
	return netlink_talk(nl, &r, NULL, NULL);
}

/* The value of RTA_GATEWAY, or of RTA_VIA, which names the family (IPv6 for IPv4) before it. */
struct gateway {
	uint16_t type;
	size_t len_bytes; /* 0: there is none */
	uint8_t bytes[sizeof(uint16_t) + 16];
};

static struct gateway gateway_of(const struct net_ip *ip, uint8_t family)
{
	bool same = ip->family == family;
	struct gateway g = {.type = same ? RTA_GATEWAY : RTA_VIA};
	const uint16_t named = ip->family;
	size_t before = same ? 0 : sizeof(named);

	if (!ip->family)
		return g;
	memcpy(g.bytes, &named, before);
	memcpy(g.bytes + before, ip->bytes, ip_bytes(ip->family));
	g.len_bytes = before + ip_bytes(ip->family);
	return g;
}

#define HOP_BYTES (sizeof(struct rtnexthop) + RTA_SPACE(sizeof(((struct gateway *)0)->bytes)))

static void put_hops(struct netlink_request *r, const struct net_route *route, const int *index)
{
	char blob[NETWORK_HOPS_MAX * HOP_BYTES] = {0};
	size_t len = 0;

	for (size_t i = 0; i < route->hops.n; i++) {
		const struct net_hop *hop = &route->hops.v[i];
		const struct gateway g = gateway_of(&hop->gateway, route->destination.ip.family);
		size_t start = len;
		if (!index[i])
			continue;
		len += sizeof(struct rtnexthop);
		if (g.len_bytes)
			blob_put(blob, &len, g.type, g.bytes, g.len_bytes);
		const struct rtnexthop header = {.rtnh_len = (uint16_t)(len - start),
			.rtnh_flags = hop->onlink ? RTNH_F_ONLINK : 0,
			.rtnh_hops = (uint8_t)(hop->weight - 1),
			.rtnh_ifindex = index[i]};
		memcpy(blob + start, &header, sizeof(header));
	}
	netlink_put(r, RTA_MULTIPATH, blob, len);
}

static void put_metrics(struct netlink_request *r, const struct net_route *route)
{
	char blob[2 * RTA_SPACE(sizeof(uint32_t))] = {0};
	size_t len = 0;

	if (route->mtu)
		blob_put(blob, &len, RTAX_MTU, &route->mtu, sizeof(route->mtu));
	if (route->advmss)
		blob_put(blob, &len, RTAX_ADVMSS, &route->advmss, sizeof(route->advmss));
	if (len)
		netlink_put(r, RTA_METRICS, blob, len);
}

static void put_way(
	struct netlink_request *r, const struct net_ip *gateway, uint8_t family, int index)
{
	const struct gateway g = gateway_of(gateway, family);

	if (g.len_bytes)
		netlink_put(r, g.type, g.bytes, g.len_bytes);
	if (index)
		netlink_put_u32(r, RTA_OIF, (uint32_t)index);
}

/*
 * Of an IPv4 route's hops the place of the only one that has a device, which a kernel without
 * multipath takes, too; else -1.
 */
static int only_hop(const struct net_route *route, const int *index)
{
	int only = -1;

	for (size_t i = 0; i < route->hops.n; i++) {
		if (!index[i])
			continue;
		if (only >= 0 || route->destination.ip.family != AF_INET)
			return -1;
		only = (int)i;
	}
	return only;
}

int link_route(struct netlink *nl, uint16_t type, const int *index, const struct net_route *route)
{
	int only = only_hop(route, index);
	bool onlink = only >= 0 ? route->hops.v[only].onlink : route->onlink;
	const struct rtmsg header = {.rtm_family = route->destination.ip.family,
		.rtm_dst_len = route->destination.bits,
		.rtm_table = route->table <= UINT8_MAX ? (uint8_t)route->table : RT_TABLE_UNSPEC,
		.rtm_protocol = (uint8_t)route->protocol,
		.rtm_scope = (uint8_t)route->scope,
		.rtm_type = (uint8_t)route->type,
		.rtm_flags = onlink ? RTNH_F_ONLINK : 0};
	struct netlink_request r;

	netlink_begin(&r, type, type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_APPEND : 0, &header,
		sizeof(header));
	if (route->destination.bits)
		put_ip(&r, RTA_DST, &route->destination.ip);
	if (only >= 0)
		put_way(&r, &route->hops.v[only].gateway, AF_INET, index[only]);
	else if (route->hops.n)
		put_hops(&r, route, index);
	else
		put_way(&r, &route->gateway, route->destination.ip.family, *index);
	put_ip(&r, RTA_PREFSRC, &route->source);
	put_metrics(&r, route);
	netlink_put_u32(&r, RTA_TABLE, route->table);
	if (route->metric)
		netlink_put_u32(&r, RTA_PRIORITY, route->metric);
	return netlink_talk(nl, &r, NULL, NULL);
}

int link_neighbour(struct netlink *nl, uint16_t type, int index, const struct net_neighbour *n)
{
	const struct ndmsg header = {
		.ndm_family = n->ip.family, .ndm_ifindex = index, .ndm_state = NUD_PERMANENT};
	struct netlink_request r;

	netlink_begin(&r, type, type == RTM_NEWNEIGH ? NLM_F_CREATE | NLM_F_REPLACE : 0, &header,
		sizeof(header));
	put_ip(&r, NDA_DST, &n->ip);
	netlink_put(&r, NDA_LLADDR, n->mac.bytes, sizeof(n->mac.bytes));
	return netlink_talk(nl, &r, NULL, NULL);
}

int link_rule(struct netlink *nl, uint16_t type, const struct net_rule *rule)
{
	const struct fib_rule_hdr header = {
		.family = rule->family == 4 ? AF_INET : AF_INET6,
		.src_len = rule->from.bits,
		.dst_len = rule->to.bits,
		.table = rule->table <= UINT8_MAX ? (uint8_t)rule->table : RT_TABLE_UNSPEC,
		.action = FR_ACT_TO_TBL,
	};
	struct netlink_request r;

	netlink_begin(&r, type, type == RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0, &header,
		sizeof(header));
	if (rule->from.bits)
		put_ip(&r, FRA_SRC, &rule->from.ip);
	if (rule->to.bits)
		put_ip(&r, FRA_DST, &rule->to.ip);
	netlink_put_u32(&r, FRA_PRIORITY, rule->priority);
	netlink_put_u32(&r, FRA_TABLE, rule->table);
	return netlink_talk(nl, &r, NULL, NULL);
}
