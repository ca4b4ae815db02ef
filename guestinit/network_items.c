/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses, routes and neighbours of guest_network_apply; see network_pass.h. */
#include "guestinit/network_pass.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "guestinit/sysfile.h"

/* In every network namespace. */
#define LOOPBACK_INDEX 1
#define LOOPBACK_NAME  "lo"

static bool pass_knows(const struct network_pass *p, const struct net_ip *ip)
{
	return ip->family != AF_INET6 || p->ipv6;
}

/*
 * A sysctl, the configuration's or the container's, may have cut a device off from IPv6. *known has
 * what was found: 1 yes, -1 no, 0 not looked up.
 */
static bool device_knows(
	struct network_pass *p, const char *name, int8_t *known, const struct net_ip *ip)
{
	char path[128], text[8];

	if (ip->family != AF_INET6)
		return true;
	if (*known)
		return *known > 0;
	snprintf(path, sizeof(path), "sys/net/ipv6/conf/%s/disable_ipv6", name);
	bool has = p->ipv6 &&
		(sysfile_read(p->proc_fd, path, text, sizeof(text)) <= 0 || text[0] == '0');
	*known = has ? 1 : -1;
	return has;
}

static bool interface_knows(struct network_pass *p, int interface, const struct net_ip *ip)
{
	return interface == NETWORK_LOOPBACK
		? device_knows(p, LOOPBACK_NAME, &p->ipv6_of_loopback, ip)
		: device_knows(
			  p, p->wanted->interfaces.v[interface].name, &p->ipv6_of[interface], ip);
}

static const char *ip_text(const struct net_ip *ip, char *text)
{
	return inet_ntop(ip->family, ip->bytes, text, INET6_ADDRSTRLEN) ? text : "?";
}

/* What is to be removed and is not there any more was removed by the container, or went along. */
static bool is_gone(int ret)
{
	return ret == -ESRCH || ret == -ENOENT || ret == -EADDRNOTAVAIL || ret == -ENODEV ||
		ret == -ENETDOWN;
}

/* Where addresses are: an interface that there is, the loopback interface, or a VRF. */
struct place {
	const char *name;
	int interface, index;			  /* the former in wanted's, or NETWORK_… */
	const struct net_addresses *old, *wanted; /* the former may be NULL */
	bool *renew;
	int8_t *ipv6; /* as device_knows has it */
};

static struct place place_of(struct network_pass *p, size_t i)
{
	const struct net_interface *interface = &p->wanted->interfaces.v[i];

	return (struct place){
		.name = interface->name,
		.interface = (int)i,
		.index = p->index[i],
		.old = p->before[i] < 0 ? NULL : &p->old->interfaces.v[p->before[i]].addresses,
		.wanted = &interface->addresses,
		.renew = &p->renew[i],
		.ipv6 = &p->ipv6_of[i],
	};
}

static struct place place_of_loopback(struct network_pass *p)
{
	return (struct place){
		.name = LOOPBACK_NAME,
		.interface = NETWORK_LOOPBACK,
		.index = LOOPBACK_INDEX,
		.old = p->old ? &p->old->loopback : NULL,
		.wanted = &p->wanted->loopback,
		.renew = &p->renew_loopback,
		.ipv6 = &p->ipv6_of_loopback,
	};
}

static struct place place_of_vrf(struct network_pass *p, size_t v)
{
	const struct net_vrf *vrf = &p->wanted->vrfs.v[v];

	return (struct place){
		.name = vrf->name,
		.interface = NETWORK_NO_INTERFACE,
		.index = p->vrf_index[v],
		.old = p->vrf_before[v] < 0 ? NULL : &p->old->vrfs.v[p->vrf_before[v]].addresses,
		.wanted = &vrf->addresses,
		.renew = &p->renew_vrf[v],
		.ipv6 = &p->ipv6_of_vrf[v],
	};
}

static bool has_address(const struct net_addresses *addresses, const struct net_address *a)
{
	for (size_t i = 0; i < addresses->n; i++)
		if (net_address_equal(&addresses->v[i], a))
			return true;
	return false;
}

/*
 * The same entry of another list, which most often has it at the same place or behind the last;
 * else NULL.
 */
