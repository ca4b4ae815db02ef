/* SPDX-License-Identifier: Apache-2.0 */
/* What a decoded `network` may not say; see network_config.h. */
#include "guestinit/network_config.h"

#include <linux/rtnetlink.h>
#include <string.h>

#define WEIGHT_MAX 256 /* of a hop: the kernel has a byte for it, from 1 on */

#define fail_at(d, key, ...) (decode_enter(d, ".%s", key), decode_fail(d, __VA_ARGS__))

/* As the kernel has it, and without "%", of which it would make a number. */
static bool is_link_name(const char *name)
{
	return name[0] && strlen(name) < IF_NAMESIZE && strcmp(name, ".") != 0 &&
		strcmp(name, "..") != 0 && !strpbrk(name, "/:% \t\n\v\f\r");
}

static int check_address(struct decode *d, const struct net_address *a)
{
	if (a->prefix_bits > net_ip_bits(&a->ip))
		return fail_at(d, "prefix", "%u is out of range", a->prefix_bits);
	if (a->scope > UINT8_MAX)
		return fail_at(d, "scope", "%u is out of range", a->scope);
	if (a->peer.family && a->peer.family != a->ip.family)
		return fail_at(d, "peer", "is of another family");
	if (a->ip.family != AF_INET && (a->broadcast.family || a->label))
		return fail_at(d, a->label ? "label" : "broadcast", "only with IPv4");
	if (a->broadcast.family == AF_INET6)
		return fail_at(d, "broadcast", "is of another family");
	if (a->label && (!a->label[0] || strlen(a->label) >= IF_NAMESIZE))
		return fail_at(d, "label", "must have 1 to %d characters", IF_NAMESIZE - 1);
	return 0;
}

/* *n are those of all lists so far. */
static int check_addresses(
	struct decode *d, const char *key, const struct net_addresses *addresses, size_t *n)
{
	*n += addresses->n;
	if (*n > NETWORK_ADDRESSES_MAX)
		return fail_at(d, key, "there are more than %d in all", NETWORK_ADDRESSES_MAX);
	for (size_t i = 0; i < addresses->n; i++) {
		size_t old = decode_enter(d, ".%s[%zu]", key, i);
		int ret = check_address(d, &addresses->v[i]);
		if (ret < 0)
			return ret;
		decode_leave(d, old);
	}
	return 0;
}

static bool is_name_to_give(const char *name)
{
	return is_link_name(name) && strcmp(name, "lo") != 0;
}

static int check_vrf(
	struct decode *d, const struct network_config *config, size_t i, size_t *n_addresses)
{
	const struct net_vrf *vrf = &config->vrfs.v[i];

	if (!is_name_to_give(vrf->name))
		return fail_at(d, "name", "\"%.64s\" can't be a VRF's", vrf->name);
	if (!vrf->table || vrf->table == RT_TABLE_LOCAL)
		return fail_at(d, "table", "%u can't be a VRF's", vrf->table);
	for (size_t k = 0; k < i; k++) {
		if (strcmp(config->vrfs.v[k].name, vrf->name) == 0)
			return fail_at(d, "name", "is that of vrfs[%zu]", k);
		if (config->vrfs.v[k].table == vrf->table)
			return fail_at(d, "table", "is that of vrfs[%zu]", k);
	}
	return check_addresses(d, "addresses", &vrf->addresses, n_addresses);
}

/* Which VRF the interface is in. Their names and the interfaces' are of one kind. */
static int find_vrf(
	struct decode *d, const struct network_config *config, struct net_interface *interface)
{
	interface->vrf = NETWORK_NO_VRF;
	for (size_t k = 0; k < config->vrfs.n; k++) {
		const char *name = config->vrfs.v[k].name;
		if (strcmp(name, interface->name) == 0)
			return fail_at(d, "name", "is that of vrfs[%zu]", k);
		if (interface->vrf_name && strcmp(name, interface->vrf_name) == 0)
			interface->vrf = (int)k;
	}
	return interface->vrf_name && interface->vrf == NETWORK_NO_VRF
		? fail_at(d, "vrf", "none of the VRFs is \"%.64s\"", interface->vrf_name)
		: 0;
}

static int check_interface(
	struct decode *d, const struct network_config *config, size_t i, size_t *n_addresses)
{
	struct net_interface *interface = &config->interfaces.v[i];

	if (!is_name_to_give(interface->name))
		return fail_at(d, "name", "\"%.64s\" can't be an interface's", interface->name);
	if (interface->mtu &&
		(interface->mtu < NETWORK_MTU_MIN || interface->mtu > NETWORK_MTU_MAX))
		return fail_at(d, "mtu", "%u is out of range", interface->mtu);
	for (size_t k = 0; k < i; k++) {
		const struct net_interface *other = &config->interfaces.v[k];
		if (net_mac_equal(&other->device, &interface->device))
			return fail_at(d, "device", "is that of interfaces[%zu]", k);
		if (strcmp(other->name, interface->name) == 0)
			return fail_at(d, "name", "is that of interfaces[%zu]", k);
	}
	if (!interface->has_mac)
		interface->mac = interface->device;
	int ret = find_vrf(d, config, interface);
	if (ret < 0)
		return ret;
	return check_addresses(d, "addresses", &interface->addresses, n_addresses);
}

static int find_interface(
	struct decode *d, const struct network_config *config, const char *name, int *out)
{
	for (size_t i = 0; i < config->interfaces.n; i++) {
		if (strcmp(config->interfaces.v[i].name, name) == 0) {
			*out = (int)i;
			return 0;
		}
	}
	*out = NETWORK_LOOPBACK;
	return strcmp(name, "lo") == 0
		? 0
		: fail_at(d, "interface", "none of the interfaces is \"%.64s\"", name);
}

