/* SPDX-License-Identifier: Apache-2.0 */
/* NETWORK; see net_message.h. */
#include "runtime/net_message.h"

#include <string.h>

#include "base/fd.h"
#include "base/json.h"

static const char *vrf_name(const struct net_scan *scan, unsigned index)
{
	for (unsigned i = 0; index && i < scan->n_vrfs; i++)
		if (scan->vrfs[i].index == index)
			return scan->vrfs[i].name;
	return NULL;
}

static json_t *interface_json(const struct net_scan *scan, const struct net_interface *interface,
	const struct network_device *device)
{
	char mac[NET_MAC_TEXT_BYTES], own[NET_MAC_TEXT_BYTES];

	net_mac_format(interface->mac, mac);
	net_mac_format(device->mac, own);
	return json_pack("{s:s, s:s, s:s, s:i, s:b, s:b, s:O, s:s*}", "device", own, "name",
		interface->name, "mac", mac, "mtu", (int)interface->mtu, "up", (int)interface->up,
		"noarp", (int)interface->noarp, "addresses", interface->addresses, "vrf",
		vrf_name(scan, interface->master));
}

static int add_vrfs(json_t *out, const struct net_scan *scan)
{
	for (unsigned i = 0; i < scan->n_vrfs; i++) {
		const struct net_vrf *vrf = &scan->vrfs[i];
		if (json_array_append_new(out,
			    json_pack("{s:s, s:I, s:O}", "name", vrf->name, "table",
				    (json_int_t)vrf->table, "addresses", vrf->addresses)) < 0)
			return -1;
	}
	return 0;
}

/* Whether what an entry goes through is there; what goes through nothing always is. */
static bool has_interface(const json_t *interfaces, const json_t *entry)
{
	const char *name = json_string_value(json_object_get(entry, "interface"));

	if (!name || strcmp(name, NET_LOOPBACK) == 0)
		return true;
	for (size_t i = 0; i < json_array_size(interfaces); i++)
		if (strcmp(json_string_value(
				   json_object_get(json_array_get(interfaces, i), "name")),
			    name) == 0)
			return true;
	return false;
}

/* The route with those of its ways that are there; NULL with *ret as it is when it has none. */
static json_t *copy_ways(const json_t *interfaces, json_t *route, int *ret)
{
	const json_t *hops = json_object_get(route, "nexthops");
	cleanup_json json_t *left = json_array();
	cleanup_json json_t *out = json_copy(route);

	for (size_t i = 0; i < json_array_size(hops); i++)
		if (has_interface(interfaces, json_array_get(hops, i)) &&
			json_array_append(left, json_array_get(hops, i)) < 0)
			*ret = -1;
	if (json_array_size(left) == 0)
		return NULL;
	if (!out || json_object_set(out, "nexthops", left) < 0)
		*ret = -1;
	return steal_ptr(&out);
}

/* Whether one of an entry's ways has a gateway, which must be reachable when it is named. */
static bool by_gateway(const json_t *entry)
{
	const json_t *hops = json_object_get(entry, "nexthops");

	for (size_t i = 0; i < json_array_size(hops); i++)
		if (json_object_get(json_array_get(hops, i), "gateway"))
			return true;
	return json_object_get(entry, "gateway") != NULL;
}

enum which { ALL, DIRECT, BY_GATEWAY };

static int copy(json_t *out, const json_t *interfaces, const json_t *list, enum which which)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		json_t *entry = json_array_get(list, i);
		bool several = json_object_get(entry, "nexthops") != NULL;
		bool gateway = by_gateway(entry);
		int ret = 0;
		if ((which == DIRECT && gateway) || (which == BY_GATEWAY && !gateway) ||
			!has_interface(interfaces, entry))
			continue;
		cleanup_json json_t *route =
			several ? copy_ways(interfaces, entry, &ret) : json_incref(entry);
		if (ret < 0 || (route && json_array_append(out, route) < 0))
			return -1;
	}
	return 0;
}

json_t *net_message(
	const struct net_scan *scan, const struct network_device *devices, unsigned n_devices)
{
	cleanup_json json_t *message = json_pack("{s:[], s:[], s:O, s:[], s:[]}", "vrfs",
		"interfaces", "loopback", scan->loopback, "routes", "neighbours");
	json_t *interfaces = json_object_get(message, "interfaces");
	json_t *routes = json_object_get(message, "routes");

	for (unsigned i = 0; i < n_devices; i++) {
		const struct net_interface *interface =
			devices[i].interface ? net_scan_find(scan, devices[i].interface) : NULL;
		if (interface &&
			json_array_append_new(
				interfaces, interface_json(scan, interface, &devices[i])) < 0)
			return NULL;
	}
	if (!message || add_vrfs(json_object_get(message, "vrfs"), scan) < 0 ||
		copy(routes, interfaces, scan->routes, DIRECT) < 0 ||
		copy(routes, interfaces, scan->routes, BY_GATEWAY) < 0 ||
		copy(json_object_get(message, "neighbours"), interfaces, scan->neighbours, ALL) <
			0 ||
		json_object_set(message, "rules", scan->rules) < 0)
		return NULL;
	return steal_ptr(&message);
}
