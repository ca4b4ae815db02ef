/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of `network`, and what is equal in two of them; see network_config.h. */
#include "guestinit/network_config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool ip_parse(const char *text, struct net_ip *ip)
{
	if (inet_pton(AF_INET, text, ip->bytes) == 1)
		ip->family = AF_INET;
	else if (inet_pton(AF_INET6, text, ip->bytes) == 1)
		ip->family = AF_INET6;
	else
		return false;
	return true;
}

static int decode_ip(struct decode *d, const json_t *value, void *out)
{
	if (!json_is_string(value) || !ip_parse(json_string_value(value), out))
		return decode_fail(d, "must be an IPv4 or IPv6 address");
	return 0;
}

uint32_t net_ip_bits(const struct net_ip *ip)
{
	return ip->family == AF_INET ? 32 : 128;
}

/* "10.0.0.0/8" */
static int decode_prefix(struct decode *d, const json_t *value, void *out)
{
	const char *text = json_string_value(value);
	const char *slash = text ? strchr(text, '/') : NULL;
	struct net_prefix *prefix = out;
	char ip[INET6_ADDRSTRLEN] = "", *end;

	if (slash && (size_t)(slash - text) < sizeof(ip))
		memcpy(ip, text, (size_t)(slash - text));
	if (!slash || slash[1] < '0' || slash[1] > '9' || !ip_parse(ip, &prefix->ip))
		return decode_fail(d, "must be an address and the bits of its prefix");
	unsigned long bits = strtoul(slash + 1, &end, 10);
	if (*end || bits > net_ip_bits(&prefix->ip))
		return decode_fail(d, "\"%.64s\" is no length of a prefix", slash + 1);
	prefix->bits = (uint8_t)bits;
	return 0;
}

