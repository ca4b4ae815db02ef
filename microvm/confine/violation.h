/* SPDX-License-Identifier: Apache-2.0 */
/* What is said when a thread makes a system call that is not on its list, before the process dies.
 */
#ifndef MICROVM_CONFINE_VIOLATION_H
#define MICROVM_CONFINE_VIOLATION_H

#include <linux/seccomp.h>
#include <stdint.h>

#include "base/err.h"

/* The kinds of threads of the monitor; for struct filter's denied. */
enum thread_kind {
	THREAD_MAIN,
	THREAD_VCPU,
	THREAD_DISK,
	THREAD_NET,
	THREAD_RELAY,
	THREAD_RESOLVER,
	THREAD_KINDS
};

#define DENIED(thread_kind) (SECCOMP_RET_TRAP | (uint32_t)(thread_kind))

/*
 * Handles SIGSYS for the process: the first call that a filter traps is logged to stderr with its
 * name, and the process is killed by SIGSYS. No thread may block this signal, or it is killed
 * without the line. The handler is gone when it runs, so that the kernel kills the process at the
 * next such call, whatever the handler's thread was made to do: there is no second line, and no
 * call is ever carried out. 0 or -errno.
 */
int violation_watch(void) must_check;

#endif
