/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel MultiProcessor table (specification 1.4): CPUs and interrupt wiring for a kernel without
 * ACPI.
 */
#ifndef MICROVM_BOOT_MPTABLE_H
#define MICROVM_BOOT_MPTABLE_H

#include "base/err.h"
#include "microvm/memory/guest_memory.h"

/*
 * Writes the table and its pointer (x86_layout.h) for 1 to 64 vCPUs with APIC ids from 0 and
 * n_devices with one IO-APIC pin each, from X86_IRQ_FIRST.
 */
int mptable_write(const struct guest_memory *memory, unsigned vcpus, unsigned n_devices,
	struct err *e) must_check;

#endif
