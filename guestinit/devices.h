/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device nodes of a container: those that every container has (runtime-spec, "Default Devices")
 * and those of `linux.devices`, made below its /dev, or bound there from nodes of guestinit's own
 * where a container may not make them (user namespaces, a host that doesn't let us).
 */
#ifndef GUESTINIT_DEVICES_H
#define GUESTINIT_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "guestinit/arena.h"

struct create;

struct device_node {
	const char *path, *field;
	mode_t mode; /* type and permissions */
	dev_t number;
	uid_t uid;
	gid_t gid;
	const char *disk_access; /* of a disk of the VM: "r", "rwm" and so on; else NULL */
	int tree_fd;		 /* a detached mount of such a node, or -1 */
};

struct devices {
	struct device_node *nodes;
	size_t n;
};

/* Lists the nodes, from the arena of the message. */
int devices_list(struct create *c, struct devices *out, struct err *e) must_check;

/* Makes the trees to bind, of nodes in the directory nodes_fd. */
int devices_prepare(int nodes_fd, struct devices *devices, struct err *e) must_check;

/*
 * Makes the nodes below root_fd; in the container's mount namespace. Where the file system does
 * not let us (a host without root), nodes of nodes_fd are bound there.
 */
int devices_make(int root_fd, int nodes_fd, struct devices *devices, struct err *e) must_check;

/* /dev/fd, stdin, stdout, stderr, core and ptmx, where they are not there yet. */
int devices_link(int root_fd, struct err *e) must_check;

/* Closes the trees. */
void devices_close(struct devices *devices);

#endif
