/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF vmlinux loader. Each PT_LOAD segment is read from the file to its physical address; what is
 * beyond its file part is zero already, as guest memory is fresh.
 */
#include "microvm/boot/kernel.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "microvm/boot/x86_layout.h"

#define PHDRS_MAX 64

/* The protocol's fields that a kernel checks although nobody read its setup header. */
static void elf_setup_header(struct setup_header *setup)
{
	setup->boot_flag = 0xaa55;
	setup->header = 0x53726448; /* "HdrS" */
	setup->version = 0x020f;
	setup->kernel_alignment = 0x1000000;
}

static int elf_check_header(const Elf64_Ehdr *ehdr, uint64_t len_bytes, struct err *e)
{
	if (ehdr->e_ident[EI_CLASS] != ELFCLASS64 || ehdr->e_ident[EI_DATA] != ELFDATA2LSB ||
		ehdr->e_machine != EM_X86_64)
		return err_set(e, ENOEXEC, "not a kernel: an ELF file, but not for x86-64");
	if (ehdr->e_type != ET_EXEC)
		return err_set(e, ENOEXEC, "not a kernel: an ELF file, but no vmlinux (type %u)",
			ehdr->e_type);
	if (ehdr->e_phentsize != sizeof(Elf64_Phdr) || !ehdr->e_phnum || ehdr->e_phnum > PHDRS_MAX)
		return err_set(e, ENOEXEC, "not a kernel: %u program headers of %u bytes",
			ehdr->e_phnum, ehdr->e_phentsize);
	if (ehdr->e_phoff > len_bytes ||
		len_bytes - ehdr->e_phoff < (uint64_t)ehdr->e_phnum * sizeof(Elf64_Phdr))
		return err_set(e, ENOEXEC, "not a kernel: program headers outside the file");
	return 0;
}

/* A kernel's code runs in the upper half of the address space, wherever it is loaded. */
static bool elf_is_kernel_code(const Elf64_Phdr *p)
{
	return p->p_vaddr >> 63;
}

static bool elf_segments_overlap(const Elf64_Phdr *a, const Elf64_Phdr *b)
{
	return a->p_paddr < b->p_paddr + b->p_memsz && b->p_paddr < a->p_paddr + a->p_memsz;
}

/* Checks segment i against the file, guest memory and the segments before it. */
static int elf_check_segment(const Elf64_Phdr *phdrs, unsigned i, uint64_t len_bytes,
	const struct guest_memory *memory, struct err *e)
{
	const Elf64_Phdr *p = &phdrs[i];

	if (p->p_filesz > p->p_memsz || p->p_offset > len_bytes ||
		p->p_filesz > len_bytes - p->p_offset)
		return err_set(e, ENOEXEC, "not a kernel: segment %u lies outside the file", i);
	if (p->p_paddr < X86_HIGH_RAM_GPA || p->p_paddr >= X86_IDENTITY_END_GPA ||
		p->p_memsz > X86_IDENTITY_END_GPA - p->p_paddr)
		return err_set(e, ENOEXEC,
			"not a kernel: segment %u wants 0x%" PRIx64 " bytes at 0x%" PRIx64
			", outside 1 MiB to 1 GiB",
			i, p->p_memsz, p->p_paddr);
	if (!guest_memory_at(memory, p->p_paddr, p->p_memsz))
		return err_set(e, ENOMEM,
			"the kernel needs memory up to %" PRIu64 " MiB, more than the VM has",
			(p->p_paddr + p->p_memsz + 0xfffff) >> 20);
	for (unsigned j = 0; j < i; j++)
		if (phdrs[j].p_type == PT_LOAD && phdrs[j].p_memsz &&
			elf_segments_overlap(p, &phdrs[j]))
			return err_set(
				e, ENOEXEC, "not a kernel: segments %u and %u overlap", j, i);
	return 0;
}

static int elf_load_segment(const Elf64_Phdr *p, const struct guest_memory *memory, int fd,
	struct kernel_image *image, struct err *e)
{
	if (p->p_filesz) {
		void *dst = guest_memory_at(memory, p->p_paddr, p->p_filesz);
		int ret = kernel_read(fd, dst, p->p_filesz, p->p_offset, e);
		if (ret < 0)
			return ret;
	}
	if (!image->end_gpa || p->p_paddr < image->start_gpa)
		image->start_gpa = p->p_paddr;
	if (p->p_paddr + p->p_memsz > image->end_gpa)
		image->end_gpa = p->p_paddr + p->p_memsz;
	return 0;
}

int kernel_load_elf(const struct guest_memory *memory, int fd, uint64_t len_bytes,
	struct kernel_image *image, struct err *e)
{
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdrs[PHDRS_MAX];
	bool entry_loaded = false, kernel_code = false;

	if (len_bytes < sizeof(ehdr))
		return err_set(e, ENOEXEC, "not a kernel: too short");
	int ret = kernel_read(fd, &ehdr, sizeof(ehdr), 0, e);
	if (ret < 0)
		return ret;
	ret = elf_check_header(&ehdr, len_bytes, e);
	if (ret < 0)
		return ret;
	ret = kernel_read(fd, phdrs, ehdr.e_phnum * sizeof(*phdrs), ehdr.e_phoff, e);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < ehdr.e_phnum; i++) {
		const Elf64_Phdr *p = &phdrs[i];

		if (p->p_type != PT_LOAD || !p->p_memsz)
			continue;
		ret = elf_check_segment(phdrs, i, len_bytes, memory, e);
		if (ret < 0)
			return ret;
		if (ehdr.e_entry >= p->p_paddr && ehdr.e_entry - p->p_paddr < p->p_filesz)
			entry_loaded = true;
		kernel_code |= elf_is_kernel_code(p);
	}
	if (!kernel_code)
		return err_set(e, ENOEXEC, "not a kernel: an ELF program for user space");
	if (!entry_loaded)
		return err_set(e, ENOEXEC,
			"not a kernel: its entry 0x%" PRIx64
			" is in no segment (a vmlinux has a physical address there)",
			ehdr.e_entry);
	for (unsigned i = 0; i < ehdr.e_phnum; i++) {
		if (phdrs[i].p_type != PT_LOAD || !phdrs[i].p_memsz)
			continue;
		ret = elf_load_segment(&phdrs[i], memory, fd, image, e);
		if (ret < 0)
			return ret;
	}
	image->entry_gpa = ehdr.e_entry;
	image->initrd_max_gpa = X86_RAM_HOLE_GPA - 1;
	image->cmdline_max_bytes = X86_CMDLINE_BYTES - 1;
	elf_setup_header(&image->setup);
	return 0;
}
