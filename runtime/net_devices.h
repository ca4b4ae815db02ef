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

/*
 * Moves devices (linux.netDevices, has passed the rules) into the namespace ns, where they are
 * set up. *names: what they are called there, a new reference. 0, or -errno with e naming the
 * JSON path; those moved before stay.
 */
int net_devices_move(const json_t *devices, int ns, json_t **names, struct err *e) must_check;

#endif
