/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs guestinit's container code natively: real namespaces of this machine, a directory in place
 * of the virtio-fs exports, socket pairs in place of vsock. Needs root.
 */
#ifndef TESTS_GUEST_BOX_H
#define TESTS_GUEST_BOX_H

#include <stdbool.h>
#include <stddef.h>

#define GUEST_BOX_TEXT 65536

struct guest_box_result {
	bool failed, started, oom;
	int code;
	char message[2048]; /* of a failure */
	char log[4096];	    /* of `log` messages, a line each */
	char out[GUEST_BOX_TEXT], err[GUEST_BOX_TEXT];
	size_t out_bytes, err_bytes;
};

struct guest_box_run {
	const char *config;	/* JSON of the message's `config` */
	const char *root_extra; /* JSON members for `root`, as ",\"readonly\":true" */
	const char *input;
	bool terminal;
	int kill_signal; /* sent when the first output came, 0 for none */
};

/* Whether this machine lets us: NULL, or why not. */
const char *guest_box_unable(void);

/* A fresh directory with a root file system of busybox in `rootfs`; removed by guest_box_end. */
const char *guest_box_begin(void);
void guest_box_end(void);

/* Runs one container to its end. */
void guest_box_run(const struct guest_box_run *run, struct guest_box_result *result);

#endif
