/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IO-APIC's registers, in any order: the first byte is the number of pins, then come steps of
 * six bytes, an offset and a value, which are written and read back. A message goes to a local APIC
 * and nowhere else, and no pin changes but the one that the write named.
 *
 * Covers: microvm/kvm/x86_ioapic.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "microvm/kvm/x86_ioapic.h"
#include "tests/unit/support/fuzz_script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_messages(const struct x86_ioapic *ioapic)
{
	for (unsigned pin = 0; pin < ioapic->n_pins; pin++) {
		struct x86_msi msi;
		if (!x86_ioapic_message(ioapic, pin, &msi))
			continue;
		/* SDM 3A, 11.11: where local APICs are, fixed or lowest priority, edge. */
		if (msi.address >> 20 != 0xfee || msi.data & ~0x1ffu)
			abort();
	}
	for (unsigned pin = ioapic->n_pins; pin < X86_IOAPIC_PINS_MAX; pin++)
		if (ioapic->pins[pin])
			abort();
}

/* One entry at most is another one, and the pin that is told is the one that sends something else.
 */
static void check_change(const struct x86_ioapic *before, const struct x86_ioapic *after, int told)
{
	unsigned n_changed = 0;

	for (unsigned pin = 0; pin < after->n_pins; pin++) {
		struct x86_msi old, new;
		bool had = x86_ioapic_message(before, pin, &old);
		bool has = x86_ioapic_message(after, pin, &new);
		bool differs =
			had != has || (has && (old.address != new.address || old.data != new.data));

		n_changed += before->pins[pin] != after->pins[pin];
		if (differs != ((int)pin == told))
			abort();
	}
	if (n_changed > 1)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct x86_ioapic ioapic, before;

	memset(&ioapic, 0, sizeof(ioapic));
	x86_ioapic_init(&ioapic, fuzz_u8(&in) % X86_IOAPIC_PINS_MAX + 1);
	while (in.left) {
		uint32_t offset = fuzz_u16(&in), value = fuzz_u32(&in);
		/* Mostly the two registers that do something; else anywhere, and far out. */
		if (offset & 0x8000)
			offset = offset & 1 ? 0x10 : 0;
		else if (offset & 0x4000)
			offset |= offset << 16;
		before = ioapic;
		int changed = x86_ioapic_write(&ioapic, offset, value);
		if (changed >= (int)ioapic.n_pins)
			abort();
		check_change(&before, &ioapic, changed);
		(void)x86_ioapic_read(&ioapic, offset);
		(void)x86_ioapic_read(&ioapic, 0x10);
		check_messages(&ioapic);
	}
	return 0;
}
