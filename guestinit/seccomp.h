/* SPDX-License-Identifier: Apache-2.0 */
/* `linux.seccomp` by libseccomp, with runc's reading of it. */
#ifndef GUESTINIT_SECCOMP_H
#define GUESTINIT_SECCOMP_H

#include "base/err.h"

struct cfg_seccomp;

/*
 * Makes and installs the filter for the calling process. Needs CAP_SYS_ADMIN or no_new_privs.
 * System calls that libseccomp does not know are left out, as they can't be made by this name.
 */
int guest_seccomp_install(const struct cfg_seccomp *config, struct err *e) must_check;

#endif
