/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file in memory that the kernel backs with 2 MiB pages. A memfd gets them only where the
 * administrator changed /sys/kernel/mm/transparent_hugepage/shmem_enabled from its default,
 * "never"; a tmpfs mount has a setting of its own. Guest memory in small pages doubles the work of
 * starting a VM, most of it page faults taken twice, by the host and by the guest.
 */
#ifndef MICROVM_MEMORY_HUGE_FILE_H
#define MICROVM_MEMORY_HUGE_FILE_H

#include <stdint.h>

#include "base/err.h"

/*
 * A nameless file of size_bytes, all holes, in a tmpfs of its own that is mounted nowhere and goes
 * away with the last descriptor. Mappings get huge pages after MADV_HUGEPAGE. The descriptor, or
 * -errno: -EPERM without CAP_SYS_ADMIN, -EINVAL from a kernel without huge pages for tmpfs.
 */
int huge_file_create(uint64_t size_bytes) must_check;

#endif
