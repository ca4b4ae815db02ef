/* SPDX-License-Identifier: Apache-2.0 */
/* The links of guest_network_apply; see network_pass.h. */
#include "guestinit/network_pass.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guestinit/sysfile.h"

#define IPV6_MIN_MTU 1280 /* RFC 8200, 5 */

static const char *pass_name(const struct network_pass *p, size_t i)
{
	return p->wanted->interfaces.v[i].name;
}

/* To where the spares are: out of the container's sight. */
static int link_go_home(struct network_pass *p, int index)
{
	for (size_t i = 0; i < p->network->n_devices; i++) {
		struct network_device *device = &p->network->devices[i];
		if (!device->moved || device->index != index)
			continue;
		int ret = pass_device_move(&p->nl, p->home_fd, p->home, device);
		device->moved = ret < 0;
		return ret;
	}
	return link_rename(&p->nl, index, NETWORK_SPARE_NAME);
}

/* With the link goes all that led through it. Its name is free for another one. */
static void link_take_away(struct network_pass *p, const char *name, int index)
{
	int ret = link_set_up(&p->nl, index, false);

	if (ret == 0)
		ret = link_set_master(&p->nl, index, 0);
	if (ret == 0)
		ret = link_flush(&p->nl, index);
	if (ret == 0)
		ret = link_go_home(p, index);
	/* The container may have given the device away. */
	if (ret < 0 && ret != -ENODEV)
		pass_fail(p, name, ret, "can't take the interface away");
}

void pass_links_remove(struct network_pass *p)
{
	for (size_t k = 0; p->old && k < p->old->interfaces.n; k++)
		if (pass_after(p, (int)k) < 0 && p->network->index[k])
			link_take_away(p, p->old->interfaces.v[k].name, p->network->index[k]);
}

/* Whether what was wanted of it the last time was done. */
static bool link_is_known(const struct network_pass *p, size_t i)
{
	return p->before[i] >= 0 && !p->network->incomplete;
}

/* What it is called by the host is what counts; the container may have renamed it. */
static bool link_keeps_name(const struct network_pass *p, size_t i)
{
	return link_is_known(p, i) &&
		strcmp(p->old->interfaces.v[p->before[i]].name, pass_name(p, i)) == 0;
}

/* Some things can be done only while it is down, which costs all that leads through it. */
static int link_down(struct network_pass *p, size_t i)
{
	p->renew[i] = p->downed[i] = true;
	return link_set_up(&p->nl, p->index[i], false);
}

static int link_call(struct network_pass *p, size_t i, const char *name)
{
	int ret = link_rename(&p->nl, p->index[i], name);

	if (ret != -EBUSY) /* of kernels before 6.2 */
		return ret;
	ret = link_down(p, i);
	return ret < 0 ? ret : link_rename(&p->nl, p->index[i], name);
}

int pass_make_room(struct network_pass *p, int holder)
{
	for (size_t i = 0; i < p->wanted->interfaces.n; i++)
		if (p->index[i] == holder)
			return link_keeps_name(p, i) ? -EEXIST
						     : link_call(p, i, NETWORK_SPARE_NAME);
	for (size_t i = 0; i < p->network->n_devices; i++) {
		const struct network_device *device = &p->network->devices[i];
		if (device->index == holder && device->moved == (p->network->ns_fd >= 0))
			return link_rename(&p->nl, holder, NETWORK_SPARE_NAME);
	}
	return -EEXIST;
}

/* First every name is made free, by names for the time being, so that names can be exchanged. */
void pass_links_rename(struct network_pass *p)
{
	for (size_t i = 0; i < p->wanted->interfaces.n; i++) {
		if (!p->index[i] || link_keeps_name(p, i))
			continue;
		int holder = link_find(&p->nl, pass_name(p, i));
		int ret = holder == -ENODEV ? 0 : holder;
		if (holder > 0)
			ret = holder == p->index[i] ? 0 : pass_make_room(p, holder);
		if (ret < 0)
			pass_fail(p, pass_name(p, i), ret, "can't have the name");
	}
	for (size_t i = 0; i < p->wanted->interfaces.n; i++) {
		if (!p->index[i] || link_keeps_name(p, i) ||
			link_find(&p->nl, pass_name(p, i)) == p->index[i])
			continue;
		int ret = link_call(p, i, pass_name(p, i));
		if (ret < 0)
			pass_fail(p, pass_name(p, i), ret, "can't name the net device so");
	}
}

/*
 * All addresses come from the host, which has found them to be its own: nothing is made up or
 * learnt here. Where IPv6 is not for this device (its MTU is too small) there is nothing to say.
 */
static int link_still_ipv6(struct network_pass *p, const char *name)
{
	static const struct {
		const char *file, *value;
	} settings[] = {
		{"accept_ra", "0"}, {"autoconf", "0"}, {"accept_dad", "0"}, {"addr_gen_mode", "1"}};
	char path[128];

	for (size_t i = 0; p->ipv6 && i < sizeof(settings) / sizeof(settings[0]); i++) {
		snprintf(path, sizeof(path), "sys/net/ipv6/conf/%s/%s", name, settings[i].file);
		int ret = sysfile_write(p->proc_fd, path, settings[i].value);
		if (ret < 0 && ret != -ENOENT)
			return ret;
	}
	return 0;
}