static const struct net_route *same_route(const struct network_config *config, size_t *hint,
	const struct network_config *r_config, const struct net_route *r)
{
	size_t n = config->routes.n;

	for (size_t k = 0; k < n; k++) {
		size_t i = (*hint + k) % n;
		if (net_route_equal(config, &config->routes.v[i], r_config, r)) {
			*hint = i + 1;
			return &config->routes.v[i];
		}
	}
	return NULL;
}

static bool has_neighbour(const struct network_config *config, size_t *hint,
	const struct network_config *n_config, const struct net_neighbour *neighbour)
{
	size_t n = config->neighbours.n;

	for (size_t k = 0; k < n; k++) {
		size_t i = (*hint + k) % n;
		if (net_neighbour_equal(config, &config->neighbours.v[i], n_config, neighbour)) {
			*hint = i + 1;
			return true;
		}
	}
	return false;
}

/* The device of an old entry: 0 for none, -1 when it was taken away with all that led through. */
static int old_index(const struct network_pass *p, int interface)
{
	if (interface == NETWORK_LOOPBACK)
		return LOOPBACK_INDEX;
	if (interface == NETWORK_NO_INTERFACE)
		return 0;
	int after = pass_after(p, interface);
	return after >= 0 && p->index[after] ? p->index[after] : -1;
}

/*
 * The devices of an old route's ways, as link_route wants them: of those that the kernel was given.
 * False when there is nothing to take away. A route with several is not taken away with one of
 * them: the spare that it was goes on standing there.
 */
static bool old_ways(const struct network_pass *p, const struct net_route *r, int *index)
{
	if (!r->hops.n)
		return (*index = old_index(p, r->interface)) >= 0;
	for (size_t i = 0; i < r->hops.n; i++) {
		int interface = r->hops.v[i].interface, device = old_index(p, interface);
		if (device < 0)
			device = p->network->index[interface];
		index[i] = r->ways >> i & 1 ? device : 0;
	}
	return r->ways;
}

static void remove_routes(struct network_pass *p)
{
	char text[INET6_ADDRSTRLEN];
	int index[NETWORK_HOPS_MAX];
	size_t hint = 0;

	for (size_t i = 0; i < p->old->routes.n; i++) {
		const struct net_route *r = &p->old->routes.v[i];
		if (!pass_knows(p, &r->destination.ip) || !old_ways(p, r, index) ||
			same_route(p->wanted, &hint, p->old, r))
			continue;
		int ret = link_route(&p->nl, RTM_DELROUTE, index, r);
		if (ret < 0 && !is_gone(ret))
			pass_fail(p, r->interface_name ? r->interface_name : "routes", ret,
				"can't remove the route to %s/%u",
				ip_text(&r->destination.ip, text), r->destination.bits);
	}
}

static void remove_neighbours(struct network_pass *p)
{
	char text[INET6_ADDRSTRLEN];
	size_t hint = 0;

	for (size_t i = 0; i < p->old->neighbours.n; i++) {
		const struct net_neighbour *n = &p->old->neighbours.v[i];
		int index = old_index(p, n->interface);
		if (index < 0 || !pass_knows(p, &n->ip) ||
			has_neighbour(p->wanted, &hint, p->old, n))
			continue;
		int ret = link_neighbour(&p->nl, RTM_DELNEIGH, index, n);
		if (ret < 0 && !is_gone(ret))
			pass_fail(p, n->interface_name, ret, "can't remove the neighbour %s",
				ip_text(&n->ip, text));
	}
}

/*
 * With an address the kernel takes along the secondary ones of its network, and routes that name
 * it or its network: what is wanted of the interface is put back. Secondary ones go first.
 */
static void remove_addresses(struct network_pass *p, const struct place *place)
{
	char text[INET6_ADDRSTRLEN];

	for (size_t k = place->old ? place->old->n : 0; k-- > 0;) {
		const struct net_address *a = &place->old->v[k];
		if (!pass_knows(p, &a->ip) || has_address(place->wanted, a))
			continue;
		int ret = link_address(&p->nl, RTM_DELADDR, place->index, a, true);
		*place->renew |= ret == 0;
		if (ret < 0 && !is_gone(ret))
			pass_fail(p, place->name, ret, "can't remove %s/%u", ip_text(&a->ip, text),
				a->prefix_bits);
	}
}

