/* SPDX-License-Identifier: Apache-2.0 */
/* Looking around in a network namespace; see net_scan.h. */
#include "runtime/net_scan.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"

#define TRIES	  16   /* while others change what is read */
#define LINKS_MAX 4096 /* interfaces of a namespace, ours or not */
#define ATTRS_MAX 64

/* Something is to be said about it, if it has addresses that others than its neighbours know. */
struct oddity {
	unsigned index;
	unsigned parent; /* not 0: only if that one is the container's */
	char name[IFNAMSIZ];
	char reason[64];
	bool addressed;
};

/* All Ethernet interfaces; those without an address are dropped in the end. */
struct scanner {
	const struct net_wanted *wanted;
	struct net_interface *list;
	struct oddity *oddities;
	size_t n, n_addresses, n_ways, n_oddities;
	unsigned loopback_index;
	json_t *loopback, *routes, *neighbours, *rules;
};

struct attrs {
	const struct nlattr *at[ATTRS_MAX];
};

static int keep_attr(const struct nlattr *attr, void *arg)
{
	struct attrs *attrs = arg;
	unsigned type = mnl_attr_get_type(attr);

	if (type < ATTRS_MAX)
		attrs->at[type] = attr;
	return MNL_CB_OK;
}

static void parse(const struct nlmsghdr *message, size_t fixed_bytes, struct attrs *attrs)
{
	memset(attrs, 0, sizeof(*attrs));
	mnl_attr_parse(message, (unsigned)fixed_bytes, keep_attr, attrs);
}

static bool has(const struct attrs *attrs, unsigned type, size_t len_bytes)
{
	return attrs->at[type] && mnl_attr_get_payload_len(attrs->at[type]) >= len_bytes;
}

static uint32_t number(const struct attrs *attrs, unsigned type, uint32_t otherwise)
{
	return has(attrs, type, sizeof(uint32_t)) ? mnl_attr_get_u32(attrs->at[type]) : otherwise;
}

void net_mac_format(const uint8_t *mac, char *text)
{
	snprintf(text, NET_MAC_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		mac[3], mac[4], mac[5]);
}

bool net_mac_parse(const char *text, uint8_t *mac)
{
	unsigned part[NET_MAC_BYTES];
	char end;

	if (!text || strlen(text) != NET_MAC_TEXT_BYTES - 1 ||
		sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &part[0], &part[1], &part[2], &part[3],
			&part[4], &part[5], &end) != NET_MAC_BYTES)
		return false;
	for (int i = 0; i < NET_MAC_BYTES; i++)
		mac[i] = (uint8_t)part[i];
	return true;
}

static bool is_wanted(const struct net_wanted *wanted, const struct net_interface *interface)
{
	for (size_t i = 0; i < json_array_size(wanted->names); i++)
		if (strcmp(json_string_value(json_array_get(wanted->names, i)), interface->name) ==
			0)
			return true;
	for (unsigned i = 0; i < wanted->n; i++)
		if (wanted->indexes[i] == interface->index)
			return true;
	return false;
}

/* A text of IFLA_LINKINFO's, "" without one. */
static const char *info_of(const struct attrs *attrs, unsigned type)
{
	struct attrs inner = {0};

	if (attrs->at[IFLA_LINKINFO])
		mnl_attr_parse_nested(attrs->at[IFLA_LINKINFO], keep_attr, &inner);
	return has(&inner, type, 2) ? mnl_attr_get_str(inner.at[type]) : "";
}

/* A tap of this or another container. */
static bool is_tap(const char *name, const struct attrs *attrs)
{
	size_t n = strlen(NET_TAP_PREFIX);

	return strncmp(name, NET_TAP_PREFIX, n) == 0 && name[n] &&
		!name[n + strspn(name + n, "0123456789")] &&
		strcmp(info_of(attrs, IFLA_INFO_KIND), "tun") == 0;
}

/*
 * The interface of this namespace that it gets its frames from, 0: none. That happens after traffic
 * control has had them, so nothing comes when that one is redirected to a tap.
 */
