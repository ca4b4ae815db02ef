/* SPDX-License-Identifier: Apache-2.0 */
/* What plan.c says of disks to the other programs; plan.h opens and closes them. */
#ifndef RUNTIME_PLAN_DISKS_H
#define RUNTIME_PLAN_DISKS_H

#include <jansson.h>

#include "runtime/plan.h"

/* `devices` of the create message, and `disks` of the VM plan: new references, or NULL. */
json_t *plan_disks_of_guest(const struct plan *plan);
json_t *plan_disks_of_monitor(const struct plan *plan);

/* Takes what becomes a disk out of linux.devices; what is left are nodes that the guest can make.
 */
void plan_drop_disks(const struct plan *plan);

#endif
