/* SPDX-License-Identifier: Apache-2.0 */
/* Routing netlink; see rtnl.h. */
#include "runtime/rtnl.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/netns.h"

#define RECEIVE_BYTES 65536

void rtnl_init(struct rtnl *rt, int fd)
{
	*rt = (struct rtnl){.fd = fd, .seq = 1};
}

void rtnl_close(struct rtnl *rt)
{
	fd_closep(&rt->fd);
}

int rtnl_open(struct rtnl *rt, int ns, struct err *e)
{
	int fd = -1;

	rtnl_init(rt, -1);
	if (ns >= 0) {
		int ret = netns_files(ns, NETNS_ROUTE, &fd, 1, e);
		if (ret < 0)
			return ret;
	} else {
		fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
		if (fd < 0)
			return err_sys(e, errno, "a netlink socket");
	}
	rtnl_init(rt, fd);
	return 0;
}

struct nlmsghdr *rtnl_begin(
	char *buf, uint16_t type, uint16_t flags, void **extra, size_t extra_bytes)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buf);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	*extra = mnl_nlmsg_put_extra_header(message, extra_bytes);
	return message;
}

static int send_message(struct rtnl *rt, struct nlmsghdr *message)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	message->nlmsg_seq = ++rt->seq;
	ssize_t n = sendto(
		rt->fd, message, message->nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof(kernel));
	return n < 0 ? -errno : 0;
}

static ssize_t receive(const struct rtnl *rt, char *buf)
{
	ssize_t n;

	do
		n = recv(rt->fd, buf, RECEIVE_BYTES, MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n > RECEIVE_BYTES ? -EMSGSIZE : n;
}

/* An error message's code: 0 is an acknowledgement. */
static int verdict(const struct nlmsghdr *message)
{
	const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*error))
		return -EBADMSG;
	return error->error;
}

/* The end of a list may tell of a failure as well. */
static int done(const struct nlmsghdr *message)
{
	const int *code = mnl_nlmsg_get_payload(message);

	return mnl_nlmsg_get_payload_len(message) >= sizeof(*code) && *code < 0 ? *code : 0;
}

int rtnl_ack(struct rtnl *rt, struct nlmsghdr *message)
{
	char buf[RECEIVE_BYTES];

	message->nlmsg_flags |= NLM_F_ACK;
	int ret = send_message(rt, message);
	while (ret == 0) {
		ssize_t n = receive(rt, buf);
		if (n < 0)
			return (int)n;
		int left = (int)n;
		for (const struct nlmsghdr *at = (void *)buf; mnl_nlmsg_ok(at, left);
			at = mnl_nlmsg_next(at, &left))
			if (at->nlmsg_seq == rt->seq && at->nlmsg_type == NLMSG_ERROR)
				return verdict(at);
	}
	return ret;
}

int rtnl_dump(struct rtnl *rt, struct nlmsghdr *message,
	int (*take)(const struct nlmsghdr *entry, void *arg), void *arg)
{
	char buf[RECEIVE_BYTES];
	bool torn = false;
	int result = 0;

	message->nlmsg_flags |= NLM_F_DUMP;
	int ret = send_message(rt, message);
	if (ret < 0)
		return ret;
	for (;;) {
		ssize_t n = receive(rt, buf);
		if (n < 0)
			return (int)n;
		int left = (int)n;
		for (const struct nlmsghdr *at = (void *)buf; mnl_nlmsg_ok(at, left);
			at = mnl_nlmsg_next(at, &left)) {
			if (at->nlmsg_seq != rt->seq)
				continue;
			torn |= (at->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
			if (at->nlmsg_type == NLMSG_ERROR)
				return verdict(at);
			if (at->nlmsg_type == NLMSG_DONE)
				return result < 0 ? result : torn ? -EINTR : done(at);
			/* To the end in any case, for the socket is used again. */
			if (result == 0 && at->nlmsg_type >= NLMSG_MIN_TYPE)
				result = take(at, arg);
		}
	}
}

struct nlmsghdr *rtnl_link_begin(char *buf, unsigned index, struct ifinfomsg **link)
{
	void *fixed;
	struct nlmsghdr *message =
		rtnl_begin(buf, RTM_NEWLINK, 0, &fixed, sizeof(struct ifinfomsg));

	*link = fixed;
	(*link)->ifi_index = (int)index;
	return message;
}

int rtnl_link_set(struct rtnl *rt, unsigned index, unsigned mtu, bool up)
{
	char buf[RTNL_BYTES];
	struct ifinfomsg *link;
	struct nlmsghdr *message = rtnl_link_begin(buf, index, &link);

	link->ifi_change = IFF_UP;
	link->ifi_flags = up ? IFF_UP : 0;
	if (mtu)
		mnl_attr_put_u32(message, IFLA_MTU, mtu);
	return rtnl_ack(rt, message);
}
