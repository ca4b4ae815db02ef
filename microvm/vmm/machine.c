/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making the machine; see machine.h. The list of devices is explicit and in one place: the guest
 * finds them in this order, so the console is first and disks are vda, vdb and so on.
 */
#include "microvm/vmm/machine.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/msg.h"
#include "microvm/devices/blk.h"
#include "microvm/devices/console.h"
#include "microvm/devices/net.h"
#include "microvm/devices/rng.h"
#include "microvm/vhost/frontend_fs.h"

static void console_output(void *arg, const void *bytes, size_t len_bytes)
{
	struct machine *machine = arg;

	console_log_write(machine->console, bytes, len_bytes);
}

static void fs_lost(void *arg, const char *why)
{
	struct machine *machine = arg;

	machine->events->fs_lost(machine->arg, why);
}

static void engine_ended(void *arg, enum engine_end how, const char *message)
{
	struct machine *machine = arg;

	machine->events->ended(machine->arg, how, message);
}

static int add_console(struct machine *machine, struct plan *plan, struct err *e)
{
	struct console_config config = {
		.loop = machine->loop, .output = console_output, .arg = machine};

	(void)plan;
	return console_create(&config, &machine->devices[machine->n_devices], e);
}

static int add_rng(struct machine *machine, struct plan *plan, struct err *e)
{
	struct rng_config config = {.loop = machine->loop};

	(void)plan;
	return rng_create(&config, &machine->devices[machine->n_devices], e);
}

static int add_vsock(struct machine *machine, struct plan *plan, struct err *e)
{
	struct vsock_config config = {.loop = machine->loop, .guest_cid = MSG_GUEST_CID};
	int ret = vsock_create(&config, &machine->devices[machine->n_devices], e);

	(void)plan;
	if (ret < 0)
		return ret;
	machine->vsock = machine->devices[machine->n_devices];
	return 0;
}

/* One queue of requests per vCPU, as far as hvrun-fs has them. */
static int add_fs(struct machine *machine, struct plan *plan, struct err *e)
{
	struct frontend_fs_config config = {
		.loop = machine->loop,
		.sock_fd = steal_fd(&plan->fs_fd),
		.tag = plan->fs_tag,
		.request_queues =
			plan->vcpus < FRONTEND_FS_QUEUES_MAX ? plan->vcpus : FRONTEND_FS_QUEUES_MAX,
		.lost = fs_lost,
		.arg = machine,
	};

	return frontend_fs_create(&config, &machine->devices[machine->n_devices], e);
}

static int add_disk(struct machine *machine, struct plan_disk *disk, struct err *e)
{
	struct blk_config config = {
		.loop = machine->loop,
		.fd = disk->fd,
		.readonly = disk->readonly,
		.serial = disk->serial,
	};
	int ret = blk_create(&config, &machine->devices[machine->n_devices], e);

	if (ret < 0)
		return err_add(e, "disk");
	(void)steal_fd(&disk->fd);
	return 0;
}

static int add_net(struct machine *machine, const struct plan *plan, unsigned i, struct err *e)
{
	const struct plan_net *net = &plan->nets[i];
	struct net_config config = {
		.n_fds = net->n_fds,
		.stream = net->stream,
		.mtu = net->mtu,
		.rx_bytes_per_s = net->rx_bytes_per_s,
		.tx_bytes_per_s = net->tx_bytes_per_s,
		.idle = plan->emulation, /* QEMU has a network device of its own */
	};
	struct vm_net *made = &machine->nets[machine->n_devices];

	_Static_assert(NET_PAIRS_MAX == VM_NET_QUEUES_MAX, "as many as a device has");
	memcpy(config.fds, net->fds, sizeof(config.fds));
	memcpy(config.mac, net->mac, sizeof(config.mac));
	memcpy(made->fds, net->fds, sizeof(made->fds));
	memcpy(made->mac, net->mac, sizeof(made->mac));
	made->n_fds = net->n_fds;
	made->stream = net->stream;
	made->mtu = net->mtu;
	int ret = net_create(&config, &machine->devices[machine->n_devices], e);
	return ret < 0 ? err_add(e, "plan: net[%u]", i) : 0;
}

