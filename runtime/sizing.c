/* SPDX-License-Identifier: Apache-2.0 */
/* The size of a VM; see sizing.h. */
#include "runtime/sizing.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define MIB			    (1ull << 20)
#define MEMORY_STEP_BYTES	    (2 * MIB)
#define MEMORY_DEFAULT_MIB	    2048
#define HOST_OVERHEAD_KVM_MIB	    64
#define HOST_OVERHEAD_EMULATION_MIB 1280
#define HOST_ALLOWANCE_MIB	    1024
#define MEMORY_SHARE		    32 /* of a limit: the part that is added for the guest's kernel */
#define LONG_BITS		    (sizeof(unsigned long) * CHAR_BIT)

static bool number(const char **text, size_t *value)
{
	size_t n = 0;

	*value = 0;
	for (; **text >= '0' && **text <= '9' && n < 7; (*text)++, n++)
		*value = *value * 10 + (size_t)(**text - '0');
	return n > 0 && n < 7;
}

int sizing_parse_list(const char *list, unsigned long *bits, size_t n_bits)
{
	memset(bits, 0, (n_bits + CHAR_BIT - 1) / CHAR_BIT);
	for (;;) {
		size_t first, last;
		list += strspn(list, " \t\n");
		if (!number(&list, &first))
			return -EINVAL;
		last = first;
		if (*list == '-') {
			list++;
			if (!number(&list, &last))
				return -EINVAL;
		}
		if (last < first || last >= n_bits)
			return -EINVAL;
		for (size_t i = first; i <= last; i++)
			bits[i / LONG_BITS] |= 1ul << i % LONG_BITS;
		list += strspn(list, " \t\n");
		if (!*list)
			return 0;
		if (*list++ != ',')
			return -EINVAL;
	}
}

static unsigned vcpus_of(const struct oci_config *config, const struct settings *settings,
	const struct sizing *sizing)
{
	uint64_t vcpus = UINT64_MAX;

	if (settings->vcpus_forced)
		return settings->vcpus_forced;
	if (config->vm_vcpus)
		return config->vm_vcpus;
	if (config->cpu_quota_us > 0) {
		uint64_t quota = (uint64_t)config->cpu_quota_us;
		vcpus = quota / config->cpu_period_us + (quota % config->cpu_period_us != 0);
	}
	if (sizing->have_cpus && (uint64_t)CPU_COUNT(&sizing->cpus) < vcpus)
		vcpus = (uint64_t)CPU_COUNT(&sizing->cpus);
	if (vcpus == UINT64_MAX)
		vcpus = settings->vcpus ? settings->vcpus : 1;
	return vcpus > VCPUS_MAX ? VCPUS_MAX : (unsigned)vcpus;
}

/* Monitor, file server and its files in memory; QEMU, which keeps translated code, needs more. */
static uint64_t host_overhead_mib(const struct settings *settings)
{
	if (settings->host_overhead_mib)
		return settings->host_overhead_mib;
	return settings->accel == ACCEL_EMULATION ? HOST_OVERHEAD_EMULATION_MIB
						  : HOST_OVERHEAD_KVM_MIB;
}

uint64_t sizing_bound(uint64_t memory_bytes, uint64_t overhead_bytes)
{
	return memory_bytes + overhead_bytes + memory_bytes + HOST_ALLOWANCE_MIB * MIB;
}

static int memory_of(struct sizing *sizing, const struct oci_config *config,
	const struct settings *settings, struct err *e)
{
	const char *where = "memory";
	uint64_t bytes;

	if (settings->memory_forced_mib) {
		bytes = settings->memory_forced_mib * MIB;
	} else if (config->vm_memory_bytes) {
		where = "config.json: vm.hwConfig.memory";
		bytes = config->vm_memory_bytes;
	} else if (config->memory_limit_bytes > 0) {
		where = "config.json: linux.resources.memory.limit";
		bytes = (uint64_t)config->memory_limit_bytes;
		/* "Unlimited" is also written as a number that no machine has. */
		if (bytes > MEMORY_MAX_MIB * MIB)
			bytes = (settings->memory_mib ? settings->memory_mib : MEMORY_DEFAULT_MIB) *
				MIB;
		else
			bytes += bytes / MEMORY_SHARE + settings->memory_overhead_mib * MIB;
	} else {
		bytes = (settings->memory_mib ? settings->memory_mib : MEMORY_DEFAULT_MIB) * MIB;
	}
	if (bytes < MEMORY_MIN_MIB * MIB)
		return err_set(e, EINVAL,
			"%s: %llu bytes are too few: a virtual machine needs %u MiB", where,
			(unsigned long long)bytes, MEMORY_MIN_MIB);
	if (bytes > 2 * MEMORY_MAX_MIB * MIB)
		return err_set(e, EINVAL, "%s: %llu bytes are more than a virtual machine can have",
			where, (unsigned long long)bytes);
	sizing->memory_bytes =
		(bytes + MEMORY_STEP_BYTES - 1) / MEMORY_STEP_BYTES * MEMORY_STEP_BYTES;
	sizing->overhead_bytes = host_overhead_mib(settings) * MIB;
	sizing->bound_bytes = sizing_bound(sizing->memory_bytes, sizing->overhead_bytes);
	if (config->memory_limit_bytes > 0 &&
		(uint64_t)config->memory_limit_bytes < sizing->memory_bytes)
		sizing->overhead_bytes +=
			sizing->memory_bytes - (uint64_t)config->memory_limit_bytes;
	return 0;
}

int sizing_make(struct sizing *sizing, const struct oci_config *config,
	const struct settings *settings, struct err *e)
{
	memset(sizing, 0, sizeof(*sizing));
	sizing->have_cpus = config->cpus && *config->cpus;
	sizing->have_mems = config->mems && *config->mems;
	if (sizing->have_cpus &&
		sizing_parse_list(config->cpus, sizing->cpus.__bits, CPU_SETSIZE) < 0)
		return err_set(e, EINVAL,
			"config.json: linux.resources.cpu.cpus: \"%.64s\" is not a list of CPUs "
			"like "
			"0-3,7",
			config->cpus);
	if (sizing->have_mems &&
		sizing_parse_list(config->mems, sizing->mems, sizeof(sizing->mems) * CHAR_BIT) < 0)
		return err_set(e, EINVAL,
			"config.json: linux.resources.cpu.mems: \"%.64s\" is not a list of memory "
			"nodes like 0,1",
			config->mems);
	sizing->vcpus = vcpus_of(config, settings, sizing);
	return memory_of(sizing, config, settings, e);
}
