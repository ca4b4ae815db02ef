/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The VM plan (docs/protocol.md): what hvrun wants started, as one JSON object. The reader checks
 * every field and every descriptor, refuses what it does not know, and names the field.
 */
#ifndef MICROVM_VMM_PLAN_H
#define MICROVM_VMM_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/msg.h"
#include "microvm/devices/net.h"
#include "microvm/vmm/engine.h"
#include "microvm/vmm/preserved.h"

#define PLAN_MAX_BYTES	 (1u << 20)
#define PLAN_DISKS_MAX	 8
#define PLAN_NETS_MAX	 8
#define PLAN_SOCKETS_MAX 32
#define PLAN_KEEP_MAX	 16

struct plan_disk {
	int fd;
	bool readonly;
	const char *serial; /* NULL: none */
};

/* A network device: the queues of a tap, or a stream socket; see net_config. */
struct plan_net {
	int fds[NET_PAIRS_MAX];
	unsigned n_fds;
	bool stream;
	uint8_t mac[NET_MAC_BYTES];
	uint16_t mtu;
	uint64_t rx_bytes_per_s, tx_bytes_per_s; /* 0: no limit */
};

/* A Unix socket of the host that the guest may connect to. */
struct plan_socket {
	uint32_t port; /* of the host's side of vsock */
	int fd;	       /* O_PATH */
};

/* Strings point into json; descriptors are the plan's until somebody steals them. */
struct plan {
	json_t *json;
	const char *id;
	bool emulation;
	unsigned vcpus;
	uint64_t memory_bytes;
	int kernel_fd;
	const char *kernel_path;
	const char *cmdline;
	enum vm_discovery discovery;
	unsigned boot_timeout_s; /* 0: none */
	struct vm_file *initramfs;
	unsigned n_initramfs;
	int fs_fd;
	const char *fs_tag;
	int fs_log_fd; /* what hvrun-fs says, -1: nobody hears it here */
	struct plan_disk disks[PLAN_DISKS_MAX];
	unsigned n_disks;
	struct plan_net nets[PLAN_NETS_MAX];
	unsigned n_nets;
	int control_fd;
	bool lifeline; /* the VM ends with the control socket */
	int listen_fd; /* -1: none */
	int report_fd; /* of hvrun's --log, -1: none */
	bool report_json;
	int oom_fd; /* who makes an OOM of the guest one of the host, -1: nobody */
	bool hold;  /* the create message waits for a word on the control socket */
	bool forward_signals;
	struct plan_socket sockets[PLAN_SOCKETS_MAX];
	unsigned n_sockets;
	uint32_t resolver_port;	 /* of the host's side of vsock; see resolver.h */
	int resolver_fd;	 /* the container's resolv.conf, -1: none */
	int keep[PLAN_KEEP_MAX]; /* open until the end, nothing else */
	unsigned n_keep;
	int in_fd, out_fd, err_fd; /* -1 in a terminal session */
	int terminal_fd;	   /* -1 otherwise */
	bool controlling;	   /* the terminal is this process's own */
	struct preserved preserved[MSG_PRESERVED_MAX];
	unsigned n_preserved;
	int container_fd;
	const char *qemu;  /* NULL: none */
	uint32_t uid_base; /* its user is this number and its pid; 0: the one that it has */
	bool debug;
};

/*
 * Reads a plan of len_bytes. The descriptors that it names are open then, close-on-exec, and the
 * plan's, named once each; those below 3 are duplicated and stay open. plan_fini is due in any
 * case.
 */
int plan_parse(struct plan *plan, const char *text, size_t len_bytes, struct err *e) must_check;
int plan_read(struct plan *plan, int fd, struct err *e) must_check;

/* The numbers of all open descriptors of the plan to fds, as far as cap allows: how many they are.
 */
unsigned plan_descriptors(struct plan *plan, int *fds, unsigned cap);
/* Closes what was needed to load the guest's kernel. */
void plan_close_boot(struct plan *plan);

void plan_fini(struct plan *plan);

#endif
