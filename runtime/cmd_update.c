/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hvrun update: new limits for the container in the guest, and for its virtual machine on the
 * host. What is set is remembered in the state, because quota and period, or memory and swap, can
 * be changed one by one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "oci/config.h"
#include "runtime/cgroup.h"
#include "runtime/commands.h"
#include "runtime/descendants.h"
#include "runtime/monitor.h"
#include "runtime/resources.h"
#include "runtime/sizing.h"

struct update_options {
	const char *file;
	struct resources_options limits;
};

#define PLACE(member) offsetof(struct update_options, limits.member)
#define LIMIT(option, member, value, text)                                                         \
	{                                                                                          \
		.name = (option), .kind = OPTION_TEXT, .offset = PLACE(member),                    \
		.value_name = (value), .help = (text)                                              \
	}

static const struct option_spec update_specs[] = {
	{.name = "resources",
		.letter = 'r',
		.kind = OPTION_TEXT,
		.offset = offsetof(struct update_options, file),
		.value_name = "FILE",
		.help = "JSON (OCI: linux.resources) in place of all other options;\n"
			"-: from standard input"},
	LIMIT("memory", memory, "BYTES",
		"of memory; also with k, m or g behind, or -1 for no limit"),
	LIMIT("memory-reservation", memory_reservation, "BYTES", "of memory that is kept for it"),
	LIMIT("memory-swap", memory_swap, "BYTES", "of memory and swap together"),
	LIMIT("cpu-period", cpu_period, "USEC", "in which the quota is given"),
	LIMIT("cpu-quota", cpu_quota, "USEC", "of CPU time in each period, or -1 for no limit"),
	LIMIT("cpu-burst", cpu_burst, "USEC", "of unused quota that may be saved"),
	LIMIT("cpu-share", cpu_share, "N", "weight against others"),
	LIMIT("cpu-idle", cpu_idle, "0|1", "1: runs only when nothing else does"),
	LIMIT("cpuset-cpus", cpuset_cpus, "LIST", "CPUs of the host for the virtual machine"),
	LIMIT("cpuset-mems", cpuset_mems, "LIST", "memory nodes of the host"),
	LIMIT("blkio-weight", blkio_weight, "N", "weight of the host's I/O for it, 10 to 1000"),
	LIMIT("pids-limit", pids_limit, "N", "processes, or -1 for no limit"),
	/* Of cgroup v1 and for hardware; refused unless they ask for nothing. */
	LIMIT("cpu-rt-period", cpu_rt_period, "USEC", NULL),
	LIMIT("cpu-rt-runtime", cpu_rt_runtime, "USEC", NULL),
	LIMIT("kernel-memory", kernel_memory, "BYTES", NULL),
	LIMIT("kernel-memory-tcp", kernel_memory_tcp, "BYTES", NULL),
	LIMIT("l3-cache-schema", l3_cache_schema, "TEXT", NULL),
	LIMIT("mem-bw-schema", mem_bw_schema, "TEXT", NULL),
	{0},
};