static unsigned parent_of(const struct attrs *attrs)
{
	static const char *const kinds[] = {
		"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec"};
	const char *kind = info_of(attrs, IFLA_INFO_KIND);

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kind, kinds[i]) == 0 && !attrs->at[IFLA_LINK_NETNSID])
			return number(attrs, IFLA_LINK, 0);
	return 0;
}

/* Those that are too many go without a word. */
static struct oddity *add_oddity(struct scanner *s, const struct ifinfomsg *link, const char *name)
{
	static struct oddity spare;
	struct oddity *oddity = s->n_oddities < LINKS_MAX ? &s->oddities[s->n_oddities++] : &spare;

	*oddity = (struct oddity){.index = (unsigned)link->ifi_index};
	snprintf(oddity->name, sizeof(oddity->name), "%s", name);
	return oddity;
}

/* Whether it can be the container's, as far as what it is goes. */
static bool is_of_use(struct scanner *s, const struct ifinfomsg *link, const struct attrs *attrs,
	const char *name)
{
	struct oddity *oddity;

	if (link->ifi_type != ARPHRD_ETHER || !has(attrs, IFLA_ADDRESS, NET_MAC_BYTES)) {
		oddity = add_oddity(s, link, name);
		snprintf(oddity->reason, sizeof(oddity->reason), "it is not an Ethernet interface");
		return false;
	}
	if (has(attrs, IFLA_MASTER, 4)) {
		const char *kind = info_of(attrs, IFLA_INFO_SLAVE_KIND);
		oddity = add_oddity(s, link, name);
		snprintf(oddity->reason, sizeof(oddity->reason), "it is part of another (%.15s)",
			*kind ? kind : "its master");
		return false;
	}
	unsigned parent = parent_of(attrs);
	if (parent)
		add_oddity(s, link, name)->parent = parent;
	return true;
}

static int take_link(const struct nlmsghdr *message, void *arg)
{
	struct scanner *s = arg;
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	struct attrs attrs;

	parse(message, sizeof(*link), &attrs);
	if (link->ifi_flags & IFF_LOOPBACK)
		s->loopback_index = (unsigned)link->ifi_index;
	if (!has(&attrs, IFLA_IFNAME, 2) || (link->ifi_flags & IFF_LOOPBACK))
		return 0;
	const char *name = mnl_attr_get_str(attrs.at[IFLA_IFNAME]);
	if (is_tap(name, &attrs) || !is_of_use(s, link, &attrs, name))
		return 0;
	if (s->n == LINKS_MAX)
		return -E2BIG;
	struct net_interface *interface = &s->list[s->n++];
	*interface = (struct net_interface){
		.index = (unsigned)link->ifi_index,
		.mtu = number(&attrs, IFLA_MTU, 1500),
		.up = link->ifi_flags & IFF_UP,
		.noarp = link->ifi_flags & IFF_NOARP,
		.all_multicast = link->ifi_flags & IFF_ALLMULTI,
		.addresses = json_array(),
	};
	snprintf(interface->name, sizeof(interface->name), "%s", name);
	memcpy(interface->mac, mnl_attr_get_payload(attrs.at[IFLA_ADDRESS]), NET_MAC_BYTES);
	return interface->addresses ? 0 : -ENOMEM;
}

static struct net_interface *find(const struct scanner *s, unsigned index)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->list[i].index == index)
			return &s->list[i];
	return NULL;
}

static size_t address_bytes(int family)
{
	return family == AF_INET     ? sizeof(struct in_addr)
		: family == AF_INET6 ? sizeof(struct in6_addr)
				     : 0;
}

/* The address in an attribute as text; NULL when there is none. */
static const char *text_of(
	const struct attrs *attrs, unsigned type, int family, char text[INET6_ADDRSTRLEN])
{
	if (!has(attrs, type, address_bytes(family)))
		return NULL;
	return inet_ntop(family, mnl_attr_get_payload(attrs->at[type]), text, INET6_ADDRSTRLEN);
}

