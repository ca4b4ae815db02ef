/* SPDX-License-Identifier: Apache-2.0 */
/* See x86_vcpu.h. */
#include "microvm/kvm/x86_vcpu.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#define CR0_PE	  (1ull << 0)
#define CR0_MP	  (1ull << 1)
#define CR0_ET	  (1ull << 4)
#define CR0_NE	  (1ull << 5)
#define CR0_PG	  (1ull << 31)
#define CR4_PAE	  (1ull << 5)
#define EFER_LME  (1ull << 8)
#define EFER_LMA  (1ull << 10)
#define RFLAGS_ON (1ull << 1) /* always set */

#define MSR_MISC_ENABLE		   0x1a0
#define MISC_ENABLE_FAST_STRING	   1
#define MSR_MTRR_DEFAULT	   0x2ff
#define MTRR_ENABLED_ALL_WRITEBACK 0x806

int x86_vcpu_set_cpuid(int vcpu_fd, const struct x86_cpuid *cpuid, struct err *e)
{
	if (ioctl(vcpu_fd, KVM_SET_CPUID2, cpuid) < 0)
		return err_sys(e, errno, "KVM: can't set the vCPU's features");
	return 0;
}

int x86_vcpu_set_msrs(int vcpu_fd, struct err *e)
{
	struct {
		uint32_t n_entries, padding; /* laid out as the kernel's struct kvm_msrs */
		struct kvm_msr_entry entries[2];
	} msrs = {
		.n_entries = 2,
		.entries =
			{
				{.index = MSR_MTRR_DEFAULT, .data = MTRR_ENABLED_ALL_WRITEBACK},
				{.index = MSR_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING},
			},
	};
	_Static_assert(sizeof(struct kvm_msrs) == 2 * sizeof(uint32_t), "two words, then entries");
	int n = ioctl(vcpu_fd, KVM_SET_MSRS, &msrs);

	if (n < 0)
		return err_sys(e, errno, "KVM: can't set MSRs");
	if (n < 1) /* MISC_ENABLE is Intel's: its failure is fine */
		return err_set(e, EIO, "KVM: MSR 0x%x is refused", msrs.entries[n].index);
	return 0;
}

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool code)
{
	return (struct kvm_segment){.base = 0,
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.dpl = 0,
		.db = !code,
		.s = 1,
		.l = code,
		.g = 1};
}

int x86_vcpu_enter(int vcpu_fd, const struct x86_boot *boot, uint64_t extra_cr4, struct err *e)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs = {
		.rip = boot->entry_gpa,
		.rsi = boot->zero_page_gpa,
		.rsp = boot->stack_gpa,
		.rflags = RFLAGS_ON,
	};

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs) < 0)
		return err_sys(e, errno, "KVM: can't read the vCPU's registers");
	sregs.cs = segment(X86_BOOT_CS, 0xb, true);
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = segment(X86_BOOT_DS, 0x3, false);
	sregs.gdt.base = boot->gdt_gpa;
	sregs.gdt.limit = boot->gdt_limit;
	sregs.idt.base = 0;
	sregs.idt.limit = 0;
	sregs.cr3 = boot->page_table_gpa;
	sregs.cr4 = CR4_PAE | extra_cr4;
	sregs.cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE | CR0_PG;
	sregs.efer = EFER_LME | EFER_LMA;
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0)
		return err_sys(e, errno, "KVM: can't set the vCPU's registers");
	return 0;
}
