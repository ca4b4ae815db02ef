/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU's command line; see arguments.h.
 *
 * The machine is `microvm`: no PCI, virtio-mmio only. Where the kernel finds its devices by command
 * line, ACPI is off and the words are made here, in the order of our list of devices, each device
 * being put on the bus of its number; QEMU's own words would come in another order.
 */
#include "microvm/emulation/arguments.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "microvm/boot/cmdline.h"
#include "microvm/emulation/clock.h"
#include "microvm/vhost/frontend_fs.h"

/* hw/i386/microvm: where the virtio-mmio slots are, and their interrupts without ACPI. */
#define MICROVM_MMIO_GPA	0xfeb00000ull
#define MICROVM_MMIO_BYTES	512u
#define MICROVM_MMIO_SLOTS	8u
#define MICROVM_MMIO_SLOTS_ACPI 24u /* with a second IO-APIC, which only ACPI describes */
#define MICROVM_IRQ_FIRST	5u

static void add_word(struct arguments *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void add_word(struct arguments *a, const char *fmt, ...)
{
	va_list ap;

	if (a->error)
		return;
	if (a->n == ARGUMENTS_MAX) {
		a->error = -E2BIG;
		return;
	}
	va_start(ap, fmt);
	if (vasprintf(&a->words[a->n], fmt, ap) < 0)
		a->error = -ENOMEM;
	else
		a->words[++a->n] = NULL;
	va_end(ap);
}

#define add_option(a, name, ...)                                                                   \
	do {                                                                                       \
		add_word((a), "%s", (name));                                                       \
		add_word((a), __VA_ARGS__);                                                        \
	} while (0)

void arguments_fini(struct arguments *arguments)
{
	for (unsigned i = 0; i < arguments->n; i++)
		free(arguments->words[i]);
	arguments->n = 0;
	arguments->words[0] = NULL;
}

/*
 * The timers: without KVM's paravirtual clock a kernel measures its APIC timer against the PIT. The
 * PIC must be there for the PIT's interrupt to be found. A kernel reads the real-time clock, and
 * waits a second for one that is not there.
 */
static void add_machine(struct arguments *a, const struct vm_config *config)
{
	bool acpi = config->discovery == VM_DISCOVERY_ACPI;

	add_option(a, "-M",
		"microvm,acpi=%s,ioapic2=%s,pic=on,pit=on,rtc=on,isa-serial=on,"
		"auto-kernel-cmdline=off,memory-backend=ram",
		acpi ? "on" : "off", acpi ? "on" : "off");
	add_option(a, "-accel", "tcg,thread=multi");
	/* Five-level page tables would make each walk longer and hold nothing. */
	add_option(a, "-cpu", "max,la57=off");
	/*
	 * For a machine that can't have more than one processor QEMU (up to 8.0) leaves the guest's
	 * memory barriers out. Its devices are threads, so each side of a queue could miss the
	 * other's last word and wait for ever.
	 */
	add_option(a, "-smp", "cpus=%u,maxcpus=%u", config->vcpus,
		config->vcpus > 1 ? config->vcpus : 2);
}

static void add_memory(struct arguments *a, const struct vm_config *config, int fd)
{
	unsigned long long bytes = 0;

	for (unsigned i = 0; i < config->memory->n_regions; i++)
		bytes += config->memory->regions[i].len_bytes;
	add_option(a, "-m", "size=%lluB", bytes);
	add_option(a, "-object",
		"memory-backend-file,id=ram,mem-path=/proc/self/fd/%d,size=%lluB,share=on", fd,
		bytes);
}

/*
 * QEMU's own network device, as ours is: queues of the same tap, or the same stream. vhost-net
 * would need privileges that nobody here has. On a stream QEMU offers no offloads by itself.
 */
static void add_net(struct arguments *a, const struct vm_net *net, unsigned index, unsigned bus)
{
	char fds[VM_NET_QUEUES_MAX * 12] = "";
	size_t used = 0;

	for (unsigned i = 0; i < net->n_fds; i++)
		used += (size_t)snprintf(
			fds + used, sizeof(fds) - used, "%s%d", i ? ":" : "", net->fds[i]);
	if (net->stream)
		add_option(a, "-netdev", "stream,id=net%u,server=off,addr.type=fd,addr.str=%d",
			index, net->fds[0]);
	else
		add_option(a, "-netdev", "tap,id=net%u,%s=%s,vhost=off", index,
			net->n_fds > 1 ? "fds" : "fd", fds);
	add_option(a, "-device",
		"virtio-net-device,bus=virtio-mmio-bus.%u,netdev=net%u,mq=%s,"
		"mac=%02x:%02x:%02x:%02x:%02x:%02x,host_mtu=%u",
		bus, index, net->n_fds > 1 ? "on" : "off", net->mac[0], net->mac[1], net->mac[2],
		net->mac[3], net->mac[4], net->mac[5], net->mtu);
}

/* Devices that are ours speak vhost-user; the guest's log goes to a socket of ours. */
static int add_device(struct arguments *a, const struct vm_config *config, unsigned index,
	unsigned bus, const struct arguments_fds *fds)
{
	struct virtio_device *dev = config->devices[index];
	int fd = fds->devices[index];

	if (fd >= 0)
		add_option(a, "-chardev", "socket,id=vhost%u,fd=%d", index, fd);
	switch (dev->id) {
	case VIRTIO_ID_FS:
		add_option(a, "-device",
			"vhost-user-fs-device,bus=virtio-mmio-bus.%u,chardev=vhost%u,tag=%s,"
			"num-request-queues=%u,queue-size=%u",
			bus, index, frontend_fs_tag(dev), dev->n_queues - 1, dev->queue_size_max);
		return 0;
	case VIRTIO_ID_VSOCK:
		add_option(a, "-device",
			"vhost-user-vsock-device,bus=virtio-mmio-bus.%u,chardev=vhost%u", bus,
			index);
		return 0;
	case VIRTIO_ID_BLOCK:
		add_option(a, "-device",
			"vhost-user-blk,bus=virtio-mmio-bus.%u,chardev=vhost%u,num-queues=%u,"
			"queue-size=%u",
			bus, index, dev->n_queues, dev->queue_size_max);
		return 0;
	case VIRTIO_ID_RNG:
		add_option(a, "-device", "virtio-rng-device,bus=virtio-mmio-bus.%u", bus);
		return 0;
	case VIRTIO_ID_CONSOLE:
		add_option(a, "-chardev", "socket,id=console,fd=%d", fds->console);
		add_option(a, "-device",
			"virtio-serial-device,bus=virtio-mmio-bus.%u,id=ports,max_ports=1", bus);
		add_option(a, "-device", "virtconsole,bus=ports.0,chardev=console");
		return 0;
	case VIRTIO_ID_NET:
		add_net(a, &config->nets[index], index, bus);
		return 0;
	default:
		return -ENOTSUP;
	}
}

static int add_cmdline(struct arguments *a, const struct vm_config *config, struct err *e)
{
	struct cmdline cmdline;

	cmdline_init(&cmdline, CMDLINE_CAP_BYTES - 1);
	int ret = cmdline_add(&cmdline, e, "%s", config->cmdline);
	for (unsigned i = 0; i < config->n_devices && !ret; i++)
		if (config->discovery == VM_DISCOVERY_CMDLINE)
			ret = cmdline_add(&cmdline, e, "virtio_mmio.device=%u@0x%llx:%u",
				MICROVM_MMIO_BYTES, MICROVM_MMIO_GPA + i * MICROVM_MMIO_BYTES,
				MICROVM_IRQ_FIRST + i);
	unsigned tsc_khz = clock_tsc_khz();
	if (!ret && tsc_khz)
		ret = cmdline_add(&cmdline, e, "tsc_early_khz=%u tsc=reliable", tsc_khz);
	/*
	 * On a busy host the timer's interrupt does not come as soon as the kernel wants. And an
	 * interpreter does not speculate: what the mitigations cost would buy nothing.
	 */
	if (!ret)
		ret = cmdline_add(&cmdline, e, "no_timer_check mitigations=off");
	if (ret < 0)
		return ret;
	add_option(a, "-append", "%s", cmdline.text);
	return 0;
}

int arguments_build(struct arguments *a, const struct vm_config *config,
	const struct arguments_fds *fds, struct err *e)
{
	unsigned slots = config->discovery == VM_DISCOVERY_ACPI ? MICROVM_MMIO_SLOTS_ACPI
								: MICROVM_MMIO_SLOTS;

	a->n = 0;
	a->error = 0;
	a->words[0] = NULL;
	if (config->n_devices > slots)
		return err_set(e, ENOTSUP, "emulation has room for %u devices, not for %u", slots,
			config->n_devices);
	add_word(a, "%s", config->qemu_path);
	add_option(a, "-name", "hvrun,process=hvrun-qemu");
	for (const char *const *word = (const char *const[]){"-nodefaults", "-no-user-config",
		     "-nographic", "-no-reboot", NULL};
		*word; word++)
		add_word(a, "%s", *word);
	add_option(a, "-monitor", "none");
	add_option(a, "-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
	add_machine(a, config);
	add_memory(a, config, fds->memory);
	add_option(a, "-global", "virtio-mmio.force-legacy=false");
	add_option(a, "-chardev", "socket,id=serial,fd=%d", fds->serial);
	add_option(a, "-serial", "chardev:serial");
	for (unsigned i = 0; i < config->n_devices; i++) {
		/* QEMU's ACPI tables list the buses from the last to the first. */
		unsigned bus = config->discovery == VM_DISCOVERY_ACPI ? slots - 1 - i : i;
		if (add_device(a, config, i, bus, fds) < 0) {
			arguments_fini(a);
			return err_set(e, ENOTSUP, "emulation can't show a device of the kind %s",
				config->devices[i]->name);
		}
	}
	add_option(a, "-kernel", "/proc/self/fd/%d", fds->kernel);
	if (fds->initramfs >= 0)
		add_option(a, "-initrd", "/proc/self/fd/%d", fds->initramfs);
	int ret = add_cmdline(a, config, e);
	if (!ret && a->error)
		ret = err_sys(e, -a->error, "QEMU's command line");
	if (ret < 0)
		arguments_fini(a);
	return ret;
}
