/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs guestinit's container code natively: real namespaces of this machine, a directory in place
 * of the virtio-fs exports, socket pairs in place of vsock. Needs root.
 */
#ifndef TESTS_GUEST_BOX_H
#define TESTS_GUEST_BOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GUEST_BOX_TEXT	65536
#define GUEST_BOX_PORTS 12

/* The host's end of a stream of an exec. */
struct guest_box_port {
	int port, fd;
	char text[8192];
	size_t bytes;
	bool ended;
};

struct guest_box_result {
	bool failed, started, oom;
	int code;
	char message[2048]; /* of a failure */
	char log[4096];	    /* of `log` messages, a line each */
	char out[GUEST_BOX_TEXT], err[GUEST_BOX_TEXT];
	size_t out_bytes, err_bytes;
	char events[GUEST_BOX_TEXT]; /* all messages but logs, as JSON with sorted keys, a line each
				      */
	struct guest_box_port ports[GUEST_BOX_PORTS];
	int n_ports;
};

/*
 * What happens later on, after the events contain a text; with "out:TEXT" the container's output,
 * with "port:TEXT" that of any of `ports`.
 */
struct guest_box_step {
	const char *after;
	const char *send;   /* JSON; the id is put in, and the streams of `stdio` are connected */
	const char *input;  /* to the first of these streams, or to the socket, and then its end */
	bool unconnected;   /* these streams are not */
	const char *socket; /* instead of a message: connects there in the container, as port 1 */
};

struct guest_box_run {
	const char *config;	/* JSON of the message's `config` */
	const char *root_extra; /* JSON members for `root`, as ",\"readonly\":true" */
	const char *input;
	bool terminal;
	bool created;		  /* "start": false */
	const char *create_extra; /* JSON members of the message, as ",\"state\":{}" */
	const struct guest_box_step *steps;
	int n_steps;
	int (*connect_host)(uint32_t port); /* for sockets */
	int kill_signal;		    /* sent when the first output came, 0 for none */
	const char
		*network; /* shell commands in a new network namespace, which is the box's then */
};

/* Whether this machine lets us: NULL, or why not. */
const char *guest_box_unable(void);

/* A fresh directory with a root file system of busybox in `rootfs`; removed by guest_box_end. */
const char *guest_box_begin(void);
void guest_box_end(void);

/* The output of an exec's stream; fails the test where there is no such stream. */
const char *guest_box_output(const struct guest_box_result *result, int port);

/* Runs one container to its end. */
void guest_box_run(const struct guest_box_run *run, struct guest_box_result *result);

#endif
