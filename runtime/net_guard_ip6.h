/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which IPv6 packets a guest may send that may only speak for itself, as a program in classic BPF,
 * which the kernel runs on each frame from its Ethernet header on. It says 1 to a frame
 *
 * - with the MAC of the interface as its source, and
 * - with one of its addresses as its source; or none (::), if it looks for another with one of
 *   those addresses (RFC 4862, 5.4.2), joins groups (RFC 3590) or looks for routers,
 *
 * and that does not redirect others' traffic (RFC 4861): it is no router advertisement and no
 * redirect, and a neighbour advertisement for its source address only. Extension headers are gone
 * through (hop-by-hop options, routing, fragment, destination options); behind one there may be
 * none of these messages or solicitations, as RFC 6980 says of fragments, and after four of them
 * what follows must be something else. Fragments but the first are judged by their addresses alone.
 */
#ifndef RUNTIME_NET_GUARD_IP6_H
#define RUNTIME_NET_GUARD_IP6_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/net_scan.h"

#define NET_GUARD_IP6_ADDRESSES 16  /* of one program: a dump of filters must take it */
#define NET_GUARD_IP6_MAX	512 /* instructions */

struct net_guard_ip6 {
	struct sock_filter code[NET_GUARD_IP6_MAX];
	unsigned n;
};

/*
 * The program for the interface and n of its addresses, no more than NET_GUARD_IP6_ADDRESSES. With
 * more addresses there are several programs: what one of them lets pass may pass.
 */
void net_guard_ip6(struct net_guard_ip6 *guard, const uint8_t mac[NET_MAC_BYTES],
	const uint8_t (*addresses)[16], size_t n);

#endif
