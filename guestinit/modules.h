/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel modules that the initramfs brings, with kernels whose drivers are modules. */
#ifndef GUESTINIT_MODULES_H
#define GUESTINIT_MODULES_H

#include "base/err.h"

#define MODULES_DIR "/modules"

/*
 * Loads every module of the directory in the order of their names and removes its file, which
 * frees its memory. Without the directory there is nothing to do. A module that does not load
 * (its device may be absent) is logged by name and does not keep the others from loading.
 */
int modules_load(const char *dir, struct err *e) must_check;

/* The flags of finit_module(2) for a file of this name. */
int modules_flags(const char *name) must_check;

#endif
