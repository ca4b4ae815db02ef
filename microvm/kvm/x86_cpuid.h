/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU that a guest sees (CPUID): what KVM supports here, less what a container's VM has no use
 * for (nested virtualisation, performance counters, AMX), as one package with one core per vCPU.
 */
#ifndef MICROVM_KVM_X86_CPUID_H
#define MICROVM_KVM_X86_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "base/err.h"

#define X86_CPUID_MAX 256

struct x86_cpuid {
	uint32_t n_entries, padding; /* laid out as the kernel's struct kvm_cpuid2 */
	struct kvm_cpuid_entry2 entries[X86_CPUID_MAX];
};

/* Reads what KVM supports. */
int x86_cpuid_read(int kvm_fd, struct x86_cpuid *cpuid, struct err *e) must_check;

/* What holds for all vCPUs of a VM: features taken out, topology put in. */
void x86_cpuid_filter(struct x86_cpuid *cpuid, unsigned vcpus, bool tsc_deadline);

/* What differs between them: the APIC id. */
void x86_cpuid_set_id(struct x86_cpuid *cpuid, uint32_t apic_id);

/* NULL when there is none. */
struct kvm_cpuid_entry2 *x86_cpuid_find(struct x86_cpuid *cpuid, uint32_t function, uint32_t index);

#endif
