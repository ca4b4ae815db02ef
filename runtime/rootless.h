/* SPDX-License-Identifier: Apache-2.0 */
/* Whether hvrun has the rights of the host's root. */
#ifndef RUNTIME_ROOTLESS_H
#define RUNTIME_ROOTLESS_H

#include <stdbool.h>

/*
 * True for an ordinary user, and for "root" in a user namespace, which is what rootless podman
 * makes of one: files of the host's root (cgroups, above all) are not its own. map in place of
 * /proc/self/uid_map; NULL.
 */
bool rootless(const char *map);

#endif
