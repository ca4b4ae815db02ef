/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The x86 part of making a VM: local APICs in the kernel, the IO-APIC here (x86_ioapic.h), no
 * 8259s and no PIT (the local APIC's deadline timer and kvmclock do its work), and the state in
 * which the vCPUs start. vCPUs but the first wait in KVM for INIT and SIPI.
 */

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/virtio_mmio.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/boot/x86_layout.h"
#include "microvm/kvm/vm.h"
#include "microvm/kvm/x86_cpuid.h"
#include "microvm/kvm/x86_vcpu.h"

/* Three pages that Intel CPUs without "unrestricted guest" need for real mode; nothing is there. */
#define X86_TSS_GPA 0xfffbd000ul

_Static_assert(X86_IRQ_PINS(VM_DEVICES_MAX) <= X86_IOAPIC_PINS_MAX, "a pin for each device");

int arch_memory_init(struct engine *engine, struct err *e)
{
	return x86_boot_write(&engine->config, &engine->arch.boot, e);
}

int arch_vm_init(struct engine *engine, struct err *e)
{
	struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP};
	struct kvm_enable_cap no_pmu = {
		.cap = KVM_CAP_PMU_CAPABILITY, .args = {KVM_PMU_CAP_DISABLE}};

	int ret = -pthread_mutex_init(&engine->arch.lock, NULL);

	if (ret < 0)
		return err_sys(e, -ret, "KVM");
	x86_ioapic_init(&engine->arch.ioapic, X86_IRQ_PINS(engine->config.n_devices));
	if (ioctl(engine->vm_fd, KVM_SET_TSS_ADDR, X86_TSS_GPA) < 0)
		return err_sys(e, errno, "KVM: can't set the TSS's address");
	/* No pins reserved: KVM need not watch for ends of interrupts on behalf of an IO-APIC. */
	if (ioctl(engine->vm_fd, KVM_ENABLE_CAP, &split) < 0)
		return err_sys(e, errno, "KVM: can't make the local APICs");
	/* Older kernels can't; CPUID hides the counters there. */
	(void)ioctl(engine->vm_fd, KVM_ENABLE_CAP, &no_pmu);
	return 0;
}

int arch_vcpus_init(struct engine *engine, struct err *e)
{
	cleanup_free struct x86_cpuid *cpuid = calloc(1, sizeof(*cpuid));
	bool deadline = ioctl(engine->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;

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
	return x86_vcpu_enter(engine->vcpus[0].fd, &engine->arch.boot, 0, e);
}

void arch_vm_fini(struct engine *engine)
{
	pthread_mutex_destroy(&engine->arch.lock);
}

/*
 * Tells KVM which message each device's pin sends now; those of masked pins go nowhere. It costs
 * the host a wait for all readers of the old ones.
 */
static void routes_update(struct engine *engine)
{
	struct {
		uint32_t n_entries, flags; /* laid out as the kernel's struct kvm_irq_routing */
		struct kvm_irq_routing_entry entries[X86_IRQ_PINS(VM_DEVICES_MAX)];
	} routes = {0};
	_Static_assert(
		sizeof(struct kvm_irq_routing) == 2 * sizeof(uint32_t), "two words, then entries");

	for (unsigned i = 0; i < engine->n_mmio; i++) {
		unsigned pin = X86_IRQ_FIRST + i;
		struct x86_msi msi;

		if (!x86_ioapic_message(&engine->arch.ioapic, pin, &msi))
			continue;
		routes.entries[routes.n_entries++] = (struct kvm_irq_routing_entry){
			.gsi = pin,
			.type = KVM_IRQ_ROUTING_MSI,
			.u.msi =
				{
					.address_lo = (uint32_t)msi.address,
					.address_hi = (uint32_t)(msi.address >> 32),
					.data = msi.data,
				},
		};
	}
	if (ioctl(engine->vm_fd, KVM_SET_GSI_ROUTING, &routes) < 0)
		log_warn("KVM: can't route interrupts: %s", strerror(errno));
}

/*
 * A device's event is lost while its pin is masked, so unmasking (after a move to another CPU,
 * say) makes up for it: with no harm, as a driver looks at its rings and finds them empty.
 */
static void pin_unmasked(struct engine *engine, unsigned pin)
{
	struct virtio_mmio *mmio = &engine->mmio[pin - X86_IRQ_FIRST];
	uint32_t status;
	uint64_t one = 1;

	memcpy(&status, mmio->page + VIRTIO_MMIO_INTERRUPT_STATUS, sizeof(status));
	if (!status)
		return;
	ssize_t ignored = write(mmio->irq_fd, &one, sizeof(one));
	(void)ignored; /* a full counter means that the interrupt is pending already */
}

static void ioapic_write(struct engine *engine, uint32_t offset, uint32_t value)
{
	struct x86_ioapic *ioapic = &engine->arch.ioapic;
	struct x86_msi msi;

	pthread_mutex_lock(&engine->arch.lock);
	const struct x86_ioapic old = *ioapic;
	int pin = x86_ioapic_write(ioapic, offset, value);
	if (pin >= (int)X86_IRQ_FIRST && pin < (int)(X86_IRQ_FIRST + engine->n_mmio)) {
		bool was = x86_ioapic_message(&old, (unsigned)pin, &msi);
		bool is = x86_ioapic_message(ioapic, (unsigned)pin, &msi);

		routes_update(engine);
		if (is && !was)
			pin_unmasked(engine, (unsigned)pin);
	}
	pthread_mutex_unlock(&engine->arch.lock);
}

bool arch_mmio(struct vcpu *vcpu, uint64_t gpa, void *data, uint32_t len, bool is_write)
{
	struct engine *engine = vcpu->engine;
	uint32_t value;

	if (gpa < X86_IOAPIC_GPA || gpa >= X86_IOAPIC_GPA + 0x1000)
		return false;
	vcpu->exits[VM_EXIT_IRQCHIP]++;
	if (len != sizeof(value)) {
		if (!is_write)
			memset(data, 0xff, len);
	} else if (is_write) {
		memcpy(&value, data, sizeof(value));
		ioapic_write(engine, (uint32_t)(gpa - X86_IOAPIC_GPA), value);
	} else {
		pthread_mutex_lock(&engine->arch.lock);
		value = x86_ioapic_read(&engine->arch.ioapic, (uint32_t)(gpa - X86_IOAPIC_GPA));
		pthread_mutex_unlock(&engine->arch.lock);
		memcpy(data, &value, sizeof(value));
	}
	return true;
}

bool arch_exit(struct vcpu *vcpu)
{
	if (vcpu->run->exit_reason != KVM_EXIT_IO)
		return false;
	x86_ports_access(vcpu);
	return true;
}

bool arch_program_counter(int vcpu_fd, uint64_t *address)
{
	struct kvm_regs regs;

	if (ioctl(vcpu_fd, KVM_GET_REGS, &regs) < 0)
		return false;
	*address = regs.rip;
	return true;
}

void arch_vcpu_resume(struct vcpu *vcpu)
{
	(void)ioctl(vcpu->fd, KVM_KVMCLOCK_CTRL, 0); /* fails in guests that use another clock */
}
