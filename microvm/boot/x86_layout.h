/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest-physical addresses of an x86-64 microVM: what the boot code writes below 1 MiB, and where
 * the machine's few devices are. RAM fills 0 to 3 GiB and goes on at 4 GiB (guest_memory.h).
 */
#ifndef MICROVM_BOOT_X86_LAYOUT_H
#define MICROVM_BOOT_X86_LAYOUT_H

/* Below 640 KiB: what the kernel reads once and then takes as RAM. */
#define X86_GDT_GPA	  0x500ull
#define X86_ZERO_PAGE_GPA 0x7000ull
#define X86_STACK_TOP_GPA 0x8ff0ull
#define X86_PML4_GPA	  0x9000ull
#define X86_PDPT_GPA	  0xa000ull
#define X86_PD_GPA	  0xb000ull /* identity map of the first GiB by 2 MiB pages */
#define X86_CMDLINE_GPA	  0x20000ull
#define X86_CMDLINE_BYTES 2048u /* Linux's COMMAND_LINE_SIZE on x86, NUL included */

/*
 * The last 4 KiB of low memory are kept from e820's RAM: the MP configuration table, and its
 * floating pointer in the last KiB below 640 KiB, where kernels look (MP spec 1.4, 4).
 */
#define X86_LOW_RAM_END_GPA 0x9f000ull
#define X86_MP_CONFIG_GPA   0x9f000ull
#define X86_MP_POINTER_GPA  0x9fc00ull

/* ACPI tables, in the BIOS's area, which kernels search for the RSDP when nobody tells them. */
#define X86_ACPI_GPA   0xe0000ull
#define X86_ACPI_BYTES 0x20000ull

#define X86_HIGH_RAM_GPA     0x100000ull   /* kernels are loaded from here on */
#define X86_IDENTITY_END_GPA 0x40000000ull /* what the boot page tables map */
#define X86_RAM_HOLE_GPA     0xc0000000ull
#define X86_RAM_ABOVE_GPA    0x100000000ull

/* Devices in the hole. */
#define X86_MMIO_GPA	0xd0000000ull /* virtio-mmio: a page for each device */
#define X86_MMIO_STRIDE 0x1000ull
#define X86_IOAPIC_GPA	0xfec00000ull
#define X86_LAPIC_GPA	0xfee00000ull
/*
 * The IO-APIC has a pin for each device and no more: a kernel that starts visits every pin several
 * times, at an exit each. Pins 0 to 2 stay free: kernels keep interrupts 0 and 2 for the legacy
 * timer and the cascade of 8259s, whether these are there or not.
 */
#define X86_IRQ_FIRST		3u
#define X86_IRQ_PINS(n_devices) (X86_IRQ_FIRST + (n_devices))

/* Ports. */
#define X86_PORT_SERIAL	       0x3f8u
#define X86_PORT_I8042	       0x64u
#define X86_PORT_SLEEP_CONTROL 0x600u /* ACPI's sleep control and status registers */
#define X86_PORT_SLEEP_STATUS  0x601u
#define X86_SLEEP_TYPE_S5      5u

#endif
