/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ingress filters by netlink; see net_filter.h. u32 compares words of 32 bits at offsets from the
 * network header: the MAC addresses lie at negative ones.
 */
#include "runtime/net_filter.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <string.h>

#include "base/json.h"
#include "runtime/net_guard_ip6.h"
#include "runtime/net_upper.h"
#include "runtime/net_wire.h"

#define KEYS_MAX 8

/* Where things lie in a frame, from its network header. */
#define AT_SOURCE_MAC (-8)
#define AT_ARP_SENDER 8 /* six bytes of MAC, four of IPv4 address */
#define AT_IP4_SOURCE 12
#define AT_IP6_SOURCE 8

#define PORT_DHCP4_CLIENT      68
#define PORT_DHCP6_CLIENT      546
#define ROUTER_ADVERTISEMENT   134
#define NEIGHBOR_SOLICITATION  135
#define NEIGHBOR_ADVERTISEMENT 136

/* The keys lie behind the head, in its flexible array. */
union u32 {
	struct tc_u32_sel head;
	char bytes[sizeof(struct tc_u32_sel) + KEYS_MAX * sizeof(struct tc_u32_key)];
};

/* The bits of a word at an offset. */
static void match_bits(union u32 *u, int offset, uint32_t value, uint32_t mask)
{
	if (u->head.nkeys == KEYS_MAX)
		return;
	u->head.keys[u->head.nkeys++] =
		(struct tc_u32_key){.off = offset, .val = htonl(value), .mask = htonl(mask)};
}

/* Bytes at an offset, `len` of them, as keys of one word each. */
static void match(union u32 *u, int offset, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (; len && u->head.nkeys < KEYS_MAX; offset += 4) {
		uint8_t value[4] = {0}, mask[4] = {0};
		size_t n = len < 4 ? len : 4;
		memcpy(value, at, n);
		memset(mask, 0xff, n);
		struct tc_u32_key *key = &u->head.keys[u->head.nkeys++];
		key->off = offset;
		memcpy(&key->val, value, 4);
		memcpy(&key->mask, mask, 4);
		at += n;
		len -= n;
	}
}

static struct nlmsghdr *begin(char *buf, unsigned index, enum net_filter_priority priority,
	uint16_t protocol, const char *kind)
{
	void *fixed;
	struct nlmsghdr *message = rtnl_begin(
		buf, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &fixed, sizeof(struct tcmsg));
	struct tcmsg *tc = fixed;

	tc->tcm_ifindex = (int)index;
	tc->tcm_parent = NET_FILTER_PARENT;
	tc->tcm_info = TC_H_MAKE((NET_WIRE_PRIORITY + (unsigned)priority) << 16, htons(protocol));
	mnl_attr_put_strz(message, TCA_KIND, kind);
	return message;
}

/* Where what matches goes, and what becomes of it here. */
struct outlet {
	unsigned from, to;
	int eaction, action; /* of mirred */
	uint32_t mark;
};

static void put_mirred(struct nlmsghdr *message, uint16_t type, const struct outlet *o)
{
	const struct tc_mirred mirred = {
		.action = o->action, .eaction = o->eaction, .ifindex = o->to};
	struct nlattr *act = mnl_attr_nest_start(message, type);
	struct nlattr *one = mnl_attr_nest_start(message, 1);

	mnl_attr_put_strz(message, TCA_ACT_KIND, "mirred");
	struct nlattr *inner = mnl_attr_nest_start(message, TCA_ACT_OPTIONS);
	mnl_attr_put(message, TCA_MIRRED_PARMS, sizeof(mirred), &mirred);
	mnl_attr_nest_end(message, inner);
	mnl_attr_nest_end(message, one);
	mnl_attr_nest_end(message, act);
}

static int add_u32(struct rtnl *rt, const struct outlet *o, enum net_filter_priority priority,
	uint16_t protocol, union u32 *u)
{
	char buf[RTNL_BYTES];
	struct nlmsghdr *message = begin(buf, o->from, priority, protocol, "u32");

	if (!u->head.nkeys)
		match_bits(u, 0, 0, 0); /* all */
	u->head.flags = TC_U32_TERMINAL;
	struct nlattr *options = mnl_attr_nest_start(message, TCA_OPTIONS);
	if (o->mark)
		mnl_attr_put_u32(message, TCA_U32_CLASSID, o->mark);
	put_mirred(message, TCA_U32_ACT, o);
	mnl_attr_put(
		message, TCA_U32_SEL, sizeof(u->head) + u->head.nkeys * sizeof(u->head.keys[0]), u);
	mnl_attr_nest_end(message, options);
	return rtnl_ack(rt, message);
}

