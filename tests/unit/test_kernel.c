/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel loaders: a good image lands where it should; each fault is refused in words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "tests/unit/support/kernel_image.h"

#define MIB (1ull << 20)

static struct kernel_image_file file;

struct fixture {
	struct guest_memory memory;
};

static int setup(void **state)
{
	static struct fixture fixture;
	struct err e;

	*state = &fixture;
	return guest_memory_create(&fixture.memory, 32 * MIB, &e);
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;

	guest_memory_fini(&fixture->memory);
	return 0;
}

static void expect_bytes(struct fixture *fixture, uint64_t gpa, uint8_t byte, size_t len)
{
	const uint8_t *p = guest_memory_at(&fixture->memory, gpa, len);

	assert_non_null(p);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(p[i], byte);
}

static void expect_refused(struct fixture *fixture, const char *words)
{
	struct kernel_image image;
	struct err e = {0};

	assert_true(kernel_image_load(&file, &fixture->memory, &image, &e) < 0);
	if (!strstr(e.text, words))
		fail_msg("\"%s\" does not say \"%s\"", e.text, words);
}

static void elf_loads(void **state)
{
	struct fixture *fixture = *state;
	struct kernel_image image;
	struct err e = {0};

	kernel_image_elf(&file);
	assert_int_equal(kernel_image_load(&file, &fixture->memory, &image, &e), 0);
	assert_false(image.bzimage);
	assert_int_equal(image.entry_gpa, KERNEL_IMAGE_LOAD_GPA);
	assert_int_equal(image.start_gpa, KERNEL_IMAGE_LOAD_GPA);
	assert_int_equal(image.end_gpa, KERNEL_IMAGE_LOAD_GPA + 0x201000);
	assert_int_equal(image.setup.header, 0x53726448);
	expect_bytes(fixture, KERNEL_IMAGE_LOAD_GPA, 0xaa, 0x1000);
	expect_bytes(fixture, KERNEL_IMAGE_LOAD_GPA + 0x1000, 0, 0x1000);
	expect_bytes(fixture, KERNEL_IMAGE_LOAD_GPA + 0x200000, 0xbb, 0x800);
	expect_bytes(fixture, KERNEL_IMAGE_LOAD_GPA + 0x200800, 0, 0x800);
}

static void elf_header_faults(void **state)
{
	kernel_image_elf(&file);
	file.ehdr->e_machine = EM_AARCH64;
	expect_refused(*state, "not for x86-64");
	kernel_image_elf(&file);
	file.ehdr->e_ident[EI_CLASS] = ELFCLASS32;
	expect_refused(*state, "not for x86-64");
	kernel_image_elf(&file);
	file.ehdr->e_type = ET_DYN;
	expect_refused(*state, "no vmlinux");
	kernel_image_elf(&file);
	file.ehdr->e_phnum = 0;
	expect_refused(*state, "program headers");
	kernel_image_elf(&file);
	file.ehdr->e_phnum = 65;
	expect_refused(*state, "program headers");
	kernel_image_elf(&file);
	file.ehdr->e_phentsize = 32;
	expect_refused(*state, "program headers");
	kernel_image_elf(&file);
	file.ehdr->e_phoff = ~0ull;
	expect_refused(*state, "outside the file");
	kernel_image_elf(&file);
	file.ehdr->e_phoff = file.len_bytes - 8;
	expect_refused(*state, "outside the file");
}

