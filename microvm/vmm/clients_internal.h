/* SPDX-License-Identifier: Apache-2.0 */
/* What clients.c, requests.c and exec.c share; see clients.h. */
#ifndef MICROVM_VMM_CLIENTS_INTERNAL_H
#define MICROVM_VMM_CLIENTS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "microvm/vmm/clients.h"
#include "microvm/vmm/exec.h"

#define CLIENTS_MAX	   (EXECS_MAX + 64u) /* execs leave places for others */
#define CLIENT_QUEUE_BYTES (256u << 10)	     /* packets that a client does not take */
#define CLIENT_DEPTH_MAX   16

struct client_packet {
	struct client_packet *next;
	size_t len_bytes;
	char bytes[];
};

struct client {
	struct clients *clients;
	struct loop_source sock; /* fd -1: a free place */
	const char *op;		 /* the request that waits for its reply, NULL: none */
	uint64_t seq;		 /* ... and the guest's answer that it needs, 0: none */
	unsigned waited_ticks;
	bool subscribed;
	struct exec *exec;	     /* the process that this connection is for, NULL: none */
	struct client_packet *first; /* for a socket that is full */
	size_t queued_bytes;
};

struct clients {
	struct loop *loop;
	struct session *session;
	struct loop_source listener;
	int listen_fd;
	struct client table[CLIENTS_MAX];
	uint64_t last_seq;	 /* of a question to the guest */
	struct loop_timer timer; /* ticks while somebody waits for the guest */
	bool ticking;
	struct loop_timer oom_timer; /* runs for a while after clients were told of an OOM */
	bool oom_told, oom_again;    /* it runs; there was one more meanwhile */
	struct exec execs[EXECS_MAX];
	uint32_t last_exec;
};

/* clients.c. Sending to a client that is gone, or that goes in the course of it, is fine. */
void client_send(struct client *client, const json_t *packet);
/* The reply to a request; fields may be NULL and its reference is taken. */
void client_reply(struct client *client, const char *op, json_t *fields);
void client_refuse(struct client *client, const char *op, int code, const char *message);
void client_close(struct client *client);
/* The client waits for an answer to question seq: not for ever. */
void client_wait(struct client *client, const char *op, uint64_t seq);

/* requests.c. The descriptors are taken over. */
void client_handle(struct client *client, const json_t *request, int *fds, unsigned n_fds);
/* A guest's answer as the reply to op. */
void client_handle_answer(struct client *client, const char *op, const json_t *answer);

#endif
