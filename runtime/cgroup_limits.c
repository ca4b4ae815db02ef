/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's limits for a VM, out of linux.resources: what a container may have, with the VM's
 * overhead where memory is concerned. Limits that only mean something inside (processes, huge
 * pages, devices, the OOM killer) are the guest's. So are, in the end, all the others: a host that
 * has no controller for one of them is no fault, but a value that the kernel refuses is.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "runtime/cgroup_internal.h"

#define PERIOD_DEFAULT_US 100000
#define WRITES_MAX	  8

static int64_t integer_at(const json_t *object, const char *name)
{
	return json_integer_value(json_object_get(object, name));
}

static uint64_t unsigned_at(const json_t *object, const char *name)
{
	int64_t value = integer_at(object, name);

	return value > 0 ? (uint64_t)value : 0;
}

/* A limit and what comes on top; "none" stays none, and so does a number that means none. */
static int64_t raised(int64_t bytes, uint64_t overhead_bytes)
{
	if (bytes <= 0)
		return bytes < 0 ? -1 : 0;
	if (overhead_bytes > (uint64_t)(INT64_MAX - bytes))
		return -1;
	return bytes + (int64_t)overhead_bytes;
}

int cgroup_limits_read(struct cgroup_limits *limits, const json_t *resources,
	uint64_t overhead_bytes, unsigned pids, struct err *e)
{
	const json_t *memory = json_object_get(resources, "memory");
	const json_t *cpu = json_object_get(resources, "cpu");

	*limits = (struct cgroup_limits){
		.memory = integer_at(memory, "limit"),
		.swap = integer_at(memory, "swap"),
		.low = integer_at(memory, "reservation"),
		.shares = unsigned_at(cpu, "shares"),
		.period_us = unsigned_at(cpu, "period"),
		.quota_us = integer_at(cpu, "quota"),
		.has_burst = json_object_get(cpu, "burst"),
		.burst_us = unsigned_at(cpu, "burst"),
		.has_idle = json_object_get(cpu, "idle"),
		.idle = integer_at(cpu, "idle"),
		.cpus = json_string_value(json_object_get(cpu, "cpus")),
		.mems = json_string_value(json_object_get(cpu, "mems")),
		.block = json_object_get(resources, "blockIO"),
		.unified = json_object_get(resources, "unified"),
		.overhead_bytes = overhead_bytes,
		.pids = pids,
	};
	limits->weight = (unsigned)unsigned_at(limits->block, "weight");
	/* An unlimited container has unlimited swap too, unless it says otherwise: as runc. */
	if (limits->memory < 0 && limits->swap == 0)
		limits->swap = -1;
	if (limits->swap > 0 && limits->memory > 0 && limits->swap < limits->memory)
		return err_set(e, EINVAL,
			"linux.resources.memory.swap: memory+swap limit should be >= memory limit");
	if (limits->weight && (limits->weight < 10 || limits->weight > 1000))
		return err_set(e, EINVAL, "linux.resources.blockIO.weight: %u is not in 10..1000",
			limits->weight);
	return 0;
}

/* 2..262144 to 1..10000, and 10..1000 to 1..10000, as runc does it. */
uint64_t cgroup_cpu_weight(uint64_t shares)
{
	shares = shares < 2 ? 2 : shares > 262144 ? 262144 : shares;
	return 1 + (shares - 2) * 9999 / 262142;
}

uint64_t cgroup_io_weight(unsigned weight)
{
	return 1 + ((uint64_t)weight - 10) * 9999 / 990;
}

/* Writes that depend on each other: which must come first depends on what is there. */
struct writes {
	const char *dir;
	size_t n;
	struct {
		const char *file;
		char text[64];
		bool done;
	} list[WRITES_MAX];
};

__attribute__((format(printf, 3, 4))) static void writes_add(
	struct writes *writes, const char *file, const char *fmt, ...)
{
	va_list args;

	if (writes->n == WRITES_MAX)
		return;
	va_start(args, fmt);
	vsnprintf(writes->list[writes->n].text, sizeof(writes->list[0].text), fmt, args);
	va_end(args);
	writes->list[writes->n++].file = file;
}

static int write_failed(const char *dir, const char *file, const char *text, int r, struct err *e)
{
	/* No such file: the controller is not there, or is too old for this. */
	if (r == -ENOENT) {
		log_info("%s/%s: not there: the host does not limit this", dir, file);
		return 0;
	}
	return err_sys(e, -r, "cgroup: %s/%s: cannot write \"%s\"", dir, file, text);
}

