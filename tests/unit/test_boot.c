/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel finds in memory: zero page, memory map, command line, ACPI and MP tables. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "microvm/boot/acpi.h"
#include "microvm/boot/cmdline.h"
#include "microvm/boot/mptable.h"
#include "microvm/boot/x86_boot.h"
#include "microvm/boot/x86_layout.h"
#include "tests/unit/support/kernel_image.h"

#define MIB (1ull << 20)
#define GIB (1ull << 30)

struct fixture {
	struct guest_memory memory;
	struct vm_file init;
	struct vm_config config;
};

static int fixture_make(struct fixture *fixture, uint64_t memory_bytes)
{
	static struct kernel_image_file file;
	struct err e;

	kernel_image_elf(&file);
	memset(fixture, 0, sizeof(*fixture));
	fixture->init = (struct vm_file){"init", 0755, fd_memfile("init", "hello", 5)};
	fixture->config = (struct vm_config){
		.vcpus = 1,
		.memory = &fixture->memory,
		.kernel_fd = fd_memfile("kernel", file.bytes, file.len_bytes),
		.kernel_path = "/boot/vmlinux",
		.cmdline = "quiet -- init words",
		.initramfs = &fixture->init,
		.n_initramfs = 1,
		.n_devices = 2,
	};
	return guest_memory_create(&fixture->memory, memory_bytes, &e);
}

static int setup(void **state)
{
	static struct fixture fixture;

	*state = &fixture;
	return fixture_make(&fixture, 32 * MIB);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	close(fixture->init.fd);
	close(fixture->config.kernel_fd);
	guest_memory_fini(&fixture->memory);
	return 0;
}

static const struct boot_params *zero_page(struct fixture *fixture)
{
	return guest_memory_at(&fixture->memory, X86_ZERO_PAGE_GPA, sizeof(struct boot_params));
}

static void zero_page_for_cmdline(void **state)
{
	struct fixture *fixture = *state;
	struct x86_boot boot;
	struct err e = {0};

	assert_int_equal(x86_boot_write(&fixture->config, &boot, &e), 0);
	assert_int_equal(boot.entry_gpa, KERNEL_IMAGE_LOAD_GPA);
	const struct boot_params *bp = zero_page(fixture);
	assert_int_equal(bp->hdr.type_of_loader, 0xff);
	assert_int_equal(bp->sentinel, 0);
	assert_int_equal(bp->acpi_rsdp_addr, 0);
	assert_int_equal(bp->e820_entries, 2);
	assert_int_equal(bp->e820_table[0].size, 0x9f000);
	assert_int_equal(bp->e820_table[1].addr, MIB);
	assert_int_equal(bp->e820_table[1].size, 31 * MIB);
	assert_string_equal(guest_memory_at(&fixture->memory, bp->hdr.cmd_line_ptr, 2048),
		"virtio_mmio.device=4K@0xd0000000:3 virtio_mmio.device=4K@0xd0001000:4 "
		"quiet -- init words");
	assert_int_equal(bp->hdr.ramdisk_image % 4096, 0);
	assert_true(bp->hdr.ramdisk_image + bp->hdr.ramdisk_size <= 32 * MIB);
	assert_memory_equal(
		guest_memory_at(&fixture->memory, bp->hdr.ramdisk_image, 6), "070701", 6);
	/* The identity map's last entry maps the last 2 MiB of the first GiB. */
	const uint64_t *pd = guest_memory_at(&fixture->memory, X86_PD_GPA, 4096);
	assert_int_equal(pd[511], 0x3fe00083);
}

