/* SPDX-License-Identifier: Apache-2.0 */
/* Joining interfaces and taps; see net_wire.h. */
#include "runtime/net_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "runtime/net_filter.h"
#include "runtime/net_rate.h"
#include "runtime/net_tap.h"
#include "runtime/net_upper.h"

#define INGRESS_HANDLE TC_H_MAKE(TC_H_INGRESS, 0)

#define IPV6_MIN_MTU 1280 /* RFC 8200, 5 */
#define TRIES	     8	  /* while others change what is read */

static int ingress(struct rtnl *rt, uint16_t type, uint16_t flags, unsigned index)
{
	char buf[RTNL_BYTES];
	void *fixed;
	struct nlmsghdr *message = rtnl_begin(buf, type, flags, &fixed, sizeof(struct tcmsg));
	struct tcmsg *tc = fixed;

	tc->tcm_ifindex = (int)index;
	tc->tcm_parent = TC_H_INGRESS;
	tc->tcm_handle = INGRESS_HANDLE;
	mnl_attr_put_strz(message, TCA_KIND, "ingress");
	return rtnl_ack(rt, message);
}

/* One that somebody else has put there, also of kind clsact, serves as well. */
static int add_ingress(struct rtnl *rt, unsigned index)
{
	int ret = ingress(rt, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index);

	return ret == -EEXIST ? 0 : ret;
}

/* The filters on an interface: how many are ours, where they send, and whether there are others. */
struct found {
	unsigned index, target;
	unsigned ours, others;
	bool redirects; /* not copies only */
	bool marked;
	struct net_upper upper; /* what is let through to others that stand on it */
	bool shared;		/* and what all are to have */
};

static void take_action(const struct nlattr *action, struct found *found)
{
	const struct nlattr *inner, *parms;

	mnl_attr_for_each_nested (inner, action) {
		if (mnl_attr_get_type(inner) != TCA_ACT_OPTIONS)
			continue;
		mnl_attr_for_each_nested (parms, inner) {
			const struct tc_mirred *mirred = mnl_attr_get_payload(parms);
			if (mnl_attr_get_type(parms) != TCA_MIRRED_PARMS ||
				mnl_attr_get_payload_len(parms) < sizeof(*mirred))
				continue;
			found->target = mirred->ifindex;
			found->redirects |= mirred->eaction == TCA_EGRESS_REDIR;
		}
	}
}

static void take_u32(const struct nlattr *options, struct found *found)
{
	const struct nlattr *attr, *one;

	mnl_attr_for_each_nested (attr, options) {
		if (mnl_attr_get_type(attr) == TCA_U32_CLASSID &&
			mnl_attr_get_payload_len(attr) >= sizeof(uint32_t))
			found->marked |= mnl_attr_get_u32(attr) == NET_FILTER_MARK;
		if (mnl_attr_get_type(attr) != TCA_U32_ACT)
			continue;
		mnl_attr_for_each_nested (one, attr) {
			take_action(one, found);
		}
	}
}

static void take_upper(const struct nlattr *options, struct found *found)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested (attr, options) {
		size_t len = mnl_attr_get_payload_len(attr);
		if (mnl_attr_get_type(attr) != TCA_BPF_OPS || len > sizeof(found->upper.code))
			continue;
		memcpy(found->upper.code, mnl_attr_get_payload(attr), len);
		found->upper.n = (unsigned)(len / sizeof(found->upper.code[0]));
	}
}

static int take_filter(const struct nlmsghdr *message, void *arg)
{
	struct found *found = arg;
	const struct tcmsg *tc = mnl_nlmsg_get_payload(message);
	unsigned priority = TC_H_MAJ(tc->tcm_info) >> 16;
	const struct nlattr *attr;
	bool u32 = false;

	if ((unsigned)tc->tcm_ifindex != found->index)
		return 0;
	if (priority < NET_WIRE_PRIORITY || priority >= NET_WIRE_PRIORITY + NET_FILTER_PRIORITIES) {
		found->others++;
		return 0;
	}
	found->ours++;
	found->shared |= priority == NET_WIRE_PRIORITY + NET_FILTER_SHARED;
	/* Its kind comes before its options. */
	mnl_attr_for_each (attr, message, sizeof(*tc)) {
		if (mnl_attr_get_type(attr) == TCA_KIND)
			u32 = strncmp(mnl_attr_get_str(attr), "u32",
				      mnl_attr_get_payload_len(attr)) == 0;
		if (mnl_attr_get_type(attr) != TCA_OPTIONS)
			continue;
		if (u32)
			take_u32(attr, found);
		else if (priority == NET_WIRE_PRIORITY + NET_FILTER_UPPER)
			take_upper(attr, found);
	}
	return 0;
}

