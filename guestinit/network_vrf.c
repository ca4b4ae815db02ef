/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VRFs of guest_network_apply; see network_pass.h. They are devices of the kernel's that we
 * make: none of the container's own is touched, so what stands under the index of one of ours is
 * looked at first.
 */
#include "guestinit/network_pass.h"

#include <errno.h>
#include <string.h>

static int find_before(const struct network_pass *p, const struct net_vrf *vrf)
{
	for (size_t k = 0; p->old && k < p->old->vrfs.n; k++)
		if (p->old->vrfs.v[k].table == vrf->table &&
			strcmp(p->old->vrfs.v[k].name, vrf->name) == 0)
			return (int)k;
	return -1;
}

/* The VRF of wanted that one of old goes on being, or -1. */
static int find_after(const struct network_pass *p, int old)
{
	for (size_t v = 0; v < p->wanted->vrfs.n; v++)
		if (p->vrf_before[v] == old)
			return (int)v;
	return -1;
}

/* After a failure everything is to be as the host says, the name as well. */
static void vrf_keep_or_delete(struct network_pass *p, int k)
{
	const struct net_vrf *old = &p->old->vrfs.v[k];
	int index = p->network->vrf_index[k], after = find_after(p, k);
	struct link_info info;
	int ret = link_get(&p->nl, index, &info);

	if (ret == 0 && info.vrf_table != old->table)
		return;
	if (ret == 0 && after >= 0 &&
		(!p->network->incomplete || strcmp(info.name, old->name) == 0)) {
		p->vrf_index[after] = index;
		return;
	}
	if (ret == 0)
		ret = link_delete(&p->nl, index);
	/* The container may have deleted it. */
	if (ret < 0 && ret != -ENODEV)
		pass_fail(p, old->name, ret, "can't take the VRF away");
}

void pass_vrfs_remove(struct network_pass *p)
{
	for (size_t v = 0; v < p->wanted->vrfs.n; v++) {
		p->vrf_before[v] = find_before(p, &p->wanted->vrfs.v[v]);
		p->renew_vrf[v] = p->vrf_before[v] < 0 || p->network->incomplete;
	}
	for (size_t k = 0; p->old && k < p->old->vrfs.n; k++)
		if (p->network->vrf_index[k])
			vrf_keep_or_delete(p, (int)k);
}

static void vrf_make(struct network_pass *p, size_t v)
{
	const struct net_vrf *vrf = &p->wanted->vrfs.v[v];
	int holder = link_find(&p->nl, vrf->name);
	int ret = holder == -ENODEV ? 0 : holder < 0 ? holder : pass_make_room(p, holder);

	if (ret < 0) {
		pass_fail(p, vrf->name, ret, "can't have the name");
		return;
	}
	ret = link_make_vrf(&p->nl, vrf->name, vrf->table);
	if (ret == -EOPNOTSUPP) {
		p->nl.why[0] = '\0'; /* "Unknown device type" */
		pass_fail(p, vrf->name, ret, "the guest's kernel has no VRF (CONFIG_NET_VRF)");
		return;
	}
	if (ret == 0)
		ret = link_find(&p->nl, vrf->name);
	if (ret < 0)
		pass_fail(p, vrf->name, ret, "can't make the VRF");
	else
		p->vrf_index[v] = ret;
}

/* One that the container deleted stays away, as long as nothing else failed. */
void pass_vrfs_add(struct network_pass *p)
{
	for (size_t v = 0; v < p->wanted->vrfs.n; v++) {
		if (!p->renew_vrf[v])
			continue;
		if (!p->vrf_index[v]) {
			vrf_make(p, v);
			continue;
		}
		int ret = link_set_up(&p->nl, p->vrf_index[v], true);
		if (ret < 0)
			pass_fail(p, p->wanted->vrfs.v[v].name, ret, "can't come up");
	}
}