static void mark_oddity(struct scanner *s, const struct ifaddrmsg *address)
{
	for (size_t i = 0; i < s->n_oddities; i++)
		if (s->oddities[i].index == address->ifa_index &&
			address->ifa_scope == RT_SCOPE_UNIVERSE)
			s->oddities[i].addressed = true;
}

/* Of those that every loopback interface has. */
static bool is_loopback(const struct attrs *attrs, unsigned type, int family)
{
	if (!address_bytes(family) || !has(attrs, type, address_bytes(family)))
		return false;
	const uint8_t *ip = mnl_attr_get_payload(attrs->at[type]);
	return family == AF_INET ? *ip == IN_LOOPBACKNET
				 : memcmp(ip, &in6addr_loopback, sizeof(in6addr_loopback)) == 0;
}

/* Where an address goes; NULL when it is not carried. */
static json_t *addresses_of(
	const struct scanner *s, const struct ifaddrmsg *address, const struct attrs *attrs)
{
	const struct net_interface *interface = find(s, address->ifa_index);

	if (address->ifa_index != s->loopback_index)
		return interface ? interface->addresses : NULL;
	return is_loopback(attrs, IFA_ADDRESS, address->ifa_family) ? NULL : s->loopback;
}

static int take_address(const struct nlmsghdr *message, void *arg)
{
	struct scanner *s = arg;
	const struct ifaddrmsg *address = mnl_nlmsg_get_payload(message);
	char text[3][INET6_ADDRSTRLEN];
	int family = address->ifa_family;
	struct attrs attrs;

	parse(message, sizeof(*address), &attrs);
	mark_oddity(s, address);
	uint32_t flags = number(&attrs, IFA_FLAGS, address->ifa_flags);
	json_t *addresses = addresses_of(s, address, &attrs);
	if (!addresses || !address_bytes(family) || (flags & IFA_F_DADFAILED))
		return 0;
	/* With a peer, IFA_ADDRESS is the peer's. */
	const char *local = text_of(&attrs, IFA_LOCAL, family, text[0]);
	const char *other = text_of(&attrs, IFA_ADDRESS, family, text[1]);
	const char *broadcast = text_of(&attrs, IFA_BROADCAST, family, text[2]);
	if (!local)
		local = other;
	if (!local)
		return 0;
	if (s->n_addresses++ == NET_ADDRESSES_MAX)
		return -E2BIG;
	json_t *json = json_pack("{s:s, s:i, s:i}", "address", local, "prefix",
		(int)address->ifa_prefixlen, "scope", (int)address->ifa_scope);
	int ret = json_array_append_new(addresses, json);
	if (ret == 0 && other && strcmp(local, other) != 0)
		ret = json_object_set_new(json, "peer", json_string(other));
	if (ret == 0 && (flags & IFA_F_DEPRECATED))
		ret = json_object_set_new(json, "deprecated", json_true());
	if (ret == 0 && family == AF_INET && broadcast)
		ret = json_object_set_new(json, "broadcast", json_string(broadcast));
	if (ret == 0 && family == AF_INET && has(&attrs, IFA_LABEL, 2))
		ret = json_object_set_new(
			json, "label", json_string(mnl_attr_get_str(attrs.at[IFA_LABEL])));
	return ret < 0 ? -ENOMEM : 0;
}

/* A gateway may be of the other family. NULL when there is none. */
static const char *gateway_of(const struct attrs *attrs, int family, char text[INET6_ADDRSTRLEN])
{
	if (!has(attrs, RTA_VIA, sizeof(struct rtvia)))
		return text_of(attrs, RTA_GATEWAY, family, text);
	const struct rtvia *via = mnl_attr_get_payload(attrs->at[RTA_VIA]);
	size_t bytes = address_bytes(via->rtvia_family);
	return bytes && has(attrs, RTA_VIA, sizeof(*via) + bytes)
		? inet_ntop(via->rtvia_family, via->rtvia_addr, text, INET6_ADDRSTRLEN)
		: NULL;
}

