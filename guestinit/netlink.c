/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to rtnetlink; see netlink.h. */
#include "guestinit/netlink.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

int netlink_open(struct netlink *nl)
{
	const int on = 1;

	nl->seq = 0;
	nl->why[0] = '\0';
	nl->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (nl->fd < 0)
		return -errno;
	/* Older kernels than any of ours have no words, and echo requests whole: both are fine. */
	(void)!setsockopt(nl->fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
	(void)!setsockopt(nl->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on));
	return 0;
}

void netlink_close(struct netlink *nl)
{
	fd_closep(&nl->fd);
}

/* Room for len_bytes behind what is there, zeroed, or NULL. */
static void *request_room(struct netlink_request *r, size_t len_bytes)
{
	size_t used = NLMSG_ALIGN(r->header.nlmsg_len);

	if (used > sizeof(r->bytes) || len_bytes > sizeof(r->bytes) - used) {
		r->fault = -EMSGSIZE;
		return NULL;
	}
	r->header.nlmsg_len = (uint32_t)(used + len_bytes);
	return r->bytes + used;
}

void netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags, const void *fixed,
	size_t fixed_bytes)
{
	memset(r, 0, sizeof(*r));
	r->header = (struct nlmsghdr){.nlmsg_len = NLMSG_HDRLEN,
		.nlmsg_type = type,
		.nlmsg_flags = (uint16_t)(flags | NLM_F_REQUEST | NLM_F_ACK)};
	void *room = request_room(r, fixed_bytes);
	if (room)
		memcpy(room, fixed, fixed_bytes);
}

void netlink_put(struct netlink_request *r, uint16_t type, const void *data, size_t len_bytes)
{
	struct rtattr *attr =
		len_bytes < NETLINK_REQUEST_BYTES ? request_room(r, RTA_LENGTH(len_bytes)) : NULL;

	if (!attr) {
		r->fault = -EMSGSIZE;
		return;
	}
	attr->rta_type = type;
	attr->rta_len = (unsigned short)RTA_LENGTH(len_bytes);
	memcpy(RTA_DATA(attr), data, len_bytes);
}

void netlink_put_u32(struct netlink_request *r, uint16_t type, uint32_t value)
{
	netlink_put(r, type, &value, sizeof(value));
}

void netlink_put_text(struct netlink_request *r, uint16_t type, const char *text)
{
	netlink_put(r, type, text, strlen(text) + 1);
}

static const struct rtattr *attr_find(
	const char *attrs, size_t len_bytes, uint16_t type, size_t min_bytes)
{
	while (len_bytes >= sizeof(struct rtattr)) {
		const struct rtattr *attr = (const void *)attrs;
		if (attr->rta_len < sizeof(*attr) || attr->rta_len > len_bytes)
			return NULL;
		if ((attr->rta_type & NLA_TYPE_MASK) == type)
			return RTA_PAYLOAD(attr) >= min_bytes ? attr : NULL;
		size_t step = RTA_ALIGN((size_t)attr->rta_len);
		if (step > len_bytes)
			return NULL;
		attrs += step;
		len_bytes -= step;
	}
	return NULL;
}

const struct rtattr *netlink_attr(
	const struct nlmsghdr *message, size_t fixed_bytes, uint16_t type, size_t min_bytes)
{
	size_t head = NLMSG_HDRLEN + NLMSG_ALIGN(fixed_bytes);

	if (message->nlmsg_len < head)
		return NULL;
	return attr_find((const char *)message + head, message->nlmsg_len - head, type, min_bytes);
}

const struct rtattr *netlink_attr_in(const struct rtattr *outer, uint16_t type, size_t min_bytes)
{
	return outer ? attr_find(RTA_DATA(outer), RTA_PAYLOAD(outer), type, min_bytes) : NULL;
}

/* The end of an answer; 0 or what the kernel refused with. */
static int talk_end(struct netlink *nl, const struct nlmsghdr *message)
{
	const struct nlmsgerr *error = NLMSG_DATA(message);

	if (message->nlmsg_len < NLMSG_LENGTH(sizeof(*error)))
		return -EPROTO;
	if (error->error && (message->nlmsg_flags & NLM_F_ACK_TLVS) &&
		(message->nlmsg_flags & NLM_F_CAPPED)) {
		const struct rtattr *text =
			netlink_attr(message, sizeof(*error), NLMSGERR_ATTR_MSG, 1);
		if (text)
			snprintf(nl->why, sizeof(nl->why), "%.*s", (int)RTA_PAYLOAD(text),
				(const char *)RTA_DATA(text));
	}
	return error->error;
}

/* Goes through what was read; 1 when the answer is at its end, 0 when more must come. */
static int talk_read(struct netlink *nl, size_t len_bytes, netlink_each *each, void *arg)
{
	const char *at = nl->answer;

	while (len_bytes >= NLMSG_HDRLEN) {
		const struct nlmsghdr *message = (const void *)at;
		if (message->nlmsg_len < NLMSG_HDRLEN || message->nlmsg_len > len_bytes)
			return -EPROTO;
		if (message->nlmsg_seq == nl->seq) {
			if (message->nlmsg_type == NLMSG_DONE)
				return 1;
			int ret = 0;
			if (message->nlmsg_type == NLMSG_ERROR) {
				ret = talk_end(nl, message);
				return ret < 0 ? ret : 1;
			}
			if (each)
				ret = each(message, arg);
			if (ret < 0)
				return ret;
		}
		size_t step = NLMSG_ALIGN((size_t)message->nlmsg_len);
		if (step > len_bytes)
			break;
		at += step;
		len_bytes -= step;
	}
	return 0;
}

int netlink_talk(struct netlink *nl, struct netlink_request *r, netlink_each *each, void *arg)
{
	ssize_t n;
	int ret = r->fault;

	nl->why[0] = '\0';
	r->header.nlmsg_seq = ++nl->seq;
	if (ret == 0 && send(nl->fd, r->bytes, r->header.nlmsg_len, 0) < 0)
		ret = -errno;
	while (ret == 0) {
		do {
			n = recv(nl->fd, nl->answer, sizeof(nl->answer), MSG_TRUNC);
		} while (n < 0 && errno == EINTR);
		if (n < 0)
			return -errno;
		if ((size_t)n > sizeof(nl->answer))
			return -EMSGSIZE;
		ret = talk_read(nl, (size_t)n, each, arg);
	}
	return ret < 0 ? ret : 0;
}
