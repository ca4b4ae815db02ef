/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of hvrun, and what they share. */
#ifndef RUNTIME_COMMANDS_H
#define RUNTIME_COMMANDS_H

#include <stdbool.h>

#include "runtime/container.h"
#include "runtime/options.h"
#include "runtime/programs.h"
#include "runtime/report.h"

/* Exit codes beside the container's own. */
#define EXIT_ERROR   1	 /* hvrun could not do what was asked */
#define EXIT_UNKNOWN 3	 /* no such command, as runc has it */
#define EXIT_VM	     125 /* the virtual machine failed */

/* Options in front of the command. */
struct global_options {
	const char *root, *log, *log_format, *config;
	bool debug, help, version, systemd_cgroup;
};

struct context {
	struct global_options options;
	struct report report;
	struct programs programs;
	unsigned inherited_fds; /* see preserve_inherited */
};

struct command {
	const char *name;
	const char *usage;   /* what follows the name */
	const char *summary; /* one line for the list */
	const char *text;    /* for COMMAND --help, behind the usage; lines of at most 80 columns */
	const struct option_spec *options;
	/* argv[0] is the command's name. Returns hvrun's exit code; failures are reported. */
	int (*run)(struct context *context, int argc, char **argv);
};

extern const struct command command_run, command_spec, command_check, command_features;
extern const struct command command_create, command_start, command_state, command_kill;
extern const struct command command_delete, command_list;
extern const struct command command_exec, command_pause, command_resume, command_ps;
extern const struct command command_events, command_update;

/* Reports e as the command's failure and returns EXIT_ERROR. */
int command_fail(const struct context *context, const struct err *e);

/* Opens the container of this id below --root. For container_close in any case. */
int command_open_container(const struct context *context, const char *id, struct container *c,
	struct err *e) must_check;

/*
 * Runs a program and keeps what it prints, with `errors` what it prints on stderr too: at most
 * cap_bytes - 1 of it, without the last newline. Its wait status, or -errno with e.
 */
int command_capture(const char *path, char *const *argv, bool errors, char *text, size_t cap_bytes,
	struct err *e) must_check;

/* Asks the monitor whether KVM works. 0, or -errno with the reason in e. */
int command_probe_kvm(const struct programs *programs, struct err *e) must_check;

#endif
