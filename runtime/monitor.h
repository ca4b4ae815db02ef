/* SPDX-License-Identifier: Apache-2.0 */
/* Talking to the monitor of a running container on ROOT/ID/monitor.sock (docs/protocol.md). */
#ifndef RUNTIME_MONITOR_H
#define RUNTIME_MONITOR_H

#include <jansson.h>

#include "base/err.h"

#define MONITOR_SOCKET	   "monitor.sock"
#define MONITOR_MAX_BYTES  (64u << 10)
#define MONITOR_MAX_DEPTH  32
#define MONITOR_PATIENCE_MS 60000 /* for an answer that needs the guest */

/* A listening socket in the directory dir (a descriptor), for the monitor to inherit; or -errno. */
int monitor_listen(int dir, struct err *e) must_check;

/*
 * Connects to the monitor of the container whose directory is dir. The descriptor, or -errno:
 * -ECONNREFUSED and -ENOENT with "container not running".
 */
int monitor_connect(int dir, struct err *e) must_check;

/* Sends one packet, of which it takes the reference, with at most FD_PASS_MAX descriptors. */
int monitor_send(int sock, json_t *packet, const int *fds, unsigned n_fds, struct err *e) must_check;

/*
 * The next packet, a new reference, or NULL with e: -ETIMEDOUT after timeout_ms (-1: never),
 * -ECONNRESET "container not running" when the monitor is gone.
 */
json_t *monitor_receive(int sock, int timeout_ms, struct err *e) must_check;

/*
 * 0 when the reply says "ok", else -EINVAL with the monitor's words in e. *code (may be NULL) is
 * set when the failure came with an exit code.
 */
int monitor_result(const json_t *reply, int *code, struct err *e) must_check;

/*
 * One request and its reply on a connection of its own. 0 with *reply (may be NULL: not wanted)
 * the caller's; or -errno with the monitor's own words in e. *code, when not NULL, is the exit
 * code that a failure came with, or 0.
 */
int monitor_request(int dir, json_t *request, int timeout_ms, json_t **reply, int *code,
	struct err *e) must_check;

#endif