static int link_change_mac(struct network_pass *p, size_t i)
{
	const struct net_mac *mac = &p->wanted->interfaces.v[i].mac;
	int ret = link_set_mac(&p->nl, p->index[i], mac);

	if (ret != -EBUSY)
		return ret;
	ret = link_down(p, i);
	return ret < 0 ? ret : link_set_mac(&p->nl, p->index[i], mac);
}

/*
 * Below the least MTU of IPv6, the kernel forgets what it was told of IPv6 there: when it comes
 * back, it is told again before it can say or hear anything.
 */
static int link_change_mtu(struct network_pass *p, size_t i, uint32_t before)
{
	const struct net_interface *interface = &p->wanted->interfaces.v[i];
	bool anew = before && before < IPV6_MIN_MTU && interface->mtu >= IPV6_MIN_MTU;

	int ret = anew ? link_down(p, i) : 0;
	if (ret == 0)
		ret = link_set_mtu(&p->nl, p->index[i], interface->mtu);
	return ret == 0 && anew ? link_still_ipv6(p, interface->name) : ret;
}

/* What the link has now, as far as the host knows: what it wanted before, or what there is. */
static int link_before(struct network_pass *p, size_t i, struct link_info *info)
{
	if (!link_is_known(p, i))
		return link_get(&p->nl, p->index[i], info);
	const struct net_interface *old = &p->old->interfaces.v[p->before[i]];
	*info = (struct link_info){
		.mac = old->mac, .mtu = old->mtu, .flags = old->noarp ? IFF_NOARP : 0};
	return 0;
}

static bool is_vrf_of_ours(const struct network_pass *p, int index)
{
	for (size_t v = 0; v < p->wanted->vrfs.n; v++)
		if (p->vrf_index[v] && p->vrf_index[v] == index)
			return true;
	return false;
}

/* Whether it has, or is to be without, the VRF that it had. */
static bool link_keeps_vrf(const struct network_pass *p, size_t i, const struct link_info *before)
{
	int vrf = p->wanted->interfaces.v[i].vrf;

	/* A bridge that the container has put it under is none of the host's business. */
	if (!link_is_known(p, i))
		return vrf == NETWORK_NO_VRF && !is_vrf_of_ours(p, before->master);
	int old = p->old->interfaces.v[p->before[i]].vrf;
	return vrf == NETWORK_NO_VRF ? old == NETWORK_NO_VRF
				     : old != NETWORK_NO_VRF && p->vrf_before[vrf] == old;
}

/* While it is up, the kernel takes it down and up again. */
static void link_change_vrf(struct network_pass *p, size_t i)
{
	const struct net_interface *interface = &p->wanted->interfaces.v[i];
	int master = interface->vrf == NETWORK_NO_VRF ? 0 : p->vrf_index[interface->vrf];
	int ret = interface->vrf != NETWORK_NO_VRF && !master
		? -ENODEV
		: link_set_master(&p->nl, p->index[i], master);

	p->renew[i] = true;
	if (ret < 0 && interface->vrf == NETWORK_NO_VRF)
		pass_fail(p, interface->name, ret, "can't leave its VRF");
	else if (ret < 0)
		pass_fail(p, interface->name, ret, "can't be in the VRF %s", interface->vrf_name);
}

/* The kernel forgets all neighbours, permanent ones as well. */
static void link_change_noarp(struct network_pass *p, size_t i)
{
	const struct net_interface *interface = &p->wanted->interfaces.v[i];
	int ret = link_set_noarp(&p->nl, p->index[i], interface->noarp);

	p->renew[i] = true;
	if (ret < 0)
		pass_fail(p, interface->name, ret, "can't switch ARP %s",
			interface->noarp ? "off" : "on");
}

static void link_change_state(struct network_pass *p, size_t i)
{
	const struct net_interface *interface = &p->wanted->interfaces.v[i];

	if (link_is_known(p, i) && !p->downed[i]) {
		bool was_down = p->old->interfaces.v[p->before[i]].down;
		if (was_down == interface->down)
			return;
		p->renew[i] |= was_down;
	}
	int ret = link_set_up(&p->nl, p->index[i], !interface->down);
	if (ret < 0)
		pass_fail(p, interface->name, ret, "can't %s",
			interface->down ? "go down" : "come up");
}

static void link_set(struct network_pass *p, size_t i)
{
	const struct net_interface *interface = &p->wanted->interfaces.v[i];
	struct link_info before;
	int ret = link_before(p, i, &before);

	if (ret < 0) {
		pass_fail(p, interface->name, ret, "can't find the net device");
		return;
	}
	if (!net_mac_equal(&before.mac, &interface->mac)) {
		ret = link_change_mac(p, i);
		if (ret < 0)
			pass_fail(p, interface->name, ret, "can't have this link address");
	}
	if (interface->mtu && interface->mtu != before.mtu) {
		ret = link_change_mtu(p, i, before.mtu);
		if (ret < 0)
			pass_fail(
				p, interface->name, ret, "can't have an MTU of %u", interface->mtu);
	}
	if (!link_keeps_vrf(p, i, &before))
		link_change_vrf(p, i);
	if (interface->noarp != !!(before.flags & IFF_NOARP))
		link_change_noarp(p, i);
	if (!link_is_known(p, i)) {
		ret = link_still_ipv6(p, interface->name);
		if (ret < 0)
			pass_fail(p, interface->name, ret, "can't switch off its IPv6 autoconf");
	}
	link_change_state(p, i);
}

void pass_links_set(struct network_pass *p)
{
	for (size_t i = 0; i < p->wanted->interfaces.n; i++)
		if (p->index[i])
			link_set(p, i);
}
