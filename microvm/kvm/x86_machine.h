/* SPDX-License-Identifier: Apache-2.0 */
/* What a VM and its vCPUs have on x86 alone: interrupt wiring, I/O ports, start state. */
#ifndef MICROVM_KVM_X86_MACHINE_H
#define MICROVM_KVM_X86_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "microvm/kvm/x86_ioapic.h"

struct engine;
struct vcpu;

struct x86_machine {
	pthread_mutex_t lock; /* of the IO-APIC and KVM's routes */
	struct x86_ioapic ioapic;
	atomic_bool uart_divisor; /* the serial port's data register is its divisor's now */
};

/* Before and after the vCPUs are made. */
int x86_vm_init(struct engine *engine, struct err *e) must_check;
int x86_vcpus_init(struct engine *engine, struct err *e) must_check;
void x86_vm_fini(struct engine *engine);

/* An access to memory that is neither RAM nor a virtio device: true when it was ours. */
bool x86_mmio(struct vcpu *vcpu, uint64_t gpa, void *data, uint32_t len, bool is_write);

/* x86_ports.c: one access to a port; our ports are bytes, so only the low one is looked at. */
void x86_port_out(struct vcpu *vcpu, uint16_t port, uint8_t value);
void x86_port_in(struct vcpu *vcpu, uint16_t port, void *dst, unsigned len);

#endif
