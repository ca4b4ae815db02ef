/* SPDX-License-Identifier: Apache-2.0 */
/* The IO-APIC's registers: entries become messages, masked ones do not, and nothing lies outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "microvm/kvm/x86_ioapic.h"

#define PINS   6
#define MASKED 0x10000u

static struct x86_ioapic ioapic;

static int setup(void **state)
{
	(void)state;
	x86_ioapic_init(&ioapic, PINS);
	return 0;
}

static uint32_t rd(uint32_t reg)
{
	assert_int_equal(x86_ioapic_write(&ioapic, 0, reg), -1);
	return x86_ioapic_read(&ioapic, 0x10);
}

static int wr(uint32_t reg, uint32_t value)
{
	assert_int_equal(x86_ioapic_write(&ioapic, 0, reg), -1);
	return x86_ioapic_write(&ioapic, 0x10, value);
}

static void identity(void **state)
{
	(void)state;
	assert_int_equal(rd(1), (PINS - 1) << 16 | 0x11);
	assert_int_equal(wr(1, 0), -1);
	assert_int_equal(rd(1), (PINS - 1) << 16 | 0x11);
	wr(0, 0xffffffff);
	assert_int_equal(rd(0), 0x0f000000);
	assert_int_equal(rd(2), 0x0f000000);
	for (uint32_t pin = 0; pin < PINS; pin++) {
		assert_int_equal(rd(0x10 + 2 * pin), MASKED);
		assert_int_equal(rd(0x11 + 2 * pin), 0);
	}
}

static void messages(void **state)
{
	struct x86_msi msi;

	(void)state;
	assert_false(x86_ioapic_message(&ioapic, 3, &msi));
	assert_int_equal(wr(0x11 + 6, 5u << 24), -1); /* masked as before */
	assert_int_equal(wr(0x10 + 6, 0x31), 3);
	assert_int_equal(wr(0x10 + 6, 0x31), -1); /* nothing new */
	/* Another entry, the same message: low active, level, and bits that mean nothing. */
	assert_int_equal(wr(0x10 + 6, 0x2000 | 0x31), -1);
	assert_int_equal(wr(0x10 + 6, 0x8000 | 0xf000000 | 0x31), -1);
	assert_int_equal(rd(0x10 + 6), 0x8000 | 0x31);
	assert_int_equal(wr(0x10 + 6, 0x32), 3);
	assert_int_equal(wr(0x10 + 6, MASKED | 0x32), 3);
	assert_int_equal(wr(0x10 + 6, MASKED | 0x33), -1);
	assert_int_equal(wr(0x10 + 6, 0x200 | 0x33), -1); /* SMI, which devices can't send */
	assert_int_equal(wr(0x10 + 6, 0x31), 3);
	assert_true(x86_ioapic_message(&ioapic, 3, &msi));
	assert_int_equal(msi.address, 0xfee05000);
	assert_int_equal(msi.data, 0x31);
	wr(0x10 + 6, 0x8000 | 0x800 | 0x100 | 0x32); /* level, logical, lowest priority */
	assert_true(x86_ioapic_message(&ioapic, 3, &msi));
	assert_int_equal(msi.address, 0xfee05004);
	assert_int_equal(msi.data, 0x132);
	assert_false(x86_ioapic_message(&ioapic, 2, &msi)); /* its neighbour is still masked */
	wr(0x10 + 6, MASKED | 0x32);
	assert_false(x86_ioapic_message(&ioapic, 3, &msi));
	wr(0x10 + 6, 0x200 | 0x32); /* SMI */
	assert_false(x86_ioapic_message(&ioapic, 3, &msi));
}

static void read_only_bits(void **state)
{
	(void)state;
	wr(0x10, 0xffffffff);
	assert_int_equal(rd(0x10), 0xffffffff & ~(0xfffe0000u | 1u << 12 | 1u << 14));
	wr(0x11, 0xffffffff);
	assert_int_equal(rd(0x11), 0xff000000);
}

static void outside(void **state)
{
	(void)state;
	assert_int_equal(wr(0x10 + 2 * PINS, 0), -1);
	assert_int_equal(rd(0x10 + 2 * PINS), 0);
	assert_int_equal(rd(0xff), 0);
	assert_int_equal(wr(0xff, 1), -1);
	assert_int_equal(wr(3, 1), -1);
	x86_ioapic_write(&ioapic, 0, 0xffffff10); /* only eight bits select */
	assert_int_equal(x86_ioapic_read(&ioapic, 0), 0x10);
	assert_int_equal(x86_ioapic_read(&ioapic, 0x40), 0xffffffff);
	assert_int_equal(x86_ioapic_write(&ioapic, 0x40, 0), -1);
	assert_int_equal(x86_ioapic_write(&ioapic, 0xffffffff, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(identity, setup),
		cmocka_unit_test_setup(messages, setup),
		cmocka_unit_test_setup(read_only_bits, setup),
		cmocka_unit_test_setup(outside, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