/*
 * One way of a route into `json`. -ENOENT when it leads through none of the interfaces, or into a
 * tunnel (RTA_ENCAP).
 */
static int take_way(struct scanner *s, const struct attrs *attrs, int family, unsigned index,
	unsigned flags, json_t *json)
{
	const struct net_interface *interface = find(s, index);
	bool loopback = index && index == s->loopback_index;
	char text[INET6_ADDRSTRLEN];

	if ((!interface && !loopback) || attrs->at[RTA_ENCAP])
		return -ENOENT;
	if (s->n_ways++ == NET_ROUTES_MAX)
		return -E2BIG;
	const char *gateway = gateway_of(attrs, family, text);
	int ret = json_object_set_new(
		json, "interface", json_string(loopback ? NET_LOOPBACK : interface->name));
	if (ret == 0 && gateway)
		ret = json_object_set_new(json, "gateway", json_string(gateway));
	if (ret == 0 && (flags & RTNH_F_ONLINK))
		ret = json_object_set_new(json, "onlink", json_true());
	return ret < 0 ? -ENOMEM : 0;
}

/* Several ways, of which those are left out that lead elsewhere. */
static int take_hops(struct scanner *s, const struct nlattr *many, int family, json_t *json)
{
	const char *at = mnl_attr_get_payload(many);
	size_t left = mnl_attr_get_payload_len(many), n = 0;
	json_t *hops = json_array();
	int ret = json_object_set_new(json, "nexthops", hops) < 0 ? -ENOMEM : 0;

	while (ret == 0 && left >= sizeof(struct rtnexthop)) {
		const struct rtnexthop *hop = (const void *)at;
		struct attrs inner = {0};
		if (hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > left)
			return -EBADMSG;
		mnl_attr_parse_payload(hop + 1, hop->rtnh_len - sizeof(*hop), keep_attr, &inner);
		json_t *way = json_pack("{s:i}", "weight", hop->rtnh_hops + 1);
		ret = take_way(
			s, &inner, family, (unsigned)hop->rtnh_ifindex, hop->rtnh_flags, way);
		if (ret == 0 && n++ == NET_HOPS_MAX)
			ret = -E2BIG;
		if (ret == 0)
			ret = json_array_append(hops, way) < 0 ? -ENOMEM : 0;
		else if (ret == -ENOENT)
			ret = 0;
		json_decref(way);
		size_t whole = RTNH_ALIGN(hop->rtnh_len);
		at += whole < left ? whole : left;
		left -= whole < left ? whole : left;
	}
	return ret < 0 ? ret : n ? 0 : -ENOENT;
}

static bool is_dead_end(unsigned type)
{
	return type == RTN_BLACKHOLE || type == RTN_UNREACHABLE || type == RTN_PROHIBIT ||
		type == RTN_THROW;
}

static int take_ways(
	struct scanner *s, const struct rtmsg *route, const struct attrs *attrs, json_t *json)
{
	if (is_dead_end(route->rtm_type))
		return s->n_ways++ == NET_ROUTES_MAX ? -E2BIG : 0;
	if (attrs->at[RTA_MULTIPATH])
		return take_hops(s, attrs->at[RTA_MULTIPATH], route->rtm_family, json);
	return take_way(
		s, attrs, route->rtm_family, number(attrs, RTA_OIF, 0), route->rtm_flags, json);
}

/* What TCP and the path's MTU are told of a route, as far as a container gets it. */
static int take_metrics(const struct attrs *attrs, json_t *json)
{
	struct attrs inner = {0};
	int ret = 0;

	if (!attrs->at[RTA_METRICS])
		return 0;
	mnl_attr_parse_nested(attrs->at[RTA_METRICS], keep_attr, &inner);
	uint32_t mtu = number(&inner, RTAX_MTU, 0), advmss = number(&inner, RTAX_ADVMSS, 0);
	if (mtu)
		ret = json_object_set_new(json, "mtu", json_integer(mtu));
	if (ret == 0 && advmss)
		ret = json_object_set_new(json, "advmss", json_integer(advmss));
	return ret < 0 ? -ENOMEM : 0;
}

