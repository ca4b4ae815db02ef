/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory as the host sees it: a few regions of guest-physical addresses, each mapped from a
 * file (one in memory in hvrun-vmm, what SET_MEM_TABLE brought in a vhost-user back end). Guest
 * addresses are hostile numbers: guest_memory_at is the only way from one to a pointer.
 */
#ifndef MICROVM_MEMORY_GUEST_MEMORY_H
#define MICROVM_MEMORY_GUEST_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define GUEST_MEMORY_REGIONS_MAX 8

struct guest_memory_region {
	uint64_t gpa; /* guest-physical address of the first byte */
	uint64_t len_bytes;
	uint64_t offset_bytes; /* of the first byte in fd */
	int fd;		       /* owned by whoever filled the table; see guest_memory_fini */
	uint8_t *host;
};

struct guest_memory {
	unsigned n_regions;
	struct guest_memory_region regions[GUEST_MEMORY_REGIONS_MAX];
};

/*
 * RAM of a VM in one file: below the 32-bit hole (MMIO, APIC at 3 to 4 GiB) and the rest from
 * 4 GiB. size_bytes is a multiple of 2 MiB. The file is regions[].fd, owned by the memory.
 */
int guest_memory_create(struct guest_memory *memory, uint64_t size_bytes, struct err *e) must_check;

/*
 * Maps one more region; takes fd over, on failure too. For vhost-user back ends. -EINVAL on
 * overlap, overflow, a range past the file's end, or what is not a multiple of 4 KiB; -ENOSPC when
 * full.
 */
int guest_memory_map(struct guest_memory *memory, int fd, uint64_t gpa, uint64_t len_bytes,
	uint64_t offset_bytes) must_check;

void guest_memory_fini(struct guest_memory *memory); /* unmaps all, closes the descriptors */

/* The host address of [gpa, gpa + len_bytes), or NULL unless all of it lies in one region. */
void *guest_memory_at(const struct guest_memory *memory, uint64_t gpa, uint64_t len_bytes);

#endif
