/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver in the loopback of a container's network namespace, which its resolv.conf may name
 * (base/resolv.h): Docker has one for its user-defined networks.
 */
#ifndef RUNTIME_LAUNCH_RESOLVER_H
#define RUNTIME_LAUNCH_RESOLVER_H

struct launch;

/*
 * Has the plan relay it, where the container has such a resolver or may yet get one. After
 * launch_network_prepare; the descriptor in l->plan.resolver is the caller's.
 */
void launch_resolver_open(struct launch *l);

#endif