/* For some packets only, by what is not told to the guest: there it would be one for all of them.
 */
static bool is_selective(const struct rtmsg *route)
{
	return route->rtm_src_len || route->rtm_tos;
}

static int take_route(const struct nlmsghdr *message, void *arg)
{
	struct scanner *s = arg;
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	int family = route->rtm_family;
	char text[2][INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN + 5];
	struct attrs attrs;

	parse(message, sizeof(*route), &attrs);
	uint32_t table = number(&attrs, RTA_TABLE, route->rtm_table);
	bool dead_end = is_dead_end(route->rtm_type) && route->rtm_protocol != RTPROT_KERNEL;
	if (!address_bytes(family) || table == RT_TABLE_LOCAL || is_selective(route) ||
		(route->rtm_type != RTN_UNICAST && !dead_end) ||
		(route->rtm_flags & RTM_F_CLONED) || is_loopback(&attrs, RTA_DST, family))
		return 0;
	const char *to = text_of(&attrs, RTA_DST, family, text[0]);
	const char *source = text_of(&attrs, RTA_PREFSRC, family, text[1]);
	if (!to)
		to = family == AF_INET ? "0.0.0.0" : "::";
	snprintf(destination, sizeof(destination), "%s/%u", to, route->rtm_dst_len);
	cleanup_json json_t *json = json_pack("{s:i, s:s, s:I, s:I, s:i, s:i, s:i}", "family",
		family == AF_INET ? 4 : 6, "destination", destination, "table", (json_int_t)table,
		"metric", (json_int_t)number(&attrs, RTA_PRIORITY, 0), "scope",
		(int)route->rtm_scope, "type", (int)route->rtm_type, "protocol",
		(int)route->rtm_protocol);
	if (!json)
		return -ENOMEM;
	int ret = take_ways(s, route, &attrs, json);
	if (ret == 0)
		ret = take_metrics(&attrs, json);
	if (ret == 0 && source && json_object_set_new(json, "source", json_string(source)) < 0)
		ret = -ENOMEM;
	if (ret == 0 && json_array_append(s->routes, json) < 0)
		ret = -ENOMEM;
	return ret == -ENOENT ? 0 : ret;
}

static int take_neighbour(const struct nlmsghdr *message, void *arg)
{
	struct scanner *s = arg;
	const struct ndmsg *neighbour = mnl_nlmsg_get_payload(message);
	const struct net_interface *interface = find(s, (unsigned)neighbour->ndm_ifindex);
	char text[INET6_ADDRSTRLEN], mac[NET_MAC_TEXT_BYTES];
	struct attrs attrs;

	parse(message, sizeof(*neighbour), &attrs);
	const char *address = address_bytes(neighbour->ndm_family)
		? text_of(&attrs, NDA_DST, neighbour->ndm_family, text)
		: NULL;
	if (!interface || !address || !(neighbour->ndm_state & NUD_PERMANENT) ||
		!has(&attrs, NDA_LLADDR, NET_MAC_BYTES))
		return 0;
	if (json_array_size(s->neighbours) == NET_NEIGHBOURS_MAX)
		return -E2BIG;
	net_mac_format(mnl_attr_get_payload(attrs.at[NDA_LLADDR]), mac);
	return json_array_append_new(s->neighbours,
		       json_pack("{s:s, s:s, s:s}", "address", address, "mac", mac, "interface",
			       interface->name)) < 0
		? -ENOMEM
		: 0;
}

