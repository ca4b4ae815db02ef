/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vCPU's thread: runs the guest, serves what it can't do alone. Each exit is served or ends the
 * VM with a message; none is ignored in a loop.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#include "microvm/confine/thread.h"
#include "microvm/confine/violation.h"
#include "microvm/kvm/vm.h"

/*
 * What a vCPU's thread calls: the loop below, and devices when the guest starts, stops or breaks
 * one by writing to its registers.
 */
static const struct call vcpu_calls[] = {
	CALL_IF_EQUAL(ioctl, 1, KVM_RUN),
	CALL_IF_EQUAL_RARELY(ioctl, 1, KVM_GET_REGS), /* to describe an exit that can't be served */
	CALL_IF_EQUAL(ioctl, 1, KVM_SET_GSI_ROUTING),
	CALL(futex),
	CALL(write),
	CALL(rt_sigreturn), /* of the kick */
	/* microvm/vhost: the file server is told of its queues, and asked */
	CALL(sendmsg),
	CALL(recvmsg),
	CALL(poll),
	CALL_RARELY(clock_gettime),   /* where the vDSO has no clock */
	CALL_RARELY(restart_syscall), /* of poll, after SIGSTOP and SIGCONT */
	/* a network device's features */
	CALL_IF_EQUAL(ioctl, 1, TUNSETOFFLOAD),
	CALL_IF_EQUAL(ioctl, 1, TUNSETQUEUE),
};
static const struct calls vcpu_part = CALLS(vcpu_calls);
const struct filter vcpu_filter = {
	.kind = "vcpu", .parts = {&vcpu_part, &thread_calls}, .denied = DENIED(THREAD_VCPU)};

int vm_kick_signal(void)
{
	return SIGRTMIN;
}

static void exit_mmio(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	uint64_t offset = run->mmio.phys_addr - ARCH_MMIO_GPA;
	uint64_t slot = offset / ARCH_MMIO_STRIDE;
	uint32_t within = (uint32_t)(offset % ARCH_MMIO_STRIDE);

	if (run->mmio.phys_addr < ARCH_MMIO_GPA || slot >= vcpu->engine->n_mmio) {
		if (arch_mmio(vcpu, run->mmio.phys_addr, run->mmio.data, run->mmio.len,
			    run->mmio.is_write))
			return;
		vcpu->exits[VM_EXIT_MMIO_UNKNOWN]++;
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
		return;
	}
	struct virtio_mmio *mmio = &vcpu->engine->mmio[slot];
	if (run->mmio.is_write) {
		vcpu->exits[VM_EXIT_DEVICE_WRITE]++;
		virtio_mmio_write(mmio, within, run->mmio.data, run->mmio.len);
	} else {
		vcpu->exits[VM_EXIT_DEVICE_READ]++;
		virtio_mmio_read(mmio, within, run->mmio.data, run->mmio.len);
	}
}

static void exit_system_event(struct vcpu *vcpu)
{
	switch (vcpu->run->system_event.type) {
	case KVM_SYSTEM_EVENT_SHUTDOWN:
		vm_end(vcpu->engine, ENGINE_END_SHUTDOWN, "%s", "");
		break;
	case KVM_SYSTEM_EVENT_RESET:
		vm_end(vcpu->engine, ENGINE_END_RESET, "%s", "");
		break;
	default:
		vm_end(vcpu->engine, ENGINE_END_FAILED, "the guest crashed (system event %u)",
			vcpu->run->system_event.type);
	}
}

/* Serves the exit in vcpu->run; false when this vCPU is not to run again. */
static bool vcpu_exit(struct vcpu *vcpu)
{
	char text[ERR_TEXT_BYTES];

	switch (vcpu->run->exit_reason) {
	case KVM_EXIT_MMIO:
		exit_mmio(vcpu);
		return true;
	case KVM_EXIT_INTR:
		vcpu->exits[VM_EXIT_SIGNAL]++;
		return true;
	case KVM_EXIT_SHUTDOWN: /* x86's triple fault: a reset when all else fails */
		vm_end(vcpu->engine, ENGINE_END_RESET, "its vCPU %u shut down (triple fault)",
			vcpu->index);
		return false;
	case KVM_EXIT_SYSTEM_EVENT:
		exit_system_event(vcpu);
		return false;
	default:
		if (arch_exit(vcpu))
			return true;
		exit_describe(vcpu->fd, vcpu->run, text, sizeof(text));
		vm_end(vcpu->engine, ENGINE_END_FAILED, "vCPU %u: %s", vcpu->index, text);
		return false;
	}
}

/* KVM_RUN itself failed: false unless that is part of normal life. */
static bool vcpu_run_failed(struct vcpu *vcpu, int code)
{
	switch (code) {
	case EINTR: /* kicked; the order tells why */
		vcpu->exits[VM_EXIT_SIGNAL]++;
		return true;
	case EAGAIN: /* woken, but no SIPI yet */
		return true;
	case EFAULT:
		vm_end(vcpu->engine, ENGINE_END_FAILED,
			"vCPU %u: the host can't provide a page of guest memory (out of memory?)",
			vcpu->index);
		return false;
	default:
		vm_end(vcpu->engine, ENGINE_END_FAILED, "vCPU %u: KVM_RUN: %s", vcpu->index,
			strerror(code));
		return false;
	}
}

/* The order is not to run: waits through a pause; false when it is the end. */
static bool vcpu_wait(struct engine *engine)
{
	pthread_mutex_lock(&engine->order_lock);
	if (atomic_load(&engine->order) == VM_PAUSE) {
		engine->n_still++;
		pthread_cond_broadcast(&engine->order_changed);
		while (atomic_load(&engine->order) == VM_PAUSE)
			pthread_cond_wait(&engine->order_changed, &engine->order_lock);
		engine->n_still--;
	}
	bool run = atomic_load(&engine->order) == VM_RUN;
	pthread_mutex_unlock(&engine->order_lock);
	return run;
}

/* This vCPU runs no more: a pause needn't wait for it. */
static void vcpu_over(struct engine *engine)
{
	pthread_mutex_lock(&engine->order_lock);
	engine->n_still++;
	pthread_cond_broadcast(&engine->order_changed);
	pthread_mutex_unlock(&engine->order_lock);
}

void *vcpu_run(void *arg)
{
	struct vcpu *vcpu = arg;
	bool run = true;

	while (run) {
		if (atomic_load(&vcpu->engine->order) != VM_RUN)
			run = vcpu_wait(vcpu->engine);
		else if (ioctl(vcpu->fd, KVM_RUN, 0) < 0)
			run = vcpu_run_failed(vcpu, errno);
		else
			run = vcpu_exit(vcpu);
	}
	vcpu_over(vcpu->engine);
	return NULL;
}
