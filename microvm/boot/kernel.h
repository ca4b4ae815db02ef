/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel loaders: an uncompressed x86-64 ELF vmlinux or a bzImage, read straight into guest
 * memory, entered by the 64-bit boot protocol (Documentation/arch/x86/boot.rst, "64-bit Boot
 * Protocol"). ELF's own entry is that protocol's entry, so one way of starting serves both.
 *
 * Kernel files come from the host's configuration, but may be anything: every number is bounded by
 * the file and by guest memory before it is used.
 */
#ifndef MICROVM_BOOT_KERNEL_H
#define MICROVM_BOOT_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include <asm/bootparam.h>

#include "base/err.h"
#include "microvm/memory/guest_memory.h"

struct kernel_image {
	uint64_t entry_gpa;
	/* Loaded, or needed by the kernel before it has read its memory map. */
	uint64_t start_gpa, end_gpa;
	uint64_t initrd_max_gpa;    /* highest address that an initramfs may occupy */
	uint32_t cmdline_max_bytes; /* without NUL */
	bool bzimage;
	struct setup_header setup; /* bzImage: as in the file; ELF: what the protocol wants */
};

/*
 * Loads the kernel in fd (stays the caller's) into fresh, zero guest memory. The error's text does
 * not name the file: the caller does.
 */
int kernel_load(const struct guest_memory *memory, int fd, struct kernel_image *image,
	struct err *e) must_check;

/* The two formats; len_bytes is the file's. For kernel_load and the tests. */
int kernel_load_elf(const struct guest_memory *memory, int fd, uint64_t len_bytes,
	struct kernel_image *image, struct err *e) must_check;
int kernel_load_bzimage(const struct guest_memory *memory, int fd, uint64_t len_bytes,
	struct kernel_image *image, struct err *e) must_check;

/*
 * Reads a part of the file into guest memory, whole; also for the loaders' own headers. EFAULT is
 * what a read says when the host has no memory for the pages it touches.
 */
int kernel_read(
	int fd, void *dst, uint64_t len_bytes, uint64_t offset_bytes, struct err *e) must_check;

#endif
