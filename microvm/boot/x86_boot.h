/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All that guest memory must hold before an x86-64 kernel's first instruction: kernel, initramfs,
 * command line, memory map, CPU and device tables, page tables.
 */
#ifndef MICROVM_BOOT_X86_BOOT_H
#define MICROVM_BOOT_X86_BOOT_H

#include <stdint.h>

#include "microvm/vmm/engine.h"

/* What the first vCPU starts with, in long mode; see boot.rst, "64-bit Boot Protocol". */
struct x86_boot {
	uint64_t entry_gpa;
	uint64_t zero_page_gpa;	 /* in RSI */
	uint64_t stack_gpa;	 /* in RSP */
	uint64_t page_table_gpa; /* in CR3: the first GiB mapped one to one */
	uint64_t gdt_gpa;
	uint16_t gdt_limit;
};

/* Selectors of the protocol, and the descriptors of the GDT that x86_boot_write makes. */
#define X86_BOOT_CS    0x10
#define X86_BOOT_DS    0x18
#define X86_GDT_CODE64 0x00af9b000000ffffull
#define X86_GDT_DATA   0x00cf93000000ffffull

/* Fills fresh guest memory; errors name the kernel's path or the part that failed. */
int x86_boot_write(const struct vm_config *config, struct x86_boot *boot, struct err *e) must_check;

#endif
