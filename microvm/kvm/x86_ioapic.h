/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The registers of an IO-APIC (82093AA, and Intel's SDM 3A, 11.11 on messages): some pins, each
 * with a redirection entry that says which interrupt message it sends. The messages themselves are
 * KVM's: an engine routes each device's event to its pin's message, so that an interrupt goes from
 * the event to the local APIC with nothing between.
 *
 * Only local APICs are in the kernel ("split"). Its IO-APIC would take every interrupt through a
 * work queue, and brings two 8259s that kernels then spend hundreds of accesses on.
 */
#ifndef MICROVM_KVM_X86_IOAPIC_H
#define MICROVM_KVM_X86_IOAPIC_H

#include <stdbool.h>
#include <stdint.h>

#define X86_IOAPIC_PINS_MAX 32u

struct x86_ioapic {
	unsigned n_pins;
	uint32_t select, id;
	uint64_t pins[X86_IOAPIC_PINS_MAX];
};

struct x86_msi {
	uint64_t address;
	uint32_t data;
};

void x86_ioapic_init(struct x86_ioapic *ioapic, unsigned n_pins); /* 1 to X86_IOAPIC_PINS_MAX */

/* Accesses at an offset within the IO-APIC's page; all offsets are fine. */
uint32_t x86_ioapic_read(const struct x86_ioapic *ioapic, uint32_t offset);
/* The pin that sends something else than before, nothing among that; or -1. */
int x86_ioapic_write(struct x86_ioapic *ioapic, uint32_t offset, uint32_t value);

/* What a pin (of n_pins) sends; false while it is masked or set to what devices can't send. */
bool x86_ioapic_message(const struct x86_ioapic *ioapic, unsigned pin, struct x86_msi *msi);

#endif
