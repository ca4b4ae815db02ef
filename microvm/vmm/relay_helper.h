/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that connects to the host's Unix sockets for the monitor, which has neither the
 * identity nor the system calls for it: whoever listens there sees the user and groups of whoever
 * started hvrun. It has nothing but the plan's sockets (O_PATH), and can connect to them and to
 * nothing else. It ends with the monitor.
 */
#ifndef MICROVM_VMM_RELAY_HELPER_H
#define MICROVM_VMM_RELAY_HELPER_H

#include "base/err.h"
#include "microvm/vmm/plan.h"

struct filter;
extern const struct filter relay_filter; /* its list of system calls; microvm/confine/filter.h */

/*
 * Starts it, if the plan has sockets, from a process that has no other thread yet. *sock is the
 * monitor's connection with it (-1: no sockets), to be closed at the end; the plan's sockets are
 * the helper's alone from then on. 0, or -errno with e.
 */
int relay_helper_start(struct plan *plan, int *sock, struct err *e) must_check;

/*
 * Has it connect to the plan's socket `index`, without waiting there. The connection, non-blocking
 * and close-on-exec, or -errno.
 */
int relay_helper_connect(int sock, unsigned index) must_check;

/* A process that connects to something for the monitor: for messages, by name, what it does. */
struct relay_role {
	const char *what, *name;
	/* Confines itself and serves; 0 at the end of sock, or -errno with e. */
	int (*run)(struct plan *plan, int sock, struct err *e);
};

/* Starts one; *sock is the monitor's connection with it, as above. 0, or -errno with e. */
int relay_helper_fork(
	const struct relay_role *role, struct plan *plan, int *sock, struct err *e) must_check;

/*
 * Answers relay_helper_connect with what connect_index makes: a descriptor, which is closed then,
 * or -errno, of which -EPROTO ends it. 0 when the monitor's end is gone.
 */
int relay_helper_serve(
	int sock, int (*connect_index)(void *arg, unsigned index), void *arg) must_check;

#endif
