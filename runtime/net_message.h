/* SPDX-License-Identifier: Apache-2.0 */
/* The network as the guest is to have it: NETWORK of docs/protocol.md. */
#ifndef RUNTIME_NET_MESSAGE_H
#define RUNTIME_NET_MESSAGE_H

#include <jansson.h>

#include "runtime/net_scan.h"
#include "runtime/network.h"

/*
 * What the devices' interfaces look like, with the routes and neighbours that go by these; routes
 * that others need come before them. A new reference, NULL without memory.
 */
json_t *net_message(
	const struct net_scan *scan, const struct network_device *devices, unsigned n_devices);

#endif
