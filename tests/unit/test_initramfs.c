/* SPDX-License-Identifier: Apache-2.0 */
/* The initramfs writer, its archive taken apart again by a reader of its own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "microvm/boot/initramfs.h"

struct entry {
	char name[64];
	unsigned mode, len_bytes, rdev_major, rdev_minor;
	const char *data;
};

struct archive {
	char *bytes;
	uint64_t len_bytes;
	struct entry entries[16];
	unsigned n_entries;
};

static unsigned field(const char *header, unsigned i)
{
	char hex[9] = {0};

	memcpy(hex, header + 6 + i * 8, 8);
	return (unsigned)strtoul(hex, NULL, 16);
}

static void archive_read(struct archive *archive)
{
	size_t at = 0;

	archive->n_entries = 0;
	for (;;) {
		assert_true(at + 110 <= archive->len_bytes);
		const char *header = archive->bytes + at;
		assert_memory_equal(header, "070701", 6);
		assert_true(archive->n_entries < 16);
		struct entry *entry = &archive->entries[archive->n_entries];
		unsigned name_bytes = field(header, 11);
		assert_true(name_bytes <= sizeof(entry->name));
		memcpy(entry->name, header + 110, name_bytes);
		assert_int_equal(strlen(entry->name), name_bytes - 1);
		entry->mode = field(header, 1);
		entry->len_bytes = field(header, 6);
		entry->rdev_major = field(header, 9);
		entry->rdev_minor = field(header, 10);
		at = (at + 110 + name_bytes + 3) & ~3ul;
		entry->data = archive->bytes + at;
		at = (at + entry->len_bytes + 3) & ~3ul;
		if (!strcmp(entry->name, "TRAILER!!!"))
			break;
		archive->n_entries++;
	}
	assert_int_equal(at, archive->len_bytes);
}

static const struct entry *archive_find(const struct archive *archive, const char *name)
{
	for (unsigned i = 0; i < archive->n_entries; i++)
		if (!strcmp(archive->entries[i].name, name))
			return &archive->entries[i];
	return NULL;
}

static int file_of(const char *text)
{
	int fd = fd_memfile("file", text, strlen(text));

	assert_true(fd >= 0);
	return fd;
}

static void files_and_directories(void **state)
{
	struct vm_file files[] = {
		{"init", 0755, file_of("#!/bin/true")},
		{"modules/000-a.ko", 0644, file_of("a")},
		{"modules/001-b.ko", 0644, file_of("")},
		{"modules/deep/er/c", 0600, file_of("1234")},
		{"dev/extra", 0600, file_of("x")},
	};
	const unsigned n = sizeof(files) / sizeof(files[0]);
	struct archive archive = {0};
	struct err e = {0};

	(void)state;
	assert_int_equal(initramfs_measure(files, n, &archive.len_bytes, &e), 0);
	archive.bytes = malloc(archive.len_bytes);
	assert_non_null(archive.bytes);
	assert_int_equal(initramfs_write(files, n, archive.bytes, archive.len_bytes, &e), 0);
	archive_read(&archive);
	assert_int_equal(archive.n_entries, 2 + 5 + 3); /* dev, console; files; directories */
	const struct entry *init = archive_find(&archive, "init");
	assert_non_null(init);
	assert_int_equal(init->mode, S_IFREG | 0755);
	assert_int_equal(init->len_bytes, 11);
	assert_memory_equal(init->data, "#!/bin/true", 11);
	assert_int_equal(archive_find(&archive, "modules")->mode, S_IFDIR | 0755);
	assert_int_equal(archive_find(&archive, "modules/deep/er")->mode, S_IFDIR | 0755);
	assert_int_equal(archive_find(&archive, "modules/001-b.ko")->len_bytes, 0);
	const struct entry *console = archive_find(&archive, "dev/console");
	assert_int_equal(console->mode, S_IFCHR | 0600);
	assert_int_equal(console->rdev_major, 5);
	assert_int_equal(console->rdev_minor, 1);
	/* A directory comes before what is in it. */
	assert_true(archive_find(&archive, "modules") < archive_find(&archive, "modules/000-a.ko"));
	assert_true(
		archive_find(&archive, "modules/deep") < archive_find(&archive, "modules/deep/er"));
	free(archive.bytes);
	for (unsigned i = 0; i < n; i++)
		close(files[i].fd);
}

static void bad_paths(void **state)
{
	static const char *const paths[] = {
		"", "/init", "a//b", "a/", ".", "..", "a/../b", "./a", "a/."};
	struct vm_file file = {.fd = file_of("x")};
	uint64_t len_bytes;
	struct err e = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		file.path = paths[i];
		assert_int_equal(initramfs_measure(&file, 1, &len_bytes, &e), -EINVAL);
	}
	file.path = "...";
	assert_int_equal(initramfs_measure(&file, 1, &len_bytes, &e), 0);
	close(file.fd);
}

static void changed_or_no_files(void **state)
{
	struct vm_file files[] = {{"init", 0755, file_of("12345678")}, {"x", 0644, 0}};
	uint64_t len_bytes;
	struct err e = {0};
	int pipes[2];

	(void)state;
	assert_int_equal(initramfs_measure(files, 1, &len_bytes, &e), 0);
	char *buf = malloc(len_bytes);
	assert_non_null(buf);
	close(files[0].fd);
	files[0].fd = file_of("1234");
	assert_int_equal(initramfs_write(files, 1, buf, len_bytes, &e), -EBUSY);
	close(files[0].fd);
	files[0].fd = file_of("123456789abcdef");
	assert_int_equal(initramfs_write(files, 1, buf, len_bytes, &e), -EFBIG);
	free(buf);

	assert_int_equal(pipe(pipes), 0);
	files[1].fd = pipes[0];
	assert_int_equal(initramfs_measure(files, 2, &len_bytes, &e), -EINVAL);
	assert_non_null(strstr(e.text, "not a regular file"));
	close(pipes[0]);
	close(pipes[1]);
	close(files[0].fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_and_directories),
		cmocka_unit_test(bad_paths),
		cmocka_unit_test(changed_or_no_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
