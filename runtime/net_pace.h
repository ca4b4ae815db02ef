/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the watcher of a network namespace (net_watch.h) looks around. A moment after something has
 * happened, for changes come in bunches; but the guest, too, can make the kernel tell of changes,
 * of its tap's offloads and queues, which are none to be followed. So looks that find nothing new
 * are further and further apart, up to NET_PACE_PAUSE_MAX_MS, and the first that finds something is
 * soon followed by the next. A look is never later than that after what has happened. Times are
 * those of a clock that only goes forward, in milliseconds.
 */
#ifndef RUNTIME_NET_PACE_H
#define RUNTIME_NET_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define NET_PACE_BUNCH_MS     20
#define NET_PACE_PAUSE_MAX_MS 1000
#define NET_PACE_RETRY_MIN_MS 100 /* the guest is not up yet, paused, or can't */
#define NET_PACE_RETRY_MAX_MS 5000

/* All zero at first. */
struct net_pace {
	int64_t due_ms;	     /* when to look, 0: nothing has happened */
	int64_t earliest_ms; /* not before */
	int pause_ms, retry_ms;
};

/* Something has happened. */
void net_pace_soon(struct net_pace *p, int64_t now_ms);

/*
 * Something failed: later each time until net_pace_done. What has happened is looked at before
 * that, but not at once either: others wait for the lock.
 */
void net_pace_later(struct net_pace *p, int64_t now_ms);

/* A look is over; whether it found what was not so before. */
void net_pace_looked(struct net_pace *p, int64_t now_ms, bool found);

/* All is as it should be. */
void net_pace_done(struct net_pace *p);

#endif
