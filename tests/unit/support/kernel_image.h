/* SPDX-License-Identifier: Apache-2.0 */
/* Made-up kernels for the loaders' tests: a valid image in memory, to be spoiled and then read. */
#ifndef TESTS_UNIT_SUPPORT_KERNEL_IMAGE_H
#define TESTS_UNIT_SUPPORT_KERNEL_IMAGE_H

#include <asm/bootparam.h>
#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#include "microvm/boot/kernel.h"

#define KERNEL_IMAGE_CAP_BYTES 0x6000u
#define KERNEL_IMAGE_LOAD_GPA  0x1000000ull

struct kernel_image_file {
	uint8_t bytes[KERNEL_IMAGE_CAP_BYTES];
	size_t len_bytes;
	Elf64_Ehdr *ehdr; /* of an ELF image */
	Elf64_Phdr *phdrs;
	struct setup_header *setup; /* of a bzImage */
};

/*
 * Two segments: 0x1000 bytes of 0xaa at 16 MiB, 0x800 of 0xbb and as much zero 2 MiB above, and a
 * note; entered at 16 MiB.
 */
void kernel_image_elf(struct kernel_image_file *file);

/* One sector of setup, 0x3000 bytes of 0xcc at 16 MiB, 4 MiB needed to unpack. */
void kernel_image_bzimage(struct kernel_image_file *file);

/* Loads the first len_bytes of it; e as kernel_load fills it. */
int kernel_image_load(const struct kernel_image_file *file, const struct guest_memory *memory,
	struct kernel_image *image, struct err *e);

#endif