/* Routes that lead nowhere lead through no interface. */
static bool route_is_dead_end(const struct net_route *r)
{
	return r->type == RTN_BLACKHOLE || r->type == RTN_UNREACHABLE || r->type == RTN_PROHIBIT ||
		r->type == RTN_THROW;
}

static int check_route_numbers(struct decode *d, struct net_route *r)
{
	r->table = r->table ? r->table : RT_TABLE_MAIN;
	r->type = r->type ? r->type : RTN_UNICAST;
	r->protocol = r->protocol ? r->protocol : RTPROT_BOOT;
	if (r->table == RT_TABLE_LOCAL)
		return fail_at(d, "table", "that of local addresses is the kernel's");
	if (r->type > RTN_THROW)
		return fail_at(d, "type", "%u is out of range", r->type);
	if (r->protocol > UINT8_MAX)
		return fail_at(d, "protocol", "%u is out of range", r->protocol);
	if (r->scope > UINT8_MAX)
		return fail_at(d, "scope", "%u is out of range", r->scope);
	return 0;
}

/* An IPv4 route may have a gateway with an IPv6 address (RFC 5549), but not the reverse. */
static int check_gateway(struct decode *d, const struct net_ip *gateway, uint8_t family)
{
	return gateway->family == AF_INET && family == AF_INET6
		? fail_at(d, "gateway", "is of another family")
		: 0;
}

static int check_hop(
	struct decode *d, const struct network_config *config, struct net_hop *hop, uint8_t family)
{
	hop->weight = hop->weight ? hop->weight : 1;
	if (hop->weight > WEIGHT_MAX)
		return fail_at(d, "weight", "%u is out of range", hop->weight);
	int ret = check_gateway(d, &hop->gateway, family);
	return ret < 0 ? ret : find_interface(d, config, hop->interface_name, &hop->interface);
}

static int check_hops(struct decode *d, const struct network_config *config, struct net_route *r)
{
	if (r->gateway.family || r->interface_name || r->onlink)
		return fail_at(d, "nexthops", "beside a way of the route itself");
	for (size_t i = 0; i < r->hops.n; i++) {
		size_t old = decode_enter(d, ".nexthops[%zu]", i);
		int ret = check_hop(d, config, &r->hops.v[i], r->destination.ip.family);
		if (ret < 0)
			return ret;
		decode_leave(d, old);
	}
	return 0;
}

static int check_route(struct decode *d, const struct network_config *config, struct net_route *r)
{
	uint8_t family = r->destination.ip.family;
	int ret = check_route_numbers(d, r);

	if (ret < 0)
		return ret;
	if (r->family && r->family != (family == AF_INET ? 4 : 6))
		return fail_at(d, "family", "is not that of the destination");
	ret = check_gateway(d, &r->gateway, family);
	if (ret < 0)
		return ret;
	if (r->source.family && r->source.family != family)
		return fail_at(d, "source", "is of another family");
	r->interface = NETWORK_NO_INTERFACE;
	if (route_is_dead_end(r))
		return r->gateway.family ? fail_at(d, "gateway", "there is none to such a type")
			: r->hops.n	 ? fail_at(d, "nexthops", "there are none to such a type")
					 : 0;
	if (r->hops.n)
		return check_hops(d, config, r);
	if (!r->interface_name)
		return fail_at(d, "interface", "is missing");
	return find_interface(d, config, r->interface_name, &r->interface);
}

static int check_rule(struct decode *d, const struct net_rule *r)
{
	uint8_t family = r->family == 4 ? AF_INET : AF_INET6;

	if (r->family != 4 && r->family != 6)
		return fail_at(d, "family", "%u is out of range", r->family);
	if (!r->table || r->table == RT_TABLE_LOCAL)
		return fail_at(d, "table", "%u can't be a rule's", r->table);
	if (r->from.ip.family && r->from.ip.family != family)
		return fail_at(d, "from", "is of another family");
	if (r->to.ip.family && r->to.ip.family != family)
		return fail_at(d, "to", "is of another family");
	return 0;
}

int network_config_check(struct decode *d, const struct network_config *config)
{
	size_t n_addresses = 0;
	int ret = 0;

	for (size_t i = 0; i < config->vrfs.n && ret == 0; i++) {
		size_t old = decode_enter(d, ".vrfs[%zu]", i);
		ret = check_vrf(d, config, i, &n_addresses);
		decode_leave(d, old);
	}
	for (size_t i = 0; i < config->interfaces.n && ret == 0; i++) {
		size_t old = decode_enter(d, ".interfaces[%zu]", i);
		ret = check_interface(d, config, i, &n_addresses);
		decode_leave(d, old);
	}
	if (ret == 0)
		ret = check_addresses(d, "loopback", &config->loopback, &n_addresses);
	for (size_t i = 0; i < config->routes.n && ret == 0; i++) {
		size_t old = decode_enter(d, ".routes[%zu]", i);
		ret = check_route(d, config, &config->routes.v[i]);
		decode_leave(d, old);
	}
	for (size_t i = 0; i < config->neighbours.n && ret == 0; i++) {
		struct net_neighbour *n = &config->neighbours.v[i];
		size_t old = decode_enter(d, ".neighbours[%zu]", i);
		ret = find_interface(d, config, n->interface_name, &n->interface);
		decode_leave(d, old);
	}
	for (size_t i = 0; i < config->rules.n && ret == 0; i++) {
		size_t old = decode_enter(d, ".rules[%zu]", i);
		ret = check_rule(d, &config->rules.v[i]);
		decode_leave(d, old);
	}
	return ret;
}