/* Whether it chooses by nothing but source and destination, and leads to a table. */
static bool is_plain_rule(const struct fib_rule_hdr *rule, const struct attrs *attrs)
{
	static const bool known[ATTRS_MAX] = {
		[FRA_DST] = true,
		[FRA_SRC] = true,
		[FRA_PRIORITY] = true,
		[FRA_SUPPRESS_PREFIXLEN] = true,
		[FRA_TABLE] = true,
		[FRA_PAD] = true,
		[FRA_PROTOCOL] = true,
	};

	for (unsigned i = 0; i < ATTRS_MAX; i++)
		if (attrs->at[i] && !known[i])
			return false;
	return rule->action == FR_ACT_TO_TBL && !(rule->flags & FIB_RULE_INVERT) && !rule->tos &&
		number(attrs, FRA_SUPPRESS_PREFIXLEN, UINT32_MAX) == UINT32_MAX;
}

static int set_prefix(json_t *json, const char *key, const struct attrs *attrs, unsigned type,
	int family, unsigned bits)
{
	char text[INET6_ADDRSTRLEN];
	const char *address = bits ? text_of(attrs, type, family, text) : NULL;

	return address ? json_object_set_new(json, key, json_sprintf("%s/%u", address, bits)) : 0;
}

/* Those that the kernel makes itself are the guest's as well. */
static int take_rule(const struct nlmsghdr *message, void *arg)
{
	struct scanner *s = arg;
	const struct fib_rule_hdr *rule = mnl_nlmsg_get_payload(message);
	int family = rule->family;
	struct attrs attrs;

	parse(message, sizeof(*rule), &attrs);
	uint32_t table = number(&attrs, FRA_TABLE, rule->table);
	bool builtin = has(&attrs, FRA_PROTOCOL, 1) &&
		mnl_attr_get_u8(attrs.at[FRA_PROTOCOL]) == RTPROT_KERNEL;
	if (!address_bytes(family) || builtin || table == RT_TABLE_LOCAL ||
		!is_plain_rule(rule, &attrs))
		return 0;
	if (json_array_size(s->rules) == NET_RULES_MAX)
		return -E2BIG;
	cleanup_json json_t *json =
		json_pack("{s:i, s:I, s:I}", "family", family == AF_INET ? 4 : 6, "priority",
			(json_int_t)number(&attrs, FRA_PRIORITY, 0), "table", (json_int_t)table);
	if (!json || set_prefix(json, "from", &attrs, FRA_SRC, family, rule->src_len) < 0 ||
		set_prefix(json, "to", &attrs, FRA_DST, family, rule->dst_len) < 0 ||
		json_array_append(s->rules, json) < 0)
		return -ENOMEM;
	return 0;
}

static int list(struct rtnl *rt, struct scanner *s, uint16_t type, size_t fixed_bytes,
	int (*take)(const struct nlmsghdr *message, void *arg))
{
	char buf[RTNL_BYTES];
	void *fixed;
	struct nlmsghdr *message = rtnl_begin(buf, type, 0, &fixed, fixed_bytes);

	return rtnl_dump(rt, message, take, s);
}

static void scanner_clear(struct scanner *s)
{
	for (size_t i = 0; i < s->n; i++)
		json_decref(s->list[i].addresses);
	s->n = s->n_addresses = s->n_ways = s->n_oddities = 0;
	json_decref(s->loopback);
	json_decref(s->routes);
	json_decref(s->neighbours);
	json_decref(s->rules);
	s->loopback = s->routes = s->neighbours = s->rules = NULL;
}

/* Of those whose parents are kept, or that can't be. */
static int note(const struct scanner *s, struct net_scan *scan)
{
	scan->notes = json_array();
	for (size_t i = 0; i < s->n_oddities; i++) {
		const struct oddity *oddity = &s->oddities[i];
		const struct net_interface *parent = net_scan_find(scan, oddity->parent);
		if (!oddity->addressed || (oddity->parent && !parent))
			continue;
		json_t *text = parent
			? json_sprintf("%s: receives nothing any more: what comes in on %s is the "
				       "container's",
				  oddity->name, parent->name)
			: json_sprintf(
				  "%s: is not the container's: %s", oddity->name, oddity->reason);
		/* A name that is not text goes without. */
		if (text && json_array_append_new(scan->notes, text) < 0)
			return -ENOMEM;
	}
	return scan->notes ? 0 : -ENOMEM;
}

