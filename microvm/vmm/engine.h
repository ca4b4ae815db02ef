/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine contract: what runs the guest's CPUs and gives it its devices. There are two, the KVM
 * engine (microvm/kvm/, the product) and the emulation engine (microvm/emulation/, a child QEMU).
 * machine.c makes guest memory and the devices, chooses an engine by its table of operations, and
 * is told once when the VM has ended.
 *
 * Threads: every operation is called by the loop's thread, `create` before the loop runs. `ended`
 * comes from the loop, at most once, never from within an operation and never after `stop`.
 */
#ifndef MICROVM_VMM_ENGINE_H
#define MICROVM_VMM_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "microvm/memory/guest_memory.h"
#include "microvm/virtio/device.h"

#define VM_VCPUS_MAX   64
#define VM_DEVICES_MAX 20

#define VM_NET_QUEUES_MAX 8
#define VM_NET_MAC_BYTES  6

/* How a guest kernel finds its CPUs and virtio devices. */
enum vm_discovery {
	VM_DISCOVERY_CMDLINE, /* virtio_mmio.device= words and an MP table: our own kernel */
	VM_DISCOVERY_ACPI,    /* ACPI tables: any kernel */
};

/* One regular file of the initramfs; the directories above it are made. */
struct vm_file {
	const char *path;    /* relative, "init" or "modules/000-virtio.ko" */
	unsigned mode_perms; /* permission bits: 0755 */
	int fd;		     /* a regular file, read by offset; stays the caller's */
};

/* What a network device is made of, for an engine that has one of its own. */
struct vm_net {
	int fds[VM_NET_QUEUES_MAX]; /* the queues of a tap, or a stream socket; the device's */
	unsigned n_fds;
	bool stream;
	uint8_t mac[VM_NET_MAC_BYTES];
	uint16_t mtu;
};

enum engine_end {
	ENGINE_END_RESET,    /* the guest reset its machine: reboot, triple fault */
	ENGINE_END_SHUTDOWN, /* the guest powered its machine off */
	ENGINE_END_FAILED,   /* the engine can't go on; the message says why */
};

/*
 * All pointers stay the caller's and valid until engine_ops.free, `initramfs`, its descriptors,
 * `cmdline` and the kernel's until create has returned. (The emulation engine's child reads them
 * by descriptors of its own.)
 */
struct vm_config {
	const char *id; /* the container's, for messages */
	unsigned vcpus; /* 1 to VM_VCPUS_MAX */
	const struct guest_memory *memory;
	int kernel_fd;
	const char *kernel_path; /* for messages */
	const char *cmdline;	 /* without the words that name devices */
	enum vm_discovery discovery;
	const struct vm_file *initramfs;
	unsigned n_initramfs;
	struct virtio_device **devices; /* in the order in which the guest shall find them */
	unsigned n_devices;
	const struct vm_net *nets; /* by device, of those that are VIRTIO_ID_NET; NULL: none is */
	struct loop *loop;
	const char *qemu_path; /* emulation only */
	bool debug;
	bool confine; /* threads have allow-lists of system calls (microvm/confine/) */

	void *arg; /* of both callbacks */
	/*
	 * Bytes of the guest's early serial console. From any thread, never two at a time; it
	 * must not block. All bytes of a VM come before its `ended`.
	 */
	void (*console)(void *arg, const void *bytes, size_t len_bytes);
	/* message: one line; of a reset or shutdown what else is known of it, "" for nothing. */
	void (*ended)(void *arg, enum engine_end how, const char *message);
};

struct engine;
struct calls;

struct engine_ops {
	const char *name; /* "kvm", "emulation" */
	const struct calls *calls; /* of the loop's thread from `run` on, and of these operations */
	/*
	 * Makes the VM, loads the kernel and attaches the devices (sources are added to the loop).
	 * On failure nothing is left.
	 */
	int (*create)(const struct vm_config *config, struct engine **engine, struct err *e);
	/* Makes what runs the vCPUs. What `run` is for does not happen yet. */
	int (*start)(struct engine *engine, struct err *e);
	/* Nothing of the guest runs before this. NULL: it runs from start on. */
	void (*run)(struct engine *engine);
	/*
	 * Stops the vCPUs where they are: none of them runs when this has returned. Devices go on
	 * serving what was asked. resume lets them go on. Each only in turn, from start to stop.
	 */
	int (*pause)(struct engine *engine, struct err *e);
	int (*resume)(struct engine *engine, struct err *e);
	/* Ends the vCPUs and waits for them, paused or not; the devices are stopped. Any number of
	 * times. */
	void (*stop)(struct engine *engine);
	/* Stops when it runs, and frees; NULL is fine. The devices are free for reuse. */
	void (*free)(struct engine *engine);
};

extern const struct engine_ops engine_kvm_ops;
extern const struct engine_ops engine_emulation_ops;

#endif
