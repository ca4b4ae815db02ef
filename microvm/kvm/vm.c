/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the KVM objects of a VM; see vm.h. Memory is filled first: what can be wrong with a kernel
 * is found before there is a VM, and the guest's clock begins to run when it does. Devices come
 * last.
 */
#include "microvm/kvm/vm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"

#include <linux/virtio_mmio.h>

int vm_open_kvm(int *kvm_fd, struct err *e)
{
	cleanup_close int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return err_set(e, ENOENT,
			"/dev/kvm: not there: no hardware virtualisation, or the "
			"kvm module is not loaded");
	if (fd < 0)
		return err_sys(e, errno, "/dev/kvm");
	int version = ioctl(fd, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION)
		return err_set(
			e, ENOTSUP, "/dev/kvm: API version %d, not %d", version, KVM_API_VERSION);
	static const struct {
		int cap;
		const char *name;
	} needed[] = {
		{KVM_CAP_IRQFD, "irqfd"},
		{KVM_CAP_IOEVENTFD, "ioeventfd"},
		{KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
		{KVM_CAP_USER_MEMORY, "user memory"},
		{KVM_CAP_SPLIT_IRQCHIP, "split interrupt controllers"},
	};
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (ioctl(fd, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
			return err_set(
				e, ENOTSUP, "/dev/kvm: this kernel's KVM lacks %s", needed[i].name);
	*kvm_fd = steal_fd(&fd);
	return 0;
}

static int vm_set_slot(
	int vm_fd, uint32_t slot, uint32_t flags, uint64_t gpa, uint64_t len_bytes, void *host)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = len_bytes,
		.userspace_addr = (uint64_t)(uintptr_t)host,
	};

	return ioctl(vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int vm_map_memory(struct engine *engine, struct err *e)
{
	const struct guest_memory *memory = engine->config.memory;

	for (unsigned i = 0; i < memory->n_regions; i++) {
		const struct guest_memory_region *r = &memory->regions[i];
		int ret = vm_set_slot(engine->vm_fd, i, 0, r->gpa, r->len_bytes, r->host);
		if (ret < 0)
			return err_sys(e, -ret, "KVM: can't map %llu MiB of guest memory",
				(unsigned long long)(r->len_bytes >> 20));
	}
	return 0;
}

static int vm_create_vcpus(struct engine *engine, struct err *e)
{
	int run_bytes = ioctl(engine->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (run_bytes < (int)sizeof(struct kvm_run))
		return err_set(e, ENOTSUP, "KVM: a vCPU's shared memory has %d bytes", run_bytes);
	engine->run_bytes = (size_t)run_bytes;
	engine->vcpus = calloc(engine->config.vcpus, sizeof(*engine->vcpus));
	if (!engine->vcpus)
		return err_sys(e, ENOMEM, "KVM");
	for (unsigned i = 0; i < engine->config.vcpus; i++) {
		engine->vcpus[i].engine = engine;
		engine->vcpus[i].index = i;
		engine->vcpus[i].fd = -1;
	}
	for (unsigned i = 0; i < engine->config.vcpus; i++) {
		struct vcpu *vcpu = &engine->vcpus[i];

		vcpu->fd = ioctl(engine->vm_fd, KVM_CREATE_VCPU, (unsigned long)i);
		if (vcpu->fd < 0)
			return err_sys(
				e, errno, "KVM: can't make vCPU %u of %u", i, engine->config.vcpus);
		void *run = mmap(
			NULL, engine->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
		if (run == MAP_FAILED)
			return err_sys(e, errno, "KVM: can't map vCPU %u", i);
		vcpu->run = run;
	}
	return 0;
}

int vm_create(struct engine *engine, struct err *e)
{
	int ret = vm_open_kvm(&engine->kvm_fd, e);

	if (ret == 0)
		ret = arch_memory_init(engine, e);
	if (ret < 0)
		return ret;
	do {
		engine->vm_fd = ioctl(engine->kvm_fd, KVM_CREATE_VM, 0ul);
	} while (engine->vm_fd < 0 && errno == EINTR);
	if (engine->vm_fd < 0)
		return err_sys(e, errno, "KVM: can't make a VM");
	ret = arch_vm_init(engine, e);
	if (ret == 0)
		ret = vm_map_memory(engine, e);
	if (ret == 0)
		ret = vm_create_vcpus(engine, e);
	if (ret == 0)
		ret = arch_vcpus_init(engine, e);
	return ret;
}

/* Writes of this word to this register become events in the kernel; the vCPU runs on. */
static int vm_attach_event(struct engine *engine, uint64_t gpa, uint32_t value, int fd)
{
	struct kvm_ioeventfd event = {
		.datamatch = value,
		.addr = gpa,
		.len = 4,
		.fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	return ioctl(engine->vm_fd, KVM_IOEVENTFD, &event) < 0 ? -errno : 0;
}

/*
 * Attaches a device: its kicks, its interrupt, and the acknowledgement of used buffers, which tells
 * nobody anything (mmio.h) and so need not leave the kernel.
 */
static int vm_attach(struct engine *engine, unsigned slot)
{
	struct virtio_mmio *mmio = &engine->mmio[slot];
	uint64_t gpa = ARCH_MMIO_GPA + slot * ARCH_MMIO_STRIDE;
	int ret = virtio_mmio_init(mmio, engine->config.devices[slot], engine->config.memory,
		engine->registers + slot * ARCH_MMIO_STRIDE);

	if (ret < 0)
		return ret;
	engine->n_mmio = slot + 1;
	struct kvm_irqfd irq = {.fd = (uint32_t)mmio->irq_fd, .gsi = ARCH_IRQ_FIRST + slot};
	if (ioctl(engine->vm_fd, KVM_IRQFD, &irq) < 0)
		return -errno;
	for (unsigned i = 0; ret == 0 && i < mmio->dev->n_queues; i++)
		ret = vm_attach_event(
			engine, gpa + VIRTIO_MMIO_QUEUE_NOTIFY, i, mmio->queues[i].kick_fd);
	return ret < 0 ? ret
		       : vm_attach_event(engine, gpa + VIRTIO_MMIO_INTERRUPT_ACK,
				 VIRTIO_MMIO_INT_VRING, engine->ack_fd);
}

int vm_attach_devices(struct engine *engine, struct err *e)
{
	unsigned n = engine->config.n_devices;
	size_t len_bytes = n * ARCH_MMIO_STRIDE;

	if (!n)
		return 0;
	engine->ack_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (engine->ack_fd < 0)
		return err_sys(e, errno, "device registers");
	void *pages =
		mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED)
		return err_sys(e, errno, "device registers");
	engine->registers = pages;
	for (unsigned i = 0; i < n; i++) {
		int ret = vm_attach(engine, i);
		if (ret < 0)
			return err_sys(e, -ret, "KVM: can't attach the %s device",
				engine->config.devices[i]->name);
	}
	if (ioctl(engine->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) > 0)
		engine->pages_mapped =
			vm_set_slot(engine->vm_fd, GUEST_MEMORY_REGIONS_MAX, KVM_MEM_READONLY,
				ARCH_MMIO_GPA, len_bytes, pages) == 0;
	return 0;
}

void vm_destroy(struct engine *engine)
{
	for (unsigned i = 0; i < engine->n_mmio; i++)
		virtio_mmio_fini(&engine->mmio[i]);
	for (unsigned i = 0; engine->vcpus && i < engine->config.vcpus; i++) {
		struct vcpu *vcpu = &engine->vcpus[i];

		if (vcpu->run)
			munmap(vcpu->run, engine->run_bytes);
		fd_closep(&vcpu->fd);
	}
	free(engine->vcpus);
	engine->vcpus = NULL;
	fd_closep(&engine->ack_fd);
	fd_closep(&engine->vm_fd);
	fd_closep(&engine->kvm_fd);
	if (engine->registers)
		munmap(engine->registers, engine->config.n_devices * ARCH_MMIO_STRIDE);
	engine->registers = NULL;
	arch_vm_fini(engine);
}
