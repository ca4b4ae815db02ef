/* SPDX-License-Identifier: Apache-2.0 */
/* How much an interface may send: a token bucket as its root queue; see net_wire.h. */
#ifndef RUNTIME_NET_RATE_H
#define RUNTIME_NET_RATE_H

#include <stdint.h>

#include "base/err.h"
#include "runtime/rtnl.h"

#define NET_RATE_HANDLE 0x68760000u

/* Limits what it sends to bytes a second; 0: no limit of ours. 0 or -errno. */
int net_rate_set(struct rtnl *rt, unsigned index, uint64_t bytes) must_check;

/* Removes the limit, if it is ours. */
int net_rate_remove(struct rtnl *rt, unsigned index) must_check;

#endif