static int read_resources(json_t **resources, const struct update_options *options, struct err *e)
{
	if (!options->file || !*options->file)
		return resources_from_options(resources, &options->limits, e);
	if (strcmp(options->file, "-") == 0)
		return resources_from_file(resources, STDIN_FILENO, "standard input", e);
	cleanup_close int fd = open(options->file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_sys(e, errno, "open %s", options->file);
	return resources_from_file(resources, fd, options->file, e);
}

/* What held when the container was created; *created_limit of its memory, 0: none, -1: "none". */
static int read_created(
	const struct container *c, json_t **created, int64_t *created_limit, struct err *e)
{
	cleanup_config struct oci_config config = {0};
	cleanup_close int fd = openat(c->dir, "config.json", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return err_sys(e, errno, "open config.json");
	int ret = oci_config_parse_fd(&config, fd, "config.json", e);
	if (ret < 0)
		return ret;
	*created_limit = json_integer_value(oci_lookup(config.resources, "memory.limit"));
	*created = config.resources ? json_incref(config.resources) : json_object();
	return *created ? 0 : err_sys(e, ENOMEM, "resources");
}

/* Every thread: they have taken their places when they were started. */
static void bind_threads(pid_t pid, const cpu_set_t *cpus)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *dir = pid ? opendir(path) : NULL;
	for (struct dirent *entry; dir && (entry = readdir(dir));) {
		int tid = atoi(entry->d_name);
		if (tid > 0 && sched_setaffinity(tid, sizeof(*cpus), cpus) < 0)
			log_debug("CPUs of %d: %s", tid, strerror(errno));
	}
	if (dir)
		closedir(dir);
}

/* 1 with the CPUs that are asked for, 0 without any, -EINVAL with e. */
static int read_cpus(const json_t *resources, cpu_set_t *cpus, struct err *e)
{
	const char *list = json_string_value(oci_lookup(resources, "cpu.cpus"));

	if (!list)
		return 0;
	if (sizing_parse_list(list, cpus->__bits, CPU_SETSIZE) < 0)
		return err_set(
			e, EINVAL, "cpu.cpus: \"%.64s\" is not a list of CPUs like 0-3,7", list);
	return 1;
}

/* The emulation engine has the processors in a child of the monitor. */
static void bind_cpus(const struct container *c, const cpu_set_t *cpus)
{
	pid_t list[DESCENDANTS_MAX] = {
		container_process(c, "monitor").pid, container_process(c, "fs").pid};
	size_t n = 2;

	(void)!descendants_add(list, &n, DESCENDANTS_MAX);
	for (size_t i = 0; i < n; i++)
		bind_threads(list[i], cpus);
}

static int update_host(const struct container *c, const json_t *resources, uint64_t overhead_bytes,
	uint64_t bound_bytes, struct err *e)
{
	const json_t *json = json_object_get(c->state, "cgroup");
	cleanup_cgroup struct cgroup cgroup = {0};

	cpu_set_t cpus;

	if (json && cgroup_from_json(&cgroup, json) < 0)
		return err_set(e, EINVAL, "state.json: cgroup: can't be used");
	int found = read_cpus(resources, &cpus, e);
	if (found < 0)
		return found;
	int ret = json ? cgroup_update(&cgroup, resources, overhead_bytes, bound_bytes, e) : 0;
	if (ret == 0 && found)
		bind_cpus(c, &cpus);
	return ret;
}

/* Of a container without a limit; 0 (no bound) for one that was created with -1. */
static uint64_t bound_of(const json_t *vm, uint64_t overhead_bytes, int64_t created_limit)
{
	json_int_t memory = json_integer_value(json_object_get(vm, "memoryBytes"));

	return created_limit < 0 || memory <= 0 ? 0
						: sizing_bound((uint64_t)memory, overhead_bytes);
}

/* An update that the host refuses must not stay in the guest. */
static void undo_guest(const struct container *c)
{
	struct err e;

	if (monitor_request(c->dir, json_pack("{s:s, s:b}", "op", "update", "undo", 1),
		    MONITOR_PATIENCE_MS, NULL, NULL, &e) < 0)
		log_warn("the guest keeps the new limits: %s", e.text);
}

static int update(struct container *c, json_t *resources, struct err *e)
{
	const json_t *vm = json_object_get(c->state, "vm");
	cleanup_json json_t *merged = NULL;
	json_t *before = json_object_get(c->state, "resources");
	int64_t created_limit = 0;

	enum container_status status = container_status(c);
	if (status != CONTAINER_RUNNING && status != CONTAINER_CREATED &&
		status != CONTAINER_PAUSED)
		return err_set(e, ESRCH, "container not running");
	if (!json_object_size(resources))
		return 0;
	int ret = read_created(c, &merged, &created_limit, e);
	if (ret == 0 &&
		((before && json_object_update_recursive(merged, before) < 0) ||
			json_object_update_recursive(merged, resources) < 0))
		ret = err_sys(e, ENOMEM, "resources");
	if (ret == 0)
		ret = resources_fit_vm(resources, merged, vm, e);
	if (ret == 0)
		ret = monitor_request(c->dir,
			json_pack("{s:s, s:o}", "op", "update", "resources",
				resources_for_guest(resources)),
			MONITOR_PATIENCE_MS, NULL, NULL, e);
	if (ret < 0)
		return ret;
	uint64_t overhead = resources_overhead(merged, vm, created_limit);
	ret = update_host(c, resources, overhead, bound_of(vm, overhead, created_limit), e);
	if (ret < 0) {
		undo_guest(c);
		return ret;
	}
	if (!before) {
		if (json_object_set(c->state, "resources", resources) < 0)
			return err_sys(e, ENOMEM, "resources");
	} else if (json_object_update_recursive(before, resources) < 0) {
		return err_sys(e, ENOMEM, "resources");
	}
	return container_save(c, e);
}

static int command_update_run(struct context *context, int argc, char **argv)
{
	struct update_options options = {0};
	cleanup_container struct container c;
	cleanup_json json_t *resources = NULL;
	const char *id;
	struct err e;

	container_init(&c);
	int ret = options_parse_words(update_specs, &options, argc, argv, &id, 1, &e);
	if (ret == 0)
		ret = command_open_container(context, id, &c, &e);
	if (ret == 0)
		ret = read_resources(&resources, &options, &e);
	if (ret == 0 && (options.limits.kernel_memory || options.limits.kernel_memory_tcp))
		report_line(&context->report, "warning",
			"Kernel memory settings are ignored and will be removed");
	if (ret == 0)
		ret = container_lock(&c, &e);
	if (ret == 0)
		ret = update(&c, resources, &e);
	return ret < 0 ? command_fail(context, &e) : 0;
}

const struct command command_update = {
	.name = "update",
	.usage = "[OPTION...] ID",
	.summary = "change the limits of a container",
	.text = "Changes limits while the container runs. Its virtual machine keeps the memory\n"
		"and the number of CPUs that it was made with, so a limit above them is refused.\n",
	.options = update_specs,
	.run = command_update_run,
};
