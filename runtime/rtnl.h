/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the kernel's routing netlink, over libmnl: one that is acknowledged, and one that is
 * answered with a list. The socket's namespace is the one that is spoken of.
 */
#ifndef RUNTIME_RTNL_H
#define RUNTIME_RTNL_H

#include <libmnl/libmnl.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Room for one message: the largest is an interface with its attributes. */
#define RTNL_BYTES 16384

/* libmnl's loops over attributes, which are macros, take lengths for int. */
#pragma GCC diagnostic ignored "-Wconversion"

struct ifinfomsg;

struct rtnl {
	int fd; /* -1 */
	uint32_t seq;
};

/* Takes over a socket of netns_files. */
void rtnl_init(struct rtnl *rt, int fd);
void rtnl_close(struct rtnl *rt);
#define cleanup_rtnl __attribute__((cleanup(rtnl_close)))

/* A socket into the namespace ns, or with -1 into the caller's own. 0 or -errno with e. */
int rtnl_open(struct rtnl *rt, int ns, struct err *e) must_check;

/* Begins a message in buf (RTNL_BYTES) with extra_bytes for its fixed part, which is zeroed. */
struct nlmsghdr *rtnl_begin(
	char *buf, uint16_t type, uint16_t flags, void **extra, size_t extra_bytes);

/* Sends it and waits for the kernel's word: 0 or -errno as the kernel says. */
int rtnl_ack(struct rtnl *rt, struct nlmsghdr *message) must_check;

/*
 * Sends it as a request for a list and calls take for each entry; take returns 0 or -errno, which
 * ends it. -EINTR when the list changed while it was read: ask again.
 */
int rtnl_dump(struct rtnl *rt, struct nlmsghdr *message,
	int (*take)(const struct nlmsghdr *entry, void *arg), void *arg) must_check;

/* Begins a change of the link with that index; *link is the message's fixed part. */
struct nlmsghdr *rtnl_link_begin(char *buf, unsigned index, struct ifinfomsg **link);

/* Up or down, and its MTU in bytes (0: as it is). 0 or -errno. */
int rtnl_link_set(struct rtnl *rt, unsigned index, unsigned mtu, bool up) must_check;

#endif
