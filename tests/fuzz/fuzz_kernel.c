/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel loaders on any file: what they accept lies within guest memory and below 1 GiB.
 *
 * Covers: microvm/boot/kernel.c microvm/boot/kernel_elf.c microvm/boot/kernel_bzimage.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/boot/kernel.h"
#include "microvm/boot/x86_layout.h"

#define MEMORY_BYTES (32u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct guest_memory memory;

static void check(const struct kernel_image *image)
{
	if (image->start_gpa < X86_HIGH_RAM_GPA || image->end_gpa <= image->start_gpa ||
		image->end_gpa > MEMORY_BYTES)
		abort();
	if (image->entry_gpa < image->start_gpa || image->entry_gpa >= image->end_gpa)
		abort();
	if (image->cmdline_max_bytes >= X86_CMDLINE_BYTES)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kernel_image image;
	struct err e;

	if (!memory.n_regions && guest_memory_create(&memory, MEMORY_BYTES, &e) < 0)
		abort();
	cleanup_close int fd = fd_memfile("kernel", data, size);
	if (fd >= 0 && kernel_load(&memory, fd, &image, &e) == 0)
		check(&image);
	return 0;
}
