/* SPDX-License-Identifier: Apache-2.0 */
/* Telling the guest of a running container, by its monitor, what its network is to be. */
#ifndef RUNTIME_NETWORK_TELL_H
#define RUNTIME_NETWORK_TELL_H

#include <jansson.h>
#include <sys/types.h>

#include "base/err.h"

/* Sends the request "network" on a connection to the monitor; the reply is the caller's to await.
 */
int network_send(int sock, json_t *network, struct err *e) must_check;

/*
 * Looks at the network of the container whose directory is dir and whose monitor is the process
 * `monitor`, and tells the guest what has changed; nothing for one that has no interfaces to
 * follow. 0 when the guest has it, or -errno with e.
 */
int network_update(int dir, pid_t monitor, struct err *e) must_check;

#endif
