/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the parts of an x86-64 boot into guest memory; see x86_boot.h. */
#include "microvm/boot/x86_boot.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>

#include "base/fd.h"
#include "microvm/boot/acpi.h"
#include "microvm/boot/cmdline.h"
#include "microvm/boot/initramfs.h"
#include "microvm/boot/kernel.h"
#include "microvm/boot/mptable.h"
#include "microvm/boot/x86_layout.h"

#define PAGE_BYTES	  4096ull
#define E820_RAM	  1
#define E820_RESERVED	  2
#define PTE_PRESENT_WRITE 0x3ull
#define PTE_LARGE	  0x80ull

static void e820_add(struct boot_params *bp, uint64_t gpa, uint64_t len_bytes, uint32_t type)
{
	/* At most three and one for each region of guest memory: far below the table's 128. */
	bp->e820_table[bp->e820_entries++] =
		(struct boot_e820_entry){.addr = gpa, .size = len_bytes, .type = type};
}

/*
 * RAM as guest memory has it, but for the BIOS's area below 1 MiB. That is reserved where ACPI
 * tables lie in it; otherwise it is a hole, as the kernel walks this map a few thousand times.
 */
static int boot_memory_map(const struct vm_config *config, struct boot_params *bp, struct err *e)
{
	const struct guest_memory *memory = config->memory;
	const struct guest_memory_region *low = &memory->regions[0];

	if (!memory->n_regions || low->gpa || low->len_bytes <= X86_HIGH_RAM_GPA)
		return err_set(e, EINVAL, "guest memory does not begin at 0 or is too small");
	e820_add(bp, 0, X86_LOW_RAM_END_GPA, E820_RAM);
	if (config->discovery == VM_DISCOVERY_ACPI)
		e820_add(bp, X86_LOW_RAM_END_GPA, X86_HIGH_RAM_GPA - X86_LOW_RAM_END_GPA,
			E820_RESERVED);
	e820_add(bp, X86_HIGH_RAM_GPA, low->len_bytes - X86_HIGH_RAM_GPA, E820_RAM);
	for (unsigned i = 1; i < memory->n_regions; i++)
		e820_add(bp, memory->regions[i].gpa, memory->regions[i].len_bytes, E820_RAM);
	return 0;
}

/*
 * Linux since 6.5 starts its CPUs all at once, and they spin for each other. Where they must share
 * the host's CPUs that lasts so long that it gives some up, which then run into nothing.
 */
static bool vcpus_share_cpus(unsigned vcpus)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && vcpus > (unsigned)CPU_COUNT(&cpus);
}

/*
 * Words for devices go in front: whatever follows a "--" in the configured line is init's. The
 * kernel takes the sizes and addresses as `virtio_mmio.device=SIZE@BASE:IRQ`.
 */
static int boot_cmdline(const struct vm_config *config, const struct kernel_image *image,
	struct boot_params *bp, struct err *e)
{
	struct cmdline cmdline;
	int ret;

	cmdline_init(&cmdline, image->cmdline_max_bytes);
	if (config->discovery == VM_DISCOVERY_CMDLINE) {
		for (unsigned i = 0; i < config->n_devices; i++) {
			ret = cmdline_add(&cmdline, e, "virtio_mmio.device=4K@0x%llx:%u",
				X86_MMIO_GPA + i * X86_MMIO_STRIDE, X86_IRQ_FIRST + i);
			if (ret < 0)
				return ret;
		}
	}
	if (config->vcpus > 1 && vcpus_share_cpus(config->vcpus)) {
		ret = cmdline_add(&cmdline, e, "cpuhp.parallel=0");
		if (ret < 0)
			return ret;
	}
	ret = cmdline_add(&cmdline, e, "%s", config->cmdline);
	if (ret < 0)
		return ret;
	void *dst = guest_memory_at(config->memory, X86_CMDLINE_GPA, X86_CMDLINE_BYTES);
	if (!dst)
		return err_set(e, ENOMEM, "kernel command line: no low memory");
	memcpy(dst, cmdline.text, cmdline.len_bytes + 1);
	bp->hdr.cmd_line_ptr = (uint32_t)X86_CMDLINE_GPA;
	return 0;
}

/* As high as the kernel allows, so that it never lies in the way of a kernel that unpacks itself.
 */
