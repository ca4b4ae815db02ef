/* SPDX-License-Identifier: Apache-2.0 */
/* Routes and policy rules of a network namespace; see net_scan.h. */
#include "runtime/net_scan_internal.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <stdio.h>

#include "base/json.h"

/* A gateway may be of the other family. NULL when there is none. */
static const char *gateway_of(const struct attrs *attrs, int family, char text[INET6_ADDRSTRLEN])
{
	if (!scan_has(attrs, RTA_VIA, sizeof(struct rtvia)))
		return scan_text(attrs, RTA_GATEWAY, family, text);
	const struct rtvia *via = mnl_attr_get_payload(attrs->at[RTA_VIA]);
	size_t bytes = scan_address_bytes(via->rtvia_family);
	return bytes && scan_has(attrs, RTA_VIA, sizeof(*via) + bytes)
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
	const struct net_interface *interface = scan_find(s, index);
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
		mnl_attr_parse_payload(
			hop + 1, hop->rtnh_len - sizeof(*hop), scan_keep_attr, &inner);
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
	return take_way(s, attrs, route->rtm_family, scan_number(attrs, RTA_OIF, 0),
		route->rtm_flags, json);
}

/* What TCP and the path's MTU are told of a route, as far as a container gets it. */
static int take_metrics(const struct attrs *attrs, json_t *json)
{
	struct attrs inner = {0};
	int ret = 0;

	if (!attrs->at[RTA_METRICS])
		return 0;
	mnl_attr_parse_nested(attrs->at[RTA_METRICS], scan_keep_attr, &inner);
	uint32_t mtu = scan_number(&inner, RTAX_MTU, 0),
		 advmss = scan_number(&inner, RTAX_ADVMSS, 0);
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

int scan_route(const struct nlmsghdr *message, void *arg)
{
	struct scanner *s = arg;
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	int family = route->rtm_family;
	char text[2][INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN + 5];
	struct attrs attrs;

	scan_parse(message, sizeof(*route), &attrs);
	uint32_t table = scan_number(&attrs, RTA_TABLE, route->rtm_table);
	bool dead_end = is_dead_end(route->rtm_type) && route->rtm_protocol != RTPROT_KERNEL;
	if (!scan_address_bytes(family) || table == RT_TABLE_LOCAL || is_selective(route) ||
		(route->rtm_type != RTN_UNICAST && !dead_end) ||
		(route->rtm_flags & RTM_F_CLONED) || scan_is_loopback(&attrs, RTA_DST, family))
		return 0;
	const char *to = scan_text(&attrs, RTA_DST, family, text[0]);
	const char *source = scan_text(&attrs, RTA_PREFSRC, family, text[1]);
	if (!to)
		to = family == AF_INET ? "0.0.0.0" : "::";
	snprintf(destination, sizeof(destination), "%s/%u", to, route->rtm_dst_len);
	cleanup_json json_t *json = json_pack("{s:i, s:s, s:I, s:I, s:i, s:i, s:i}", "family",
		family == AF_INET ? 4 : 6, "destination", destination, "table", (json_int_t)table,
		"metric", (json_int_t)scan_number(&attrs, RTA_PRIORITY, 0), "scope",
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
		scan_number(attrs, FRA_SUPPRESS_PREFIXLEN, UINT32_MAX) == UINT32_MAX;
}

static int set_prefix(json_t *json, const char *key, const struct attrs *attrs, unsigned type,
	int family, unsigned bits)
{
	char text[INET6_ADDRSTRLEN];
	const char *address = bits ? scan_text(attrs, type, family, text) : NULL;

	return address ? json_object_set_new(json, key, json_sprintf("%s/%u", address, bits)) : 0;
}

/* Those that the kernel makes itself are the guest's as well. */
int scan_rule(const struct nlmsghdr *message, void *arg)
{
	struct scanner *s = arg;
	const struct fib_rule_hdr *rule = mnl_nlmsg_get_payload(message);
	int family = rule->family;
	struct attrs attrs;

	scan_parse(message, sizeof(*rule), &attrs);
	uint32_t table = scan_number(&attrs, FRA_TABLE, rule->table);
	bool builtin = scan_has(&attrs, FRA_PROTOCOL, 1) &&
		mnl_attr_get_u8(attrs.at[FRA_PROTOCOL]) == RTPROT_KERNEL;
	if (!scan_address_bytes(family) || builtin || table == RT_TABLE_LOCAL ||
		!is_plain_rule(rule, &attrs))
		return 0;
	if (json_array_size(s->rules) == NET_RULES_MAX)
		return -E2BIG;
	cleanup_json json_t *json = json_pack("{s:i, s:I, s:I}", "family",
		family == AF_INET ? 4 : 6, "priority",
		(json_int_t)scan_number(&attrs, FRA_PRIORITY, 0), "table", (json_int_t)table);
	if (!json || set_prefix(json, "from", &attrs, FRA_SRC, family, rule->src_len) < 0 ||
		set_prefix(json, "to", &attrs, FRA_DST, family, rule->dst_len) < 0 ||
		json_array_append(s->rules, json) < 0)
		return -ENOMEM;
	return 0;
}
