/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual machine of a plan: guest memory, the explicit list of devices, the engine. */
#ifndef MICROVM_VMM_MACHINE_H
#define MICROVM_VMM_MACHINE_H

#include "base/err.h"
#include "base/loop.h"
#include "microvm/devices/vsock.h"
#include "microvm/memory/guest_memory.h"
#include "microvm/vmm/console_log.h"
#include "microvm/vmm/engine.h"
#include "microvm/vmm/plan.h"

struct machine_events {
	/* The guest's control connection: fills the descriptors; see vsock_accept_fn. */
	vsock_accept_fn *accept;
	/* The VM has ended by itself; see vm_config.ended. */
	void (*ended)(void *arg, enum engine_end how, const char *message);
	void (*fs_lost)(void *arg, const char *why);
};

struct machine {
	const struct machine_events *events;
	void *arg;
	struct console_log *console;
	struct loop *loop;
	struct guest_memory memory;
	/* In the order in which the guest finds them. */
	struct virtio_device *devices[VM_DEVICES_MAX];
	unsigned n_devices;
	struct vm_net nets[VM_DEVICES_MAX]; /* by device */
	struct virtio_device *vsock; /* one of devices */
	const struct engine_ops *ops;
	struct engine *engine;
};

/* Takes what it needs of the plan's descriptors. The VM does not run yet. machine_fini is due. */
int machine_init(struct machine *machine, struct plan *plan, bool confine, struct loop *loop,
	struct console_log *console, const struct machine_events *events, void *arg,
	struct err *e) must_check;
/* The engine's threads or process; see engine_ops.start. */
int machine_start(struct machine *machine, struct err *e) must_check;
/* The devices' own threads. */
int machine_launch(struct machine *machine, bool confine, struct err *e) must_check;
/* Lets the guest run, if it does not yet: all is there, and as it is to stay. */
void machine_run(struct machine *machine);
int machine_pause(struct machine *machine, bool pause, struct err *e) must_check;
void machine_stop(struct machine *machine); /* any number of times */
void machine_fini(struct machine *machine);

#endif
