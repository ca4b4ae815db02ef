/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver that a container's resolv.conf names in the loopback of its network namespace
 * (base/resolv.h): on the host it is there, in the guest guestinit is it. Connections are relayed
 * to the host's vsock port as they are, queries by UDP become such connections of one message each
 * (RFC 1035, 4.2.2).
 */
#ifndef GUESTINIT_RESOLVER_H
#define GUESTINIT_RESOLVER_H

struct container;

/*
 * Listens, if the create message has a resolver and the container's file names one; else, or where
 * that fails, the container does without, with a warning. When the container's process has its
 * root and its namespaces, before it becomes the program: from then on the host knows no other
 * address than that which the file has now.
 */
void guest_resolver_start(struct container *c);

/* Ends what is under way by UDP, and listening; connections are those of sockets_end. */
void guest_resolver_close(struct container *c);

#endif
