/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bzImage loader: the protected-mode part goes to the kernel's preferred address and is entered at
 * 0x200 in long mode; it decompresses itself. Needs boot protocol 2.12 and XLF_KERNEL_64, which
 * every x86-64 distribution kernel of the last decade has.
 */
#include "microvm/boot/kernel.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "microvm/boot/x86_layout.h"

#define SETUP_HEADER_OFFSET 0x1f1u
#define SECTOR_BYTES	    512u
#define ENTRY_64_OFFSET	    0x200u
#define PROTOCOL_MIN	    0x020cu

/* Copies as much of the setup header as the file says there is (boot.rst, the jump at 0x200). */
static int bzimage_read_setup(int fd, uint64_t len_bytes, struct setup_header *setup, struct err *e)
{
	uint8_t raw[SETUP_HEADER_OFFSET + sizeof(*setup)];

	if (len_bytes < sizeof(raw))
		return err_set(e, ENOEXEC, "not a kernel: too short");
	int ret = kernel_read(fd, raw, sizeof(raw), 0, e);
	if (ret < 0)
		return ret;
	size_t header_bytes = 0x202u + raw[0x201] - SETUP_HEADER_OFFSET;
	if (header_bytes > sizeof(*setup))
		header_bytes = sizeof(*setup);
	memset(setup, 0, sizeof(*setup));
	memcpy(setup, raw + SETUP_HEADER_OFFSET, header_bytes);
	if (setup->boot_flag != 0xaa55 || setup->version < PROTOCOL_MIN ||
		!(setup->loadflags & LOADED_HIGH) || !(setup->xloadflags & XLF_KERNEL_64))
		return err_set(e, ENOEXEC,
			"not a kernel for this VM: a bzImage without the 64-bit entry (boot "
			"protocol "
			"%u.%02u)",
			setup->version >> 8, setup->version & 0xffu);
	return 0;
}

int kernel_load_bzimage(const struct guest_memory *memory, int fd, uint64_t len_bytes,
	struct kernel_image *image, struct err *e)
{
	struct setup_header *setup = &image->setup;
	int ret = bzimage_read_setup(fd, len_bytes, setup, e);

	if (ret < 0)
		return ret;
	uint64_t skip = (uint64_t)(setup->setup_sects ? setup->setup_sects + 1 : 5) * SECTOR_BYTES;
	uint64_t load_gpa = setup->pref_address;
	if (skip >= len_bytes || len_bytes - skip <= ENTRY_64_OFFSET)
		return err_set(
			e, ENOEXEC, "not a kernel: a bzImage that ends within its setup code");
	uint64_t load_bytes = len_bytes - skip;
	/* syssize is in paragraphs; what is behind it in the file (a signature) is not loaded. */
	if ((uint64_t)setup->syssize * 16 > load_bytes + 15)
		return err_set(e, ENOEXEC, "not a kernel: a bzImage cut short");
	if (setup->syssize && (uint64_t)setup->syssize * 16 < load_bytes)
		load_bytes = (uint64_t)setup->syssize * 16;
	uint64_t need_bytes = setup->init_size > load_bytes ? setup->init_size : load_bytes;

	if (load_bytes <= ENTRY_64_OFFSET || load_gpa < X86_HIGH_RAM_GPA ||
		load_gpa >= X86_IDENTITY_END_GPA || need_bytes > X86_IDENTITY_END_GPA - load_gpa)
		return err_set(e, ENOEXEC,
			"not a kernel: a bzImage that wants 0x%" PRIx64 " bytes at 0x%" PRIx64
			", outside 1 MiB to 1 GiB",
			need_bytes, load_gpa);
	void *dst = guest_memory_at(memory, load_gpa, need_bytes);
	if (!dst)
		return err_set(e, ENOMEM,
			"the kernel needs memory up to %" PRIu64
			" MiB to unpack itself, more than the VM has",
			(load_gpa + need_bytes + 0xfffff) >> 20);
	ret = kernel_read(fd, dst, load_bytes, skip, e);
	if (ret < 0)
		return ret;

	image->bzimage = true;
	image->entry_gpa = load_gpa + ENTRY_64_OFFSET;
	image->start_gpa = load_gpa;
	image->end_gpa = load_gpa + need_bytes;
	image->initrd_max_gpa = setup->initrd_addr_max ? setup->initrd_addr_max : 0x37ffffff;
	image->cmdline_max_bytes = setup->cmdline_size ? setup->cmdline_size : 255;
	if (image->cmdline_max_bytes > X86_CMDLINE_BYTES - 1)
		image->cmdline_max_bytes = X86_CMDLINE_BYTES - 1;
	return 0;
}
