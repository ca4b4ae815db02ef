/* SPDX-License-Identifier: Apache-2.0 */
/* Giving up what a process could do by its identity, for good. */
#ifndef MICROVM_CONFINE_PRIVILEGES_H
#define MICROVM_CONFINE_PRIVILEGES_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/*
 * Takes from the calling thread, and all that it starts from now on: every capability but those in
 * `keep` (1 << CAP_...), and these from all sets but the effective and the permitted one; new ones
 * (no_new_privs); core dumps; and, where the kernel has Landlock, all files and TCP ports
 * that are not open yet. uid, if not 0, becomes its user and group, without further groups, which
 * takes CAP_SETUID and CAP_SETGID. The process was to have no other threads. What the kernel does
 * not know is left out, at debug level. 0, or -errno with e (part of it may have happened).
 *
 * A process that had capabilities is not dumpable afterwards: its /proc files are root's, and
 * nobody but root attaches to it. One that had none stays as it is: its user may do all that it
 * does anyway, and has to find it in /proc (its namespaces, say).
 */
int privileges_drop(uid_t uid, uint64_t keep, struct err *e) must_check;

/* The same, with connections to this TCP port still allowed. */
int privileges_drop_but_tcp(uid_t uid, uint64_t keep, uint16_t port, struct err *e) must_check;

#endif