static int add_devices(struct machine *machine, struct plan *plan, struct err *e)
{
	static int (*const always[])(struct machine *, struct plan *, struct err *) = {
		add_console,
		add_rng,
		add_vsock,
		add_fs,
	};
	const unsigned n_always = sizeof(always) / sizeof(always[0]);

	_Static_assert(sizeof(always) / sizeof(always[0]) + PLAN_DISKS_MAX + PLAN_NETS_MAX <=
			VM_DEVICES_MAX,
		"room for all devices");
	for (unsigned i = 0; i < n_always; i++) {
		int ret = always[i](machine, plan, e);
		if (ret < 0)
			return ret;
		machine->n_devices++;
	}
	for (unsigned i = 0; i < plan->n_disks; i++) {
		int ret = add_disk(machine, &plan->disks[i], e);
		if (ret < 0)
			return ret;
		machine->n_devices++;
	}
	for (unsigned i = 0; i < plan->n_nets; i++) {
		int ret = add_net(machine, plan, i, e);
		if (ret < 0)
			return ret;
		for (unsigned q = 0; q < plan->nets[i].n_fds; q++)
			(void)steal_fd(&plan->nets[i].fds[q]);
		machine->n_devices++;
	}
	return vsock_listen(
		machine->vsock, MSG_CONTROL_PORT, machine->events->accept, machine->arg);
}

static void free_device(struct virtio_device *dev)
{
	switch (dev->id) {
	case VIRTIO_ID_CONSOLE:
		console_free(dev);
		break;
	case VIRTIO_ID_RNG:
		rng_free(dev);
		break;
	case VIRTIO_ID_VSOCK:
		vsock_free(dev);
		break;
	case VIRTIO_ID_FS:
		frontend_fs_free(dev);
		break;
	case VIRTIO_ID_BLOCK:
		blk_free(dev);
		break;
	case VIRTIO_ID_NET:
		net_free(dev);
		break;
	default:
		break;
	}
}

int machine_init(struct machine *machine, struct plan *plan, bool confine, struct loop *loop,
	struct console_log *console, const struct machine_events *events, void *arg, struct err *e)
{
	memset(machine, 0, sizeof(*machine));
	machine->events = events;
	machine->arg = arg;
	machine->console = console;
	machine->loop = loop;
	machine->ops = plan->emulation ? &engine_emulation_ops : &engine_kvm_ops;
	int ret = guest_memory_create(&machine->memory, plan->memory_bytes, e);
	if (ret < 0)
		return ret;
	ret = add_devices(machine, plan, e);
	if (ret < 0)
		return ret;
	struct vm_config config = {
		.id = plan->id,
		.vcpus = plan->vcpus,
		.memory = &machine->memory,
		.kernel_fd = plan->kernel_fd,
		.kernel_path = plan->kernel_path,
		.cmdline = plan->cmdline,
		.discovery = plan->discovery,
		.initramfs = plan->initramfs,
		.n_initramfs = plan->n_initramfs,
		.devices = machine->devices,
		.n_devices = machine->n_devices,
		.nets = machine->nets,
		.loop = loop,
		.qemu_path = plan->qemu,
		.debug = plan->debug,
		.confine = confine,
		.arg = machine,
		.console = console_output,
		.ended = engine_ended,
	};
	return machine->ops->create(&config, &machine->engine, e);
}

int machine_start(struct machine *machine, struct err *e)
{
	return machine->ops->start(machine->engine, e);
}

int machine_launch(struct machine *machine, bool confine, struct err *e)
{
	for (unsigned i = 0; i < machine->n_devices; i++) {
		struct virtio_device *dev = machine->devices[i];
		int ret = dev->id == VIRTIO_ID_BLOCK ? blk_launch(dev, confine)
			: dev->id == VIRTIO_ID_NET   ? net_launch(dev, confine)
						     : 0;
		if (ret < 0)
			return err_sys(e, -ret, "starting a thread of the %s device", dev->name);
	}
	return 0;
}

void machine_run(struct machine *machine)
{
	if (machine->ops->run)
		machine->ops->run(machine->engine);
}

int machine_pause(struct machine *machine, bool pause, struct err *e)
{
	return pause ? machine->ops->pause(machine->engine, e)
		     : machine->ops->resume(machine->engine, e);
}

void machine_stop(struct machine *machine)
{
	if (machine->engine)
		machine->ops->stop(machine->engine);
}

void machine_fini(struct machine *machine)
{
	if (machine->ops)
		machine->ops->free(machine->engine);
	machine->engine = NULL;
	for (unsigned i = 0; i < machine->n_devices; i++)
		free_device(machine->devices[i]);
	machine->n_devices = 0;
	guest_memory_fini(&machine->memory);
}