static void more_vcpus_than_cpus(void **state)
{
	struct fixture *fixture = *state;
	struct x86_boot boot;
	struct err e = {0};
	cpu_set_t cpus, one;

	assert_int_equal(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
	fixture->config.vcpus = (unsigned)CPU_COUNT(&cpus);
	assert_int_equal(x86_boot_write(&fixture->config, &boot, &e), 0);
	const char *text = guest_memory_at(&fixture->memory, X86_CMDLINE_GPA, 2048);
	assert_null(strstr(text, "cpuhp.parallel"));
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	fixture->config.vcpus = 2;
	assert_int_equal(x86_boot_write(&fixture->config, &boot, &e), 0);
	assert_non_null(strstr(text, " cpuhp.parallel=0 quiet -- init words"));
	assert_int_equal(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
}

static void memory_above_the_hole(void **state)
{
	struct fixture fixture;
	struct x86_boot boot;
	struct err e = {0};
	void *own = &fixture;

	(void)state;
	assert_int_equal(fixture_make(&fixture, 6 * GIB), 0);
	assert_int_equal(x86_boot_write(&fixture.config, &boot, &e), 0);
	const struct boot_params *bp = zero_page(&fixture);
	assert_int_equal(bp->e820_entries, 3);
	assert_int_equal(bp->e820_table[1].addr + bp->e820_table[1].size, X86_RAM_HOLE_GPA);
	assert_int_equal(bp->e820_table[2].addr, X86_RAM_ABOVE_GPA);
	assert_int_equal(bp->e820_table[2].size, 3 * GIB);
	teardown(&own);
}

static void too_little_memory(void **state)
{
	struct fixture fixture;
	struct x86_boot boot;
	struct err e = {0};
	void *own = &fixture;
	/* The kernel ends near 18 MiB; an archive of 15 has no place beside it in 32. */
	char *big = calloc(1, 15 * MIB);

	(void)state;
	assert_non_null(big);
	assert_int_equal(fixture_make(&fixture, 32 * MIB), 0);
	close(fixture.init.fd);
	fixture.init.fd = fd_memfile("init", big, 15 * MIB);
	free(big);
	assert_int_equal(x86_boot_write(&fixture.config, &boot, &e), -ENOMEM);
	assert_non_null(strstr(e.text, "too small for kernel and initramfs (34 MiB)"));
	teardown(&own);
}

static void kernel_is_named(void **state)
{
	struct fixture *fixture = *state;
	struct x86_boot boot;
	struct err e = {0};

	close(fixture->config.kernel_fd);
	fixture->config.kernel_fd = fd_memfile("text", "just a text, no kernel", 22);
	assert_int_equal(x86_boot_write(&fixture->config, &boot, &e), -ENOEXEC);
	assert_string_equal(e.text, "/boot/vmlinux: not a kernel: only 22 bytes");
}

static void cmdline_bounds(void **state)
{
	struct cmdline cmdline;
	struct err e = {0};

	(void)state;
	cmdline_init(&cmdline, 11);
	assert_int_equal(cmdline_add(&cmdline, &e, "%s", ""), 0);
	assert_int_equal(cmdline_add(&cmdline, &e, "%s", "hello"), 0);
	assert_int_equal(cmdline_add(&cmdline, &e, "%s", "world!"), -E2BIG);
	assert_int_equal(cmdline_add(&cmdline, &e, "%s", "a\nb"), -EINVAL);
	assert_int_equal(cmdline_add(&cmdline, &e, "%s", "world"), 0);
	assert_string_equal(cmdline.text, "hello world");
	assert_int_equal(cmdline_add(&cmdline, &e, "%3000d", 1), -E2BIG);
	cmdline_init(&cmdline, 100000);
	assert_int_equal(cmdline_add(&cmdline, &e, "%2047d", 1), 0);
	assert_int_equal(strlen(cmdline.text), 2047);
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t total = 0;

	while (len--)
		total = (uint8_t)(total + *p++);
	return total;
}

static uint32_t u32(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, 4);
	return value;
}

static uint64_t u64(const uint8_t *p)
{
	uint64_t value;

	memcpy(&value, p, 8);
	return value;
}

/* A table whose length lies within the ACPI area and whose bytes add up to zero. */
static const uint8_t *acpi_table(struct fixture *fixture, uint64_t gpa, const char *signature)
{
	const uint8_t *head = guest_memory_at(&fixture->memory, gpa, 36);

	assert_in_range(gpa, X86_ACPI_GPA, X86_ACPI_GPA + X86_ACPI_BYTES - 36);
	assert_memory_equal(head, signature, 4);
	assert_in_range(u32(head + 4), 36, X86_ACPI_GPA + X86_ACPI_BYTES - gpa);
	assert_int_equal(sum(head, u32(head + 4)), 0);
	return head;
}

static void acpi_tables(void **state)
{
	struct fixture *fixture = *state;
	struct err e = {0};
	const unsigned vcpus = 64, devices = VM_DEVICES_MAX;

	assert_int_equal(acpi_write(&fixture->memory, vcpus, devices, &e), 0);
	const uint8_t *rsdp = guest_memory_at(&fixture->memory, X86_ACPI_GPA, 36);
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	const uint8_t *xsdt = acpi_table(fixture, u64(rsdp + 24), "XSDT");
	assert_int_equal(u32(xsdt + 4), 36 + 2 * 8);
	const uint8_t *fadt = acpi_table(fixture, u64(xsdt + 36), "FACP");
	const uint8_t *madt = acpi_table(fixture, u64(xsdt + 44), "APIC");
	assert_int_equal(u32(fadt + 4), 276);
	assert_true(u32(fadt + 112) & 1u << 20); /* hardware-reduced */
	assert_int_equal(u64(fadt + 116 + 4), X86_PORT_I8042);
	assert_int_equal(fadt[128], 0xfe);
	assert_int_equal(u64(fadt + 244 + 4), X86_PORT_SLEEP_CONTROL);
	assert_int_equal(u32(fadt + 40), u64(fadt + 140)); /* both forms of the DSDT's address */

	const uint8_t *at = madt + 44, *end = madt + u32(madt + 4);
	for (unsigned i = 0; i < vcpus; i++, at += 8) {
		assert_int_equal(at[0], 0);
		assert_int_equal(at[3], i);
		assert_int_equal(u32(at + 4), 1);
	}
	assert_int_equal(at[0], 1);
	assert_int_equal(u32(at + 4), X86_IOAPIC_GPA);
	assert_ptr_equal(at + 12, end);

	const uint8_t *dsdt = acpi_table(fixture, u64(fadt + 140), "DSDT");
	unsigned found = 0;
	for (const uint8_t *p = dsdt + 36; p + 23 < dsdt + u32(dsdt + 4); p++) {
		if (memcmp(p, "\x86\x09\x00\x01", 4))
			continue;
		assert_int_equal(u32(p + 4), X86_MMIO_GPA + found * 4096);
		assert_int_equal(u32(p + 8), 4096);
		assert_int_equal(u32(p + 17), X86_IRQ_FIRST + found);
		found++;
	}
	assert_int_equal(found, devices);
	assert_int_equal(acpi_write(&fixture->memory, 300, 1, &e), -E2BIG);
	assert_int_equal(acpi_write(&fixture->memory, 1, 300, &e), -E2BIG);
}

static void mp_table(void **state)
{
	struct fixture *fixture = *state;
	struct err e = {0};

	assert_int_equal(mptable_write(&fixture->memory, 64, VM_DEVICES_MAX, &e), 0);
	const uint8_t *pointer = guest_memory_at(&fixture->memory, X86_MP_POINTER_GPA, 16);
	assert_memory_equal(pointer, "_MP_", 4);
	assert_int_equal(sum(pointer, 16), 0);
	const uint8_t *config = guest_memory_at(&fixture->memory, u32(pointer + 4), 3072);
	uint16_t len_bytes, n_entries;
	memcpy(&len_bytes, config + 4, 2);
	memcpy(&n_entries, config + 34, 2);
	assert_memory_equal(config, "PCMP", 4);
	assert_in_range(len_bytes, 44, X86_MP_POINTER_GPA - X86_MP_CONFIG_GPA);
	assert_int_equal(sum(config, len_bytes), 0);
	const uint8_t *at = config + 44;
	unsigned cpus = 0, irqs = 0;
	for (unsigned i = 0; i < n_entries; i++) {
		assert_in_range(at[0], 0, 4);
		if (at[0] == 0) {
			assert_int_equal(at[1], cpus);
			assert_int_equal(at[3], cpus ? 1 : 3);
			cpus++;
		} else if (at[0] == 3) {
			assert_int_equal(at[7], X86_IRQ_FIRST + irqs);
			irqs++;
		}
		at += at[0] ? 8 : 20;
	}
	assert_ptr_equal(at, config + len_bytes);
	assert_int_equal(cpus, 64);
	assert_int_equal(irqs, VM_DEVICES_MAX);
	assert_int_equal(mptable_write(&fixture->memory, 200, 1, &e), -E2BIG);
}

static void acpi_discovery(void **state)
{
	struct fixture *fixture = *state;
	struct x86_boot boot;
	struct err e = {0};

	fixture->config.discovery = VM_DISCOVERY_ACPI;
	assert_int_equal(x86_boot_write(&fixture->config, &boot, &e), 0);
	assert_int_equal(zero_page(fixture)->acpi_rsdp_addr, X86_ACPI_GPA);
	assert_int_equal(zero_page(fixture)->e820_entries, 3);
	assert_int_equal(zero_page(fixture)->e820_table[1].type, 2);
	assert_string_equal(
		guest_memory_at(&fixture->memory, X86_CMDLINE_GPA, 2048), "quiet -- init words");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(zero_page_for_cmdline, setup, teardown),
		cmocka_unit_test_setup_teardown(more_vcpus_than_cpus, setup, teardown),
		cmocka_unit_test(memory_above_the_hole),
		cmocka_unit_test(too_little_memory),
		cmocka_unit_test_setup_teardown(kernel_is_named, setup, teardown),
		cmocka_unit_test(cmdline_bounds),
		cmocka_unit_test_setup_teardown(acpi_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(mp_table, setup, teardown),
		cmocka_unit_test_setup_teardown(acpi_discovery, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