static struct outlet redirection(unsigned from, unsigned to, bool mark)
{
	return (struct outlet){
		from, to, TCA_EGRESS_REDIR, TC_ACT_STOLEN, mark ? NET_FILTER_MARK : 0};
}

int net_filter_redirect(struct rtnl *rt, unsigned from, unsigned to, bool mark)
{
	const struct outlet o = redirection(from, to, mark);
	union u32 all = {0};

	return add_u32(rt, &o, NET_FILTER_REST, ETH_P_ALL, &all);
}

/* What matches goes out on `to`, and is seen here as well. */
static struct outlet copying(unsigned from, unsigned to)
{
	return (struct outlet){from, to, TCA_EGRESS_MIRROR, TC_ACT_OK, 0};
}

static void match_icmp6(union u32 *u, uint8_t type)
{
	match_bits(u, 4, IPPROTO_ICMPV6 << 8, 0xff00);
	match_bits(u, 40, (uint32_t)type << 24, 0xff000000);
}

/*
 * What addresses come and go by. Whether another has one that is new here, its advertisement says,
 * or that it is about to take it as well (RFC 4862, 5.4): nobody looks for that in the guest.
 *
 * A packet socket hears of each frame before any filter does if it is for all protocols. Those of
 * DHCP clients are for IP alone, and hear of what the filters leave.
 */
static int copy_news(struct rtnl *rt, const struct outlet *o)
{
	static const uint8_t none[16];
	union u32 router = {0}, taken = {0}, wanted = {0}, dhcp4 = {0}, dhcp6 = {0};

	match_icmp6(&router, ROUTER_ADVERTISEMENT);
	match_icmp6(&taken, NEIGHBOR_ADVERTISEMENT);
	match_icmp6(&wanted, NEIGHBOR_SOLICITATION);
	match(&wanted, AT_IP6_SOURCE, none, sizeof(none));
	match_bits(&dhcp6, 4, IPPROTO_UDP << 8, 0xff00);
	match_bits(&dhcp6, 40, PORT_DHCP6_CLIENT, 0xffff);
	/* No options, and no fragment but the first. */
	match_bits(&dhcp4, 0, 0x45000000, 0xff000000);
	match_bits(&dhcp4, 4, 0, 0x1fff);
	match_bits(&dhcp4, 8, IPPROTO_UDP << 16, 0xff0000);
	match_bits(&dhcp4, 20, PORT_DHCP4_CLIENT, 0xffff);
	int ret = add_u32(rt, o, NET_FILTER_IP6, ETH_P_IPV6, &router);
	if (ret == 0)
		ret = add_u32(rt, o, NET_FILTER_IP6, ETH_P_IPV6, &taken);
	if (ret == 0)
		ret = add_u32(rt, o, NET_FILTER_IP6, ETH_P_IPV6, &wanted);
	if (ret == 0)
		ret = add_u32(rt, o, NET_FILTER_IP6, ETH_P_IPV6, &dhcp6);
	if (ret == 0)
		ret = add_u32(rt, o, NET_FILTER_IP4, ETH_P_IP, &dhcp4);
	return ret;
}

