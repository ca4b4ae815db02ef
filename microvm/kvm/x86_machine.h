/* SPDX-License-Identifier: Apache-2.0 */
/* What a VM has on x86 alone: interrupt wiring and I/O ports. */
#ifndef MICROVM_KVM_X86_MACHINE_H
#define MICROVM_KVM_X86_MACHINE_H

#include <pthread.h>
#include <stdatomic.h>

#include "microvm/boot/x86_boot.h"
#include "microvm/kvm/x86_ioapic.h"

struct vcpu;

struct arch_machine {
	pthread_mutex_t lock; /* of the IO-APIC and KVM's routes */
	struct x86_ioapic ioapic;
	struct x86_boot boot;
	atomic_bool uart_divisor; /* the serial port's data register is its divisor's now */
};

/* x86_ports.c: the access to ports in vcpu->run. */
void x86_ports_access(struct vcpu *vcpu);

#endif
