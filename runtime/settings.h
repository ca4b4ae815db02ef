/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's configuration: /etc/hvrun/config.json, then the files config.d/NAME.json beside it
 * in the order of their names, each key of a later file replacing that of an earlier one. With
 * --config FILE that file alone counts. A key that is not known is a fault: a misspelt limit must
 * not pass.
 */
#ifndef RUNTIME_SETTINGS_H
#define RUNTIME_SETTINGS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define SETTINGS_DIR "/etc/hvrun"

#define VCPUS_MAX      64
#define MEMORY_MIN_MIB 32
#define MEMORY_MAX_MIB (1u << 22) /* 4 TiB */

/*
 * Monitors' users are from uid_base on, as many as the kernel can have processes. The default
 * begins where systemd's table of users has nothing any more, and ends below 2^31.
 */
#define UID_BASE_DEFAULT 1879048192
#define UID_BASE_MAX	 (INT32_MAX - (1 << 22))

enum accel { ACCEL_KVM, ACCEL_EMULATION };
const char *accel_name(enum accel accel);

/* What a virtual machine's network is connected to. */
enum network_kind {
	NETWORK_NAMESPACE, /* the interfaces of linux.namespaces' network namespace */
	NETWORK_USER,	   /* passt: connections of a process of the host */
	NETWORK_NONE,
};

#define SPARE_INTERFACES_MAX 8

/* Texts are borrowed from json, or from whoever overrides them. NULL and 0: not set. */
struct settings {
	json_t *json;
	enum accel accel;
	const char *kernel, *modules, *discovery, *cmdline;
	unsigned vcpus, memory_mib, memory_overhead_mib;
	unsigned host_overhead_mib; /* room in the host's cgroup for monitor and file server */
	/* From the command line or an annotation: they beat what the bundle asks for. */
	unsigned vcpus_forced, memory_forced_mib;
	unsigned boot_timeout_s;
	const char *qemu;
	const char *cache, *locks;
	unsigned threads;
	const json_t *annotations; /* names, behind "dev.hvrun.", that a bundle may use */
	enum network_kind network;
	int spare_interfaces; /* net devices for interfaces that come later; -1: not set */
	const char *ports;	     /* "HOST:CONTAINER,...", of an annotation */
	uint64_t rx_bytes, tx_bytes; /* per second and interface, as the container sees it */
	bool anti_spoof;
	const char *passt;
	bool vm_namespaces; /* a namespace that is not asked for is the VM's, not an error */
	uint32_t uid_base;  /* 0: monitors keep the user that they were started by */
	bool debug;
};

/* file: of --config, NULL for the files below SETTINGS_DIR. 0, or -errno naming file and key. */
int settings_load(struct settings *settings, const char *file, struct err *e) must_check;
void settings_fini(struct settings *settings);

/* Another kernel than the one of the configuration, whose modules and discovery don't fit it. */
void settings_use_kernel(struct settings *settings, const char *path);

/* "kvm" or "emulation" to *accel; -EINVAL with e saying what there is. */
int settings_accel(const char *text, enum accel *accel, struct err *e) must_check;

/* "namespace", "user" or "none" to *network; -EINVAL with e saying what there is. */
int settings_network(const char *text, enum network_kind *network, struct err *e) must_check;

/*
 * Applies the annotations under "dev.hvrun." of a configuration. One that is unknown or that the
 * host does not allow by name is refused. Texts are borrowed from annotations.
 */
int settings_annotate(struct settings *settings, json_t *annotations, struct err *e) must_check;

#endif
