/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VM with one container, seen from the monitor: the agent's connection, the container's streams,
 * the commands of hvrun, and how it all ends. The session decides; what it decides is done through
 * its operations, so that it knows neither engine nor device.
 *
 * It ends once, through `finish`, when three things are true: the outcome is known, the VM has
 * ended, and all output that the guest had sent is written, that of other processes than the
 * container's own, and what the container wrote to sockets of the host, for a while only; a
 * container that was out of memory ends after the host knows that. A stop from hvrun, or hvrun's
 * end, cuts this short. Everything is called by the loop's thread.
 *
 * Other processes' requests (clients.h) go through the functions below as well; with clients, the
 * session tells them what the guest answers.
 */
#ifndef MICROVM_VMM_SESSION_H
#define MICROVM_VMM_SESSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/msg.h"
#include "microvm/devices/vsock.h"
#include "microvm/vmm/agent.h"
#include "microvm/vmm/engine.h"
#include "microvm/vmm/preserved.h"
#include "microvm/vmm/terminal.h"

#define SESSION_EXIT_VM	      125 /* the VM failed, not the container */
#define SESSION_STREAMS	      (3 + MSG_PRESERVED_MAX)
#define SESSION_PENDING_MAX   16 /* signals that wait for the container */
#define SESSION_MESSAGE_BYTES 4096
#define SESSION_PANIC_BYTES   256

/* Host ports of the first container's streams (docs/protocol.md). */
#define SESSION_PORT_STDIN     1025u /* or the terminal */
#define SESSION_PORT_STDOUT    1026u
#define SESSION_PORT_STDERR    1027u
#define SESSION_PORT_PRESERVED 1028u /* and upwards, one for each descriptor from 3 on */

struct session_ops {
	/* vsock_connect to guest port MSG_STREAM_PORT; the descriptors are taken over. */
	int (*connect)(void *arg, uint32_t host_port, int rd_fd, int wr_fd,
		const struct vsock_conn_events *events, void *conn_arg);
	/* Ends such a connection at once; what it had still to deliver is thrown away. */
	void (*disconnect)(void *arg, uint32_t host_port);
	/* Stops the vCPUs, or lets them go on. */
	int (*pause_vm)(void *arg, bool pause, struct err *e);
	/* Ends the VM now; no session_vm_ended comes for it. Any number of times. */
	void (*stop_vm)(void *arg);
	/* One event for hvrun; borrowed. */
	void (*emit)(void *arg, const json_t *event);
	/* The line in which the guest's kernel says that it panics; false when it hasn't. */
	bool (*panic)(void *arg, char *text, size_t cap_bytes);
	/* The last lines of its console, a new reference to an array of strings, or NULL. */
	json_t *(*console)(void *arg);
	/* The container was out of memory; true: session_oom_told is going to be called. May be
	 * NULL. */
	bool (*tell_oom)(void *arg);
	/* Connections of the guest's to sockets of the host exist. May be NULL. */
	bool (*relays_open)(void *arg);
	/* The container's stderr, or terminal, is over before the container is. May be NULL. */
	void (*stderr_over)(void *arg);
	/* The end: leave the loop, then exit with this code. */
	void (*finish)(void *arg, int exit_code);
};

struct session_config {
	struct loop *loop;
	const char *id;
	int container_fd;			       /* framed create message; taken over */
	int in_fd, out_fd, err_fd;		       /* taken over; -1 in a terminal session */
	int terminal_fd;			       /* taken over; -1 otherwise */
	struct preserved preserved[MSG_PRESERVED_MAX]; /* taken over */
	unsigned n_preserved;
	bool hold;		 /* the create message waits for session_release */
	bool disks;		 /* the VM has some: the guest must come to its own end */
	unsigned boot_timeout_s; /* until the guest has reported; 0: no limit */
	const struct session_ops *ops;
	void *arg;
};

enum session_outcome { SESSION_RUNNING, SESSION_EXITED, SESSION_FAILED };

struct session_stream {
	struct session *session;
	uint32_t host_port;
	int rd_fd, wr_fd;
	bool used, opened, connected, done;
};

struct session_signal {
	int number;
	bool all; /* to every process of the container */
};

struct session {
	struct session_config config;
	struct clients *clients; /* NULL: none; not owned */
	struct agent agent;
	struct session_stream streams[SESSION_STREAMS];
	struct terminal terminal;
	struct loop_timer timer;   /* for hello, then for the guest to end */
	unsigned wait_s, waited_s; /* for hello: this time, and before */
	bool accepted, hello, vm_ended, settled, finished;
	bool over;	 /* the guest has told the container's end */
	bool killed;	 /* hvrun, or a client, has sent SIGKILL */
	unsigned late_s; /* seconds since the VM has ended and all it had sent has come */
	bool held;	 /* see session_config.hold */
	bool set_up;	 /* the guest has the create message */
	bool created;	 /* all but the last step: waits for session_start */
	bool start_sent, started;
	bool paused;
	enum session_outcome outcome;
	int code;
	bool oom;
	bool oom_telling; /* the end waits until the host knows */
	char message[SESSION_MESSAGE_BYTES];
	json_t *console; /* what the guest said before the VM failed; NULL: nothing */
	struct session_signal pending_signals[SESSION_PENDING_MAX];
	unsigned n_pending;
	unsigned rows, columns; /* a resize that waits, 0: none */
	uint64_t log_second;	/* rate of the guest's log messages */
	unsigned log_lines, log_dropped;
};

int session_init(
	struct session *session, const struct session_config *config, struct err *e) must_check;
void session_fini(struct session *session);

/*
 * The guest connects to MSG_CONTROL_PORT: a descriptor for the vsock device the first time, the
 * caller's; afterwards -ECONNREFUSED.
 */
int session_accept(struct session *session) must_check;

void session_release(struct session *session); /* ends session_config.hold */
void session_kill(struct session *session, int signal, bool all);
void session_resize(struct session *session, unsigned rows, unsigned columns);
void session_stop(struct session *session); /* hvrun's stop, or its end */

const char *session_status(const struct session *session); /* OCI's word; or "paused" */
/* True when there is a container whose guest answers: created or running, and not paused. */
bool session_answers(const struct session *session);
/* The words of a failure are for the user. */
int session_start(struct session *session, struct err *e) must_check;
int session_pause(struct session *session, bool pause, struct err *e) must_check;
/* One more message to the guest, whose reference it takes (NULL: no memory). */
int session_send(struct session *session, json_t *message) must_check;

void session_vm_ended(struct session *session, enum engine_end how, const char *message);

void session_oom_told(struct session *session); /* what tell_oom announced */

/* When output of a client's process has been delivered, or a connection to a socket has ended. */
void session_output_done(struct session *session);

/* Something that the VM can't go on without is gone. The VM is stopped. */
void session_fail(struct session *session, const char *why);

#endif
