/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the cgroup module; everybody else includes runtime/cgroup.h. */
#ifndef RUNTIME_CGROUP_INTERNAL_H
#define RUNTIME_CGROUP_INTERNAL_H

#include <limits.h>

#include "runtime/cgroup.h"

#define CGROUP_DEPTH_MAX 32 /* cgroups below a container's that are looked at */

/* A mounted hierarchy, and where a process is in it. */
struct cgroup_mount {
	char *controllers; /* "" is v2 */
	char *point;	   /* where it is mounted */
	char *root;	   /* which of its cgroups is mounted there */
	char *own;	   /* a process' cgroup: path in the hierarchy, not below root */
};

struct cgroup_host {
	size_t n;
	struct cgroup_mount mounts[CGROUP_PLACES_MAX];
};

/*
 * The hierarchies that runc would use, with the cgroups of process who ("self", "1", a number).
 * proc: NULL for /proc.
 */
int cgroup_host_read(
	struct cgroup_host *host, const char *proc, const char *who, struct err *e) must_check;
void cgroup_host_fini(struct cgroup_host *host);
#define cleanup_host __attribute__((cleanup(cgroup_host_fini)))

/* The cgroup of a process in a mount, relative to the mount point: "/a/b" or "". */
const char *cgroup_mount_own(const struct cgroup_mount *mount);

/* Appends a place; both texts are copied. */
int cgroup_place_append(
	struct cgroup *cg, const char *controllers, const char *path, size_t root_len) must_check;
/* Appends a place for a mount: its mount point, then above, then below (each "" or "/..."). */
int cgroup_place_add(struct cgroup *cg, const struct cgroup_mount *mount, const char *above,
	const char *below) must_check;
void cgroup_place_fini(struct cgroup_place *place);

/* True when the comma-separated list has the name. */
bool cgroup_list_has(const char *list, const char *name);

/* The place of a controller: v1 where it is mounted, else that of v2, else NULL. */
const struct cgroup_place *cgroup_place_of(const struct cgroup *cg, const char *controller);
static inline bool cgroup_place_v2(const struct cgroup_place *place)
{
	return !place->controllers[0];
}

/* One small file below a directory; 0 or -errno. Reading ends the text with NUL, without "\n". */
int cgroup_write(const char *dir, const char *file, const char *text) must_check;
int cgroup_read(const char *dir, const char *file, char *buf, size_t cap_bytes) must_check;
/* A file that is one number ("max": UINT64_MAX), or the number behind a word in one. */
int cgroup_read_number(const char *dir, const char *file, uint64_t *value) must_check;
int cgroup_read_field(
	const char *dir, const char *file, const char *name, uint64_t *value) must_check;

/* What linux.resources asks of the host. Texts are borrowed. */
struct cgroup_limits {
	int64_t memory, swap, low; /* bytes; 0: not set, -1: no limit. swap: memory + swap */
	uint64_t shares, period_us;
	int64_t quota_us; /* 0: not set, < 0: none */
	bool has_burst, has_idle;
	uint64_t burst_us;
	int64_t idle;
	const char *cpus, *mems; /* NULL: not set */
	unsigned weight;	 /* of block I/O, 10..1000; 0: not set */
	const json_t *block;	 /* linux.resources.blockIO, for limits of single devices */
	const json_t *unified;
	uint64_t overhead_bytes;
	uint64_t bound_bytes; /* of memory, in place of no limit, where it can be; 0: none */
	unsigned pids;
};

/* -EINVAL with e where values contradict each other. */
int cgroup_limits_read(struct cgroup_limits *limits, const json_t *resources,
	uint64_t overhead_bytes, unsigned pids, struct err *e) must_check;
/* Writes the files. The kernel's lack of a controller is no fault: the guest limits as well. */
int cgroup_limits_write(
	const struct cgroup_limits *limits, const struct cgroup *cg, struct err *e) must_check;
/* cgroup v2's numbers for those of v1. */
uint64_t cgroup_cpu_weight(uint64_t shares);
uint64_t cgroup_io_weight(unsigned weight);

/* cgroup_plan without a look at what is there. */
int cgroup_locate(struct cgroup *cg, const struct cgroup_spec *spec, struct err *e) must_check;

/* -EBUSY with e when there are processes in it, or it is frozen. */
int cgroup_check_unused(const struct cgroup *cg, struct err *e) must_check;

/* Processes in a cgroup and those below; -errno. 0 when it does not exist. */
long cgroup_count_processes(const char *path) must_check;

/*
 * systemd. Refuses a unit that is there already (-EBUSY); starts the scope cg->unit with one
 * process in it (cg->holder) and fills in the places; passes limits on, for a unit that runs too;
 * moves processes; ends the unit and what is in it.
 */
int cgroup_systemd_check(const struct cgroup *cg, struct err *e) must_check;
int cgroup_systemd_start(struct cgroup *cg, const struct cgroup_spec *spec,
	const struct cgroup_limits *limits, struct err *e) must_check;
int cgroup_systemd_update(
	const struct cgroup *cg, const struct cgroup_limits *limits, struct err *e) must_check;
int cgroup_systemd_attach(
	const struct cgroup *cg, const pid_t *pids, size_t n, struct err *e) must_check;
int cgroup_systemd_stop(const struct cgroup *cg, struct err *e) must_check;

#endif
