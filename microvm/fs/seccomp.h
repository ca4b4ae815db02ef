/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of hvrun-fs once it serves; any other ends the process. */
#ifndef MICROVM_FS_SECCOMP_H
#define MICROVM_FS_SECCOMP_H

#include <stdio.h>

#include "base/err.h"

/* For this thread and those it starts; no_new_privs is set already. 0 or -errno. */
int fs_seccomp_install(void) must_check;

/* The list, as filter_print does; for tests. */
void fs_seccomp_print(FILE *out);

#endif
