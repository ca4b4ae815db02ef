/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the host's files a container sees: its root file system and one entry per bind mount,
 * opened here by the user's rights and handed to hvrun-fs as descriptors.
 */
#ifndef RUNTIME_EXPORTS_H
#define RUNTIME_EXPORTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "oci/config.h"

#define EXPORT_ROOTFS	  "rootfs"
#define EXPORT_NAME_BYTES 32

struct export
{
	char name[EXPORT_NAME_BYTES];
	int fd; /* O_PATH */
	char *path;
	bool readonly, nodev, nosuid;
	bool recursive; /* what the host has mounted below belongs to it: rbind, not bind */
	bool socket;	/* a Unix socket: relayed by the monitor, not served by hvrun-fs */
};

struct exports {
	size_t n;
	struct export *list; /* the root file system first, then bind mounts in their order */
	bool map_ids;	     /* some bind mount has mapped ids */
};

/*
 * Opens all exports of config; relative paths are relative to the bundle, an open directory whose
 * absolute path is bundle_path. 0, or -errno with e naming the JSON path.
 */
int exports_open(struct exports *exports, const struct oci_config *config, int bundle,
	const char *bundle_path, struct err *e) must_check;
void exports_close(struct exports *exports);

/* The name of the export for mounts[index], into a buffer of EXPORT_NAME_BYTES. */
void exports_mount_name(size_t index, char *name);

#endif
