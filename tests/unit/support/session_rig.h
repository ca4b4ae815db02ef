/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session with a fake guest: the test is the agent (through the descriptor that the vsock device
 * would have), the vsock device and the engine. Each function fails the test when it can't do what
 * it says.
 */
#ifndef TESTS_UNIT_SUPPORT_SESSION_RIG_H
#define TESTS_UNIT_SUPPORT_SESSION_RIG_H

#include "microvm/vmm/session.h"

#define SESSION_RIG_EVENTS_MAX 8

struct session_rig_conn {
	uint32_t host_port;
	int rd_fd, wr_fd;
	const struct vsock_conn_events *events;
	void *arg;
};

struct session_rig {
	struct loop loop;
	struct session session;
	int agent; /* the guest's end */
	struct session_rig_conn conns[SESSION_STREAMS];
	unsigned n_conns;
	int connect_result;
	unsigned stops, finishes, ooms;
	bool has_host; /* somebody is there to be told of an OOM */
	bool silent;   /* the guest's kernel has not said a word */
	const char *panic; /* NULL, or its last */
	unsigned boot_timeout_s;
	int exit_code;
	json_t *events[SESSION_RIG_EVENTS_MAX];
	unsigned n_events;
	int out_rd; /* our end of the container's stdout */
};

void session_rig_make(struct session_rig *f, int terminal_fd);
int session_rig_setup_bare(void **state);
int session_rig_setup(void **state);
int session_rig_teardown(void **state);
void session_rig_pump(struct session_rig *f);
void session_rig_say_bytes(struct session_rig *f, const void *bytes, size_t len);
void session_rig_say(struct session_rig *f, const char *text);
json_t *session_rig_hear(struct session_rig *f);
bool session_rig_silent(struct session_rig *f);
void session_rig_expect_heard(struct session_rig *f, const char *type);
const char *session_rig_event_name(struct session_rig *f, unsigned i);
void session_rig_accept_agent(struct session_rig *f);
void session_rig_boot(struct session_rig *f);
void session_rig_close_outputs(struct session_rig *f);
void session_rig_expect_failed(struct session_rig *f, int code, const char *says);

#endif
