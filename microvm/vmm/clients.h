/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The clients of a container: processes that connect to the monitor's listening socket to start it,
 * signal it, stop its VM for a while, run further processes in it, and so on (docs/protocol.md,
 * "Control sockets"). One JSON object per packet, one request at a time on a connection.
 *
 *  clients.c   connections: who is there, packets in and out, who is told what at the end
 *  requests.c  what each request does
 *  exec.c      further processes: their messages, their streams
 *
 * Everything is called by the loop's thread. Where a struct clients is taken from the session,
 * NULL is fine: then there is no listening socket.
 */
#ifndef MICROVM_VMM_CLIENTS_H
#define MICROVM_VMM_CLIENTS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "base/loop.h"

struct clients;
struct session;

/* Takes listen_fd over, on failure too. session outlives it and may get it as its clients. */
int clients_create(struct clients **out, struct loop *loop, int listen_fd, struct session *session,
	struct err *e) must_check;
/* NULL is fine. Only when no callback of a stream can come any more. */
void clients_free(struct clients *clients);

/* From the session: the container runs; it has ended, or could not be started (message). */
void clients_container_started(struct clients *clients);
void clients_container_over(struct clients *clients, int code, const char *message);
/*
 * Whether all output of processes that the guest had sent is with those who wait for it; when
 * `settled`, connections that were never made are not waited for.
 */
bool clients_output_done(const struct clients *clients, bool settled);
/* The end: everyone who waits is told, all connections are closed. Any number of times. */
void clients_close_all(struct clients *clients);

/* From the guest; -EPROTO for what nobody can have asked for. */
int clients_answer(struct clients *clients, const json_t *message) must_check;
int clients_exec_started(struct clients *clients, const json_t *message) must_check;
int clients_exec_exited(struct clients *clients, const json_t *message) must_check;
int clients_exec_failed(struct clients *clients, const json_t *message) must_check;
/*
 * Any number of times: subscribers hear of it at once, and of those that come within a second after
 * that by one event at its end.
 */
void clients_oom(struct clients *clients);

#endif