static bool has_rule(const struct network_config *config, const struct net_rule *r)
{
	for (size_t i = 0; i < config->rules.n; i++)
		if (net_rule_equal(&config->rules.v[i], r))
			return true;
	return false;
}

static bool pass_knows_rule(const struct network_pass *p, const struct net_rule *r)
{
	return r->family == 4 || p->ipv6;
}

static void remove_rules(struct network_pass *p)
{
	for (size_t i = 0; i < p->old->rules.n; i++) {
		const struct net_rule *r = &p->old->rules.v[i];
		if (!pass_knows_rule(p, r) || has_rule(p->wanted, r))
			continue;
		int ret = link_rule(&p->nl, RTM_DELRULE, r);
		if (ret < 0 && !is_gone(ret))
			pass_fail(p, "rules", ret, "can't remove the one of priority %u",
				r->priority);
	}
}

static void add_rules(struct network_pass *p)
{
	for (size_t i = 0; i < p->wanted->rules.n; i++) {
		const struct net_rule *r = &p->wanted->rules.v[i];
		if (!pass_knows_rule(p, r) ||
			(p->old && !p->network->incomplete && has_rule(p->old, r)))
			continue;
		int ret = link_rule(&p->nl, RTM_NEWRULE, r);
		if (ret < 0 && ret != -EEXIST)
			pass_fail(p, "rules", ret, "can't add the one of priority %u", r->priority);
	}
}

/* Routes of its interfaces may name a VRF's address. */
static void remove_vrf_addresses(struct network_pass *p, size_t v)
{
	struct place place = place_of_vrf(p, v);

	if (!place.index)
		return;
	remove_addresses(p, &place);
	for (size_t i = 0; i < p->wanted->interfaces.n; i++)
		p->renew[i] |= p->renew_vrf[v] && p->wanted->interfaces.v[i].vrf == (int)v;
}

void pass_items_remove(struct network_pass *p)
{
	if (!p->old)
		return;
	remove_rules(p);
	remove_routes(p);
	remove_neighbours(p);
	struct place place = place_of_loopback(p);
	remove_addresses(p, &place);
	for (size_t v = 0; v < p->wanted->vrfs.n; v++)
		remove_vrf_addresses(p, v);
	for (size_t i = 0; i < p->wanted->interfaces.n; i++) {
		place = place_of(p, i);
		if (place.index)
			remove_addresses(p, &place);
	}
}

static void mask(struct net_ip *ip, uint32_t bits)
{
	for (size_t i = bits / 8; i < sizeof(ip->bytes); i++)
		ip->bytes[i] &= (uint8_t)(i == bits / 8 ? 0xff00 >> bits % 8 : 0);
}

/* The route to the network of an interface's address as the kernel makes it: in its VRF's table. */
static struct net_route prefix_route(
	const struct network_config *config, const struct net_address *a, int interface)
{
	bool four = a->ip.family == AF_INET;
	int vrf = interface < 0 ? NETWORK_NO_VRF : config->interfaces.v[interface].vrf;
	struct net_route r = {
		.destination = {.ip = four && a->peer.family ? a->peer : a->ip,
			.bits = (uint8_t)a->prefix_bits},
		.interface = interface,
		.table = vrf == NETWORK_NO_VRF ? RT_TABLE_MAIN : config->vrfs.v[vrf].table,
		.metric = four ? 0 : 256, /* IP6_RT_PRIO_ADDRCONF */
		.scope = four ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		.type = RTN_UNICAST,
		.protocol = RTPROT_KERNEL,
	};

	mask(&r.destination.ip, a->prefix_bits);
	return r;
}

/*
 * Whether the host has that route, too: it may have been deleted or be another one (CNI's ptp has
 * it go through a gateway), and would stand before those that the host has. Of several addresses
 * in a network, it has the first as its source. While the interface is down, nobody can tell; the
 * loopback interface's is in the table of local addresses, and a VRF's own the host does not send.
 */
