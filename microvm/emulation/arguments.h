/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's command line, word by word. Nothing of it passes through a shell; words that QEMU splits
 * at commas are made of numbers and of names that the plan's reader has checked.
 */
#ifndef MICROVM_EMULATION_ARGUMENTS_H
#define MICROVM_EMULATION_ARGUMENTS_H

#include <stdint.h>

#include "base/err.h"
#include "microvm/vmm/engine.h"

#define ARGUMENTS_MAX 160

struct arguments {
	unsigned n;
	char *words[ARGUMENTS_MAX + 1]; /* ends with NULL */
	int error;			/* the first failure, -errno; later words are not added */
};

void arguments_fini(struct arguments *arguments);

/* Descriptors that QEMU inherits under the numbers that they have here. */
struct arguments_fds {
	int kernel, initramfs, memory;
	int serial, console;	     /* sockets: the 8250's and the virtio console's output */
	int devices[VM_DEVICES_MAX]; /* vhost-user sockets by device, -1 for QEMU's own */
};

/* The whole command line for a VM. -E2BIG, -ENOMEM, or -ENOTSUP for a device QEMU can't show. */
int arguments_build(struct arguments *arguments, const struct vm_config *config,
	const struct arguments_fds *fds, struct err *e) must_check;

#endif
