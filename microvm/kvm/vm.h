/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the KVM engine: a VM, its vCPUs and what they share. engine.c is the contract's side,
 * vm.c makes the KVM objects, vcpu.c runs a vCPU, x86_*.c is what only x86 has.
 */
#ifndef MICROVM_KVM_VM_H
#define MICROVM_KVM_VM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "base/err.h"
#include "base/loop.h"
#include "microvm/confine/filter.h"
#include "microvm/kvm/arch.h"
#include "microvm/virtio/mmio.h"
#include "microvm/vmm/engine.h"

/* What leaves the guest for user space, counted per vCPU. */
enum vm_exit_kind {
	VM_EXIT_SERIAL,
	VM_EXIT_PORT,
	VM_EXIT_DEVICE_READ,
	VM_EXIT_DEVICE_WRITE,
	VM_EXIT_IRQCHIP,
	VM_EXIT_MMIO_UNKNOWN,
	VM_EXIT_SIGNAL,
	VM_EXIT_KINDS,
};

enum vm_order { VM_RUN, VM_PAUSE, VM_STOP };

struct vcpu {
	struct engine *engine;
	unsigned index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool thread_made;
	uint64_t exits[VM_EXIT_KINDS];
};

struct engine {
	struct vm_config config;
	int kvm_fd, vm_fd;
	size_t run_bytes;   /* of a vCPU's shared page(s) */
	uint8_t *registers; /* a page for each device */
	bool pages_mapped;  /* the guest reads the registers without an exit */
	unsigned n_mmio;
	struct virtio_mmio mmio[VM_DEVICES_MAX];
	int ack_fd; /* swallows acknowledgements of interrupts; nobody reads it */
	struct vcpu *vcpus;
	/* What vCPUs are to do; one that shall not run looks closer under the lock below. */
	_Atomic(enum vm_order) order;
	pthread_mutex_t order_lock;
	pthread_cond_t order_changed; /* order, or n_still */
	unsigned n_still;	      /* vCPUs that wait, or whose threads are over */
	struct arch_machine arch;

	/* The end: told by any thread, delivered by the loop. */
	pthread_mutex_t lock; /* of the end and of the console callback */
	int ended_fd;
	struct loop_source ended;
	bool has_ended;
	enum engine_end how;
	char message[ERR_TEXT_BYTES];
};

/* The signal that takes a vCPU out of KVM_RUN. Real-time, so that nothing else uses it. */
int vm_kick_signal(void);

/* vm.c: opens KVM and makes the VM with its memory, interrupt controllers and vCPUs. */
int vm_open_kvm(int *kvm_fd, struct err *e) must_check;
int vm_create(struct engine *engine, struct err *e) must_check;
/* Attaches the devices of the configuration: registers, interrupts, kicks. */
int vm_attach_devices(struct engine *engine, struct err *e) must_check;
void vm_destroy(struct engine *engine);

/* engine.c: the VM is over; the first caller's reason counts. Any thread. */
void vm_end(struct engine *engine, enum engine_end how, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* vcpu.c: a vCPU's thread; arg is its struct vcpu. */
void *vcpu_run(void *arg);
extern const struct filter vcpu_filter;

/* exits.c: an exit that nobody can serve, in words. The vCPU is not running. */
void exit_describe(int vcpu_fd, const struct kvm_run *run, char *text, size_t cap_bytes);

#endif
