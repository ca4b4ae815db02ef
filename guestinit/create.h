/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The create message (docs/protocol.md), decoded: what one container is made from. Names and
 * meanings are those of the OCI runtime specification; pointers refer to the message, which the
 * structure keeps, or to its arena.
 */
#ifndef GUESTINIT_CREATE_H
#define GUESTINIT_CREATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "guestinit/arena.h"
#include "guestinit/decode.h"
#include "guestinit/mount_options.h"
#include "guestinit/network_config.h"

#define CREATE_ID_MAX	      255
#define CREATE_MOUNTS_MAX     2048
#define CREATE_NAMESPACES_MAX 16

struct cfg_gid {
	gid_t gid;
};

struct cfg_user {
	uint32_t uid, gid;
	struct opt_i64 umask;
	DECLARE_LIST(cfg_gid) groups;
};

/* Bit n stands for capability n. */
struct cfg_capabilities {
	uint64_t bounding, effective, inheritable, permitted, ambient;
};

struct cfg_rlimit {
	const char *type; /* "RLIMIT_NOFILE" */
	int resource;
	uint64_t hard, soft;
};

struct cfg_io_priority {
	bool set;
	const char *class_name;
	int class_number;
	struct opt_i64 priority;
};

struct cfg_scheduler {
	bool set;
	const char *policy_name;
	uint32_t policy;
	struct opt_i64 nice, priority;
	struct strings flag_names;
	uint64_t flags;
	struct opt_u64 runtime, deadline, period;
};

struct cfg_process {
	struct cfg_user user;
	struct strings args, env;
	const char *cwd;
	struct cfg_capabilities caps;
	DECLARE_LIST(cfg_rlimit) rlimits;
	bool no_new_privileges;
	struct opt_i64 oom_score_adj;
	struct cfg_io_priority io_priority;
	struct cfg_scheduler scheduler;
	const char *apparmor_profile, *selinux_label; /* no LSM here: only said */
};

struct cfg_id_map {
	uint32_t container_id, host_id, size;
};

struct cfg_id_maps {
	struct cfg_id_map *v;
	size_t n;
};

struct cfg_mount {
	const char *destination, *type, *source, *export;
	uint32_t socket; /* the host's vsock port behind a Unix socket, 0: none */
	struct opt_u64 socket_mode, socket_uid, socket_gid;
	struct strings option_words;
	struct mount_options options;
	struct cfg_id_maps uid_maps, gid_maps;
};

struct cfg_device {
	const char *type, *path;
	struct opt_i64 major, minor;
	struct opt_u64 mode, uid, gid;
};

/*
 * A block device of the VM that shows up in the container: virtio-blk number `disk`, for the
 * accesses that the device rules grant of the host's.
 */
struct cfg_disk {
	const char *path, *access;
	uint32_t disk;
	struct opt_u64 mode, uid, gid;
};

struct cfg_sysctl {
	const char *key, *value;
};

struct cfg_seccomp_arg {
	uint32_t index;
	uint64_t value, value_two;
	const char *op;
};

struct cfg_seccomp_rule {
	struct strings names;
	const char *action;
	struct opt_u64 errno_ret;
	DECLARE_LIST(cfg_seccomp_arg) args;
};

struct cfg_seccomp {
	bool set;
	const char *default_action;
	struct opt_u64 default_errno;
	struct strings architectures, flags;
	DECLARE_LIST(cfg_seccomp_rule) rules;
};

struct cfg_devcg_rule {
	bool allow;
	const char *type;
	struct opt_i64 major, minor;
	const char *access;
};

struct cfg_hugepage {
	const char *page_size;
	struct opt_u64 limit;
};

struct cfg_blkio_device {
	struct opt_i64 major, minor;
	struct opt_u64 weight, rate;
};

struct cfg_rdma {
	const char *device;
	struct opt_u64 handles, objects;
};

