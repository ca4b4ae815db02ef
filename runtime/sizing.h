/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How large the VM of a container is.
 *
 * vCPUs: --vcpus or the annotation; else vm.hwConfig.vcpus; else linux.resources.cpu: quota by
 * period, rounded up, or the number of CPUs in `cpus`, whichever is less; else the host's
 * configuration; else 1. Never more than VCPUS_MAX.
 *
 * Memory: --memory or the annotation; else vm.hwConfig.memory (bytes); else
 * linux.resources.memory.limit with room for the guest's kernel on top (memoryOverheadMiB and a
 * 32nd of the limit, for page tables and page structures); else the host's configuration; else
 * 2 GiB. Rounded up to 2 MiB. The guest's memory is only taken from the host as it is touched.
 */
#ifndef RUNTIME_SIZING_H
#define RUNTIME_SIZING_H

#include <sched.h>
#include <stdint.h>

#include "base/err.h"
#include "oci/config.h"
#include "runtime/settings.h"

struct sizing {
	unsigned vcpus;
	uint64_t memory_bytes;
	/* What host limits leave above the container's: the VM's own, monitor, file server. */
	uint64_t overhead_bytes;
	uint64_t bound_bytes; /* sizing_bound of it */
	bool have_cpus, have_mems;
	cpu_set_t cpus;		/* the host's CPUs that the VM may use */
	unsigned long mems[16]; /* the host's memory nodes, a bit each */
};

/* 0, or -EINVAL with e naming the field. */
int sizing_make(struct sizing *sizing, const struct oci_config *config,
	const struct settings *settings, struct err *e) must_check;

/*
 * The bound on what a host's cgroup uses for a VM whose container has no limit of memory, so that
 * its processes, and the kernel for them, can't be made to use up the host's: the VM, what
 * monitor and file server are granted beside a limited one, and what a guest can make them keep
 * without being hostile. hvrun-fs keeps at most 416 MiB and 3/4 of the VM (its RLIMIT_DATA,
 * microvm/fs/session.c), and open files, which the guest pays for with as much memory of its own,
 * hold inodes of the host. Files that are no more than memory of the host (tmpfs) count, too.
 */
uint64_t sizing_bound(uint64_t memory_bytes, uint64_t overhead_bytes);

/*
 * A list like "0-3,7" into a bit map of n_bits. 0, or -EINVAL when it is malformed, empty or too
 * large.
 */
int sizing_parse_list(const char *list, unsigned long *bits, size_t n_bits) must_check;

#endif
