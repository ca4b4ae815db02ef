/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network namespaces. This process never enters one: a forked child does, opens sockets and
 * /dev/net/tun there, and hands them back. A socket belongs for good to the namespace in which it
 * was made, so all that is to be done in one can be done from outside.
 */
#ifndef RUNTIME_NETNS_H
#define RUNTIME_NETNS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"

/* A network namespace. What a descriptor refers to, whatever its path is called later. */
struct netns_id {
	dev_t device;
	ino_t inode;
};

/* Opens the namespace at path. The descriptor, or -errno with e (-EINVAL: not of that kind). */
int netns_open(const char *path, struct err *e) must_check;

/* A new one, empty but for loopback. The descriptor, or -errno (-EPERM without the privilege). */
int netns_new(struct err *e) must_check;

/* 0 or -errno. */
int netns_identify(int ns, struct netns_id *id) must_check;
bool netns_same(const struct netns_id *a, const struct netns_id *b);

/*
 * Whether it is the network that the host itself lives by: the namespace of pid 1. Where that
 * can't be read, as without privileges or in another user namespace, it is that of the oldest of
 * our ancestors whose namespace can. A caller's own is not by itself the host's: it may have been
 * made for what is to be run in it, as with `ip netns exec`.
 */
bool netns_is_host(int ns) must_check;

enum netns_file {
	NETNS_ROUTE, /* a netlink socket of family NETLINK_ROUTE */
	NETNS_TUN,   /* /dev/net/tun: its interface is made in that namespace */
};

/*
 * Opens n files of a kind inside the namespace into fds, the caller's. 0, or -errno with e and
 * none open.
 */
int netns_files(int ns, enum netns_file kind, int *fds, unsigned n, struct err *e) must_check;

#endif
