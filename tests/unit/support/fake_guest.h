/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session with clients whose guest, vsock device and engine are the test. Texts may have single
 * quotes for double ones.
 */
#ifndef TESTS_UNIT_SUPPORT_FAKE_GUEST_H
#define TESTS_UNIT_SUPPORT_FAKE_GUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "microvm/vmm/clients.h"
#include "microvm/vmm/session.h"

#define FAKE_CONNS_MAX	1024
#define FAKE_EVENTS_MAX 8

struct fake_conn {
	uint32_t host_port; /* 0: over */
	int rd_fd, wr_fd;
	const struct vsock_conn_events *events;
	void *arg;
	bool cut; /* by the session's disconnect */
};

struct fake_guest {
	struct loop loop;
	struct session session;
	struct clients *clients;
	struct sockaddr_un name;
	int agent; /* the guest's end */
	struct fake_conn conns[FAKE_CONNS_MAX];
	unsigned n_conns;
	int connect_result;
	bool paused;
	bool relays_open; /* the device's word on connections to sockets */
	unsigned stops, finishes;
	int exit_code;
	json_t *events[FAKE_EVENTS_MAX];
	unsigned n_events;
};

int fake_guest_setup(void **state, bool hold);
int fake_guest_teardown(void **state);

void fake_guest_pump(struct fake_guest *g);
void fake_guest_boot(struct fake_guest *g); /* to its greeting */
void fake_guest_run(struct fake_guest *g);  /* ... and a running container, all heard */
void fake_guest_say(struct fake_guest *g, const char *text);
/* The next message to the guest, of this type (NULL: none); a new reference. */
json_t *fake_guest_hear(struct fake_guest *g, const char *type);
bool fake_guest_silent(struct fake_guest *g);
const char *fake_guest_event(struct fake_guest *g, unsigned i); /* hvrun's */

/* A connection to host port, or NULL. */
struct fake_conn *fake_guest_conn(struct fake_guest *g, uint32_t host_port);
/* The guest has accepted it; has shut it down; it is over. */
void fake_guest_conn_connected(struct fake_conn *conn);
void fake_guest_conn_drained(struct fake_conn *conn);
void fake_guest_conn_closed(struct fake_conn *conn, int reason);

int fake_guest_connect(struct fake_guest *g); /* a client's end */
void fake_guest_ask(struct fake_guest *g, int client, const char *text);
void fake_guest_ask_fds(
	struct fake_guest *g, int client, const char *text, const int *fds, unsigned n_fds);
json_t *fake_guest_reply(struct fake_guest *g, int client); /* a new reference */
bool fake_guest_hung_up(int client);

#endif
