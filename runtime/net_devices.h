/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linux.netDevices (OCI runtime specification 1.3, "Network Devices"): interfaces of the host that
 * move into the container's network namespace, with their permanent global addresses, under
 * another name if one is given. They go back, or away, with the namespace: the kernel sees to it.
 */
#ifndef RUNTIME_NET_DEVICES_H
#define RUNTIME_NET_DEVICES_H

#include <jansson.h>

#include "base/err.h"

struct net_devices; /* what was moved, and how it was before */

/*
 * Moves devices (linux.netDevices, has passed the rules) into the namespace ns, where they are
 * set up. *names: what they are called there, a new reference; *moved: for net_devices_undo, or
 * net_devices_free when all is well. 0, or -errno with e naming the JSON path; those moved before
 * are back then.
 */
int net_devices_move(const json_t *devices, int ns, struct net_devices **moved, json_t **names,
	struct err *e) must_check;

/*
 * Moves them back from ns to the caller's network namespace, with their names, addresses and
 * state; logs what fails. Frees moved; NULL is fine.
 */
void net_devices_undo(struct net_devices *moved, int ns);

void net_devices_free(struct net_devices *moved);

#endif
