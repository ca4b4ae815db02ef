/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of hvrun-fs and the messages of its control socket: docs/protocol.md. */
#ifndef MICROVM_FS_CONFIG_H
#define MICROVM_FS_CONFIG_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "microvm/fs/export.h"

#define FS_CONFIG_MAX_BYTES (1u << 20)
#define FS_CONFIG_MAX_DEPTH 8u

struct fs_config {
	int socket, control; /* owned; -1 for none */
	unsigned workers;
	bool debug;
	bool map_ids; /* the guest may mount exports with mapped ids */
	struct exports exports;
};

/* Called for an export before it is added; may replace its descriptor. 0, or -errno with e. */
typedef int fs_config_prepare(struct export *export, struct err *e);

/*
 * Reads config_fd, and adds the exports, each after prepare (which may be NULL). fs_config_fini
 * closes what is in config, also after a failure.
 */
int fs_config_read(struct fs_config *config, int config_fd, fs_config_prepare *prepare,
	struct err *e) must_check;
void fs_config_fini(struct fs_config *config);

#endif
