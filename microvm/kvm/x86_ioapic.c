/* SPDX-License-Identifier: Apache-2.0 */
/* IO-APIC registers; see x86_ioapic.h. */
#include "microvm/kvm/x86_ioapic.h"

#include <string.h>

#define OFFSET_SELECT 0x00
#define OFFSET_WINDOW 0x10

#define REG_ID	    0x00
#define REG_VERSION 0x01
#define REG_ARB	    0x02
#define REG_PINS    0x10

#define VERSION 0x11u

#define PIN_VECTOR	   0xffull
#define PIN_DELIVERY	   (7ull << 8)
#define PIN_LOGICAL	   (1ull << 11)
#define PIN_READ_ONLY	   (1ull << 12 | 1ull << 14) /* delivery status, remote IRR */
#define PIN_MASKED	   (1ull << 16)
#define PIN_RESERVED	   0x00fffffffffe0000ull
#define PIN_DESTINATION(p) ((p) >> 56)

#define DELIVERY_FIXED	(0ull << 8)
#define DELIVERY_LOWEST (1ull << 8)

#define MSI_ADDRESS 0xfee00000u

void x86_ioapic_init(struct x86_ioapic *ioapic, unsigned n_pins)
{
	memset(ioapic, 0, sizeof(*ioapic));
	ioapic->n_pins = n_pins;
	for (unsigned i = 0; i < n_pins; i++)
		ioapic->pins[i] = PIN_MASKED;
}

uint32_t x86_ioapic_read(const struct x86_ioapic *ioapic, uint32_t offset)
{
	uint32_t reg = ioapic->select;

	if (offset == OFFSET_SELECT)
		return reg;
	if (offset != OFFSET_WINDOW)
		return UINT32_MAX;
	if (reg == REG_ID || reg == REG_ARB)
		return ioapic->id;
	if (reg == REG_VERSION)
		return VERSION | (ioapic->n_pins - 1) << 16;
	if (reg < REG_PINS || reg >= REG_PINS + 2 * ioapic->n_pins)
		return 0;
	return (uint32_t)(ioapic->pins[(reg - REG_PINS) / 2] >> (reg & 1 ? 32 : 0));
}

/* The message of an entry; false where it has none. */
static bool message_of(uint64_t entry, struct x86_msi *msi)
{
	uint64_t delivery = entry & PIN_DELIVERY;

	if ((entry & PIN_MASKED) || (delivery != DELIVERY_FIXED && delivery != DELIVERY_LOWEST))
		return false;
	/*
	 * Events are edges whatever the entry says: a level-triggered message would wait for an
	 * end-of-interrupt that nobody needs.
	 */
	msi->address = MSI_ADDRESS | PIN_DESTINATION(entry) << 12 | (entry & PIN_LOGICAL ? 4 : 0);
	msi->data = (uint32_t)(delivery | (entry & PIN_VECTOR));
	return true;
}

static bool same_message(uint64_t a, uint64_t b)
{
	struct x86_msi of_a, of_b;
	bool has_a = message_of(a, &of_a), has_b = message_of(b, &of_b);

	if (!has_a || !has_b)
		return has_a == has_b;
	return of_a.address == of_b.address && of_a.data == of_b.data;
}

int x86_ioapic_write(struct x86_ioapic *ioapic, uint32_t offset, uint32_t value)
{
	uint32_t reg = ioapic->select;

	if (offset == OFFSET_SELECT) {
		ioapic->select = value & 0xff;
		return -1;
	}
	if (offset != OFFSET_WINDOW)
		return -1;
	if (reg == REG_ID)
		ioapic->id = value & 0x0f000000;
	if (reg < REG_PINS || reg >= REG_PINS + 2 * ioapic->n_pins)
		return -1;
	unsigned pin = (reg - REG_PINS) / 2, shift = reg & 1 ? 32 : 0;
	uint64_t old = ioapic->pins[pin];
	uint64_t entry = (old & ~(0xffffffffull << shift)) | (uint64_t)value << shift;
	ioapic->pins[pin] = entry & ~(PIN_READ_ONLY | PIN_RESERVED);
	return same_message(ioapic->pins[pin], old) ? -1 : (int)pin;
}

bool x86_ioapic_message(const struct x86_ioapic *ioapic, unsigned pin, struct x86_msi *msi)
{
	return message_of(ioapic->pins[pin], msi);
}
