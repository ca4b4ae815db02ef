/* SPDX-License-Identifier: Apache-2.0 */
/* Looking around in a network namespace; see net_scan.h. */
#include "runtime/net_scan_internal.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define TRIES 16 /* while others change what is read */

int scan_keep_attr(const struct nlattr *attr, void *arg)
{
	struct attrs *attrs = arg;
	unsigned type = mnl_attr_get_type(attr);

	if (type < ATTRS_MAX)
		attrs->at[type] = attr;
	return MNL_CB_OK;
}

void scan_parse(const struct nlmsghdr *message, size_t fixed_bytes, struct attrs *attrs)
{
	memset(attrs, 0, sizeof(*attrs));
	mnl_attr_parse(message, (unsigned)fixed_bytes, scan_keep_attr, attrs);
}

bool scan_has(const struct attrs *attrs, unsigned type, size_t len_bytes)
{
	return attrs->at[type] && mnl_attr_get_payload_len(attrs->at[type]) >= len_bytes;
}

uint32_t scan_number(const struct attrs *attrs, unsigned type, uint32_t otherwise)
{
	return scan_has(attrs, type, sizeof(uint32_t)) ? mnl_attr_get_u32(attrs->at[type])
						       : otherwise;
}

struct net_interface *scan_find(const struct scanner *s, unsigned index)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->list[i].index == index)
			return &s->list[i];
	return NULL;
}

size_t scan_address_bytes(int family)
{
	return family == AF_INET     ? sizeof(struct in_addr)
		: family == AF_INET6 ? sizeof(struct in6_addr)
				     : 0;
}

const char *scan_text(
	const struct attrs *attrs, unsigned type, int family, char text[INET6_ADDRSTRLEN])
{
	if (!scan_has(attrs, type, scan_address_bytes(family)))
		return NULL;
	return inet_ntop(family, mnl_attr_get_payload(attrs->at[type]), text, INET6_ADDRSTRLEN);
}

bool scan_is_loopback(const struct attrs *attrs, unsigned type, int family)
{
	if (!scan_address_bytes(family) || !scan_has(attrs, type, scan_address_bytes(family)))
		return false;
	const uint8_t *ip = mnl_attr_get_payload(attrs->at[type]);
	return family == AF_INET ? *ip == IN_LOOPBACKNET
				 : memcmp(ip, &in6addr_loopback, sizeof(in6addr_loopback)) == 0;
}

const char *scan_info(const struct attrs *attrs, unsigned type)
{
	struct attrs inner = {0};

	if (attrs->at[IFLA_LINKINFO])
		mnl_attr_parse_nested(attrs->at[IFLA_LINKINFO], scan_keep_attr, &inner);
	return scan_has(&inner, type, 2) ? mnl_attr_get_str(inner.at[type]) : "";
}

