/* SPDX-License-Identifier: Apache-2.0 */
/* The containers of this guest, by id: made, signalled, reaped, reported. */
#ifndef GUESTINIT_CONTAINER_H
#define GUESTINIT_CONTAINER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "guestinit/create.h"
#include "guestinit/oom.h"
#include "guestinit/streams.h"
#include "guestinit/thrash.h"
#include "guestinit/update.h"

struct exec;
struct guest;
struct resolver;
struct socket_listener;

struct container {
	struct container *next;
	struct guest *guest;
	struct create *create;
	pid_t pid;		   /* 0 once it is reaped */
	struct loop_source report; /* of the child until its exec */
	int report_fd;
	int cgroup_fd;	   /* the directory of its cgroup, -1 */
	uint64_t ns_flags; /* CLONE_NEW* of the namespaces that are its own */
	bool created;	   /* waits for its start */
	bool starting, exec_tried, started;
	bool failed;
	bool drained; /* it has ended, and all of its output went out */
	struct err failure;
	int exit_code; /* of a failure as well */
	bool oom;
	struct thrash thrash;
	struct oom_watch oom_watch;
	struct streams streams;
	struct update_before before_update;
	struct exec *execs;
	struct loop_timer patience; /* with readers on the host, once it has ended itself */
	unsigned patience_ticks;    /* how often that has expired */
	bool killed;		    /* the host wanted its end */
	struct socket_listener *sockets;
	struct resolver *resolver; /* NULL: none */
	bool has_network;	   /* it is in the network that guest->network is about */
	bool network_later;	   /* it will be, once its user namespace is ready */
};

/*
 * Makes a container of a decoded message, which it takes, also on failure. When it returns 0 the
 * rest goes on in the event loop: `created`, `started` or `failed`, and `exited`, are sent from
 * there.
 * *exit_code is the user's on failure.
 */
int guest_container_create(
	struct guest *guest, struct create *create, int *exit_code, struct err *e) must_check;

struct container *guest_container_find(struct guest *guest, const char *id);

/* Starts a created container: `started` or `failed` follows. */
int guest_container_start(struct container *c) must_check;

/* Signals the first process, or all. */
int guest_container_kill(struct container *c, int signal, bool all) must_check;

/*
 * One of its execs, or the last of its sockets, is over and gone; the container may be, too, after
 * this.
 */
void guest_container_rest_over(struct container *c);

/* Reaps every child that has ended. */
void guest_container_reap(struct guest *guest);

/* Offers a stream's connection to the containers: 1 when one took it, 0, or -errno. */
int guest_container_attach(struct guest *guest, uint32_t port, int socket_fd) must_check;

void guest_container_free(struct container *c);

#endif
