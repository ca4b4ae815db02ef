/* SPDX-License-Identifier: Apache-2.0 */
/* See kernel_image.h. */
#include "tests/unit/support/kernel_image.h"

#include <string.h>

#include "base/fd.h"

void kernel_image_elf(struct kernel_image_file *file)
{
	memset(file, 0, sizeof(*file));
	file->ehdr = (Elf64_Ehdr *)(void *)file->bytes;
	file->phdrs = (Elf64_Phdr *)(void *)(file->bytes + sizeof(Elf64_Ehdr));
	memcpy(file->ehdr->e_ident, ELFMAG, SELFMAG);
	file->ehdr->e_ident[EI_CLASS] = ELFCLASS64;
	file->ehdr->e_ident[EI_DATA] = ELFDATA2LSB;
	file->ehdr->e_machine = EM_X86_64;
	file->ehdr->e_type = ET_EXEC;
	file->ehdr->e_phoff = sizeof(Elf64_Ehdr);
	file->ehdr->e_phentsize = sizeof(Elf64_Phdr);
	file->ehdr->e_phnum = 3;
	file->ehdr->e_entry = KERNEL_IMAGE_LOAD_GPA;
	file->phdrs[0] = (Elf64_Phdr){.p_type = PT_LOAD,
		.p_offset = 0x1000,
		.p_filesz = 0x1000,
		.p_memsz = 0x1000,
		.p_vaddr = 0xffffffff81000000,
		.p_paddr = KERNEL_IMAGE_LOAD_GPA};
	file->phdrs[1] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = ~0ull, .p_filesz = ~0ull};
	file->phdrs[2] = (Elf64_Phdr){.p_type = PT_LOAD,
		.p_offset = 0x2000,
		.p_filesz = 0x800,
		.p_memsz = 0x1000,
		.p_paddr = KERNEL_IMAGE_LOAD_GPA + 0x200000};
	memset(file->bytes + 0x1000, 0xaa, 0x1000);
	memset(file->bytes + 0x2000, 0xbb, 0x800);
	file->len_bytes = 0x2800;
}

void kernel_image_bzimage(struct kernel_image_file *file)
{
	memset(file, 0, sizeof(*file));
	file->setup = (struct setup_header *)(void *)(file->bytes + 0x1f1);
	file->bytes[0x200] = 0xeb; /* the jump whose distance tells the header's length */
	file->bytes[0x201] = 0x6a;
	file->setup->setup_sects = 1;
	file->setup->boot_flag = 0xaa55;
	memcpy(&file->setup->header, "HdrS", 4);
	file->setup->version = 0x020f;
	file->setup->loadflags = LOADED_HIGH;
	file->setup->xloadflags = XLF_KERNEL_64;
	file->setup->pref_address = KERNEL_IMAGE_LOAD_GPA;
	file->setup->init_size = 4u << 20;
	file->setup->syssize = 0x3000 / 16;
	file->setup->initrd_addr_max = 0x7fffffff;
	file->setup->cmdline_size = 2047;
	memset(file->bytes + 0x400, 0xcc, 0x3000);
	file->len_bytes = 0x3400;
}

int kernel_image_load(const struct kernel_image_file *file, const struct guest_memory *memory,
	struct kernel_image *image, struct err *e)
{
	cleanup_close int fd = fd_memfile("kernel", file->bytes, file->len_bytes);

	if (fd < 0)
		return fd;
	return kernel_load(memory, fd, image, e);
}