struct cfg_resources {
	DECLARE_LIST(cfg_devcg_rule) devices;
	struct {
		struct opt_i64 limit, reservation, swap;
	} memory;
	struct {
		struct opt_u64 shares, period, burst;
		struct opt_i64 quota, idle;
		const char *cpus, *mems;
	} cpu;
	struct opt_i64 pids_limit;
	DECLARE_LIST(cfg_hugepage) hugepages;
	struct {
		struct opt_u64 weight;
		DECLARE_LIST(cfg_blkio_device) weights, read_bps, write_bps, read_iops, write_iops;
	} blkio;
	DECLARE_LIST(cfg_rdma) rdma;
	DECLARE_LIST(cfg_sysctl) unified;
};

struct cfg_time_offset {
	bool set;
	struct opt_i64 secs;
	struct opt_u64 nanosecs;
};

struct cfg_linux {
	uint64_t clone_flags; /* CLONE_NEW* of the namespaces */
	struct cfg_id_maps uid_maps, gid_maps;
	struct cfg_time_offset monotonic, boottime;
	DECLARE_LIST(cfg_device) devices;
	DECLARE_LIST(cfg_sysctl) sysctl;
	struct cfg_seccomp seccomp;
	uint64_t propagation; /* MS_SHARED and the like, MS_REC; 0 when not set */
	struct strings masked_paths, readonly_paths;
	struct cfg_resources resources;
	const char *personality; /* domain, or NULL */
};

/* A stream of the host that the process has behind its standard ones. */
struct cfg_preserved {
	uint32_t port;
	bool in, out; /* seen by the process; both: a socket, one: a pipe */
};

struct cfg_stdio {
	bool terminal;
	uint32_t in, out, err; /* host ports; 0 is none. A terminal's is `in`. */
	uint32_t rows, columns;
	DECLARE_LIST(cfg_preserved) preserved; /* descriptors 3 and up, at most MSG_PRESERVED_MAX */
};

struct cfg_hook {
	const char *path;
	struct strings args, env;
	struct opt_i64 timeout;
};

struct create {
	json_t *message;
	struct arena arena;
	struct decode_warnings warnings;
	const char *id;
	const char *exec; /* the name of an exec; NULL for a container */
	bool start;
	struct opt_i64 realtime_ns;
	const char *root_export;  /* either this */
	struct opt_u64 root_disk; /* or the number of a disk */
	bool root_readonly;
	struct cfg_stdio stdio;
	DECLARE_LIST(cfg_disk) disks;
	struct cfg_process process;
	const char *hostname, *domainname;
	DECLARE_LIST(cfg_hook) start_hooks; /* hooks.startContainer */
	const json_t *state;		    /* the OCI state for hooks, or NULL */
	DECLARE_LIST(cfg_mount) mounts;
	struct cfg_linux os;
	uint32_t resolver;		/* the host's vsock port of it, 0: none */
	struct network_config *network; /* NULL when the message has none, or it was taken */
};

/*
 * Decodes a create message, of which it takes a reference. NULL with the error filled, the JSON
 * path in front; else the caller's, for create_free.
 */
struct create *create_decode(json_t *message, struct err *e) must_check;
void create_free(struct create *c);

/*
 * Decodes an exec message: the process and its streams as the message says, `start` set, and of
 * the container what every process of it has (seccomp, personality), which must live on. NULL
 * with the error filled.
 */
struct create *create_decode_exec(
	json_t *message, const struct create *container, struct err *e) must_check;

/* Decodes the resources of an update message, into memory of the arena. */
int create_decode_resources(struct arena *arena, const json_t *resources, struct cfg_resources *out,
	struct err *e) must_check;

/* The tables of the parts, for create.c. */
extern const struct decode_field create_process_fields[];
extern const struct decode_field create_linux_fields[];
extern const struct decode_field create_resources_fields[];
extern const struct decode_field create_seccomp_fields[];
extern const struct decode_field create_id_map_fields[];

#endif
