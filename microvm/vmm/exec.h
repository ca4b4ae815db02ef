/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Further processes in a running container, one per client connection (docs/protocol.md,
 * "Clients"). The guest starts the process; its streams are vsock connections from ports of their
 * own to the descriptors that the client sent along. A process lives in a place of the table from
 * the request until the guest has told its end and all of its streams are over, whatever becomes of
 * the client.
 *
 * Only EXECS_STARTING of them are begun at a time, the others wait their turn: a guest's kernel
 * keeps few connections that nobody has accepted yet, and refuses more.
 */
#ifndef MICROVM_VMM_EXEC_H
#define MICROVM_VMM_EXEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/msg.h"

#define EXECS_MAX	    256u
#define EXECS_STARTING	    8u
#define EXEC_STREAMS	    (3u + MSG_PRESERVED_MAX)
#define EXEC_PRESERVED	    3u
#define EXEC_CONNECTING	    24u	  /* streams that the guest has not accepted yet, at most */
#define EXEC_PORT_FIRST	    4096u /* and upwards, EXEC_PRESERVED for each process */
#define EXEC_PORT_PRESERVED (UINT32_C(1) << 30) /* and upwards, MSG_PRESERVED_MAX for each */

struct client;
struct clients;
struct exec;

struct exec_stream {
	struct exec *exec;
	uint32_t host_port;
	bool input;  /* of one that is preserved: the process reads from it */
	bool output; /* the process writes to it, and its end is told after this stream's */
	bool open, connected, done;
};

struct exec {
	struct clients *clients;
	struct client *client; /* NULL: gone, or told the end */
	uint32_t number;       /* "e7" is its name for the guest; 0: a free place */
	bool terminal, started;
	unsigned n_preserved; /* streams from EXEC_PRESERVED on; a terminal's one is 0 */
	bool over;	      /* the guest has told its end */
	int code;
	json_t *message; /* for the guest, while it waits its turn; else NULL */
	int fds[EXEC_STREAMS];
	struct exec_stream streams[EXEC_STREAMS];
};

/* A client's request and, later on the same connection, what it says to the process. */
void exec_start(struct client *client, const json_t *request, int *fds, unsigned n_fds);
void exec_request(struct exec *exec, const json_t *request);
void exec_client_gone(struct exec *exec);

/* The monitor ends: clients are told. */
void exec_close_all(struct clients *clients);

#endif
