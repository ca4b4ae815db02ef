/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest as a whole: what pid 1 keeps. Everything that a boot may not need (file systems of
 * its own, the cgroup root) is made when it is first asked for.
 */
#ifndef GUESTINIT_GUEST_H
#define GUESTINIT_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/err.h"
#include "base/loop.h"
#include "guestinit/exports.h"
#include "guestinit/network.h"

struct agent;
struct container;

struct guest {
	struct loop loop;
	struct agent *agent; /* NULL in tests: messages go to the log */
	struct container *containers;
	struct exports exports;
	const char *null_path;	     /* a null device, of which masks and absent streams are made */
	const char *nodes_dir;	     /* device nodes to bind into user namespaces are made here */
	int proc_fd, cgroup_fd;	     /* detached mounts, -1 until needed */
	struct loop_source children; /* SIGCHLD */
	int child_fd;
	int (*connect_host)(uint32_t port); /* sockets_connect_host, but in tests */
	struct rlimit files;		    /* what processes get, once guestinit has more */
	bool files_raised;
	bool network_taken; /* a container has the VM's own network namespace */
	bool loopback_up;
	struct network network;
};

void guest_init(struct guest *guest);

/* Starts the event loop and the reaping of children. Blocks SIGCHLD and SIGPIPE. */
int guest_start(struct guest *guest, struct err *e) must_check;
void guest_fini(struct guest *guest);

/* The directory of a detached proc mount of guestinit's own pid namespace, kept; or -errno. */
int guest_proc(struct guest *guest, struct err *e) must_check;

/* The root directory of the cgroup hierarchy, controllers enabled below it; kept; or -errno. */
int guest_cgroups(struct guest *guest, struct err *e) must_check;

/* Sets the clock when it is off by more than a slack. */
void guest_set_clock(int64_t realtime_ns);

/*
 * Raises guestinit's own limit of open files, of which each exec takes some; the limit that its
 * children must go back to, or NULL where there is nothing to go back to.
 */
const struct rlimit *guest_raise_files(struct guest *guest);

#endif
