/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network's part of starting a container: which network it gets, the taps or the passt that
 * carry it, and the watcher that follows what changes. What is made is in the container's state,
 * where teardown finds it.
 */
#ifndef RUNTIME_LAUNCH_NETWORK_H
#define RUNTIME_LAUNCH_NETWORK_H

#include <sys/types.h>

#include "base/err.h"
#include "runtime/net_tap.h"
#include "runtime/net_user.h"
#include "runtime/network.h"
#include "runtime/rtnl.h"

struct launch;

struct launch_network {
	int ns;		  /* the namespace of the monitor; -1: the caller's */
	const char *path; /* of one that is not ours alone; NULL */
	bool own;	  /* one without a path is asked for */
	bool follow; /* its interfaces become the VM's */
	struct rtnl rt;
	struct network state;
	struct net_tap taps[NET_INTERFACES_MAX];
	unsigned n_taps;
	bool by_user; /* passt carries it */
	struct net_user user;
	int stream; /* the VM's end of passt's socket */
	pid_t passt, watcher;
	struct net_devices *devices; /* moved for a container that may yet fail; NULL */
};

/* For launch_network_close in any case. */
void launch_network_init(struct launch_network *net);

/*
 * Decides which network it is, and adds what the container's files must have for it. Before the
 * exports are opened.
 */
int launch_network_choose(struct launch *l, struct err *e) must_check;

/* Namespace, devices, taps and wires; fills in the plan. With the container's directory. */
int launch_network_prepare(struct launch *l, struct err *e) must_check;

/* passt, where it is wanted: before the monitor's plan is made. */
int launch_network_start(struct launch *l, struct err *e) must_check;

/* The watcher: when the monitor has been started. */
int launch_network_watch(struct launch *l, struct err *e) must_check;

/* Once more, after hooks, before the container is created. */
int launch_network_again(struct launch *l, struct err *e) must_check;

/* The container runs, or is there to stay: the host's network devices that it was given are its. */
void launch_network_keep(struct launch_network *net);

/* Without launch_network_keep before, devices of the host's go back. */
void launch_network_close(struct launch_network *net);

#endif
