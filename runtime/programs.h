/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where hvrun's other programs and its kernel are: beside the executable of hvrun (a build tree),
 * else in ../libexec/hvrun as seen from there (an installation, wherever it was put).
 */
#ifndef RUNTIME_PROGRAMS_H
#define RUNTIME_PROGRAMS_H

#include <limits.h>
#include <stdbool.h>

#include "base/err.h"

#define PROGRAM_VMM    "hvrun-vmm"
#define PROGRAM_FS     "hvrun-fs"
#define PROGRAM_INIT   "guestinit"
#define PROGRAM_KERNEL "vmlinux"
#define PROGRAM_QEMU   "qemu-system-x86_64"

struct programs {
	char self_dir[PATH_MAX]; /* of the running executable */
};

int programs_init(struct programs *programs, struct err *e) must_check;

/* The path of one of the names above. 0, or -ENOENT with e saying where it was looked for. */
int programs_find(const struct programs *programs, const char *name, char path[PATH_MAX],
	struct err *e) must_check;

/* A program on PATH, or at the absolute path `name`. 0, or -ENOENT with e. */
int programs_which(const char *name, char path[PATH_MAX], struct err *e) must_check;

#endif