static bool wants_prefix_route(const struct network_pass *p, struct net_route prefix)
{
	if (prefix.interface < 0 || p->wanted->interfaces.v[prefix.interface].down)
		return true;
	for (size_t i = 0; i < p->wanted->routes.n; i++) {
		const struct net_route *r = &p->wanted->routes.v[i];
		prefix.source = r->source;
		if (net_route_equal(p->wanted, r, p->wanted, &prefix))
			return true;
	}
	return false;
}

static int add_address(
	struct network_pass *p, const struct place *place, const struct net_address *a)
{
	const struct net_route prefix = prefix_route(p->wanted, a, place->interface);
	bool wanted = wants_prefix_route(p, prefix);
	int ret = link_address(&p->nl, RTM_NEWADDR, place->index, a, wanted);

	/* When its link comes up, an address from times when the host had the route brings it back.
	 */
	if (ret == -EEXIST && !wanted)
		(void)!link_route(&p->nl, RTM_DELROUTE, &place->index, &prefix);
	return ret == -EEXIST ? 0 : ret;
}

static void add_addresses(struct network_pass *p, const struct place *place)
{
	char text[INET6_ADDRSTRLEN];

	for (size_t k = 0; k < place->wanted->n; k++) {
		const struct net_address *a = &place->wanted->v[k];
		if ((!*place->renew && place->old && has_address(place->old, a)) ||
			!device_knows(p, place->name, place->ipv6, &a->ip))
			continue;
		int ret = add_address(p, place, a);
		if (ret < 0)
			pass_fail(p, place->name, ret, "can't add %s/%u", ip_text(&a->ip, text),
				a->prefix_bits);
	}
}

/*
 * Where a wanted entry goes: its device, 0 for none; -1 when it can't be there now, because the
 * interface is down or missing. *renew: whether it must be put there though it was wanted before.
 */
static int wanted_index(const struct network_pass *p, int interface, bool *renew)
{
	*renew = p->renew_loopback;
	if (interface == NETWORK_LOOPBACK)
		return LOOPBACK_INDEX;
	*renew = p->network->incomplete;
	if (interface == NETWORK_NO_INTERFACE)
		return 0;
	*renew = p->renew[interface];
	return p->index[interface] && !p->wanted->interfaces.v[interface].down ? p->index[interface]
									       : -1;
}

/* wanted_index, or -1 too where the interface does not know the route's family. */
static int way_index(struct network_pass *p, const struct net_route *r, int interface, bool *renew)
{
	int index = wanted_index(p, interface, renew);

	return interface != NETWORK_NO_INTERFACE && index >= 0 &&
			!interface_knows(p, interface, &r->destination.ip)
		? -1
		: index;
}

/* The devices of a wanted route's ways. False when there is none now. */
static bool wanted_ways(struct network_pass *p, const struct net_route *r, int *index, bool *renew)
{
	bool any = false, renew_one;

	if (!r->hops.n)
		return (*index = way_index(p, r, r->interface, renew)) >= 0;
	*renew = p->network->incomplete;
	for (size_t i = 0; i < r->hops.n; i++) {
		int device = way_index(p, r, r->hops.v[i].interface, &renew_one);
		index[i] = device > 0 ? device : 0;
		any |= index[i] != 0;
		*renew |= index[i] && renew_one;
	}
	return any;
}

/* A route with several ways that is put back would stand behind itself as it was before. */
static void make_room(struct network_pass *p, struct net_route *r)
{
	int index[NETWORK_HOPS_MAX];

	for (size_t i = 0; i < r->hops.n; i++) {
		int interface = r->hops.v[i].interface;
		int device = interface == NETWORK_LOOPBACK ? LOOPBACK_INDEX : p->index[interface];
		index[i] = r->ways >> i & 1 ? device : 0;
	}
	/* What is not there any more can't be in the way. */
	if (r->ways)
		(void)!link_route(&p->nl, RTM_DELROUTE, index, r);
	r->ways = 0;
}

