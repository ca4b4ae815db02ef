/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rules of linux.resources.devices grant of one device of the host (runtime-spec,
 * config-linux, "Device allowlist"). The guest applies the rules too, but there the devices have
 * other numbers: what is granted of a block device is found out here.
 */
#ifndef RUNTIME_DEVRULES_H
#define RUNTIME_DEVRULES_H

#include <jansson.h>

enum {
	DEVRULES_READ = 1 << 0,
	DEVRULES_WRITE = 1 << 1,
	DEVRULES_MKNOD = 1 << 2,
};

/*
 * What is granted of block device major:minor: for each access the last rule that matches counts,
 * and without one it is denied. resources is linux.resources, which the schema has accepted, or
 * NULL.
 */
unsigned devrules_block(const json_t *resources, unsigned major, unsigned minor);

#endif
