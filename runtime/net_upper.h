/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the frames that come in on an interface are for those that stand on it (struct
 * net_uppers), as programs in classic BPF, which the kernel runs on each frame from its Ethernet
 * header on, and behind which the kernel itself hands them over.
 */
#ifndef RUNTIME_NET_UPPER_H
#define RUNTIME_NET_UPPER_H

#include <linux/filter.h>

#include "runtime/net_scan.h"

#define NET_UPPER_MAX (9 + 7 * NET_UPPERS_MAX) /* instructions */

struct net_upper {
	struct sock_filter code[NET_UPPER_MAX];
	unsigned n;
};

/*
 * Of those for one of them, and nobody else, it says that they pass (TC_ACT_OK), of others that
 * the next filter is to say it (TC_ACT_UNSPEC). No instructions when nothing stands on it.
 */
void net_upper_own(struct net_upper *program, const struct net_uppers *uppers);

/*
 * It matches what all are to have: frames to groups, when there are MACVLANs. No instructions when
 * there are none.
 */
void net_upper_shared(struct net_upper *program, const struct net_uppers *uppers);

#endif
