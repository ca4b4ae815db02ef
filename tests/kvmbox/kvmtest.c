/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kvmbox: is KVM real in there?
 *
 * Makes a VM of one page and one vCPU that computes in 64-bit-capable hardware's real mode, using
 * `lock cmpxchg8b` on its own memory, writes the result to a port and halts. Prints the result;
 * exit code 0 only when each step went as silicon would have it.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST_BASE  0x1000
#define RESULT_PORT 0x42

/*
 * Adds ax and bx, swaps the sum into memory if it still holds edx:eax, and says what memory holds.
 */
static const uint8_t code[] = {
	0x01, 0xd8,			    /* add ax, bx */
	0x89, 0xc3,			    /* mov bx, ax */
	0x31, 0xc9,			    /* xor cx, cx */
	0x31, 0xd2,			    /* xor dx, dx */
	0x31, 0xc0,			    /* xor ax, ax */
	0xf0, 0x0f, 0xc7, 0x0e, 0x00, 0x18, /* lock cmpxchg8b [0x1800] */
	0xa1, 0x00, 0x18,		    /* mov ax, [0x1800] */
	0xe7, RESULT_PORT,		    /* out RESULT_PORT, ax */
	0xf4,				    /* hlt */
};

static int vcpu_run(int vcpu, struct kvm_run *run)
{
	int result = -1;

	for (int turns = 0; turns < 100; turns++) {
		if (ioctl(vcpu, KVM_RUN, 0))
			err(1, "KVM_RUN");
		switch (run->exit_reason) {
		case KVM_EXIT_HLT:
			return result;
		case KVM_EXIT_IO:
			if (run->io.port != RESULT_PORT || run->io.size != 2)
				errx(1, "unexpected access to port %#x", run->io.port);
			result = *(uint16_t *)((char *)run + run->io.data_offset);
			break;
		default:
			errx(1, "unexpected exit reason %u", run->exit_reason);
		}
	}
	errx(1, "the guest does not halt");
}

int main(void)
{
	struct kvm_userspace_memory_region region = {
		.guest_phys_addr = GUEST_BASE, .memory_size = 0x1000};
	struct kvm_regs regs = {.rip = GUEST_BASE, .rflags = 2, .rax = 40, .rbx = 2};
	struct kvm_sregs sregs;
	struct kvm_run *run;
	int kvm, vm, vcpu, size, result;
	void *mem;

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		err(1, "/dev/kvm");
	if (ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		errx(1, "unknown KVM version");
	vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0)
		err(1, "KVM_CREATE_VM");
	mem = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		err(1, "mmap");
	memcpy(mem, code, sizeof(code));
	region.userspace_addr = (uintptr_t)mem;
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region))
		err(1, "KVM_SET_USER_MEMORY_REGION");
	vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vcpu < 0 || size < (int)sizeof(*run))
		err(1, "KVM_CREATE_VCPU");
	run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED || ioctl(vcpu, KVM_GET_SREGS, &sregs))
		err(1, "vCPU");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs))
		err(1, "registers");
	result = vcpu_run(vcpu, run);
	printf("result %d\n", result);
	return result == 42 ? 0 : 1;
}
