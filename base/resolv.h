/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A resolver in a network namespace's own loopback, as resolv.conf(5) names it: Docker's
 * 127.0.0.11. Host and guest each read the file for themselves.
 */
#ifndef BASE_RESOLV_H
#define BASE_RESOLV_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "base/err.h"

#define RESOLV_CONF	 "/etc/resolv.conf"
#define RESOLV_PORT	 53
#define RESOLV_MAX_BYTES (16u << 10) /* of the file; what is behind is not looked at */

union resolv_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* The first nameserver of the text in 127.0.0.0/8, or that is ::1, with its port; else false. */
bool resolv_find(const char *text, size_t len_bytes, union resolv_address *address);

/* The same of an open file, from its beginning on. False as well when it can't be read. */
bool resolv_read(int fd, union resolv_address *address);

/* The size of an address for system calls. */
socklen_t resolv_bytes(const union resolv_address *address);

#endif