/* Round after round, as long as one more is accepted; then the first refusal is the answer. */
static int writes_do(struct writes *writes, struct err *e)
{
	bool progress;

	do {
		progress = false;
		for (size_t i = 0; i < writes->n; i++) {
			int r;
			if (writes->list[i].done)
				continue;
			r = cgroup_write(writes->dir, writes->list[i].file, writes->list[i].text);
			if (r < 0 && r != -EINVAL)
				r = write_failed(writes->dir, writes->list[i].file,
					writes->list[i].text, r, e);
			if (r < 0 && r != -EINVAL)
				return r;
			writes->list[i].done = r == 0;
			progress |= r == 0;
		}
	} while (progress);
	for (size_t i = 0; i < writes->n; i++) {
		if (!writes->list[i].done)
			return write_failed(writes->dir, writes->list[i].file, writes->list[i].text,
				-EINVAL, e);
	}
	return 0;
}

static int write_one(const char *dir, const char *file, const char *text, struct err *e)
{
	int r = cgroup_write(dir, file, text);

	return r < 0 ? write_failed(dir, file, text, r, e) : 0;
}

static int memory_v1(const struct cgroup_limits *limits, const char *dir, struct err *e)
{
	struct writes writes = {.dir = dir};
	uint64_t usage = 0;
	int64_t max = raised(limits->memory, limits->overhead_bytes);
	int64_t swap = raised(limits->swap, limits->overhead_bytes);
	int64_t low = raised(limits->low, limits->overhead_bytes);
	int r;

	if (max)
		writes_add(&writes, "memory.limit_in_bytes", "%" PRId64, max);
	if (swap)
		writes_add(&writes, "memory.memsw.limit_in_bytes", "%" PRId64, swap);
	if (low)
		writes_add(&writes, "memory.soft_limit_in_bytes", "%" PRId64, low);
	r = writes_do(&writes, e);
	if (r == -EBUSY && cgroup_read_number(dir, "memory.usage_in_bytes", &usage) == 0)
		return err_set(e, EBUSY,
			"unable to set memory limit to %" PRId64 " (current usage: %" PRIu64 ")",
			max, usage);
	return r;
}

/*
 * v2 would kill the monitor on the spot rather than refuse a limit below what is in use. Files'
 * pages are given back when they must be; shared memory, which a guest's is, counts as such too.
 */
static int check_in_use(const char *dir, int64_t max, struct err *e)
{
	uint64_t usage, file = 0, shared = 0;

	if (max <= 0 || cgroup_read_number(dir, "memory.current", &usage) < 0 ||
		cgroup_read_field(dir, "memory.stat", "file", &file) < 0 ||
		cgroup_read_field(dir, "memory.stat", "shmem", &shared) < 0)
		return 0;
	if (file > shared)
		usage -= file - shared > usage ? usage : file - shared;
	if (usage < (uint64_t)max)
		return 0;
	return err_set(e, EBUSY,
		"unable to set memory limit to %" PRId64 " (current usage: %" PRIu64 ")", max,
		usage);
}

static void add_bytes(struct writes *writes, const char *file, int64_t bytes)
{
	if (bytes < 0)
		writes_add(writes, file, "max");
	else
		writes_add(writes, file, "%" PRId64, bytes);
}

static int memory_v2(const struct cgroup_limits *limits, const char *dir, struct err *e)
{
	struct writes writes = {.dir = dir};
	int64_t max = raised(limits->memory, limits->overhead_bytes);
	int64_t low = raised(limits->low, limits->overhead_bytes);
	int r = check_in_use(dir, max, e);

	if (r < 0)
		return r;
	if (max)
		add_bytes(&writes, "memory.max", max);
	if (low)
		add_bytes(&writes, "memory.low", low);
	/* v1's limit is the sum of memory and swap, v2's is that of swap. */
	if (limits->swap < 0)
		add_bytes(&writes, "memory.swap.max", -1);
	else if (limits->swap && limits->memory > 0)
		add_bytes(&writes, "memory.swap.max", limits->swap - limits->memory);
	return writes_do(&writes, e);
}

