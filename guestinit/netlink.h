/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnetlink(7), as little of it as guestinit needs: one request, its answers, the kernel's own
 * words about a failure. (Debian has no static libmnl, and guestinit is static.)
 */
#ifndef GUESTINIT_NETLINK_H
#define GUESTINIT_NETLINK_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define NETLINK_REQUEST_BYTES 2048  /* a route with 32 ways takes half of it */
#define NETLINK_ANSWER_BYTES  32768 /* what the kernel fills at most for one read of a dump */

struct netlink {
	int fd;
	uint32_t seq;
	char why[160]; /* the kernel's words about the last failure, or "" */
	_Alignas(NLMSG_ALIGNTO) char answer[NETLINK_ANSWER_BYTES];
};

struct netlink_request {
	union {
		struct nlmsghdr header;
		char bytes[NETLINK_REQUEST_BYTES];
	};
	int fault; /* -EMSGSIZE once something did not fit */
};

/* Receives each message of an answer; a negative value ends the request with it. */
typedef int netlink_each(const struct nlmsghdr *message, void *arg);

/* A socket in the caller's network namespace, where it stays. 0 or -errno. */
int netlink_open(struct netlink *nl) must_check;
void netlink_close(struct netlink *nl);

/* Begins a request of RTM_… `type` and NLM_F_… flags with its fixed part. */
void netlink_begin(struct netlink_request *r, uint16_t type, uint16_t flags, const void *fixed,
	size_t fixed_bytes);
void netlink_put(struct netlink_request *r, uint16_t type, const void *data, size_t len_bytes);
void netlink_put_u32(struct netlink_request *r, uint16_t type, uint32_t value);
void netlink_put_text(struct netlink_request *r, uint16_t type, const char *text);

/* Sends the request and waits for the end of its answer; each may be NULL. 0 or -errno. */
int netlink_talk(
	struct netlink *nl, struct netlink_request *r, netlink_each *each, void *arg) must_check;

/*
 * The attribute of a message behind its fixed part, if it has at least min_bytes; or NULL. Its
 * bytes are at RTA_DATA, RTA_PAYLOAD of them.
 */
const struct rtattr *netlink_attr(const struct nlmsghdr *message, size_t fixed_bytes, uint16_t type,
	size_t min_bytes) must_check;

/* The same of an attribute that holds others; of NULL there is none. */
const struct rtattr *netlink_attr_in(
	const struct rtattr *outer, uint16_t type, size_t min_bytes) must_check;

#endif