/* An IPv6 route's ways become one route, whoever has put some of them there before. */
static int add_ways_ipv6(struct network_pass *p, struct net_route *r, const int *index)
{
	int one[NETWORK_HOPS_MAX], ret = 0;

	for (size_t i = 0; i < r->hops.n && ret == 0; i++) {
		if (!index[i])
			continue;
		memset(one, 0, sizeof(one));
		one[i] = index[i];
		ret = link_route(&p->nl, RTM_NEWROUTE, one, r);
		if (ret == 0 || ret == -EEXIST)
			r->ways |= 1u << i;
		if (ret == -EEXIST)
			ret = 0;
	}
	return ret;
}

/* Kernels without IP_ROUTE_MULTIPATH get the first of several ways. */
static int add_ways_ipv4(struct network_pass *p, struct net_route *r, const int *index)
{
	int one[NETWORK_HOPS_MAX] = {0};
	int ret = link_route(&p->nl, RTM_NEWROUTE, index, r);
	uint32_t ways = 0;

	for (size_t i = 0; i < r->hops.n; i++)
		ways |= index[i] ? 1u << i : 0;
	if (ret == -EINVAL && strstr(p->nl.why, "Multipath support not enabled")) {
		size_t first = (size_t)__builtin_ctz(ways);
		one[first] = index[first];
		ways = 1u << first;
		ret = link_route(&p->nl, RTM_NEWROUTE, one, r);
		p->one_way = true;
	}
	if (ret == 0 || ret == -EEXIST)
		r->ways = ways;
	return ret;
}

static int add_route(struct network_pass *p, struct net_route *r, const int *index)
{
	if (!r->hops.n)
		return link_route(&p->nl, RTM_NEWROUTE, index, r);
	return r->destination.ip.family == AF_INET ? add_ways_ipv4(p, r, index)
						   : add_ways_ipv6(p, r, index);
}

static bool by_gateway(const struct net_route *r)
{
	for (size_t i = 0; i < r->hops.n; i++)
		if (r->hops.v[i].gateway.family)
			return true;
	return r->gateway.family;
}

/* Gateways must be reachable before they are named. */
static void add_routes(struct network_pass *p, bool gateways)
{
	char text[INET6_ADDRSTRLEN];
	int index[NETWORK_HOPS_MAX] = {0};
	size_t hint = 0;
	bool renew;

	for (size_t i = 0; i < p->wanted->routes.n; i++) {
		struct net_route *r = &p->wanted->routes.v[i];
		if (by_gateway(r) != gateways || !pass_knows(p, &r->destination.ip))
			continue;
		const struct net_route *known =
			p->old ? same_route(p->old, &hint, p->wanted, r) : NULL;
		if (known)
			r->ways = known->ways;
		if (!wanted_ways(p, r, index, &renew) || (known && !renew))
			continue;
		make_room(p, r);
		int ret = add_route(p, r, index);
		if (ret < 0 && ret != -EEXIST)
			pass_fail(p, r->interface_name ? r->interface_name : "routes", ret,
				"can't add the route to %s/%u", ip_text(&r->destination.ip, text),
				r->destination.bits);
	}
}

static void add_neighbours(struct network_pass *p)
{
	char text[INET6_ADDRSTRLEN];
	size_t hint = 0;
	bool renew;

	for (size_t i = 0; i < p->wanted->neighbours.n; i++) {
		const struct net_neighbour *n = &p->wanted->neighbours.v[i];
		int index = wanted_index(p, n->interface, &renew);
		if (index < 0 || !pass_knows(p, &n->ip))
			continue;
		if (!renew && p->old && has_neighbour(p->old, &hint, p->wanted, n))
			continue;
		int ret = link_neighbour(&p->nl, RTM_NEWNEIGH, index, n);
		if (ret < 0)
			pass_fail(p, n->interface_name, ret, "can't add the neighbour %s",
				ip_text(&n->ip, text));
	}
}

void pass_items_add(struct network_pass *p)
{
	struct place place = place_of_loopback(p);

	add_addresses(p, &place);
	for (size_t v = 0; v < p->wanted->vrfs.n; v++) {
		place = place_of_vrf(p, v);
		if (place.index)
			add_addresses(p, &place);
	}
	for (size_t i = 0; i < p->wanted->interfaces.n; i++) {
		place = place_of(p, i);
		if (place.index)
			add_addresses(p, &place);
	}
	add_routes(p, false);
	add_routes(p, true);
	add_neighbours(p);
	add_rules(p);
}
