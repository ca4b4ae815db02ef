/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watcher: a small process that lives as long as a container's monitor and follows what happens
 * to the interfaces of its network namespace. It is told of changes by the kernel, looks around a
 * moment later (net_pace.h), wires what is new, and tells the guest by way of the monitor. With the
 * monitor's end it takes the wires away and goes: it holds sockets into the namespace, which must
 * not keep it.
 */
#ifndef RUNTIME_NET_WATCH_H
#define RUNTIME_NET_WATCH_H

#include <sys/types.h>

#include "base/err.h"

struct container;

/*
 * Starts it for the container, whose monitor listens already. ns is its network namespace; log a
 * descriptor that becomes its stderr. The pid of the child, which need not be waited for; or -errno
 * with e.
 */
pid_t net_watch_start(const struct container *c, int ns, int log, struct err *e) must_check;

#endif
