/* SPDX-License-Identifier: Apache-2.0 */
/* `linux.seccomp`, with runc's reading of it; numbers and names by libseccomp. */
#ifndef GUESTINIT_SECCOMP_H
#define GUESTINIT_SECCOMP_H

#include <stdint.h>

#include "base/err.h"

struct cfg_seccomp;
struct opt_u64;

/*
 * Makes and installs the filter for the calling process. Needs CAP_SYS_ADMIN or no_new_privs.
 * System calls that libseccomp does not know are left out, as they can't be made by this name.
 */
int guest_seccomp_install(const struct cfg_seccomp *config, struct err *e) must_check;

/* The filter's value for "SCMP_ACT_ERRNO" and the like; errno_ret is EPERM when not set. */
int guest_seccomp_action(
	const char *name, const struct opt_u64 *errno_ret, uint32_t *action) must_check;

/* libseccomp's number of "SCMP_CMP_EQ" and the like, or -1. */
int guest_seccomp_operator(const char *name);

/*
 * The action for calls newer than all that the configuration speaks of: where the default is to
 * refuse, ENOSYS, so that libraries fall back to an older call instead of giving up (as runc).
 */
uint32_t guest_seccomp_beyond(const struct cfg_seccomp *config, uint32_t default_action);

/* Checks what the tables of the message don't: actions, operators, architectures, flags. */
int guest_seccomp_check(
	const struct cfg_seccomp *config, uint32_t *filter_flags, struct err *e) must_check;

#endif
