/* SPDX-License-Identifier: Apache-2.0 */
/* Taps; see net_tap.h. */
#include "runtime/net_tap.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "runtime/netns.h"

static int attach(struct net_tap *tap, struct err *e)
{
	struct ifreq request = {.ifr_name = NET_TAP_PREFIX "%d"};
	int flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;

	if (tap->n_queues > 1)
		flags |= IFF_MULTI_QUEUE;
	for (unsigned i = 0; i < tap->n_queues; i++) {
		/* With the first the kernel fills in the number, the others have the name. */
		request.ifr_flags = (short)flags;
		if (ioctl(tap->queues[i], TUNSETIFF, &request) < 0)
			return err_sys(e, errno, "making a tap%s",
				errno == EPERM
					? " (it takes CAP_NET_ADMIN in the network namespace)"
					: "");
	}
	snprintf(tap->name, sizeof(tap->name), "%s", request.ifr_name);
	return 0;
}

static int keep_index(const struct nlmsghdr *message, void *arg)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	struct net_tap *tap = arg;
	const struct nlattr *attr;

	mnl_attr_for_each (attr, message, sizeof(*link))
		if (mnl_attr_get_type(attr) == IFLA_IFNAME &&
			strcmp(mnl_attr_get_str(attr), tap->name) == 0)
			tap->index = (unsigned)link->ifi_index;
	return 0;
}

static int find_index(struct rtnl *rt, struct net_tap *tap)
{
	char buf[RTNL_BYTES];
	void *fixed;
	struct nlmsghdr *message =
		rtnl_begin(buf, RTM_GETLINK, 0, &fixed, sizeof(struct ifinfomsg));

	int ret = rtnl_dump(rt, message, keep_index, tap);
	if (ret < 0 && !(ret == -EINTR && tap->index))
		return ret;
	return tap->index ? 0 : -ENODEV;
}

/* Without addresses of its own, so that the host says nothing on it. */
static int silence(struct rtnl *rt, unsigned index)
{
	char buf[RTNL_BYTES];
	struct ifinfomsg *link;
	struct nlmsghdr *message = rtnl_link_begin(buf, index, &link);
	struct nlattr *spec = mnl_attr_nest_start(message, IFLA_AF_SPEC);
	struct nlattr *inet6 = mnl_attr_nest_start(message, AF_INET6);
	mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(message, inet6);
	mnl_attr_nest_end(message, spec);
	int ret = rtnl_ack(rt, message);
	/* A host without IPv6 has nothing to be silenced. */
	return ret == -EAFNOSUPPORT || ret == -EOPNOTSUPP ? 0 : ret;
}

int net_tap_make(struct net_tap *tap, int ns, struct rtnl *rt, unsigned n_queues, struct err *e)
{
	*tap = (struct net_tap){.n_queues = 0};
	int ret = netns_files(ns, NETNS_TUN, tap->queues, n_queues, e);
	if (ret < 0)
		return ret;
	tap->n_queues = n_queues;
	ret = attach(tap, e);
	if (ret == 0) {
		int code = find_index(rt, tap);
		if (code == 0)
			code = silence(rt, tap->index);
		if (code < 0)
			ret = err_sys(e, -code, "%s", tap->name);
	}
	if (ret < 0)
		net_tap_close(tap);
	return ret;
}

void net_tap_close(struct net_tap *tap)
{
	for (unsigned i = 0; i < tap->n_queues; i++)
		fd_closep(&tap->queues[i]);
	tap->n_queues = 0;
}
