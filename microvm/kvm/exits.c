/* SPDX-License-Identifier: Apache-2.0 */
/* Words for the exits that end a VM: what a person needs to know about a vCPU that can't go on. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "microvm/kvm/vm.h"

static const char *exit_name(uint32_t reason)
{
	static const char *const names[] = {
		[KVM_EXIT_UNKNOWN] = "UNKNOWN",
		[KVM_EXIT_EXCEPTION] = "EXCEPTION",
		[KVM_EXIT_IO] = "IO",
		[KVM_EXIT_HYPERCALL] = "HYPERCALL",
		[KVM_EXIT_DEBUG] = "DEBUG",
		[KVM_EXIT_HLT] = "HLT",
		[KVM_EXIT_MMIO] = "MMIO",
		[KVM_EXIT_IRQ_WINDOW_OPEN] = "IRQ_WINDOW_OPEN",
		[KVM_EXIT_SHUTDOWN] = "SHUTDOWN",
		[KVM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
		[KVM_EXIT_INTR] = "INTR",
		[KVM_EXIT_SET_TPR] = "SET_TPR",
		[KVM_EXIT_TPR_ACCESS] = "TPR_ACCESS",
		[KVM_EXIT_NMI] = "NMI",
		[KVM_EXIT_INTERNAL_ERROR] = "INTERNAL_ERROR",
		[KVM_EXIT_SYSTEM_EVENT] = "SYSTEM_EVENT",
		[KVM_EXIT_IOAPIC_EOI] = "IOAPIC_EOI",
		[KVM_EXIT_HYPERV] = "HYPERV",
		[KVM_EXIT_X86_RDMSR] = "X86_RDMSR",
		[KVM_EXIT_X86_WRMSR] = "X86_WRMSR",
		[KVM_EXIT_DIRTY_RING_FULL] = "DIRTY_RING_FULL",
		[KVM_EXIT_X86_BUS_LOCK] = "X86_BUS_LOCK",
	};

	if (reason < sizeof(names) / sizeof(names[0]) && names[reason])
		return names[reason];
	return "not known to this program";
}

static const char *suberror_name(uint32_t suberror)
{
	switch (suberror) {
	case KVM_INTERNAL_ERROR_EMULATION:
		return "KVM tried to emulate an instruction and does not know it";
	case KVM_INTERNAL_ERROR_SIMUL_EX:
		return "an exception while another was delivered";
	case KVM_INTERNAL_ERROR_DELIVERY_EV:
		return "an exit while an event was delivered";
	case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
		return "the CPU left the guest for a reason that KVM does not expect";
	default:
		return "no further reason";
	}
}

/* The bytes there, when KVM says them with an emulation failure. */
static void instruction_bytes(const struct kvm_run *run, char *text, size_t cap_bytes)
{
	const uint64_t has = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	unsigned n = run->emulation_failure.insn_size;
	size_t used = 0;

	text[0] = '\0';
	if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION || run->internal.ndata < 3 ||
		!(run->emulation_failure.flags & has))
		return;
	if (n > sizeof(run->emulation_failure.insn_bytes))
		n = sizeof(run->emulation_failure.insn_bytes);
	for (unsigned i = 0; i < n && used + 8 < cap_bytes; i++)
		used += (size_t)snprintf(text + used, cap_bytes - used, "%s%02x",
			i ? " " : ", bytes ", run->emulation_failure.insn_bytes[i]);
}

void exit_describe(int vcpu_fd, const struct kvm_run *run, char *text, size_t cap_bytes)
{
	uint64_t pc;
	char detail[256] = "", bytes[80] = "", where[48] = "";

	switch (run->exit_reason) {
	case KVM_EXIT_INTERNAL_ERROR:
		instruction_bytes(run, bytes, sizeof(bytes));
		snprintf(detail, sizeof(detail), ", suberror %u: %s%s", run->internal.suberror,
			suberror_name(run->internal.suberror), bytes);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(detail, sizeof(detail),
			": the CPU refused to enter the guest (hardware reason 0x%llx)",
			(unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_UNKNOWN:
		snprintf(detail, sizeof(detail), ", hardware reason 0x%llx",
			(unsigned long long)run->hw.hardware_exit_reason);
		break;
	}
	if (arch_program_counter(vcpu_fd, &pc))
		snprintf(where, sizeof(where), " at address 0x%" PRIx64, pc);
	snprintf(text, cap_bytes, "KVM exit %u (%s)%s%s", run->exit_reason,
		exit_name(run->exit_reason), where, detail);
}
