/* SPDX-License-Identifier: Apache-2.0 */
/* CPUID for guests; see x86_cpuid.h. Leaf numbers as in Intel's SDM and AMD's APM, volume 3. */
#include "microvm/kvm/x86_cpuid.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#define BIT(n) (1u << (n))

_Static_assert(offsetof(struct x86_cpuid, n_entries) == offsetof(struct kvm_cpuid2, nent) &&
		offsetof(struct x86_cpuid, entries) == sizeof(struct kvm_cpuid2),
	"laid out as struct kvm_cpuid2");

int x86_cpuid_read(int kvm_fd, struct x86_cpuid *cpuid, struct err *e)
{
	cpuid->padding = 0;
	cpuid->n_entries = X86_CPUID_MAX;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		return err_sys(e, errno, "KVM: can't read the CPU's features");
	return 0;
}

struct kvm_cpuid_entry2 *x86_cpuid_find(struct x86_cpuid *cpuid, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->n_entries; i++)
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return &cpuid->entries[i];
	return NULL;
}

static void cpuid_remove(struct x86_cpuid *cpuid, uint32_t function)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->n_entries; i++)
		if (cpuid->entries[i].function != function)
			cpuid->entries[kept++] = cpuid->entries[i];
	cpuid->n_entries = kept;
}

static void cpuid_add(struct x86_cpuid *cpuid, struct kvm_cpuid_entry2 entry)
{
	if (cpuid->n_entries < X86_CPUID_MAX)
		cpuid->entries[cpuid->n_entries++] = entry;
}

/* The bits of an APIC id that number cores. */
static uint32_t core_bits(unsigned vcpus)
{
	uint32_t bits = 0;

	while (1u << bits < vcpus)
		bits++;
	return bits;
}

/* Caches (leaf 4; AMD 0x8000001d): the last level is the package's, the others a core's own. */
static void filter_cache(struct kvm_cpuid_entry2 *entry, unsigned vcpus)
{
	uint32_t level = entry->eax >> 5 & 7, sharing = 0;

	if (!(entry->eax & 0x1f))
		return;
	if (level >= 3)
		sharing = (1u << core_bits(vcpus)) - 1;
	entry->eax = (entry->eax & 0x3fff) | sharing << 14;
	if (entry->function == 4)
		entry->eax |= ((1u << core_bits(vcpus)) - 1) << 26;
}

static void filter_entry(struct kvm_cpuid_entry2 *entry, unsigned vcpus, bool tsc_deadline)
{
	switch (entry->function) {
	case 1:
		entry->ebx &= 0xffff;
		entry->ebx |= 1u << core_bits(vcpus) << 16;
		entry->ecx &= ~BIT(5);	/* VMX */
		entry->ecx &= ~BIT(15); /* PDCM: performance capabilities */
		entry->ecx |= BIT(31);	/* there is a hypervisor */
		if (tsc_deadline)
			entry->ecx |= BIT(24);
		entry->edx &= ~BIT(28);
		if (vcpus > 1)
			entry->edx |= BIT(28); /* more than one logical CPU */
		break;
	case 4:
	case 0x8000001d:
		filter_cache(entry, vcpus);
		break;
	case 6:
		entry->eax &= ~BIT(1); /* turbo */
		entry->ecx &= ~BIT(3); /* energy bias */
		break;
	case 7:
		if (entry->index == 0)
			entry->edx &= ~(BIT(22) | BIT(24) | BIT(25)); /* AMX */
		break;
	case 0xa: /* performance counters */
		entry->eax = entry->ebx = entry->ecx = entry->edx = 0;
		break;
	case 0xd: /* XSAVE areas 17 and 18 are AMX's */
		if (entry->index == 0)
			entry->eax &= ~(BIT(17) | BIT(18));
		break;
	case 0x80000001:
		entry->ecx &= ~BIT(2);			      /* SVM */
		entry->ecx &= ~(BIT(23) | BIT(24) | BIT(28)); /* AMD performance counters */
		break;
	case 0x80000008:
		entry->ecx = core_bits(vcpus) << 12 | (vcpus - 1);
		break;
	}
}

void x86_cpuid_filter(struct x86_cpuid *cpuid, unsigned vcpus, bool tsc_deadline)
{
	bool extended_topology = x86_cpuid_find(cpuid, 0xb, 0) != NULL;
	bool intel_v2 = x86_cpuid_find(cpuid, 0x1f, 0) != NULL;

	for (uint32_t i = 0; i < cpuid->n_entries; i++)
		filter_entry(&cpuid->entries[i], vcpus, tsc_deadline);
	cpuid_remove(cpuid, 0xb);
	cpuid_remove(cpuid, 0x1f);
	cpuid_remove(cpuid, 0x1d); /* AMX tiles */
	cpuid_remove(cpuid, 0x1e);
	cpuid_remove(cpuid, 0x8000000a); /* SVM */
	cpuid_remove(cpuid, 0x80000022); /* AMD performance counters */
	cpuid_remove(cpuid, 0x80000026);
	for (uint32_t leaf = 0xb; leaf <= 0x1f; leaf += 0x1f - 0xb) {
		if (leaf == 0xb ? !extended_topology : !intel_v2)
			continue;
		/* One thread in a core; then the cores in the package; then no more levels. */
		for (uint32_t level = 0; level < 3; level++)
			cpuid_add(cpuid,
				(struct kvm_cpuid_entry2){.function = leaf,
					.index = level,
					.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
					.eax = level == 1 ? core_bits(vcpus) : 0,
					.ebx = level == 0    ? 1
						: level == 1 ? vcpus
							     : 0,
					.ecx = level | (level < 2 ? (level + 1) << 8 : 0)});
	}
}

void x86_cpuid_set_id(struct x86_cpuid *cpuid, uint32_t apic_id)
{
	for (uint32_t i = 0; i < cpuid->n_entries; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		switch (entry->function) {
		case 1:
			entry->ebx = (entry->ebx & 0xffffff) | apic_id << 24;
			break;
		case 0xb:
		case 0x1f:
			entry->edx = apic_id;
			break;
		case 0x8000001e: /* AMD: APIC id, core, node; one thread in a core, one node */
			entry->eax = apic_id;
			entry->ebx = apic_id & 0xff;
			entry->ecx = 0;
			break;
		}
	}
}
