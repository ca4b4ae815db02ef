/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The initramfs, made on the fly as a newc cpio archive (Linux: early-userspace/buffer-format.rst)
 * straight into its place, guest memory or a memory file: guestinit, and modules for kernels that
 * need them. Nothing is packed ahead of time and nothing is compressed.
 */
#ifndef MICROVM_BOOT_INITRAMFS_H
#define MICROVM_BOOT_INITRAMFS_H

#include <stdint.h>

#include "microvm/vmm/engine.h"

#define INITRAMFS_FILES_MAX 1024u
#define INITRAMFS_MAX_BYTES (512ull << 20)

/*
 * The archive's length in bytes, a multiple of 4. -EINVAL for a path that is absolute, empty or has
 * `.`, `..` or empty components, or for something that is not a regular file; -EFBIG beyond the
 * bounds above.
 */
int initramfs_measure(const struct vm_file *files, unsigned n_files, uint64_t *len_bytes,
	struct err *e) must_check;

/*
 * Writes the archive: /dev and /dev/console first (the kernel opens it for init), then each file
 * with the directories above it. len_bytes as measured; a file that changed its length since is an
 * error.
 */
int initramfs_write(const struct vm_file *files, unsigned n_files, void *dst, uint64_t len_bytes,
	struct err *e) must_check;

#endif
