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

	if (s->n_vrfs == NET_VRFS_MAX)
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

void scan_uppers(struct net_scan *scan)
{
	for (unsigned i = 0; i < scan->n; i++) {
		const struct net_interface *upper = &scan->list[i];
		for (unsigned k = 0; upper->lower && k < scan->n; k++) {
			struct net_uppers *of = &scan->list[k].uppers;
			if (scan->list[k].index != upper->lower)
				continue;
			if (upper->vlan)
				of->vlans[of->n_vlans++] = upper->vlan;
			else
				memcpy(of->macs[of->n_macs++], upper->mac, NET_MAC_BYTES);
		}
	}
}
