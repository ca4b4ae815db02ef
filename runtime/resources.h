/* SPDX-License-Identifier: Apache-2.0 */
/*
 * New limits for a running container: from the options of `hvrun update` or from a file, as
 * linux.resources of the specification, and held against what its virtual machine has.
 */
#ifndef RUNTIME_RESOURCES_H
#define RUNTIME_RESOURCES_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Texts as they were given; NULL: not given. The names are runc's options. */
struct resources_options {
	const char *blkio_weight;
	const char *cpu_period, *cpu_quota, *cpu_burst, *cpu_share, *cpu_idle;
	const char *cpu_rt_period, *cpu_rt_runtime;
	const char *cpuset_cpus, *cpuset_mems;
	const char *memory, *memory_reservation, *memory_swap, *kernel_memory, *kernel_memory_tcp;
	const char *pids_limit, *l3_cache_schema, *mem_bw_schema;
};

/*
 * 0 with *resources a new reference, without members that change nothing (0 and "", as callers
 * write); or -errno with e.
 */
int resources_from_options(
	json_t **resources, const struct resources_options *options, struct err *e) must_check;

/* The same from a file that holds linux.resources, read from fd; name is for messages. */
int resources_from_file(json_t **resources, int fd, const char *name, struct err *e) must_check;

/*
 * Limits above what the VM has (vm: of state.json) are refused with its size in e: a VM does not
 * grow. merged is what will hold after resources, with what has held so far.
 */
int resources_fit_vm(
	const json_t *resources, const json_t *merged, const json_t *vm, struct err *e) must_check;

/*
 * The overhead for cgroup_update. The VM may have touched all of its memory, and does not give it
 * back: so whatever the container's limit is, the host's has room for the whole VM. created_limit
 * is that of the configuration, with which vm's overhead was reckoned.
 */
uint64_t resources_overhead(const json_t *merged, const json_t *vm, int64_t created_limit);

/* What is the guest's to apply, a new reference; NULL without memory. */
json_t *resources_for_guest(const json_t *resources);

#endif