static void elf_segment_faults(void **state)
{
	kernel_image_elf(&file);
	file.phdrs[0].p_filesz = 0x1001;
	expect_refused(*state, "outside the file"); /* more in the file than in memory */
	kernel_image_elf(&file);
	file.phdrs[2].p_filesz = file.phdrs[2].p_memsz = 0x801;
	expect_refused(*state, "outside the file");
	kernel_image_elf(&file);
	file.phdrs[2].p_offset = ~0ull - 4;
	expect_refused(*state, "outside the file");
	kernel_image_elf(&file);
	file.phdrs[2].p_paddr = 0x1000;
	expect_refused(*state, "outside 1 MiB to 1 GiB");
	kernel_image_elf(&file);
	file.phdrs[2].p_paddr = ~0ull - 0x100;
	expect_refused(*state, "outside 1 MiB to 1 GiB");
	kernel_image_elf(&file);
	file.phdrs[2].p_memsz = ~0ull;
	expect_refused(*state, "outside 1 MiB to 1 GiB");
	kernel_image_elf(&file);
	file.phdrs[2].p_memsz = 64 * MIB;
	expect_refused(*state, "the kernel needs memory up to 82 MiB");
	kernel_image_elf(&file);
	file.phdrs[2].p_paddr = KERNEL_IMAGE_LOAD_GPA + 0xfff;
	expect_refused(*state, "segments 0 and 2 overlap");
	kernel_image_elf(&file);
	file.phdrs[0].p_vaddr = 0x400000;
	expect_refused(*state, "an ELF program for user space");
	kernel_image_elf(&file);
	file.ehdr->e_entry = 0xffffffff81000000;
	expect_refused(*state, "entry");
	kernel_image_elf(&file);
	file.ehdr->e_entry = file.phdrs[2].p_paddr + 0x800; /* in the segment's zero part */
	expect_refused(*state, "entry");
}

static void bzimage_loads(void **state)
{
	struct fixture *fixture = *state;
	struct kernel_image image;
	struct err e = {0};

	kernel_image_bzimage(&file);
	assert_int_equal(kernel_image_load(&file, &fixture->memory, &image, &e), 0);
	assert_true(image.bzimage);
	assert_int_equal(image.entry_gpa, KERNEL_IMAGE_LOAD_GPA + 0x200);
	assert_int_equal(image.end_gpa, KERNEL_IMAGE_LOAD_GPA + 4 * MIB);
	assert_int_equal(image.cmdline_max_bytes, 2047);
	assert_int_equal(image.initrd_max_gpa, 0x7fffffff);
	expect_bytes(fixture, KERNEL_IMAGE_LOAD_GPA, 0xcc, 0x3000);
	expect_bytes(fixture, KERNEL_IMAGE_LOAD_GPA + 0x3000, 0, 0x1000);

	/* What is behind the kernel in its file, a signature say, stays out. */
	file.setup->syssize = 0x2000 / 16;
	assert_int_equal(kernel_image_load(&file, &fixture->memory, &image, &e), 0);
}

static void bzimage_faults(void **state)
{
	kernel_image_bzimage(&file);
	file.setup->version = 0x020b;
	expect_refused(*state, "64-bit entry (boot protocol 2.11)");
	kernel_image_bzimage(&file);
	file.setup->xloadflags = 0;
	expect_refused(*state, "64-bit entry");
	kernel_image_bzimage(&file);
	file.setup->boot_flag = 0;
	expect_refused(*state, "64-bit entry");
	kernel_image_bzimage(&file);
	file.setup->setup_sects = 255;
	expect_refused(*state, "within its setup");
	kernel_image_bzimage(&file);
	file.len_bytes = 0x3000;
	expect_refused(*state, "cut short");
	kernel_image_bzimage(&file);
	file.setup->pref_address = 0x1000;
	expect_refused(*state, "outside 1 MiB to 1 GiB");
	kernel_image_bzimage(&file);
	file.setup->pref_address = ~0ull;
	expect_refused(*state, "outside 1 MiB to 1 GiB");
	kernel_image_bzimage(&file);
	file.setup->init_size = 0xffffffff;
	expect_refused(*state, "outside 1 MiB to 1 GiB");
	kernel_image_bzimage(&file);
	file.setup->init_size = 64u << 20;
	expect_refused(*state, "the kernel needs memory up to 80 MiB");
}

static void neither(void **state)
{
	struct fixture *fixture = *state;
	struct kernel_image image;
	struct err e = {0};

	memset(&file, 'x', sizeof(file));
	file.len_bytes = 0x1000;
	expect_refused(fixture, "not a kernel: neither");
	file.len_bytes = 5;
	expect_refused(fixture, "not a kernel: only 5 bytes");
	assert_int_equal(kernel_load(&fixture->memory, -1, &image, &e), -EBADF);

	kernel_image_bzimage(&file);
	file.len_bytes = 0x210; /* ends within the setup header */
	expect_refused(fixture, "too short");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(elf_loads, setup, teardown),
		cmocka_unit_test_setup_teardown(elf_header_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(elf_segment_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(bzimage_loads, setup, teardown),
		cmocka_unit_test_setup_teardown(bzimage_faults, setup, teardown),
		cmocka_unit_test_setup_teardown(neither, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
