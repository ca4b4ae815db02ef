/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel that a VM boots: which file, how it finds its devices, the words of its command
 * line, and the files of its initramfs.
 */
#ifndef RUNTIME_GUESTKERNEL_H
#define RUNTIME_GUESTKERNEL_H

#include <limits.h>
#include <stdbool.h>

#include "base/err.h"
#include "oci/config.h"
#include "runtime/modules.h"
#include "runtime/programs.h"
#include "runtime/settings.h"

#define GUESTKERNEL_CMDLINE_BYTES 2048

struct guestkernel_file {
	char path[80]; /* in the initramfs */
	unsigned mode_perms;
	int fd;
};

struct guestkernel {
	char path[PATH_MAX];
	int fd;
	bool own;	       /* hvrun's own kernel, or one that the user named */
	const char *discovery; /* "cmdline" or "acpi" */
	char cmdline[GUESTKERNEL_CMDLINE_BYTES];
	unsigned n_files;
	struct guestkernel_file files[1 + MODULES_MAX];
};

/* An absolute path that the bundle or the user gave is opened as it is; relative to the cwd. */
int guestkernel_open(struct guestkernel *kernel, const struct settings *settings,
	const struct oci_config *config, const struct programs *programs, struct err *e) must_check;
void guestkernel_close(struct guestkernel *kernel);

#endif