static int boot_initramfs(const struct vm_config *config, const struct kernel_image *image,
	struct boot_params *bp, struct err *e)
{
	uint64_t len_bytes, end_gpa = config->memory->regions[0].len_bytes;

	if (!config->n_initramfs)
		return 0;
	int ret = initramfs_measure(config->initramfs, config->n_initramfs, &len_bytes, e);
	if (ret < 0)
		return ret;
	if (end_gpa > image->initrd_max_gpa)
		end_gpa = image->initrd_max_gpa + 1;
	end_gpa &= ~(PAGE_BYTES - 1);
	uint64_t gpa = end_gpa > len_bytes ? (end_gpa - len_bytes) & ~(PAGE_BYTES - 1) : 0;
	void *dst = guest_memory_at(config->memory, gpa, len_bytes);
	if (gpa < image->end_gpa || !dst)
		return err_set(e, ENOMEM,
			"the VM's memory is too small for kernel and initramfs "
			"(%" PRIu64 " MiB)",
			(image->end_gpa + len_bytes + 0xfffff) >> 20);
	ret = initramfs_write(config->initramfs, config->n_initramfs, dst, len_bytes, e);
	bp->hdr.ramdisk_image = (uint32_t)gpa;
	bp->hdr.ramdisk_size = (uint32_t)len_bytes;
	return ret;
}

static int boot_page_tables(const struct guest_memory *memory, struct err *e)
{
	uint64_t *pml4 = guest_memory_at(memory, X86_PML4_GPA, PAGE_BYTES);
	uint64_t *pdpt = guest_memory_at(memory, X86_PDPT_GPA, PAGE_BYTES);
	uint64_t *pd = guest_memory_at(memory, X86_PD_GPA, PAGE_BYTES);
	uint64_t *gdt = guest_memory_at(memory, X86_GDT_GPA, 4 * sizeof(uint64_t));

	if (!pml4 || !pdpt || !pd || !gdt)
		return err_set(e, ENOMEM, "boot page tables: no low memory");
	pml4[0] = X86_PDPT_GPA | PTE_PRESENT_WRITE;
	pdpt[0] = X86_PD_GPA | PTE_PRESENT_WRITE;
	for (uint64_t i = 0; i < 512; i++)
		pd[i] = i << 21 | PTE_LARGE | PTE_PRESENT_WRITE;
	gdt[X86_BOOT_CS / 8] = X86_GDT_CODE64;
	gdt[X86_BOOT_DS / 8] = X86_GDT_DATA;
	return 0;
}

static int boot_tables(const struct vm_config *config, struct boot_params *bp, struct err *e)
{
	if (config->discovery == VM_DISCOVERY_CMDLINE)
		return mptable_write(config->memory, config->vcpus, config->n_devices, e);
	bp->acpi_rsdp_addr = X86_ACPI_GPA;
	return acpi_write(config->memory, config->vcpus, config->n_devices, e);
}

int x86_boot_write(const struct vm_config *config, struct x86_boot *boot, struct err *e)
{
	struct kernel_image image;
	struct boot_params *bp = guest_memory_at(config->memory, X86_ZERO_PAGE_GPA, sizeof(*bp));

	if (!bp)
		return err_set(e, ENOMEM, "boot parameters: no low memory");
	int ret = kernel_load(config->memory, config->kernel_fd, &image, e);
	if (ret < 0)
		return err_add(e, "%s", config->kernel_path);
	memset(bp, 0, sizeof(*bp));
	bp->hdr = image.setup;
	bp->hdr.type_of_loader = 0xff; /* undefined: none of the registered ones */
	ret = boot_memory_map(config, bp, e);
	if (ret == 0)
		ret = boot_cmdline(config, &image, bp, e);
	if (ret == 0)
		ret = boot_initramfs(config, &image, bp, e);
	if (ret == 0)
		ret = boot_tables(config, bp, e);
	if (ret == 0)
		ret = boot_page_tables(config->memory, e);
	if (ret < 0)
		return ret;
	*boot = (struct x86_boot){
		.entry_gpa = image.entry_gpa,
		.zero_page_gpa = X86_ZERO_PAGE_GPA,
		.stack_gpa = X86_STACK_TOP_GPA,
		.page_table_gpa = X86_PML4_GPA,
		.gdt_gpa = X86_GDT_GPA,
		.gdt_limit = 4 * sizeof(uint64_t) - 1,
	};
	return 0;
}
