/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces of a container beyond their creation: id maps, names, clock offsets, loopback,
 * sysctl.
 */
#ifndef GUESTINIT_NS_H
#define GUESTINIT_NS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct cfg_id_maps;
struct create;

/* Writes uid_map and gid_map of a process into proc_fd/PID. */
int ns_write_maps(int proc_fd, pid_t pid, const struct cfg_id_maps *uids,
	const struct cfg_id_maps *gids, struct err *e) must_check;

/* The id outside of the namespace; id itself without maps, (uint32_t)-1 when it has none. */
uint32_t ns_map_id(const struct cfg_id_maps *maps, uint32_t id);

/* A descriptor of a user namespace with these maps, for id-mapped mounts; or -errno. */
int ns_open_user(int proc_fd, const struct cfg_id_maps *uids, const struct cfg_id_maps *gids,
	struct err *e) must_check;

/* Brings lo up in the caller's network namespace. */
int ns_loopback_up(struct err *e) must_check;

/* Enters a new cgroup namespace, makes a time namespace with its offsets, as configured. */
int ns_unshare_late(const struct create *c, int proc_fd, struct err *e) must_check;

int ns_set_names(const struct create *c, struct err *e) must_check;

/* Writes linux.sysctl in the caller's namespaces. */
int ns_write_sysctl(const struct create *c, int proc_fd, struct err *e) must_check;

#endif
