/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container's files for those who look for them by way of the state's pid: `podman cp` enters
 * that process' mount namespace and resolves the container's paths there. The monitor's namespace
 * has an empty root (microvm/vmm/root.h), and keeps its own back turned to it; here the
 * container's root file system is put on top, and its bind mounts in their places: private to that
 * namespace, gone with it, following the host's unmounts (MS_SLAVE). What the guest mounts itself
 * (tmpfs, proc) is not to be seen from the host: in its place is an empty, read-only file system.
 */
#ifndef RUNTIME_VIEW_H
#define RUNTIME_VIEW_H

#include <sys/types.h>

#include "base/err.h"
#include "oci/config.h"
#include "runtime/exports.h"

/*
 * monitor is a child of the caller's. Mounts whose place is not there (below what the guest has
 * mounted) are left out. 0, also where the monitor could not leave the host's namespace; or -errno.
 */
int view_show(pid_t monitor, const struct exports *exports, const struct oci_config *config,
	struct err *e) must_check;

#endif