static int find_filters(struct rtnl *rt, unsigned index, struct found *found)
{
	char buf[RTNL_BYTES];
	void *fixed;
	int ret = -EINTR;

	for (int tries = 0; ret == -EINTR && tries < TRIES; tries++) {
		struct nlmsghdr *message =
			rtnl_begin(buf, RTM_GETTFILTER, 0, &fixed, sizeof(struct tcmsg));
		struct tcmsg *tc = fixed;
		*found = (struct found){.index = index};
		tc->tcm_ifindex = (int)index;
		tc->tcm_parent = NET_FILTER_PARENT;
		ret = rtnl_dump(rt, message, take_filter, found);
	}
	return ret == -EINTR ? 0 : ret;
}

/* Whether an interface of this index is there. */
static bool exists(struct rtnl *rt, unsigned index)
{
	char buf[RTNL_BYTES];
	void *fixed;
	struct nlmsghdr *message =
		rtnl_begin(buf, RTM_SETLINK, 0, &fixed, sizeof(struct ifinfomsg));

	/* A change of nothing. */
	((struct ifinfomsg *)fixed)->ifi_index = (int)index;
	return rtnl_ack(rt, message) != -ENODEV;
}

/*
 * A filter of the device or its parent (a VLAN's, a macvlan's) would keep groups from the guest
 * that only the guest has joined. That of an interface that had it set before is left alone.
 */
static int set_all_multicast(struct rtnl *rt, unsigned index, bool on)
{
	char buf[RTNL_BYTES];
	struct ifinfomsg *link;
	struct nlmsghdr *message = rtnl_link_begin(buf, index, &link);

	link->ifi_change = IFF_ALLMULTI;
	link->ifi_flags = on ? IFF_ALLMULTI : 0;
	return rtnl_ack(rt, message);
}

/* The qdisc goes too, unless somebody else has filters on it or made it (then it is clsact). */
static int clear(struct rtnl *rt, unsigned index)
{
	struct found found;

	for (unsigned i = 0; i < NET_FILTER_PRIORITIES; i++) {
		int ret = net_filter_remove(rt, index, i);
		if (ret < 0 && ret != -ENOENT && ret != -EINVAL && ret != -EOPNOTSUPP)
			return ret;
	}
	int ret = find_filters(rt, index, &found);
	if (ret == 0 && !found.others)
		ret = ingress(rt, RTM_DELQDISC, 0, index);
	return ret == -ENOENT || ret == -EINVAL ? 0 : ret;
}

static int clear_interface(struct rtnl *rt, unsigned index, bool mark)
{
	struct found found;

	int ret = net_rate_remove(rt, index);
	if (find_filters(rt, index, &found) == 0 && (found.marked || mark)) {
		int off = set_all_multicast(rt, index, false);
		ret = ret < 0 ? ret : off;
	}
	int next = clear(rt, index);
	return ret < 0 ? ret : next;
}

/* What is let through is what it is to be. */
static bool serves(const struct found *found, const struct net_interface *interface)
{
	struct net_upper own;

	net_upper_own(&own, &interface->uppers);
	return own.n == found->upper.n && found->shared == (interface->uppers.n_macs > 0) &&
		(!own.n || memcmp(own.code, found->upper.code, own.n * sizeof(own.code[0])) == 0);
}

static bool leads_to(const struct found *found, unsigned target)
{
	return found->redirects && found->target == target;
}

/* Below that MTU the kernel forgets what it was told of IPv6 there (net_tap.c), and speaks itself.
 */
int net_wire_resize(struct rtnl *rt, const struct net_interface *interface, unsigned tap)
{
	return rtnl_link_set(
		rt, tap, interface->mtu < IPV6_MIN_MTU ? IPV6_MIN_MTU : interface->mtu, true);
}

/* No way rather than one without limits. */
static int part_again(struct rtnl *rt, const struct net_wire *wire)
{
	int ret = rtnl_link_set(rt, wire->tap, 0, false);
	int cleared = clear_interface(rt, wire->interface->index, wire->mark);

	return ret < 0 ? ret : cleared;
}

