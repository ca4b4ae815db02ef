/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets by netlink; see net_rate.h. */
#include "runtime/net_rate.h"

#include <errno.h>
#include <limits.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

/* The bucket: a 20th of a second, and no less than the largest frame of a segmenting sender. */
#define BURSTS_PER_S	20
#define BURST_MIN_BYTES (128u << 10)
#define QUEUE_BYTES	(512u << 10)

static struct nlmsghdr *begin(
	char *buf, uint16_t type, uint16_t flags, unsigned index, uint32_t handle)
{
	void *fixed;
	struct nlmsghdr *message = rtnl_begin(buf, type, flags, &fixed, sizeof(struct tcmsg));
	struct tcmsg *tc = fixed;

	tc->tcm_ifindex = (int)index;
	tc->tcm_parent = TC_H_ROOT;
	tc->tcm_handle = handle;
	return message;
}

int net_rate_set(struct rtnl *rt, unsigned index, uint64_t bytes)
{
	char buf[RTNL_BYTES];
	struct tc_tbf_qopt parms = {.rate = {.linklayer = TC_LINKLAYER_ETHERNET}};
	uint64_t burst = bytes / BURSTS_PER_S;

	if (!bytes)
		return 0;
	if (burst < BURST_MIN_BYTES)
		burst = BURST_MIN_BYTES;
	if (burst > INT_MAX / 2)
		burst = INT_MAX / 2;
	parms.rate.rate = bytes >= UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
	parms.limit = (uint32_t)burst + QUEUE_BYTES;
	struct nlmsghdr *message =
		begin(buf, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, index, NET_RATE_HANDLE);
	mnl_attr_put_strz(message, TCA_KIND, "tbf");
	struct nlattr *options = mnl_attr_nest_start(message, TCA_OPTIONS);
	mnl_attr_put(message, TCA_TBF_PARMS, sizeof(parms), &parms);
	mnl_attr_put_u32(message, TCA_TBF_BURST, (uint32_t)burst);
	mnl_attr_put_u64(message, TCA_TBF_RATE64, bytes);
	mnl_attr_nest_end(message, options);
	return rtnl_ack(rt, message);
}

int net_rate_remove(struct rtnl *rt, unsigned index)
{
	char buf[RTNL_BYTES];

	/* Only one with our handle: else the kernel says that it is none. */
	int ret = rtnl_ack(rt, begin(buf, RTM_DELQDISC, 0, index, NET_RATE_HANDLE));
	return ret == -ENOENT || ret == -EINVAL ? 0 : ret;
}