void scan_info_data(const struct attrs *attrs, struct attrs *data)
{
	struct attrs inner = {0};

	memset(data, 0, sizeof(*data));
	if (attrs->at[IFLA_LINKINFO])
		mnl_attr_parse_nested(attrs->at[IFLA_LINKINFO], scan_keep_attr, &inner);
	if (inner.at[IFLA_INFO_DATA])
		mnl_attr_parse_nested(inner.at[IFLA_INFO_DATA], scan_keep_attr, data);
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

/* A tap of this or another container. */
static bool is_tap(const char *name, const struct attrs *attrs)
{
	size_t n = strlen(NET_TAP_PREFIX);

	return strncmp(name, NET_TAP_PREFIX, n) == 0 && name[n] &&
		!name[n + strspn(name + n, "0123456789")] &&
		strcmp(scan_info(attrs, IFLA_INFO_KIND), "tun") == 0;
}

static int take_link(const struct nlmsghdr *message, void *arg)
{
	struct scanner *s = arg;
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	struct attrs attrs;

	scan_parse(message, sizeof(*link), &attrs);
	if (link->ifi_flags & IFF_LOOPBACK)
		s->loopback_index = (unsigned)link->ifi_index;
	if (!scan_has(&attrs, IFLA_IFNAME, 2) || (link->ifi_flags & IFF_LOOPBACK))
		return 0;
	const char *name = mnl_attr_get_str(attrs.at[IFLA_IFNAME]);
	if (!scan_is_named(s, link, name))
		return 0;
	if (strcmp(scan_info(&attrs, IFLA_INFO_KIND), "vrf") == 0)
		return scan_vrf(s, link, &attrs);
	if (is_tap(name, &attrs) || !scan_is_of_use(s, link, &attrs, name))
		return 0;
	if (s->n == LINKS_MAX)
		return -E2BIG;
	struct net_interface *interface = &s->list[s->n++];
	*interface = (struct net_interface){
		.index = (unsigned)link->ifi_index,
		.mtu = scan_number(&attrs, IFLA_MTU, 1500),
		.up = link->ifi_flags & IFF_UP,
		.noarp = link->ifi_flags & IFF_NOARP,
		.all_multicast = link->ifi_flags & IFF_ALLMULTI,
		.addresses = json_array(),
	};
	snprintf(interface->name, sizeof(interface->name), "%s", name);
	memcpy(interface->mac, mnl_attr_get_payload(attrs.at[IFLA_ADDRESS]), NET_MAC_BYTES);
	scan_kind(interface, &attrs);
	return interface->addresses ? 0 : -ENOMEM;
}

/* Where an address goes; NULL when it is not carried. */
static json_t *addresses_of(
	struct scanner *s, const struct ifaddrmsg *address, const struct attrs *attrs)
{
	const struct net_interface *interface = scan_find(s, address->ifa_index);
	const struct net_vrf *vrf = scan_find_vrf(s, address->ifa_index);

	if (address->ifa_index != s->loopback_index)
		return interface ? interface->addresses : vrf ? vrf->addresses : NULL;
	return scan_is_loopback(attrs, IFA_ADDRESS, address->ifa_family) ? NULL : s->loopback;
}

static int take_address(const struct nlmsghdr *message, void *arg)
{
	struct scanner *s = arg;
	const struct ifaddrmsg *address = mnl_nlmsg_get_payload(message);
	char text[3][INET6_ADDRSTRLEN];
	int family = address->ifa_family;
	struct attrs attrs;

	scan_parse(message, sizeof(*address), &attrs);
	scan_mark(s, address);
	uint32_t flags = scan_number(&attrs, IFA_FLAGS, address->ifa_flags);
	json_t *addresses = addresses_of(s, address, &attrs);
	if (!addresses || !scan_address_bytes(family) || (flags & IFA_F_DADFAILED))
		return 0;
	/* With a peer, IFA_ADDRESS is the peer's. */
	const char *local = scan_text(&attrs, IFA_LOCAL, family, text[0]);
	const char *other = scan_text(&attrs, IFA_ADDRESS, family, text[1]);
	const char *broadcast = scan_text(&attrs, IFA_BROADCAST, family, text[2]);
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
	if (ret == 0 && family == AF_INET && scan_has(&attrs, IFA_LABEL, 2))
		ret = json_object_set_new(
			json, "label", json_text(mnl_attr_get_str(attrs.at[IFA_LABEL])));
	return ret < 0 ? -ENOMEM : 0;
}

static int take_neighbour(const struct nlmsghdr *message, void *arg)
{
	struct scanner *s = arg;
	const struct ndmsg *neighbour = mnl_nlmsg_get_payload(message);
	const struct net_interface *interface = scan_find(s, (unsigned)neighbour->ndm_ifindex);
	char text[INET6_ADDRSTRLEN], mac[NET_MAC_TEXT_BYTES];
	struct attrs attrs;

	scan_parse(message, sizeof(*neighbour), &attrs);
	const char *address = scan_address_bytes(neighbour->ndm_family)
		? scan_text(&attrs, NDA_DST, neighbour->ndm_family, text)
		: NULL;
	if (!interface || !address || !(neighbour->ndm_state & NUD_PERMANENT) ||
		!scan_has(&attrs, NDA_LLADDR, NET_MAC_BYTES))
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
	for (size_t i = 0; i < s->n_vrfs; i++)
		json_decref(s->vrfs[i].addresses);
	s->n = s->n_addresses = s->n_ways = s->n_oddities = s->n_vrfs = 0;
	json_decref(s->loopback);
	json_decref(s->routes);
	json_decref(s->neighbours);
	json_decref(s->rules);
	s->loopback = s->routes = s->neighbours = s->rules = NULL;
}

/* Only what concerns interfaces that are kept. */
static int keep(struct scanner *s, struct net_scan *scan)
{
	for (size_t i = 0; i < s->n; i++) {
		struct net_interface *interface = &s->list[i];
		if ((!json_array_size(interface->addresses) && !is_wanted(s->wanted, interface)) ||
			scan_is_lost(s, interface))
			continue;
		if (scan->n == NET_INTERFACES_MAX)
			return -E2BIG;
		scan->list[scan->n++] = *interface;
		json_incref(interface->addresses);
	}
	int ret = scan_keep_vrfs(s, scan);
	if (ret < 0)
		return ret;
	scan_uppers(s, scan);
	scan->loopback = json_incref(s->loopback);
	scan->routes = json_incref(s->routes);
	scan->neighbours = json_incref(s->neighbours);
	scan->rules = json_incref(s->rules);
	return scan_note(s, scan);
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
		ret = list(rt, s, RTM_GETROUTE, sizeof(struct rtmsg), scan_route);
	if (ret == 0)
		ret = list(rt, s, RTM_GETNEIGH, sizeof(struct ndmsg), take_neighbour);
	if (ret < 0)
		return ret;
	ret = list(rt, s, RTM_GETRULE, sizeof(struct fib_rule_hdr), scan_rule);
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
	s.vrfs = calloc(LINKS_MAX, sizeof(*s.vrfs));
	if (!s.list || !s.oddities || !s.vrfs)
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
	free(s.vrfs);
	if (ret == 0)
		return 0;
	net_scan_fini(scan);
	if (ret == -E2BIG)
		return err_set(e, E2BIG,
			"the network namespace has more than a virtual machine can be given: %d "
			"interfaces, %d VRFs, %d addresses, %d routes, %d ways of one of them, %d "
			"neighbours, %d rules",
			NET_INTERFACES_MAX, NET_VRFS_MAX, NET_ADDRESSES_MAX, NET_ROUTES_MAX,
			NET_HOPS_MAX, NET_NEIGHBOURS_MAX, NET_RULES_MAX);
	return err_sys(e, -ret, "listing the network namespace's interfaces");
}

void net_scan_fini(struct net_scan *scan)
{
	for (unsigned i = 0; i < scan->n; i++)
		json_decref(scan->list[i].addresses);
	for (unsigned i = 0; i < scan->n_vrfs; i++)
		json_decref(scan->vrfs[i].addresses);
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