/* Only what concerns interfaces that are kept. */
static int keep(struct scanner *s, struct net_scan *scan)
{
	for (size_t i = 0; i < s->n; i++) {
		struct net_interface *interface = &s->list[i];
		if (!json_array_size(interface->addresses) && !is_wanted(s->wanted, interface))
			continue;
		if (scan->n == NET_INTERFACES_MAX)
			return -E2BIG;
		scan->list[scan->n++] = *interface;
		json_incref(interface->addresses);
	}
	scan->loopback = json_incref(s->loopback);
	scan->routes = json_incref(s->routes);
	scan->neighbours = json_incref(s->neighbours);
	scan->rules = json_incref(s->rules);
	return note(s, scan);
}

static int look(struct rtnl *rt, struct scanner *s)
{
	s->loopback = json_array();
	s->routes = json_array();
	s->neighbours = json_array();
	s->rules = json_array();
	if (!s->loopback || !s->routes || !s->neighbours || !s->rules)
		return -ENOMEM;
	int ret = list(rt, s, RTM_GETLINK, sizeof(struct ifinfomsg), take_link);
	if (ret == 0)
		ret = list(rt, s, RTM_GETADDR, sizeof(struct ifaddrmsg), take_address);
	if (ret == 0)
		ret = list(rt, s, RTM_GETROUTE, sizeof(struct rtmsg), take_route);
	if (ret == 0)
		ret = list(rt, s, RTM_GETNEIGH, sizeof(struct ndmsg), take_neighbour);
	if (ret < 0)
		return ret;
	ret = list(rt, s, RTM_GETRULE, sizeof(struct fib_rule_hdr), take_rule);
	/* A kernel without further tables. */
	return ret == -EOPNOTSUPP ? 0 : ret;
}

int net_scan(struct rtnl *rt, const struct net_wanted *wanted, struct net_scan *scan, struct err *e)
{
	struct scanner s = {.wanted = wanted};
	int ret = -EINTR;

	memset(scan, 0, sizeof(*scan));
	s.list = calloc(LINKS_MAX, sizeof(*s.list));
	s.oddities = calloc(LINKS_MAX, sizeof(*s.oddities));
	if (!s.list || !s.oddities)
		ret = -ENOMEM;
	for (int tries = 0; ret == -EINTR && tries < TRIES; tries++) {
		scanner_clear(&s);
		ret = look(rt, &s);
	}
	if (ret == 0)
		ret = keep(&s, scan);
	scanner_clear(&s);
	free(s.list);
	free(s.oddities);
	if (ret == 0)
		return 0;
	net_scan_fini(scan);
	if (ret == -E2BIG)
		return err_set(e, E2BIG,
			"the network namespace has more than a virtual machine can be given: %d "
			"interfaces, %d addresses, %d routes, %d ways of one of them, %d "
			"neighbours, %d rules",
			NET_INTERFACES_MAX, NET_ADDRESSES_MAX, NET_ROUTES_MAX, NET_HOPS_MAX,
			NET_NEIGHBOURS_MAX, NET_RULES_MAX);
	return err_sys(e, -ret, "listing the network namespace's interfaces");
}

void net_scan_fini(struct net_scan *scan)
{
	for (unsigned i = 0; i < scan->n; i++)
		json_decref(scan->list[i].addresses);
	json_decref(scan->loopback);
	json_decref(scan->routes);
	json_decref(scan->neighbours);
	json_decref(scan->rules);
	json_decref(scan->notes);
	memset(scan, 0, sizeof(*scan));
}

const struct net_interface *net_scan_find(const struct net_scan *scan, unsigned index)
{
	for (unsigned i = 0; i < scan->n; i++)
		if (scan->list[i].index == index)
			return &scan->list[i];
	return NULL;
}
