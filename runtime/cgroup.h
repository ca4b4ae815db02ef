/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's cgroup around a container's monitor and file server: cgroup v1, v1 with a v2
 * hierarchy beside it (hybrid), and v2, made by hvrun itself ("cgroupfs") or as a transient scope
 * of systemd. It lies where runc would put the container, because callers look for it there, but
 * its limits hold the VM, not the container: limits of memory are raised by an overhead, so that
 * a container is out of memory inside before its monitor is outside, and limits on the number of
 * processes are the guest's matter alone.
 *
 * In the order of use:
 *   cgroup_plan	decides where, changes nothing; from then on cgroup_to_json tells enough to
 *			remove whatever a create that is killed half-way leaves behind
 *   cgroup_create	makes it, with its limits
 *   cgroup_fds		what a child writes "0" to, to be in it before it executes anything
 *   cgroup_attach	the same from outside
 *   cgroup_settle	when the first processes are in
 *   cgroup_update, cgroup_remove: also after cgroup_from_json, in another process
 *   cgroup_fini
 */
#ifndef RUNTIME_CGROUP_H
#define RUNTIME_CGROUP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define CGROUPS_LOCK "cgroups.lock" /* the name of cgroup_spec.lock_path */

#define CGROUP_PLACES_MAX 24 /* hierarchies: one for each v1 controller at most, and v2 */

/* What is asked for. All is borrowed, for the call only. */
struct cgroup_spec {
	/*
	 * linux.cgroupsPath, NULL when not given. cgroupfs: absolute below the mount point of each
	 * hierarchy, relative below hvrun's own cgroup (v2: below that one's parent); without one,
	 * the id below hvrun's own. systemd: "slice:prefix:name", by default ":hvrun:ID".
	 */
	const char *path;
	const char *id;
	bool systemd;  /* --systemd-cgroup */
	bool rootless; /* no permission and no path: go on without; systemd: the user's manager */
	const json_t *resources; /* linux.resources, validated; may be NULL */
	/*
	 * What the VM needs beyond the container's limit of memory: (memory of the VM - limit) and
	 * what its monitor and file server use. Added to each limit of memory and swap+memory.
	 */
	uint64_t overhead_bytes;
	/*
	 * The cgroup's limit of memory where resources has none, not even -1, in bytes; 0: none. It
	 * is hvrun's own: where it can't be set the container runs all the same.
	 */
	uint64_t bound_bytes;
	unsigned overhead_pids; /* the host's limit of threads; 0: none */
	const char *proc;	/* in place of /proc, for tests; NULL */
	/*
	 * A file that nobody but those who make cgroups here can open; made at need. It is locked
	 * until cgroup_settle, at a place of its own for each cgroup. NULL: nothing is locked.
	 */
	const char *lock_path;
};

struct cgroup_place {
	char *controllers; /* as in /proc/self/cgroup: "cpu,cpuacct", "name=systemd"; "" is v2 */
	char *path;	   /* directory of the container's own cgroup, absolute */
	size_t root_len;   /* bytes of path that are the hierarchy's mount point; of no use later */
	unsigned made;	   /* by cgroup_create: how many directories, path itself included */
	int procs_fd;	   /* path/cgroup.procs, write-only; -1 */
	int lock_fd;	   /* cgroup_spec.lock_path, locked for this cgroup; -1 */
};

struct cgroup {
	size_t n; /* 0: none (rootless without permission, or no hierarchy is mounted) */
	struct cgroup_place places[CGROUP_PLACES_MAX];
	char *unit, *slice; /* systemd's; NULL with cgroupfs */
	bool bounded;	    /* by cgroup_create: memory by bound_bytes, not by a limit */
	bool user_manager;  /* the unit is one of the user's systemd */
	/*
	 * A child can't move itself in (EACCES: systemd alone may): it must ignore the failure of
	 * its writes, and be moved with cgroup_attach_trees.
	 */
	bool attach_late;
	pid_t holder; /* systemd: keeps a scope that nobody is in yet; 0 */
};

#define cleanup_cgroup __attribute__((cleanup(cgroup_fini)))

/* All work on a struct that is zero ({0}) or planned or read; fini may come at any time, twice. */
void cgroup_fini(struct cgroup *cg);

/*
 * Where. 0 with *cg filled (over zeroes), or -errno with e and nothing to free. -EBUSY when the
 * cgroup has processes in it already: it is not the container's own, and must not be removed as if
 * it were.
 */
int cgroup_plan(struct cgroup *cg, const struct cgroup_spec *spec, struct err *e) must_check;

/*
 * Makes what cgroup_plan decided and sets the limits; on failure all that it made is gone again.
 * Afterwards cgroup_to_json knows more: what was left out, and where a user's systemd has put it.
 * -EBUSY when somebody has taken the cgroup since cgroup_plan, or is
 * making it: until cgroup_settle it is locked. With systemd, a process of no use
 * sits in the new scope until cgroup_settle.
 */
int cgroup_create(struct cgroup *cg, const struct cgroup_spec *spec, struct err *e) must_check;

/*
 * The descriptors of the cgroup.procs files (close-on-exec, cg's own), n of them returned. A
 * child after vfork moves itself by writing "0" to each; all but EACCES with attach_late, ENOENT
 * and ENODEV is a fault.
 */
size_t cgroup_fds(const struct cgroup *cg, int fds[CGROUP_PLACES_MAX]);

/* Moves a process; harmless when it is in already. */
int cgroup_attach(const struct cgroup *cg, pid_t pid, struct err *e) must_check;

/*
 * Moves n processes (0: none) and all below them; harmless when they are in already. Afterwards
 * none of them is outside, but memory that they have used stays with the cgroup that they used it
 * in. Looks at all processes of the host. -ESRCH, or systemd's error, when one of the n is gone;
 * one below them may end meanwhile.
 */
int cgroup_attach_trees(
	const struct cgroup *cg, const pid_t *pids, size_t n, struct err *e) must_check;

/* Closes the descriptors, and leaves the cgroup to the processes that are in it. */
void cgroup_settle(struct cgroup *cg);

/*
 * Sets the limits that resources has; those that it doesn't have stay. The limit of memory is
 * raised by overhead_bytes as in struct cgroup_spec; that of -1 becomes bound_bytes (0: none),
 * where it can be set. -EBUSY when more than that is in use. One that
 * fails changes nothing (but for limits of single block devices, and what systemd remembers).
 */
int cgroup_update(struct cgroup *cg, const json_t *resources, uint64_t overhead_bytes,
	uint64_t bound_bytes, struct err *e) must_check;

/*
 * Kills whatever is in it or in a cgroup below it, and removes all of them; waits for the dead,
 * but not for ever. Fine when it is gone already or was never made. The parents stay, as with
 * runc.
 */
int cgroup_remove(struct cgroup *cg, struct err *e) must_check;

/* For state.json. A new reference; NULL without memory. */
json_t *cgroup_to_json(const struct cgroup *cg) must_check;
/* 0 with *cg filled (over zeroes), -errno with nothing to free. */
int cgroup_from_json(struct cgroup *cg, const json_t *json) must_check;

#endif
