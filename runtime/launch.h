/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a bundle to a running virtual machine, for `create` and `run`. All that can be found wrong
 * is found before anything is started (launch_prepare); what is made is undone when a later step
 * fails, by launch_close or, should this process be killed, by its janitor.
 */
#ifndef RUNTIME_LAUNCH_H
#define RUNTIME_LAUNCH_H

#include <limits.h>

#include "runtime/cgroup.h"
#include "runtime/commands.h"
#include "runtime/exports.h"
#include "runtime/guestkernel.h"
#include "runtime/janitor.h"
#include "runtime/launch_network.h"
#include "runtime/plan.h"
#include "runtime/preserve.h"
#include "runtime/settings.h"
#include "runtime/sizing.h"
#include "runtime/streams.h"
#include "runtime/supervise.h"

/* The options that `create` and `run` share; LAUNCH_OPTIONS is their part of the table. */
struct launch_options {
	const char *bundle, *accel, *kernel, *modules, *discovery, *cmdline;
	const char *pid_file, *console_socket, *network;
	struct option_list publish;
	unsigned vcpus, memory_mib, preserve_fds;
	bool detach, keep;
};

struct launch {
	struct context *context;
	const struct launch_options *options;
	const char *id;
	bool detached; /* the container outlives this process */
	bool start;    /* its process is started at once */
	bool created;  /* its directory is there, to be removed again */
	char root[PATH_MAX], bundle_path[PATH_MAX];
	int bundle, null, log;
	struct settings settings;
	struct oci_config config;
	struct sizing sizing;
	struct guestkernel kernel;
	struct exports exports;
	struct streams streams;
	struct preserve preserve;
	struct container container;
	struct cgroup cgroup;
	struct janitor janitor;
	struct launch_network network;
	int resolv;	 /* a file in memory that becomes /etc/resolv.conf, -1 */
	int create_file; /* holds the create message, which changes until the guest gets it */
	struct plan plan;
	struct supervise supervise;
	char vmm[PATH_MAX], fs[PATH_MAX], qemu[PATH_MAX];
	int control, fs_control; /* our ends */
	pid_t witness;		 /* see runtime/witness.h; 0: none */
	json_t *hooks;		 /* of the configuration; NULL: none */
};

/* For launch_close in any case. */
void launch_init(struct launch *l, struct context *context, const struct launch_options *options,
	const char *id);

/* Reads and checks everything, takes the id, opens files and streams. */
int launch_prepare(struct launch *l, struct err *e) must_check;

/* Starts the programs, runs the hooks that come before the container, and lets it be created. */
int launch_start(struct launch *l, struct err *e) must_check;

/*
 * Waits as l->supervise.until says. With a detached container 0 means that it is there, recorded
 * and on its own; else that it has ended, as l->supervise says.
 */
int launch_wait(struct launch *l, struct err *e) must_check;

/* Runs the hooks of a kind with the container's state; report NULL: failures are errors. */
int launch_hooks(struct launch *l, const char *kind, enum container_status status,
	struct err *e) must_check;

struct cgroup_spec launch_cgroup_spec(const struct launch *l);

/* Undoes what has not been made to last, and frees everything. */
void launch_close(struct launch *l);

#define LAUNCH_PLACE(member) offsetof(struct launch_options, member)
extern const struct option_spec launch_run_specs[];
#define LAUNCH_RUN_ALONE 3 /* the first ones of the table, which `create` does without */
#define launch_create_specs (launch_run_specs + LAUNCH_RUN_ALONE)

#endif
