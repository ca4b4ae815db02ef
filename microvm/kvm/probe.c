/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Probe for a KVM that works; see probe.h. The code under test enters 64-bit mode with SSE and
 * XSAVE on, does what compilers and kernels do all day, and reports by one write to a port. A KVM
 * without hardware virtualisation behind it has to emulate it, and ends the run with an internal
 * error at the first instruction that its emulator does not know.
 */
#include "microvm/kvm/probe.h"

#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/boot/x86_boot.h"
#include "microvm/kvm/vm.h"
#include "microvm/kvm/x86_cpuid.h"
#include "microvm/kvm/x86_vcpu.h"

#define PROBE_BYTES	0x10000u
#define PROBE_PML4	0x1000u
#define PROBE_PDPT	0x2000u
#define PROBE_PD	0x3000u
#define PROBE_GDT	0x4000u
#define PROBE_CODE	0x5000u
#define PROBE_STACK	0x7000u
#define PROBE_DATA	0x8000u /* 64-byte aligned: an XSAVE area of its own page */
#define PROBE_PORT	0x80
#define PROBE_ANSWER	0x5a
#define PROBE_TIMEOUT_S 2
#define PROBE_EXITS_MAX 64
#define CPUID_INTEL_VMX (1u << 5) /* leaf 1, ECX */
#define CPUID_AMD_SVM	(1u << 2) /* leaf 0x80000001, ECX */
#define CR4_OSFXSR	(1ull << 9)
#define CR4_OSXMMEXCPT	(1ull << 10)
#define CR4_OSXSAVE	(1ull << 18)

/*
 * With RDX:RAX = RCX:RBX = 0 and 16 zero bytes at PROBE_DATA, cmpxchg16b finds them equal. XSAVE
 * then writes the x87 and SSE state behind them, and its header word must come out non-zero.
 */
static const uint8_t probe_code[] = {
	0xbf, 0x00, 0x80, 0x00, 0x00,		  /* mov $PROBE_DATA, %edi */
	0x31, 0xc0,				  /* xor %eax, %eax */
	0x31, 0xd2,				  /* xor %edx, %edx */
	0x31, 0xc9,				  /* xor %ecx, %ecx */
	0xbb, 0x01, 0x00, 0x00, 0x00,		  /* mov $1, %ebx */
	0xf0, 0x48, 0x0f, 0xc7, 0x0f,		  /* lock cmpxchg16b (%rdi) */
	0x75, 0x1d,				  /* jne fail */
	0x66, 0x0f, 0xef, 0xc0,			  /* pxor %xmm0, %xmm0 */
	0xb8, 0x03, 0x00, 0x00, 0x00,		  /* mov $3, %eax */
	0x0f, 0xae, 0xa7, 0x40, 0x00, 0x00, 0x00, /* xsave 64(%rdi) */
	0x48, 0x8b, 0x07,			  /* mov (%rdi), %rax */
	0x48, 0xff, 0xc8,			  /* dec %rax: was 1 */
	0x75, 0x05,				  /* jne fail */
	0xb0, PROBE_ANSWER,			  /* mov $PROBE_ANSWER, %al */
	0xe6, PROBE_PORT,			  /* out %al, $PROBE_PORT */
	0xf4,					  /* hlt */
	0xf4,					  /* fail: hlt */
};

struct probe {
	int kvm_fd, vm_fd, vcpu_fd;
	uint8_t *memory;
	struct kvm_run *run;
	size_t run_bytes;
	struct x86_cpuid cpuid;
};

static void probe_fini(struct probe *probe)
{
	if (probe->run)
		munmap(probe->run, probe->run_bytes);
	fd_closep(&probe->vcpu_fd);
	fd_closep(&probe->vm_fd);
	fd_closep(&probe->kvm_fd);
	if (probe->memory)
		munmap(probe->memory, PROBE_BYTES);
}