/* The frames to which the program does not say 0; with an outlet of none, what it says is done. */
static int add_bpf(struct rtnl *rt, unsigned from, const struct outlet *o,
	enum net_filter_priority priority, uint16_t protocol, const struct sock_filter *code,
	unsigned n)
{
	char buf[RTNL_BYTES];
	struct nlmsghdr *message = begin(buf, from, priority, protocol, "bpf");
	struct nlattr *options = mnl_attr_nest_start(message, TCA_OPTIONS);

	mnl_attr_put_u16(message, TCA_BPF_OPS_LEN, (uint16_t)n);
	mnl_attr_put(message, TCA_BPF_OPS, n * sizeof(*code), code);
	if (o)
		put_mirred(message, TCA_BPF_ACT, o);
	else
		mnl_attr_put_u32(message, TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
	mnl_attr_nest_end(message, options);
	return rtnl_ack(rt, message);
}

/* What is for those that stand on the interface, alone or with it. */
static int leave_uppers(
	struct rtnl *rt, const struct net_interface *interface, const struct outlet *tap)
{
	struct net_upper program;

	net_upper_own(&program, &interface->uppers);
	int ret = program.n ? add_bpf(rt, interface->index, NULL, NET_FILTER_UPPER, ETH_P_ALL,
				      program.code, program.n)
			    : 0;
	net_upper_shared(&program, &interface->uppers);
	return ret == 0 && program.n ? add_bpf(rt, interface->index, tap, NET_FILTER_SHARED,
					       ETH_P_ALL, program.code, program.n)
				     : ret;
}

int net_filter_deliver(
	struct rtnl *rt, const struct net_interface *interface, unsigned tap, bool mark)
{
	const struct outlet copied = copying(interface->index, tap);

	int ret = leave_uppers(rt, interface, &copied);
	if (ret == 0)
		ret = copy_news(rt, &copied);
	return ret < 0 ? ret : net_filter_redirect(rt, interface->index, tap, mark);
}

/* Kernels lack act_gact more often than this. */
static int drop_rest(struct rtnl *rt, unsigned index)
{
	static const struct sock_filter drop = {BPF_RET | BPF_K, 0, 0, TC_ACT_SHOT};

	return add_bpf(rt, index, NULL, NET_FILTER_REST, ETH_P_ALL, &drop, 1);
}

/* May say that it is `address`, by IP and by ARP. */
static int allow_ip4(
	struct rtnl *rt, const struct outlet *o, const uint8_t *mac, const uint8_t address[4])
{
	static const uint8_t none[4];
	union u32 ip = {0}, arp = {0};
	uint8_t sender[NET_MAC_BYTES + 4];

	match(&ip, AT_SOURCE_MAC, mac, NET_MAC_BYTES);
	match(&ip, AT_IP4_SOURCE, address, 4);
	memcpy(sender, mac, NET_MAC_BYTES);
	memcpy(sender + NET_MAC_BYTES, address, 4);
	match(&arp, AT_SOURCE_MAC, mac, NET_MAC_BYTES);
	match(&arp, AT_ARP_SENDER, sender, sizeof(sender));
	int ret = add_u32(rt, o, NET_FILTER_ARP, ETH_P_ARP, &arp);
	if (ret == 0 && memcmp(address, none, sizeof(none)) != 0)
		ret = add_u32(rt, o, NET_FILTER_IP4, ETH_P_IP, &ip);
	return ret;
}

static int allow_ip6(struct rtnl *rt, const struct outlet *o, const uint8_t *mac,
	const uint8_t (*addresses)[16], size_t n)
{
	struct net_guard_ip6 guard;

	net_guard_ip6(&guard, mac, addresses, n);
	return add_bpf(rt, o->from, o, NET_FILTER_IP6, ETH_P_IPV6, guard.code, guard.n);
}

int net_filter_guard(
	struct rtnl *rt, unsigned tap, const struct net_interface *interface, bool mark)
{
	static const uint8_t none[4];
	const struct outlet o = redirection(tap, interface->index, mark);
	const uint8_t *mac = interface->mac;
	uint8_t addresses[NET_GUARD_IP6_ADDRESSES][16];
	size_t n = 0;

	int ret = drop_rest(rt, tap);
	if (ret == 0)
		ret = allow_ip4(rt, &o, mac, none);
	for (size_t i = 0; ret == 0 && i < json_array_size(interface->addresses); i++) {
		const json_t *entry = json_array_get(interface->addresses, i);
		const char *text = json_string_value(json_object_get(entry, "address"));
		uint8_t address[4];
		if (text && inet_pton(AF_INET, text, address) == 1)
			ret = allow_ip4(rt, &o, mac, address);
		if (!text || inet_pton(AF_INET6, text, addresses[n]) != 1 ||
			++n < NET_GUARD_IP6_ADDRESSES)
			continue;
		ret = allow_ip6(rt, &o, mac, (const uint8_t(*)[16])addresses, n);
		n = 0;
	}
	/* Also without an address: groups may be joined. */
	return ret < 0 ? ret : allow_ip6(rt, &o, mac, (const uint8_t(*)[16])addresses, n);
}

int net_filter_remove(struct rtnl *rt, unsigned index, unsigned n)
{
	char buf[RTNL_BYTES];
	void *fixed;
	struct nlmsghdr *message = rtnl_begin(buf, RTM_DELTFILTER, 0, &fixed, sizeof(struct tcmsg));
	struct tcmsg *tc = fixed;
	static const uint16_t protocols[NET_FILTER_PRIORITIES] = {[NET_FILTER_UPPER] = ETH_P_ALL,
		[NET_FILTER_SHARED] = ETH_P_ALL,
		[NET_FILTER_ARP] = ETH_P_ARP,
		[NET_FILTER_IP4] = ETH_P_IP,
		[NET_FILTER_IP6] = ETH_P_IPV6,
		[NET_FILTER_REST] = ETH_P_ALL};

	tc->tcm_ifindex = (int)index;
	tc->tcm_parent = NET_FILTER_PARENT;
	tc->tcm_info = TC_H_MAKE((NET_WIRE_PRIORITY + n) << 16, htons(protocols[n]));
	return rtnl_ack(rt, message);
}
