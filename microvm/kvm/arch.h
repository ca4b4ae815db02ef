/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the KVM engine asks of an architecture. There is one: x86_machine.c and x86_ports.c answer.
 * The rest of the engine (engine.c, vm.c, vcpu.c, exits.c) is the same everywhere.
 */
#ifndef MICROVM_KVM_ARCH_H
#define MICROVM_KVM_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#include "microvm/boot/x86_layout.h"
#include "microvm/kvm/x86_machine.h"
#define ARCH_MMIO_GPA	 X86_MMIO_GPA	 /* of the virtio devices, one behind the other */
#define ARCH_MMIO_STRIDE X86_MMIO_STRIDE /* a page at least */
#define ARCH_IRQ_FIRST	 X86_IRQ_FIRST	 /* KVM's number of the first device's interrupt */

struct engine;
struct vcpu;

/* Before there is a VM: the kernel and all that it finds in memory. */
int arch_memory_init(struct engine *engine, struct err *e) must_check;
/* Between making the VM and its vCPUs: interrupt controllers. */
int arch_vm_init(struct engine *engine, struct err *e) must_check;
/* With vCPUs made: their features and state. */
int arch_vcpus_init(struct engine *engine, struct err *e) must_check;
void arch_vm_fini(struct engine *engine);

/* An access to memory that is neither RAM nor a virtio device: true when it was served. */
bool arch_mmio(struct vcpu *vcpu, uint64_t gpa, void *data, uint32_t len, bool is_write);

/* An exit that only this architecture has, in vcpu->run: true when it was served. */
bool arch_exit(struct vcpu *vcpu);

/* The vCPU will go on after a pause: tells the guest that time has passed without it. */
void arch_vcpu_resume(struct vcpu *vcpu);

/* Where a vCPU that is not running stands; false when KVM does not say. */
bool arch_program_counter(int vcpu_fd, uint64_t *address) must_check;

#endif
