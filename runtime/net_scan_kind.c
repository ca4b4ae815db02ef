/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces that stand on others (VLAN, MACVLAN) or are part of a VRF; see net_scan.h. */
#include "runtime/net_scan_internal.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <stdio.h>
#include <string.h>

int scan_vrf(struct scanner *s, const struct ifinfomsg *link, const struct attrs *attrs)
{
	struct attrs data;

	if (s->n_vrfs == LINKS_MAX)
		return -E2BIG;
	scan_info_data(attrs, &data);
	struct net_vrf *vrf = &s->vrfs[s->n_vrfs++];
	*vrf = (struct net_vrf){
		.index = (unsigned)link->ifi_index,
		.table = scan_number(&data, IFLA_VRF_TABLE, 0),
		.addresses = json_array(),
	};
	snprintf(vrf->name, sizeof(vrf->name), "%s", mnl_attr_get_str(attrs->at[IFLA_IFNAME]));
	return vrf->addresses ? 0 : -ENOMEM;
}

struct net_vrf *scan_find_vrf(struct scanner *s, unsigned index)
{
	for (size_t i = 0; i < s->n_vrfs; i++)
		if (s->vrfs[i].index == index)
			return &s->vrfs[i];
	return NULL;
}

void scan_kind(struct net_interface *interface, const struct attrs *attrs)
{
	const char *kind = scan_info(attrs, IFLA_INFO_KIND);
	bool vlan = strcmp(kind, "vlan") == 0;
	struct attrs data;

	/* A bridge's or a bond's are not of use: it is a VRF. */
	interface->master = scan_number(attrs, IFLA_MASTER, 0);
	if (attrs->at[IFLA_LINK_NETNSID] || (!vlan && strcmp(kind, "macvlan") != 0))
		return;
	interface->lower = scan_number(attrs, IFLA_LINK, 0);
	scan_info_data(attrs, &data);
	if (vlan && scan_has(&data, IFLA_VLAN_ID, sizeof(uint16_t)))
		interface->vlan = NET_VLAN_KEY(scan_has(&data, IFLA_VLAN_PROTOCOL, sizeof(uint16_t))
				? ntohs(mnl_attr_get_u16(data.at[IFLA_VLAN_PROTOCOL]))
				: ETH_P_8021Q,
			mnl_attr_get_u16(data.at[IFLA_VLAN_ID]));
}

/* NULL: the guest takes none of that table (docs/protocol.md). */
static const struct net_vrf *find_good(const struct scanner *s, unsigned index)
{
	for (size_t i = 0; i < s->n_vrfs; i++) {
		const struct net_vrf *vrf = &s->vrfs[i];
		if (vrf->index != index)
			continue;
		for (size_t k = 0; k < i; k++)
			if (s->vrfs[k].table == vrf->table)
				return NULL;
		return vrf->table && vrf->table != RT_TABLE_LOCAL ? vrf : NULL;
	}
	return NULL;
}

bool scan_is_lost(struct scanner *s, const struct net_interface *interface)
{
	if (!interface->master || find_good(s, interface->master))
		return false;
	scan_leave(s, interface, "its VRF's table is another's as well");
	return true;
}

int scan_keep_vrfs(const struct scanner *s, struct net_scan *scan)
{
	for (size_t i = 0; i < s->n_vrfs; i++) {
		const struct net_vrf *vrf = &s->vrfs[i];
		bool used = json_array_size(vrf->addresses) > 0;
		for (unsigned k = 0; k < scan->n; k++)
			used |= scan->list[k].master == vrf->index;
		if (!used || find_good(s, vrf->index) != vrf)
			continue;
		if (scan->n_vrfs == NET_VRFS_MAX)
			return -E2BIG;
		scan->vrfs[scan->n_vrfs++] = *vrf;
		json_incref(vrf->addresses);
	}
	return 0;
}

static void add_upper(struct net_uppers *of, const struct net_interface *upper)
{
	if (upper->vlan && of->n_vlans < NET_UPPERS_MAX)
		of->vlans[of->n_vlans++] = upper->vlan;
	else if (!upper->vlan && of->n_macs < NET_UPPERS_MAX)
		memcpy(of->macs[of->n_macs++], upper->mac, NET_MAC_BYTES);
}

/* Those that are the container's have the room before the others. */
void scan_uppers(const struct scanner *s, struct net_scan *scan)
{
	for (unsigned i = 0; i < scan->n; i++) {
		struct net_interface *lower = &scan->list[i];
		for (unsigned k = 0; k < scan->n; k++)
			if (scan->list[k].lower == lower->index)
				add_upper(&lower->uppers, &scan->list[k]);
		for (size_t k = 0; k < s->n; k++)
			if (s->list[k].lower == lower->index &&
				!net_scan_find(scan, s->list[k].index))
				add_upper(&lower->uppers, &s->list[k]);
	}
}
