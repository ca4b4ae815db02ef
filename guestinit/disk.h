/* SPDX-License-Identifier: Apache-2.0 */
/* The VM's disks (virtio-blk, in the order of the plan's `disks`), and the one that holds a root.
 */
#ifndef GUESTINIT_DISK_H
#define GUESTINIT_DISK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define DISKS_MAX 64 /* more than a monitor gives us */

/* The device number of disk `disk`. */
int disk_number(uint32_t disk, dev_t *number, struct err *e) must_check;

/*
 * Mounts the file system of a disk, of whatever type it is, by a node made in nodes_dir for the
 * moment. A detached mount, the caller's, or -errno. It is unmounted, cleanly, with the mount
 * namespace that it is attached in: before the end of its last process is seen.
 */
int disk_mount(const char *nodes_dir, uint32_t disk, bool readonly, struct err *e) must_check;

#endif