int net_wire_join(struct rtnl *rt, struct net_wire *wire, struct err *e)
{
	const struct net_interface *interface = wire->interface;
	struct found found, there;

	int ret = find_filters(rt, interface->index, &found);
	if (ret == 0 && found.ours && found.target && found.target != wire->tap &&
		exists(rt, found.target))
		return err_set(e, EBUSY,
			"%s: is in use by another virtual machine: containers can't share a "
			"network "
			"namespace that has interfaces, as those of a pod would; give each a "
			"network "
			"of its own, and connect them by a bridge",
			interface->name);
	/* A wire that is there stays: only what the tap lets through is made anew, while it is
	 * down. */
	bool joined = ret == 0 && leads_to(&found, wire->tap) && serves(&found, interface);
	/* Whose it is that all groups are received must be known when it is undone, also when one
	 * side's filters were taken away in between, or with a record both. */
	bool mark = !interface->all_multicast || wire->mark || found.marked ||
		(find_filters(rt, wire->tap, &there) == 0 && there.marked);
	if (ret == 0 || ret == -EINVAL || ret == -ENOENT)
		ret = rtnl_link_set(rt, wire->tap, 0, false);
	if (ret == 0 && !joined)
		ret = clear_interface(rt, interface->index, false);
	if (ret == 0)
		ret = clear(rt, wire->tap);
	/* The tap comes up when nothing of it can reach the host, and before anything goes there.
	 */
	if (ret == 0)
		ret = add_ingress(rt, wire->tap);
	if (ret == 0)
		ret = wire->guard ? net_filter_guard(rt, wire->tap, interface, mark)
				  : net_filter_redirect(rt, wire->tap, interface->index, mark);
	if (ret == 0)
		ret = net_wire_resize(rt, interface, wire->tap);
	if (ret == 0 && !joined)
		ret = add_ingress(rt, interface->index);
	if (ret == 0 && !joined)
		ret = net_filter_deliver(rt, interface, wire->tap, mark);
	if (ret == 0 && !joined && mark)
		ret = set_all_multicast(rt, interface->index, true);
	if (ret < 0) {
		int undo = part_again(rt, wire);
		return err_sys(e, -ret, "%s: joining it to the virtual machine%s%s",
			interface->name,
			ret == -ENOENT || ret == -EOPNOTSUPP
				? " (the kernel needs sch_ingress, cls_u32 and act_mirred; "
				  "with dev.hvrun.net.antiSpoof, VLANs and MACVLANs cls_bpf, too)"
				: "",
			undo < 0 ? ", and parting them again" : "");
	}
	ret = net_rate_set(rt, wire->tap, wire->rx_bytes);
	if (ret == 0)
		ret = net_rate_set(rt, interface->index, wire->tx_bytes);
	if (ret < 0) {
		if (part_again(rt, wire) < 0)
			log_warn("network: %s: can't be parted from the virtual machine",
				interface->name);
		return err_sys(e, -ret, "%s: limiting its rate (the kernel needs sch_tbf)",
			interface->name);
	}
	wire->mark = mark;
	return 0;
}

struct state {
	unsigned index;
	bool up;
};

static int take_state(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	struct state *state = arg;

	if ((unsigned)link->ifi_index == state->index)
		state->up = link->ifi_flags & IFF_UP;
	return 0;
}

/* What can't be found out is taken for a yes. */
static bool is_up(struct rtnl *rt, unsigned index)
{
	struct state state = {.index = index, .up = true};
	char buf[RTNL_BYTES];
	void *fixed;

	int ret = rtnl_dump(rt, rtnl_begin(buf, RTM_GETLINK, 0, &fixed, sizeof(struct ifinfomsg)),
		take_state, &state);
	return ret < 0 || state.up;
}

int net_wire_is_cut(struct rtnl *rt, const struct net_interface *interface, unsigned tap)
{
	struct found here, there = {.index = tap};

	int ret = find_filters(rt, interface->index, &here);
	if (ret == 0)
		ret = find_filters(rt, tap, &there);
	if (ret < 0)
		return ret;
	bool whole = leads_to(&here, tap) && leads_to(&there, interface->index) &&
		serves(&here, interface) && is_up(rt, tap);
	return !whole && exists(rt, interface->index) && exists(rt, tap);
}

int net_wire_part(struct rtnl *rt, unsigned interface, unsigned tap, bool mark)
{
	struct found found;

	int ret = find_filters(rt, interface, &found);
	bool free = !found.target || found.target == tap || !exists(rt, found.target);
	if (ret == 0 && free && (found.ours || mark))
		ret = clear_interface(rt, interface, mark);
	int other = clear(rt, tap);
	if (ret == 0)
		ret = other;
	return ret == -ENODEV || ret == -ENOENT || ret == -EINVAL ? 0 : ret;
}

struct links {
	unsigned *list;
	size_t n, cap;
};

static int take_link(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	struct links *links = arg;

	if (links->n == links->cap) {
		size_t cap = links->cap ? links->cap * 2 : 64;
		unsigned *list = reallocarray(links->list, cap, sizeof(*list));
		if (!list)
			return -ENOMEM;
		links->list = list;
		links->cap = cap;
	}
	links->list[links->n++] = (unsigned)link->ifi_index;
	return 0;
}

int net_wire_part_all(struct rtnl *rt, const unsigned *taps, unsigned n_taps)
{
	char buf[RTNL_BYTES];
	struct links links = {0};
	void *fixed;
	int ret = -EINTR;

	for (int tries = 0; ret == -EINTR && tries < TRIES; tries++) {
		links.n = 0;
		ret = rtnl_dump(rt,
			rtnl_begin(buf, RTM_GETLINK, 0, &fixed, sizeof(struct ifinfomsg)),
			take_link, &links);
	}
	if (ret == -EINTR)
		ret = 0; /* taps come and go; interfaces with wires are there for long */
	for (size_t i = 0; i < links.n; i++) {
		struct found found;
		int next = find_filters(rt, links.list[i], &found);
		bool own = next == 0 && found.ours && !(found.target && exists(rt, found.target));
		for (unsigned k = 0; k < n_taps; k++)
			own |= next == 0 && found.ours && found.target == taps[k];
		if (own)
			next = clear_interface(rt, links.list[i], false);
		if (ret == 0 && next != -ENODEV && next != -ENOENT && next != -EINVAL)
			ret = next;
	}
	free(links.list);
	return ret;
}
