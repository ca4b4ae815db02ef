/* SPDX-License-Identifier: Apache-2.0 */
/* An x86 vCPU's state before its first instruction: CPUID, MSRs, and long mode for the first. */
#ifndef MICROVM_KVM_X86_VCPU_H
#define MICROVM_KVM_X86_VCPU_H

#include <stdint.h>

#include "base/err.h"
#include "microvm/boot/x86_boot.h"
#include "microvm/kvm/x86_cpuid.h"

/* cpuid: filtered, for this vCPU. */
int x86_vcpu_set_cpuid(int vcpu_fd, const struct x86_cpuid *cpuid, struct err *e) must_check;

/* What firmware would have set on each CPU: memory types, fast strings. */
int x86_vcpu_set_msrs(int vcpu_fd, struct err *e) must_check;

/* Long mode at the kernel's entry, as the 64-bit boot protocol wants it; extra_cr4 on top. */
int x86_vcpu_enter(
	int vcpu_fd, const struct x86_boot *boot, uint64_t extra_cr4, struct err *e) must_check;

#endif
