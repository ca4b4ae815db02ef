/* SPDX-License-Identifier: Apache-2.0 */
/* How often a namespace is looked at; see net_pace.h. */
#include "runtime/net_pace.h"

static int doubled(int ms, int min_ms, int max_ms)
{
	if (!ms)
		return min_ms;
	return ms > max_ms / 2 ? max_ms : 2 * ms;
}

/* Of several reasons the first counts: a namespace in which something happens all the time is
 * looked at all the same, and so is what has happened before something failed. */
static void look_in(struct net_pace *p, int64_t now_ms, int wait_ms)
{
	int64_t due_ms = now_ms + wait_ms;

	if (due_ms < p->earliest_ms)
		due_ms = p->earliest_ms;
	if (!p->due_ms || p->due_ms > due_ms)
		p->due_ms = due_ms;
}

void net_pace_soon(struct net_pace *p, int64_t now_ms)
{
	look_in(p, now_ms, NET_PACE_BUNCH_MS);
}

void net_pace_later(struct net_pace *p, int64_t now_ms)
{
	if (p->earliest_ms < now_ms + NET_PACE_RETRY_MIN_MS)
		p->earliest_ms = now_ms + NET_PACE_RETRY_MIN_MS;
	if (p->due_ms && p->due_ms < p->earliest_ms)
		p->due_ms = p->earliest_ms;
	p->retry_ms = doubled(p->retry_ms, NET_PACE_RETRY_MIN_MS, NET_PACE_RETRY_MAX_MS);
	look_in(p, now_ms, p->retry_ms);
}

void net_pace_looked(struct net_pace *p, int64_t now_ms, bool found)
{
	p->due_ms = 0;
	p->pause_ms = doubled(found ? 0 : p->pause_ms, NET_PACE_BUNCH_MS, NET_PACE_PAUSE_MAX_MS);
	p->earliest_ms = now_ms + p->pause_ms;
}

void net_pace_done(struct net_pace *p)
{
	p->retry_ms = 0;
}