static int hex_digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	ch |= 0x20;
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static bool mac_parse(const char *text, struct net_mac *mac)
{
	if (!text || strlen(text) != 3 * NETWORK_MAC_BYTES - 1)
		return false;
	for (int i = 0; i < NETWORK_MAC_BYTES; i++, text += 3) {
		int high = hex_digit(text[0]), low = hex_digit(text[1]);
		if (high < 0 || low < 0 || (text[2] != ':' && text[2] != '\0'))
			return false;
		mac->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static int decode_mac(struct decode *d, const json_t *value, void *out)
{
	if (!mac_parse(json_string_value(value), out))
		return decode_fail(d, "must be a link address as \"02:00:00:00:00:01\"");
	return 0;
}

/* A device's own can't be of a group, nor nobody's. */
static int decode_unicast_mac(struct decode *d, const json_t *value, void *out)
{
	static const struct net_mac none;
	const struct net_mac *mac = out;
	int ret = decode_mac(d, value, out);

	if (ret == 0 && (mac->bytes[0] & 1 || net_mac_equal(mac, &none)))
		return decode_fail(d, "is not the address of one device");
	return ret;
}

static int decode_own_mac(struct decode *d, const json_t *value, void *out)
{
	struct net_interface *interface = out;

	interface->has_mac = true;
	return decode_unicast_mac(d, value, &interface->mac);
}

static int decode_up(struct decode *d, const json_t *value, void *out)
{
	if (!json_is_boolean(value))
		return decode_fail(d, "must be true or false");
	*(bool *)out = json_is_false(value);
	return 0;
}

static int decode_bounded(struct decode *d, const json_t *value, size_t max,
	const struct decode_field *fields, size_t elem_bytes, struct decode_list *out)
{
	if (json_array_size(value) > max)
		return decode_fail(d, "has more than %zu elements", max);
	return decode_list(d, value, fields, elem_bytes, out);
}

#define ADDRESS(member) offsetof(struct net_address, member)

static const struct decode_field address_fields[] = {
	FIELD("address", DECODE_CUSTOM, ADDRESS(ip), .required = true, .custom = decode_ip),
	FIELD("prefix", DECODE_U32, ADDRESS(prefix_bits), .required = true),
	FIELD("broadcast", DECODE_CUSTOM, ADDRESS(broadcast), .custom = decode_ip),
	FIELD("peer", DECODE_CUSTOM, ADDRESS(peer), .custom = decode_ip),
	FIELD("scope", DECODE_U32, ADDRESS(scope)),
	FIELD("label", DECODE_STRING, ADDRESS(label)),
	FIELD("deprecated", DECODE_BOOL, ADDRESS(deprecated)),
	FIELD_END,
};

static int decode_addresses(struct decode *d, const json_t *value, void *out)
{
	return decode_bounded(
		d, value, NETWORK_ADDRESSES_MAX, address_fields, sizeof(struct net_address), out);
}

#define INTERFACE(member) offsetof(struct net_interface, member)

static const struct decode_field interface_fields[] = {
	FIELD("device", DECODE_CUSTOM, INTERFACE(device), .required = true,
		.custom = decode_unicast_mac),
	FIELD("name", DECODE_STRING, INTERFACE(name), .required = true),
	FIELD("mac", DECODE_CUSTOM, 0, .custom = decode_own_mac),
	FIELD("mtu", DECODE_U32, INTERFACE(mtu)),
	FIELD("up", DECODE_CUSTOM, INTERFACE(down), .custom = decode_up),
	FIELD("noarp", DECODE_BOOL, INTERFACE(noarp)),
	FIELD("vrf", DECODE_STRING, INTERFACE(vrf_name)),
	FIELD("addresses", DECODE_CUSTOM, INTERFACE(addresses), .custom = decode_addresses),
	FIELD_END,
};

static int decode_interfaces(struct decode *d, const json_t *value, void *out)
{
	return decode_bounded(d, value, NETWORK_INTERFACES_MAX, interface_fields,
		sizeof(struct net_interface), out);
}

#define VRF(member) offsetof(struct net_vrf, member)

static const struct decode_field vrf_fields[] = {
	FIELD("name", DECODE_STRING, VRF(name), .required = true),
	FIELD("table", DECODE_U32, VRF(table), .required = true),
	FIELD("addresses", DECODE_CUSTOM, VRF(addresses), .custom = decode_addresses),
	FIELD_END,
};

static int decode_vrfs(struct decode *d, const json_t *value, void *out)
{
	return decode_bounded(d, value, NETWORK_VRFS_MAX, vrf_fields, sizeof(struct net_vrf), out);
}

#define HOP(member) offsetof(struct net_hop, member)

static const struct decode_field hop_fields[] = {
	FIELD("gateway", DECODE_CUSTOM, HOP(gateway), .custom = decode_ip),
	FIELD("interface", DECODE_STRING, HOP(interface_name), .required = true),
	FIELD("weight", DECODE_U32, HOP(weight)),
	FIELD("onlink", DECODE_BOOL, HOP(onlink)),
	FIELD_END,
};

static int decode_hops(struct decode *d, const json_t *value, void *out)
{
	if (json_is_array(value) && json_array_size(value) == 0)
		return decode_fail(d, "has no element");
	return decode_bounded(d, value, NETWORK_HOPS_MAX, hop_fields, sizeof(struct net_hop), out);
}

#define ROUTE(member) offsetof(struct net_route, member)

static const struct decode_field route_fields[] = {
	FIELD("family", DECODE_U32, ROUTE(family)),
	FIELD("destination", DECODE_CUSTOM, ROUTE(destination), .required = true,
		.custom = decode_prefix),
	FIELD("gateway", DECODE_CUSTOM, ROUTE(gateway), .custom = decode_ip),
	FIELD("source", DECODE_CUSTOM, ROUTE(source), .custom = decode_ip),
	FIELD("interface", DECODE_STRING, ROUTE(interface_name)),
	FIELD("table", DECODE_U32, ROUTE(table)),
	FIELD("metric", DECODE_U32, ROUTE(metric)),
	FIELD("scope", DECODE_U32, ROUTE(scope)),
	FIELD("type", DECODE_U32, ROUTE(type)),
	FIELD("protocol", DECODE_U32, ROUTE(protocol)),
	FIELD("mtu", DECODE_U32, ROUTE(mtu)),
	FIELD("advmss", DECODE_U32, ROUTE(advmss)),
	FIELD("onlink", DECODE_BOOL, ROUTE(onlink)),
	FIELD("nexthops", DECODE_CUSTOM, ROUTE(hops), .custom = decode_hops),
	FIELD_END,
};

static int decode_routes(struct decode *d, const json_t *value, void *out)
{
	return decode_bounded(
		d, value, NETWORK_ROUTES_MAX, route_fields, sizeof(struct net_route), out);
}

#define NEIGHBOUR(member) offsetof(struct net_neighbour, member)

static const struct decode_field neighbour_fields[] = {
	FIELD("address", DECODE_CUSTOM, NEIGHBOUR(ip), .required = true, .custom = decode_ip),
	FIELD("mac", DECODE_CUSTOM, NEIGHBOUR(mac), .required = true, .custom = decode_mac),
	FIELD("interface", DECODE_STRING, NEIGHBOUR(interface_name), .required = true),
	FIELD_END,
};

static int decode_neighbours(struct decode *d, const json_t *value, void *out)
{
	return decode_bounded(d, value, NETWORK_NEIGHBOURS_MAX, neighbour_fields,
		sizeof(struct net_neighbour), out);
}

#define RULE(member) offsetof(struct net_rule, member)

static const struct decode_field rule_fields[] = {
	FIELD("family", DECODE_U32, RULE(family), .required = true),
	FIELD("priority", DECODE_U32, RULE(priority), .required = true),
	FIELD("table", DECODE_U32, RULE(table), .required = true),
	FIELD("from", DECODE_CUSTOM, RULE(from), .custom = decode_prefix),
	FIELD("to", DECODE_CUSTOM, RULE(to), .custom = decode_prefix),
	FIELD_END,
};

static int decode_rules(struct decode *d, const json_t *value, void *out)
{
	return decode_bounded(
		d, value, NETWORK_RULES_MAX, rule_fields, sizeof(struct net_rule), out);
}

static const struct decode_field network_fields[] = {
	FIELD("vrfs", DECODE_CUSTOM, offsetof(struct network_config, vrfs), .custom = decode_vrfs),
	FIELD("interfaces", DECODE_CUSTOM, offsetof(struct network_config, interfaces),
		.custom = decode_interfaces),
	FIELD("loopback", DECODE_CUSTOM, offsetof(struct network_config, loopback),
		.custom = decode_addresses),
	FIELD("routes", DECODE_CUSTOM, offsetof(struct network_config, routes),
		.custom = decode_routes),
	FIELD("neighbours", DECODE_CUSTOM, offsetof(struct network_config, neighbours),
		.custom = decode_neighbours),
	FIELD("rules", DECODE_CUSTOM, offsetof(struct network_config, rules),
		.custom = decode_rules),
	FIELD_END,
};

struct network_config *network_config_decode(const json_t *network, struct err *e)
{
	struct network_config *config = calloc(1, sizeof(*config));
	struct decode_warnings warnings = {.n = 0};

	if (!config) {
		err_set(e, ENOMEM, "network: out of memory");
		return NULL;
	}
	config->json = json_incref((json_t *)(uintptr_t)network);
	struct decode d = {
		.arena = &config->arena, .e = e, .warnings = &warnings, .path = "network"};
	int ret = decode_object(&d, network, network_fields, config);
	if (ret == 0)
		ret = network_config_check(&d, config);
	if (ret < 0) {
		network_config_free(config);
		return NULL;
	}
	return config;
}

void network_config_free(struct network_config *config)
{
	if (!config)
		return;
	arena_fini(&config->arena);
	json_decref(config->json);
	free(config);
}

static bool addresses_have_ipv6(const struct net_addresses *addresses)
{
	for (size_t i = 0; i < addresses->n; i++)
		if (addresses->v[i].ip.family == AF_INET6)
			return true;
	return false;
}

bool network_config_has_ipv6(const struct network_config *config)
{
	if (addresses_have_ipv6(&config->loopback))
		return true;
	for (size_t i = 0; i < config->vrfs.n; i++)
		if (addresses_have_ipv6(&config->vrfs.v[i].addresses))
			return true;
	for (size_t i = 0; i < config->interfaces.n; i++)
		if (addresses_have_ipv6(&config->interfaces.v[i].addresses))
			return true;
	for (size_t i = 0; i < config->routes.n; i++)
		if (config->routes.v[i].destination.ip.family == AF_INET6)
			return true;
	for (size_t i = 0; i < config->neighbours.n; i++)
		if (config->neighbours.v[i].ip.family == AF_INET6)
			return true;
	for (size_t i = 0; i < config->rules.n; i++)
		if (config->rules.v[i].family == 6)
			return true;
	return false;
}

bool net_mac_equal(const struct net_mac *a, const struct net_mac *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool ip_equal(const struct net_ip *a, const struct net_ip *b)
{
	return a->family == b->family &&
		(!a->family || memcmp(a->bytes, b->bytes, net_ip_bits(a) / 8) == 0);
}

static bool text_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool net_address_equal(const struct net_address *a, const struct net_address *b)
{
	return ip_equal(&a->ip, &b->ip) && ip_equal(&a->broadcast, &b->broadcast) &&
		ip_equal(&a->peer, &b->peer) && a->prefix_bits == b->prefix_bits &&
		a->scope == b->scope && a->deprecated == b->deprecated &&
		text_equal(a->label, b->label);
}

static bool interface_equal(
	const struct network_config *a_config, int a, const struct network_config *b_config, int b)
{
	if (a < 0 || b < 0)
		return a == b;
	return net_mac_equal(&a_config->interfaces.v[a].device, &b_config->interfaces.v[b].device);
}

static bool hops_equal(const struct network_config *a_config, const struct net_route *a,
	const struct network_config *b_config, const struct net_route *b)
{
	if (a->hops.n != b->hops.n)
		return false;
	for (size_t i = 0; i < a->hops.n; i++) {
		const struct net_hop *x = &a->hops.v[i], *y = &b->hops.v[i];
		if (!ip_equal(&x->gateway, &y->gateway) || x->weight != y->weight ||
			x->onlink != y->onlink ||
			!interface_equal(a_config, x->interface, b_config, y->interface))
			return false;
	}
	return true;
}

bool net_route_equal(const struct network_config *a_config, const struct net_route *a,
	const struct network_config *b_config, const struct net_route *b)
{
	return ip_equal(&a->destination.ip, &b->destination.ip) &&
		a->destination.bits == b->destination.bits && ip_equal(&a->gateway, &b->gateway) &&
		ip_equal(&a->source, &b->source) && a->table == b->table &&
		a->metric == b->metric && a->scope == b->scope && a->type == b->type &&
		a->protocol == b->protocol && a->mtu == b->mtu && a->advmss == b->advmss &&
		a->onlink == b->onlink && hops_equal(a_config, a, b_config, b) &&
		interface_equal(a_config, a->interface, b_config, b->interface);
}

bool net_neighbour_equal(const struct network_config *a_config, const struct net_neighbour *a,
	const struct network_config *b_config, const struct net_neighbour *b)
{
	return ip_equal(&a->ip, &b->ip) && net_mac_equal(&a->mac, &b->mac) &&
		interface_equal(a_config, a->interface, b_config, b->interface);
}

static bool prefix_equal(const struct net_prefix *a, const struct net_prefix *b)
{
	return a->bits == b->bits && ip_equal(&a->ip, &b->ip);
}

bool net_rule_equal(const struct net_rule *a, const struct net_rule *b)
{
	return a->family == b->family && a->priority == b->priority && a->table == b->table &&
		prefix_equal(&a->from, &b->from) && prefix_equal(&a->to, &b->to);
}
