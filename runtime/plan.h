/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three documents that start a container, as docs/protocol.md has them: the VM plan for
 * hvrun-vmm, the configuration of hvrun-fs, and the create message for guestinit. Each is returned
 * as an anonymous file, whose descriptor the other program inherits.
 */
#ifndef RUNTIME_PLAN_H
#define RUNTIME_PLAN_H

#include <stdint.h>

#include "base/err.h"
#include "oci/config.h"
#include "runtime/exports.h"
#include "runtime/guestkernel.h"
#include "runtime/settings.h"
#include "runtime/sizing.h"
#include "runtime/streams.h"

#define PLAN_DISKS_MAX	 8
#define PLAN_SOCKETS_MAX 32
#define PLAN_NETS_MAX	 8

/* A block device or image of the host that becomes a disk of the VM. */
struct plan_disk {
	int fd;
	bool readonly;
	unsigned access;      /* DEVRULES_*, what the container may do with a block device */
	const json_t *device; /* the entry of linux.devices; NULL: vm.image, the first */
};

/* A net device: on taps, or on a stream. */
struct plan_net {
	const int *taps; /* a descriptor for each pair of queues */
	unsigned n_taps;
	int stream; /* without taps */
	const uint8_t *mac;
	unsigned mtu;		     /* the largest that the guest may set */
	uint64_t rx_bytes, tx_bytes; /* a second, kept by the monitor; 0: no limit */
};

struct plan {
	const char *id, *bundle; /* the bundle's path */
	struct oci_config *config;
	const struct settings *settings;
	const struct sizing *sizing;
	const struct guestkernel *kernel;
	const struct exports *exports;
	const struct streams *streams;
	const struct preserve *preserve;
	unsigned listen_fds; /* how many of those are of LISTEN_FDS */
	const char *qemu;    /* NULL with the kvm engine */
	unsigned n_disks;
	struct plan_disk disks[PLAN_DISKS_MAX];
	unsigned n_nets;
	struct plan_net nets[PLAN_NETS_MAX];
	json_t *network; /* NETWORK of docs/protocol.md; NULL */
	json_t *message; /* the create message, owned, once there is one */
	bool start;	 /* the container's process is started at once */
	bool hold;	 /* the container waits for the hooks */
	bool detached;	 /* the monitor outlives hvrun */
	bool console;	 /* the terminal is one of --console-socket, the monitor's own */
	json_t *hooks;	 /* of the configuration; NULL */
	/* Descriptors that the programs inherit, -1: none; the monitor just holds those of keep. */
	int listen, keep[2], oom, resolver;
	const struct report *report; /* whose file the monitor writes to, once it is on its own */
	uint32_t uid_base;	     /* of the monitor's user; 0: this one */
	int vmm_fs_socket, vmm_fs_log, vmm_control, fs_vmm_socket, fs_control, container;
};

/* Opens vm.image and the host's block devices that linux.devices lists, for plan_close_disks. */
int plan_open_disks(struct plan *plan, struct err *e) must_check;
void plan_close_disks(struct plan *plan);

/*
 * The framed create message. Takes what only the host needs out of plan->config->json. The
 * descriptor, or -errno.
 */
int plan_container_file(struct plan *plan, struct err *e) must_check;

/* Puts the message with plan->network as it is now into a file that plan_container_file made. */
int plan_container_again(struct plan *plan, int fd, struct err *e) must_check;

/* The descriptors of anonymous files, or -errno. */
int plan_vmm_file(const struct plan *plan, struct err *e) must_check;
int plan_fs_file(const struct plan *plan, struct err *e) must_check;

#endif
