/* SPDX-License-Identifier: Apache-2.0 */
/* Id mappings of a user namespace, for a guest that knows the host's ids by other numbers. */
#ifndef OCI_IDMAP_H
#define OCI_IDMAP_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

/*
 * Without privileges hvrun-fs shows what belongs to its user, whose id is own, as root's. So that
 * a container whose mappings name that id still owns those files, own becomes 0 in the mappings'
 * hostID, in place; ranges are split where need be. mappings (NULL: none) have passed the schema.
 * -EPERM with e when they name the host's 0, which an ordinary user can't have, else -ENOMEM.
 */
int oci_idmap_own_as_root(json_t *mappings, uint32_t own, struct err *e) must_check;

#endif