static int probe_memory(struct probe *probe, struct err *e)
{
	void *memory =
		mmap(NULL, PROBE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region region = {
		.memory_size = PROBE_BYTES, .userspace_addr = (uint64_t)(uintptr_t)memory};

	if (memory == MAP_FAILED)
		return err_sys(e, errno, "KVM probe: memory");
	probe->memory = memory;
	uint64_t *pml4 = (uint64_t *)(void *)(probe->memory + PROBE_PML4);
	uint64_t *pdpt = (uint64_t *)(void *)(probe->memory + PROBE_PDPT);
	uint64_t *pd = (uint64_t *)(void *)(probe->memory + PROBE_PD);
	uint64_t *gdt = (uint64_t *)(void *)(probe->memory + PROBE_GDT);
	pml4[0] = PROBE_PDPT | 3;
	pdpt[0] = PROBE_PD | 3;
	pd[0] = 0x83; /* 2 MiB, of which there is only the beginning */
	gdt[X86_BOOT_CS / 8] = X86_GDT_CODE64;
	gdt[X86_BOOT_DS / 8] = X86_GDT_DATA;
	memcpy(probe->memory + PROBE_CODE, probe_code, sizeof(probe_code));
	if (ioctl(probe->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return err_sys(e, errno, "KVM probe: can't map guest memory");
	return 0;
}

static int probe_vcpu(struct probe *probe, struct err *e)
{
	const struct x86_boot boot = {
		.entry_gpa = PROBE_CODE,
		.stack_gpa = PROBE_STACK,
		.page_table_gpa = PROBE_PML4,
		.gdt_gpa = PROBE_GDT,
		.gdt_limit = 4 * sizeof(uint64_t) - 1,
	};

	probe->vcpu_fd = ioctl(probe->vm_fd, KVM_CREATE_VCPU, 0ul);
	if (probe->vcpu_fd < 0)
		return err_sys(e, errno, "KVM: can't make a vCPU");
	int run_bytes = ioctl(probe->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (run_bytes < (int)sizeof(struct kvm_run))
		return err_set(e, ENOTSUP, "KVM: a vCPU's shared memory has %d bytes", run_bytes);
	probe->run_bytes = (size_t)run_bytes;
	void *run =
		mmap(NULL, probe->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, probe->vcpu_fd, 0);
	if (run == MAP_FAILED)
		return err_sys(e, errno, "KVM: can't map a vCPU");
	probe->run = run;
	int ret = x86_cpuid_read(probe->kvm_fd, &probe->cpuid, e);
	if (ret < 0)
		return ret;
	x86_cpuid_filter(&probe->cpuid, 1, false);
	ret = x86_vcpu_set_cpuid(probe->vcpu_fd, &probe->cpuid, e);
	if (ret < 0)
		return ret;
	return x86_vcpu_enter(probe->vcpu_fd, &boot, CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE, e);
}

static int probe_init(struct probe *probe, struct err *e)
{
	int ret = vm_open_kvm(&probe->kvm_fd, e);

	if (ret < 0)
		return ret;
	do {
		probe->vm_fd = ioctl(probe->kvm_fd, KVM_CREATE_VM, 0ul);
	} while (probe->vm_fd < 0 && errno == EINTR);
	if (probe->vm_fd < 0)
		return err_sys(e, errno, "/dev/kvm opens, but can't make a VM");
	ret = probe_memory(probe, e);
	return ret < 0 ? ret : probe_vcpu(probe, e);
}

static int probe_run(struct probe *probe, struct err *e)
{
	const struct kvm_run *run = probe->run;
	char text[512];

	for (unsigned i = 0; i < PROBE_EXITS_MAX; i++) {
		if (ioctl(probe->vcpu_fd, KVM_RUN, 0) < 0) {
			if (errno == EINTR)
				break;
			return err_sys(e, errno, "KVM: can't run a vCPU");
		}
		if (run->exit_reason == KVM_EXIT_INTR)
			break;
		if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT &&
			run->io.port == PROBE_PORT)
			return 0;
		exit_describe(probe->vcpu_fd, run, text, sizeof(text));
		return err_set(e, ENOTSUP,
			"/dev/kvm opens and makes VMs, but can't run unmodified "
			"64-bit code (no hardware virtualisation behind it?): %s",
			text);
	}
	return err_set(e, ETIMEDOUT,
		"/dev/kvm opens and makes VMs, but a few instructions did not "
		"end within %d seconds",
		PROBE_TIMEOUT_S);
}

static void kick_ignored(int number)
{
	(void)number;
}

/*
 * The timer's signal goes to this thread and repeats: one that comes just before KVM_RUN is
 * entered would else be lost.
 */
static int probe_run_bounded(struct probe *probe, struct err *e)
{
	struct sigaction kick = {.sa_handler = kick_ignored}, old;
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = vm_kick_signal()};
	const struct itimerspec limit = {
		.it_value.tv_sec = PROBE_TIMEOUT_S, .it_interval.tv_nsec = 100 * 1000 * 1000};
	timer_t timer;

	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	if (sigaction(vm_kick_signal(), &kick, &old) < 0)
		return err_sys(e, errno, "KVM probe");
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0) {
		int code = errno;
		(void)sigaction(vm_kick_signal(), &old, NULL);
		return err_sys(e, code, "KVM probe: timer");
	}
	int ret = timer_settime(timer, 0, &limit, NULL) < 0 ? err_sys(e, errno, "KVM probe: timer")
							    : probe_run(probe, e);
	timer_delete(timer);
	(void)sigaction(vm_kick_signal(), &old, NULL);
	return ret;
}

int kvm_probe(struct err *e)
{
	cleanup_free struct probe *probe = calloc(1, sizeof(*probe));

	if (!probe)
		return err_sys(e, ENOMEM, "KVM probe");
	probe->kvm_fd = probe->vm_fd = probe->vcpu_fd = -1;
	int ret = probe_init(probe, e);
	if (ret == 0)
		ret = probe_run_bounded(probe, e);
	probe_fini(probe);
	return ret;
}

int kvm_probe_if_doubtful(struct err *e)
{
	unsigned a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && (c & CPUID_INTEL_VMX))
		return 0;
	if (__get_cpuid(0x80000001, &a, &b, &c, &d) && (c & CPUID_AMD_SVM))
		return 0;
	return kvm_probe(e);
}