/* It is ours, not the container's: one that can't have it runs all the same. */
static void write_own(const char *dir, const char *file, uint64_t value)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, value);
	int r = cgroup_write(dir, file, text);
	if (r < 0)
		log_info("cgroup: %s/%s: cannot write \"%s\": %s", dir, file, text, strerror(-r));
}

static int memory(
	const struct cgroup_limits *limits, const struct cgroup_place *place, struct err *e)
{
	bool v2 = cgroup_place_v2(place);
	int r = v2 ? memory_v2(limits, place->path, e) : memory_v1(limits, place->path, e);

	if (r == 0 && limits->bound_bytes)
		write_own(place->path, v2 ? "memory.max" : "memory.limit_in_bytes",
			limits->bound_bytes);
	return r;
}

static int cpu_v1(const struct cgroup_limits *limits, const char *dir, struct err *e)
{
	struct writes writes = {.dir = dir};

	if (limits->shares)
		writes_add(&writes, "cpu.shares", "%" PRIu64, limits->shares);
	if (limits->period_us)
		writes_add(&writes, "cpu.cfs_period_us", "%" PRIu64, limits->period_us);
	if (limits->quota_us)
		writes_add(&writes, "cpu.cfs_quota_us", "%" PRId64,
			limits->quota_us < 0 ? -1 : limits->quota_us);
	if (limits->has_burst)
		writes_add(&writes, "cpu.cfs_burst_us", "%" PRIu64, limits->burst_us);
	if (limits->has_idle)
		writes_add(&writes, "cpu.idle", "%" PRId64, limits->idle);
	return writes_do(&writes, e);
}

static int cpu_v2(const struct cgroup_limits *limits, const char *dir, struct err *e)
{
	struct writes writes = {.dir = dir};
	char now[64] = "max", *space;

	if (limits->shares)
		writes_add(&writes, "cpu.weight", "%" PRIu64, cgroup_cpu_weight(limits->shares));
	/* One file has both; the one that is not asked for stays. */
	if (limits->quota_us || limits->period_us) {
		uint64_t period = PERIOD_DEFAULT_US;
		if (cgroup_read(dir, "cpu.max", now, sizeof(now)) == 0 &&
			(space = strchr(now, ' '))) {
			(void)!sscanf(space, "%" SCNu64, &period);
			*space = '\0';
		}
		period = limits->period_us ? limits->period_us : period;
		if (limits->quota_us > 0)
			writes_add(&writes, "cpu.max", "%" PRId64 " %" PRIu64, limits->quota_us,
				period);
		else
			writes_add(&writes, "cpu.max", "%.20s %" PRIu64,
				limits->quota_us < 0 ? "max" : now, period);
	}
	if (limits->has_burst)
		writes_add(&writes, "cpu.max.burst", "%" PRIu64, limits->burst_us);
	if (limits->has_idle)
		writes_add(&writes, "cpu.idle", "%" PRId64, limits->idle);
	return writes_do(&writes, e);
}

static int cpuset(const struct cgroup_limits *limits, const char *dir, struct err *e)
{
	int r = 0;

	if (limits->cpus && *limits->cpus)
		r = write_one(dir, "cpuset.cpus", limits->cpus, e);
	if (r == 0 && limits->mems && *limits->mems)
		r = write_one(dir, "cpuset.mems", limits->mems, e);
	return r;
}

static int io_weight(const struct cgroup_limits *limits, const char *dir, bool v2, struct err *e)
{
	char text[32];
	int r;

	if (!limits->weight)
		return 0;
	/* The BFQ scheduler has a file of its own, and takes the same range in both versions. */
	snprintf(text, sizeof(text), "%u", limits->weight);
	r = cgroup_write(dir, v2 ? "io.bfq.weight" : "blkio.weight", text);
	if (r != -ENOENT)
		return r < 0 ? err_sys(e, -r, "cgroup: %s: weight %s", dir, text) : 0;
	if (v2)
		snprintf(text, sizeof(text), "%" PRIu64, cgroup_io_weight(limits->weight));
	return write_one(dir, v2 ? "io.weight" : "blkio.bfq.weight", text, e);
}

