/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that `hvrun exec` adds to a container: what the container's configuration says of
 * its own process, changed by options; or what a file says (--process), and nothing else. Made as
 * runc makes it, so that callers get what they are used to.
 */
#ifndef RUNTIME_PROCESS_H
#define RUNTIME_PROCESS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "runtime/options.h"

struct process_options {
	char *const *args; /* the command, NULL at the end */
	const char *cwd;   /* NULL and "": as configured */
	const char *user;  /* "UID[:GID]" */
	struct option_list env, caps, gids;
	bool tty, no_new_privs;
	const char *apparmor, *label;
};

/*
 * From the container's config.json, read from fd. *process is a new reference, checked against the
 * schema and the rules of the specification and without members that they don't know; or -errno
 * with e naming the option or the JSON path.
 */
int process_from_config(
	json_t **process, int fd, const struct process_options *options, struct err *e) must_check;

/* The same from a file that holds an OCI process, read from fd; name is for messages. */
int process_from_file(json_t **process, int fd, const char *name, struct err *e) must_check;

#endif
