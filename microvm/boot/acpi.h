/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables of a hardware-reduced machine (ACPI 6.5, 4.1): CPUs, one IO-APIC, the virtio-mmio
 * devices (LNRO0005), power off and reset. For kernels that find their devices no other way.
 */
#ifndef MICROVM_BOOT_ACPI_H
#define MICROVM_BOOT_ACPI_H

#include "base/err.h"
#include "microvm/memory/guest_memory.h"

/*
 * Writes RSDP (at X86_ACPI_GPA), XSDT, FADT, MADT and DSDT for 1 to 64 vCPUs with APIC ids from 0
 * and n_devices virtio-mmio slots laid out as in x86_layout.h.
 */
int acpi_write(const struct guest_memory *memory, unsigned vcpus, unsigned n_devices,
	struct err *e) must_check;

#endif
