/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: one file in memory for the RAM of a VM, or the regions that a vhost-user front end
 * handed over. Everything is MAP_SHARED, so that the monitor, hvrun-fs and KVM see the same pages;
 * nothing is reserved or touched ahead, so that an idle guest costs what it uses.
 */
#include "microvm/memory/guest_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/memory/huge_file.h"

#define HUGE_PAGE_BYTES	 (UINT64_C(2) << 20)
#define PAGE_BYTES	 UINT64_C(4096)
#define HOLE_START_BYTES (UINT64_C(3) << 30) /* MMIO and APICs live from here ... */
#define HOLE_END_BYTES	 (UINT64_C(4) << 30) /* ... to here */
#define GPA_MAX		 (UINT64_C(1) << 52) /* x86 and arm64 physical addresses end here */

/*
 * Maps the region so that its host address and its file offset agree modulo 2 MiB: only then can
 * the kernel use huge pages, in the host's page tables and in KVM's. A reservation of one huge page
 * more gives room to choose; what lies around the choice is given back.
 */
static uint8_t *map_aligned(int fd, uint64_t len_bytes, uint64_t offset_bytes)
{
	uint64_t room_bytes = len_bytes + HUGE_PAGE_BYTES;
	uint8_t *room = mmap(
		NULL, room_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (room == MAP_FAILED)
		return MAP_FAILED;
	uint64_t before = (offset_bytes - (uintptr_t)room) & (HUGE_PAGE_BYTES - 1);
	uint8_t *host = mmap(room + before, len_bytes, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, (off_t)offset_bytes);
	if (host == MAP_FAILED) {
		int saved = errno;
		munmap(room, room_bytes);
		errno = saved;
		return MAP_FAILED;
	}
	if (before)
		munmap(room, before);
	munmap(host + len_bytes, room_bytes - before - len_bytes);
	return host;
}

/* True when [gpa, gpa + len) is sane by itself and overlaps no region that is there already. */
static bool range_is_free(const struct guest_memory *memory, uint64_t gpa, uint64_t len_bytes)
{
	if (!len_bytes || gpa >= GPA_MAX || len_bytes > GPA_MAX - gpa)
		return false;
	for (unsigned i = 0; i < memory->n_regions; i++) {
		const struct guest_memory_region *r = &memory->regions[i];
		if (gpa < r->gpa + r->len_bytes && r->gpa < gpa + len_bytes)
			return false;
	}
	return true;
}

/* guest_memory_map without ownership of fd on failure. */
static int map_region(struct guest_memory *memory, int fd, uint64_t gpa, uint64_t len_bytes,
	uint64_t offset_bytes)
{
	struct stat st;

	if (memory->n_regions == GUEST_MEMORY_REGIONS_MAX)
		return -ENOSPC;
	if ((gpa | len_bytes | offset_bytes) & (PAGE_BYTES - 1))
		return -EINVAL;
	if (!range_is_free(memory, gpa, len_bytes))
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	/* Pages past the end of the file would raise SIGBUS at the first touch. */
	if (!S_ISREG(st.st_mode) || offset_bytes > (uint64_t)st.st_size ||
		len_bytes > (uint64_t)st.st_size - offset_bytes)
		return -EINVAL;

	uint8_t *host = map_aligned(fd, len_bytes, offset_bytes);
	if (host == MAP_FAILED)
		return -errno;
	/* Both are wishes: a kernel without huge pages or a filter that forbids them is fine. */
	(void)madvise(host, len_bytes, MADV_HUGEPAGE);
	(void)madvise(host, len_bytes, MADV_DONTDUMP);
	memory->regions[memory->n_regions++] = (struct guest_memory_region){
		.gpa = gpa,
		.len_bytes = len_bytes,
		.offset_bytes = offset_bytes,
		.fd = fd,
		.host = host,
	};
	return 0;
}

int guest_memory_map(struct guest_memory *memory, int fd, uint64_t gpa, uint64_t len_bytes,
	uint64_t offset_bytes)
{
	cleanup_close int owned = fd;
	int ret = map_region(memory, owned, gpa, len_bytes, offset_bytes);

	if (!ret)
		(void)steal_fd(&owned);
	return ret;
}

/* Huge pages if they can be had; else a memfd. The descriptor, or -errno with e filled. */
static int memory_file(uint64_t size_bytes, struct err *e)
{
	int huge = huge_file_create(size_bytes);
	if (huge >= 0)
		return huge;

	cleanup_close int fd = memfd_create("guest-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_sys(e, errno, "guest memory: memfd_create");
	if (ftruncate(fd, (off_t)size_bytes) < 0)
		return err_sys(
			e, errno, "guest memory: %llu MiB", (unsigned long long)(size_bytes >> 20));
	/* hvrun-fs and QEMU get this descriptor: neither may shrink it under the others' feet. (One
	 * of huge_file_create can have no seals.) */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(e, errno, "guest memory: sealing the size");
	return steal_fd(&fd);
}

int guest_memory_create(struct guest_memory *memory, uint64_t size_bytes, struct err *e)
{
	uint64_t low_bytes = size_bytes < HOLE_START_BYTES ? size_bytes : HOLE_START_BYTES;

	memset(memory, 0, sizeof(*memory));
	if (!size_bytes || size_bytes % HUGE_PAGE_BYTES || size_bytes > GPA_MAX / 2)
		return err_set(e, EINVAL, "guest memory: %llu bytes: not a multiple of 2 MiB",
			(unsigned long long)size_bytes);

	cleanup_close int fd = memory_file(size_bytes, e);
	if (fd < 0)
		return fd;

	int ret = map_region(memory, fd, 0, low_bytes, 0);
	if (!ret && size_bytes > low_bytes)
		ret = map_region(memory, fd, HOLE_END_BYTES, size_bytes - low_bytes, low_bytes);
	if (memory->n_regions)
		(void)steal_fd(&fd); /* the first region's from here on */
	if (ret < 0) {
		guest_memory_fini(memory);
		return err_sys(e, -ret, "guest memory: mapping %llu MiB",
			(unsigned long long)(size_bytes >> 20));
	}
	return 0;
}

void guest_memory_fini(struct guest_memory *memory)
{
	for (unsigned i = 0; i < memory->n_regions; i++) {
		struct guest_memory_region *r = &memory->regions[i];
		int fd = r->fd;

		munmap(r->host, r->len_bytes);
		/* The regions of one memfd share its descriptor: close it once. */
		for (unsigned k = i; k < memory->n_regions; k++)
			if (memory->regions[k].fd == fd)
				memory->regions[k].fd = -1;
		fd_closep(&fd);
	}
	memset(memory, 0, sizeof(*memory));
}

void *guest_memory_at(const struct guest_memory *memory, uint64_t gpa, uint64_t len_bytes)
{
	for (unsigned i = 0; i < memory->n_regions; i++) {
		const struct guest_memory_region *r = &memory->regions[i];

		if (gpa < r->gpa || gpa - r->gpa >= r->len_bytes)
			continue;
		/* Written so that no sum can overflow, whatever the guest says. */
		if (len_bytes > r->len_bytes - (gpa - r->gpa))
			return NULL;
		return r->host + (gpa - r->gpa);
	}
	return NULL;
}
