/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of a container whose virtual machine is wired into a network namespace: which net
 * device of the machine stands for which interface. It is kept in network.json in the container's
 * directory, for several processes have a hand in it, one at a time (network.lock): the `create`
 * or `run` that makes the taps, `start`, and the watcher. `delete` only reads it, when the
 * container has ended.
 */
#ifndef RUNTIME_NETWORK_H
#define RUNTIME_NETWORK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "runtime/container.h"
#include "runtime/net_scan.h"
#include "runtime/netns.h"
#include "runtime/rtnl.h"

struct network_device {
	unsigned tap; /* index in the namespace */
	char tap_name[IFNAMSIZ];
	uint8_t mac[NET_MAC_BYTES]; /* in the net device's config space: what the guest knows it by
				     */
	unsigned interface;	    /* index; 0: a spare */
	bool mark;		    /* see struct net_wire */
	bool retry;		    /* it could not be followed the last time */
};

struct network {
	struct netns_id id;
	char *path; /* of the namespace; NULL: the monitor is who has it */
	struct network_device devices[NET_INTERFACES_MAX];
	unsigned n;
	json_t *wanted; /* names of interfaces that count without addresses */
	bool guard;	/* see net_wire.h */
	uint64_t rx_bytes, tx_bytes;
	json_t *notes; /* texts about interfaces that the container does not get, as logged */
	char without[IFNAMSIZ]; /* at the last look, an interface for which no device is left; "" */
	json_t *now;		/* NETWORK of docs/protocol.md: as it was found last, NULL */
	json_t *sent;		/* as the guest has it, NULL */
	bool mended;		/* the last look made a wire anew; not on record */
};

/* Waits for its turn; released by closing the descriptor. dir is the container's. -errno. */
int network_lock(int dir, struct err *e) must_check;

/* Reads network.json. 0, -ENOENT without e when there is none, -errno with e. */
int network_load(struct network *net, int dir, struct err *e) must_check;
int network_save(const struct network *net, int dir, struct err *e) must_check;
void network_fini(struct network *net);
#define cleanup_network __attribute__((cleanup(network_fini)))

/* A made-up address for a net device: local, not of a group. 0 or -errno. */
int network_make_mac(uint8_t *mac) must_check;

/*
 * Looks around in the namespace of rt, gives spare devices to interfaces that have none, takes
 * those of interfaces that are gone, and sets net->now. The lock is held; net is to be saved also
 * when it fails: with an interface that can't be joined or followed, the first of which is e's, the
 * others are as they should be. What the container does not get is logged when that is new.
 */
int network_scan(struct network *net, struct rtnl *rt, struct err *e) must_check;

/* 0, or -ENOSPC with e when the last look found an interface for which no device is left. */
int network_complete(const struct network *net, struct err *e) must_check;

/* Whether the guest is to be told. */
bool network_changed(const struct network *net);

/* What the guest must be told, NULL: nothing; with the lock, so that it gets no older state later.
 */
struct network_change {
	json_t *network;
	int lock;
	bool found; /* something is not as the last look, whoever's it was, has left it */
};

void network_change_fini(struct network_change *change);
#define cleanup_change __attribute__((cleanup(network_change_fini)))

/*
 * All of it with the state in dir: lock, load, network_scan, save what has changed, and
 * network_complete where it is to be complete; then there is a change only when all is well.
 * *change is the caller's, to be kept until the guest has answered.
 */
int network_sync(int dir, struct rtnl *rt, bool complete, struct network_change *change,
	struct err *e) must_check;

/* The guest has it. */
int network_told(int dir, const struct network_change *change, struct err *e) must_check;

/* Takes away what was made on interfaces in the namespace of rt. 0 or the first -errno. */
int network_part(const struct network *net, struct rtnl *rt) must_check;

/*
 * The namespace of a container's monitor, for network_clean after its end: the namespace may have
 * lost its path, and live on by other processes. A descriptor, or -1 when the monitor lives no
 * more.
 */
int network_hold(const struct container_process *monitor) must_check;

/*
 * The same as network_part for a container that has ended, in the namespace `ns` of network_hold or
 * with -1 the one that is at its path. Never fails.
 */
void network_clean(int dir, int ns);

#endif
