/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The x86 part of making a VM: interrupt controllers in the kernel (local APICs, IO-APIC; the two
 * 8259s come with them), no PIT (the local APIC's deadline timer and kvmclock do its work), and the
 * state in which the vCPUs start. vCPUs but the first wait in KVM for INIT and SIPI.
 */
#include "microvm/kvm/vm.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "microvm/boot/x86_boot.h"
#include "microvm/kvm/x86_cpuid.h"
#include "microvm/kvm/x86_vcpu.h"

/* Three pages that Intel CPUs without "unrestricted guest" need for real mode; nothing is there. */
#define X86_TSS_GPA 0xfffbd000ul

int x86_vm_init(struct engine *engine, struct err *e)
{
	struct kvm_enable_cap no_pmu = {.cap = KVM_CAP_PMU_CAPABILITY, .args = {KVM_PMU_CAP_DISABLE}};

	if (ioctl(engine->vm_fd, KVM_SET_TSS_ADDR, X86_TSS_GPA) < 0)
		return err_sys(e, errno, "KVM: can't set the TSS's address");
	if (ioctl(engine->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return err_sys(e, errno, "KVM: can't make the interrupt controllers");
	/* Older kernels can't; CPUID hides the counters there. */
	(void)ioctl(engine->vm_fd, KVM_ENABLE_CAP, &no_pmu);
	return 0;
}

int x86_vcpus_init(struct engine *engine, struct err *e)
{
	cleanup_free struct x86_cpuid *cpuid = calloc(1, sizeof(*cpuid));
	struct x86_boot boot;
	bool deadline =
		ioctl(engine->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;

	if (!cpuid)
		return err_sys(e, ENOMEM, "KVM");
	int ret = x86_cpuid_read(engine->kvm_fd, cpuid, e);
	if (ret < 0)
		return ret;
	x86_cpuid_filter(cpuid, engine->config.vcpus, deadline);
	for (unsigned i = 0; i < engine->config.vcpus; i++) {
		x86_cpuid_set_id(cpuid, i);
		ret = x86_vcpu_set_cpuid(engine->vcpus[i].fd, cpuid, e);
		if (ret == 0)
			ret = x86_vcpu_set_msrs(engine->vcpus[i].fd, e);
		if (ret < 0)
			return ret;
	}
	ret = x86_boot_write(&engine->config, &boot, e);
	return ret < 0 ? ret : x86_vcpu_enter(engine->vcpus[0].fd, &boot, 0, e);
}