/* The limits of single devices are those of the file server's work on the host. */
static int io_devices(const struct cgroup_limits *limits, const char *dir, bool v2, struct err *e)
{
	static const struct {
		const char *name, *v1, *v2;
	} kinds[] = {
		{"throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"},
		{"throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"},
		{"throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"},
		{"throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"},
	};
	int r = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && r == 0; i++) {
		const json_t *device;
		size_t at;
		json_array_foreach (json_object_get(limits->block, kinds[i].name), at, device) {
			char text[128];
			uint64_t rate = unsigned_at(device, "rate");
			int n = snprintf(text, sizeof(text), "%" PRId64 ":%" PRId64 " ",
				integer_at(device, "major"), integer_at(device, "minor"));
			/* No rate: no limit. v1 writes that as 0. */
			if (!v2)
				snprintf(text + n, sizeof(text) - (size_t)n, "%" PRIu64, rate);
			else if (rate)
				snprintf(text + n, sizeof(text) - (size_t)n, "%s=%" PRIu64,
					kinds[i].v2, rate);
			else
				snprintf(text + n, sizeof(text) - (size_t)n, "%s=max", kinds[i].v2);
			r = write_one(dir, v2 ? "io.max" : kinds[i].v1, text, e);
			if (r < 0)
				break;
		}
	}
	return r;
}

/*
 * v2's own keys as they are, memory with the overhead. Only those that hold a VM as they would
 * hold a container: an action (memory.reclaim), or a limit on what the host has none of, is not.
 */
static int unified(const struct cgroup_limits *limits, const char *dir, struct err *e)
{
	static const char *const raise[] = {
		"memory.min", "memory.low", "memory.high", "memory.max"};
	static const char *const plain[] = {"memory.swap.max", "memory.swap.high",
		"memory.zswap.max", "cpu.weight", "cpu.weight.nice", "cpu.max", "cpu.max.burst",
		"cpu.idle", "cpu.uclamp.min", "cpu.uclamp.max", "cpuset.cpus", "cpuset.mems",
		"io.weight", "io.bfq.weight", "io.max", "io.latency"};
	int r = 0;

	for (size_t i = 0; i < sizeof(raise) / sizeof(raise[0]) && r == 0; i++) {
		const char *text = json_string_value(json_object_get(limits->unified, raise[i]));
		int64_t bytes;
		char number[32], end;
		if (!text)
			continue;
		if (strcmp(text, "max") != 0) {
			if (sscanf(text, "%" SCNd64 "%c", &bytes, &end) != 1 || bytes < 0)
				return err_set(e, EINVAL,
					"linux.resources.unified: %s: \"%.32s\" is not a number of "
					"bytes",
					raise[i], text);
			if (raised(bytes, limits->overhead_bytes) > 0)
				snprintf(number, sizeof(number), "%" PRId64,
					raised(bytes, limits->overhead_bytes));
			else
				snprintf(number, sizeof(number), bytes ? "max" : "0");
			text = number;
			if (strcmp(raise[i], "memory.max") == 0)
				r = check_in_use(dir, raised(bytes, limits->overhead_bytes), e);
		}
		if (r == 0)
			r = write_one(dir, raise[i], text, e);
	}
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]) && r == 0; i++) {
		const char *text = json_string_value(json_object_get(limits->unified, plain[i]));
		if (text)
			r = write_one(dir, plain[i], text, e);
	}
	return r;
}

int cgroup_limits_write(const struct cgroup_limits *limits, const struct cgroup *cg, struct err *e)
{
	const struct cgroup_place *place = cgroup_place_of(cg, "cpuset");
	int r = 0;

	if (place)
		r = cpuset(limits, place->path, e);
	place = cgroup_place_of(cg, "memory");
	if (place && r == 0)
		r = memory(limits, place, e);
	place = cgroup_place_of(cg, "cpu");
	if (place && r == 0)
		r = cgroup_place_v2(place) ? cpu_v2(limits, place->path, e)
					   : cpu_v1(limits, place->path, e);
	place = cgroup_place_of(cg, "blkio");
	if (place && r == 0)
		r = io_weight(limits, place->path, cgroup_place_v2(place), e);
	if (place && r == 0)
		r = io_devices(limits, place->path, cgroup_place_v2(place), e);
	place = cgroup_place_of(cg, "pids");
	if (place && limits->pids && r == 0)
		write_own(place->path, "pids.max", limits->pids);
	place = cgroup_place_of(cg, "");
	if (place && cgroup_place_v2(place) && limits->unified && r == 0)
		r = unified(limits, place->path, e);
	return r;
}
