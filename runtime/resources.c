/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of `hvrun update`; see resources.h. */
#include "runtime/resources.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "oci/config.h"
#include "oci/number.h"
#include "oci/schema.h"
#include "runtime/support.h"

#define RESOURCES_MAX_BYTES (1u << 20)
#define PREFIX		    "resources."
#define MIB		    (1 << 20)
#define PERIOD_DEFAULT_US   100000

static int no_memory(struct err *e)
{
	return err_sys(e, ENOMEM, "resources");
}

static bool is_number(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

static int parse_signed(const char *name, const char *text, json_int_t *value, struct err *e)
{
	char *end;

	*value = 0;
	errno = 0;
	long long n = strtoll(text, &end, 10);
	if (!is_number(text + (*text == '-')) || *end || errno)
		return err_set(
			e, EINVAL, "invalid value for %s: \"%.64s\" is not a number", name, text);
	*value = n;
	return 0;
}

static int parse_unsigned(const char *name, const char *text, json_int_t *value, struct err *e)
{
	int ret = parse_signed(name, text, value, e);

	if (ret == 0 && *value < 0)
		ret = err_set(
			e, EINVAL, "invalid value for %s: \"%.64s\" is not a number", name, text);
	return ret;
}

/* "512m", "1.5G", "100 kB", "-1": in units of 1024, as Docker's tools write sizes. */
static int parse_bytes(const char *name, const char *text, json_int_t *value, struct err *e)
{
	static const char units[] = "kmgtp";
	const char *at = text;
	double n = 0, scale = 1;

	if (strcmp(text, "-1") == 0) {
		*value = -1;
		return 0;
	}
	/* A whole number of bytes keeps all of its digits. */
	if (is_number(text))
		return parse_unsigned(name, text, value, e);
	if (!isdigit((unsigned char)*at))
		goto bad;
	for (; isdigit((unsigned char)*at); at++)
		n = n * 10 + (*at - '0');
	if (*at == '.')
		for (at++; isdigit((unsigned char)*at); at++)
			n += (*at - '0') * (scale /= 10);
	at += *at == ' ';
	const char *unit = *at ? strchr(units, tolower((unsigned char)*at)) : NULL;
	for (const char *u = units; unit && u <= unit; u++)
		n *= 1024;
	at += unit != NULL;
	at += tolower((unsigned char)*at) == 'i';
	at += tolower((unsigned char)*at) == 'b';
	if (*at || n >= 0x1p62)
		goto bad;
	*value = (json_int_t)n;
	return 0;
bad:
	return err_set(e, EINVAL, "invalid value for %s: invalid size: '%.64s'", name, text);
}

/* Sets PARENT.KEY; takes the reference. */
static int set(json_t *resources, const char *parent, const char *key, json_t *value, struct err *e)
{
	json_t *object = json_object_get(resources, parent);

	if (!object) {
		object = json_object();
		if (json_object_set_new(resources, parent, object) < 0) {
			json_decref(value);
			return no_memory(e);
		}
	}
	return json_object_set_new(object, key, value) < 0
		? err_set(e, EINVAL, "%s.%s: not valid UTF-8", parent, key)
		: 0;
}

typedef int parser(const char *name, const char *text, json_int_t *value, struct err *e);

/* An option that is empty or 0 changes nothing, but for those that can be switched off by it. */
struct entry {
	const char *name, *text, *parent, *key;
	parser *parse; /* NULL: a text */
	bool zero;
};

static int add_entry(json_t *resources, const struct entry *entry, struct err *e)
{
	json_int_t value = 0;

	if (!entry->text || !*entry->text)
		return 0;
	if (!entry->parse)
		return set(resources, entry->parent, entry->key, json_string(entry->text), e);
	int ret = entry->parse(entry->name, entry->text, &value, e);
	if (ret < 0 || (!value && !entry->zero))
		return ret;
	return set(resources, entry->parent, entry->key, json_integer(value), e);
}

static int add_entries(json_t *resources, const struct resources_options *o, struct err *e)
{
	const struct entry entries[] = {
		{"blkio-weight", o->blkio_weight, "blockIO", "weight", parse_unsigned, false},
		{"cpu-period", o->cpu_period, "cpu", "period", parse_unsigned, false},
		{"cpu-quota", o->cpu_quota, "cpu", "quota", parse_signed, false},
		{"cpu-burst", o->cpu_burst, "cpu", "burst", parse_unsigned, true},
		{"cpu-share", o->cpu_share, "cpu", "shares", parse_unsigned, false},
		{"cpu-idle", o->cpu_idle, "cpu", "idle", parse_signed, true},
		{"cpu-rt-period", o->cpu_rt_period, "cpu", "realtimePeriod", parse_unsigned, false},
		{"cpu-rt-runtime", o->cpu_rt_runtime, "cpu", "realtimeRuntime", parse_signed,
			false},
		{"cpuset-cpus", o->cpuset_cpus, "cpu", "cpus", NULL, false},
		{"cpuset-mems", o->cpuset_mems, "cpu", "mems", NULL, false},
		{"memory", o->memory, "memory", "limit", parse_bytes, false},
		{"memory-reservation", o->memory_reservation, "memory", "reservation", parse_bytes,
			false},
		{"memory-swap", o->memory_swap, "memory", "swap", parse_bytes, false},
		{"kernel-memory", o->kernel_memory, "memory", "kernel", parse_bytes, false},
		{"kernel-memory-tcp", o->kernel_memory_tcp, "memory", "kernelTCP", parse_bytes,
			false},
		{"pids-limit", o->pids_limit, "pids", "limit", parse_signed, false},
		{"l3-cache-schema", o->l3_cache_schema, "intelRdt", "l3CacheSchema", NULL, false},
		{"mem-bw-schema", o->mem_bw_schema, "intelRdt", "memBwSchema", NULL, false},
	};
	int ret = 0;

	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]) && ret == 0; i++)
		ret = add_entry(resources, &entries[i], e);
	return ret;
}

/* The table for resources is part of the one for linux. */
static int check_schema(json_t *resources, struct err *e)
{
	cleanup_json json_t *section = json_pack("{s:O}", "resources", resources);

	if (!section)
		return no_memory(e);
	int ret = oci_schema_check(&oci_linux_schema, section, NULL, e);
	if (ret == 0)
		oci_schema_prune(&oci_linux_schema, section);
	else if (strncmp(e->text, PREFIX, strlen(PREFIX)) == 0)
		memmove(e->text, e->text + strlen(PREFIX), strlen(e->text) - strlen(PREFIX) + 1);
	return ret;
}

/* What runc's cgroup v2 has no counterpart for, and what nothing of a VM could be limited by. */
static int check_support(const json_t *resources, struct err *e)
{
	static const char v1[] = "needs cgroup v1; containers have cgroup v2";
	static const char *const refused[][2] = {
		{"cpu.realtimePeriod", v1},
		{"cpu.realtimeRuntime", v1},
		{"memory.swappiness", v1},
		{"memory.disableOOMKiller", v1},
		{"blockIO.leafWeight", v1},
		{"network.classID", v1},
		{"network.priorities", v1},
		{"rdma", "no RDMA device is passed into the virtual machine"},
		{"intelRdt", "cache and bandwidth allocation is not offered for virtual machines"},
	};

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		const json_t *value = oci_lookup(resources, refused[i][0]);
		if (value && support_asks(value))
			return err_set(e, ENOTSUP, "%s: %s", refused[i][0], refused[i][1]);
	}
	return 0;
}

/* What is 0 or empty changes nothing, but for what can be switched off by it. */
static void drop_unset(json_t *resources)
{
	static const char *const parts[] = {"memory", "cpu", "pids"};
	const char *key;
	json_t *value;
	void *next;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		json_t *part = json_object_get(resources, parts[i]);
		json_object_foreach_safe (part, next, key, value) {
			bool zero = json_is_integer(value) && !json_integer_value(value);
			bool empty = json_is_string(value) && !json_string_length(value);
			if ((zero && strcmp(key, "burst") != 0 && strcmp(key, "idle") != 0) ||
				empty)
				json_object_del(part, key);
		}
		if (part && !json_object_size(part))
			json_object_del(resources, parts[i]);
	}
}

static int check(json_t *resources, struct err *e)
{
	int ret = check_support(resources, e);
	if (ret == 0)
		ret = check_schema(resources, e);
	if (ret < 0)
		return ret;
	/* Like runc, which can't change devices by an update, and knows no kernel memory. */
	json_object_del(resources, "devices");
	json_object_del(json_object_get(resources, "memory"), "kernel");
	json_object_del(json_object_get(resources, "memory"), "kernelTCP");
	drop_unset(resources);
	return oci_number_fold(resources) < 0 ? no_memory(e) : 0;
}

int resources_from_options(
	json_t **resources, const struct resources_options *options, struct err *e)
{
	cleanup_json json_t *json = json_object();

	if (!json)
		return no_memory(e);
	int ret = add_entries(json, options, e);
	if (ret == 0)
		ret = check(json, e);
	if (ret == 0)
		*resources = steal_ptr(&json);
	return ret;
}

static int read_file(json_t **resources, int fd, struct err *e)
{
	cleanup_free char *text = NULL, *marked = NULL;
	size_t len, marked_len;

	int ret = fd_slurp(fd, RESOURCES_MAX_BYTES, &text, &len);
	if (ret == 0)
		ret = oci_number_mark(text, len, &marked, &marked_len);
	if (ret < 0)
		return err_sys(e, -ret, "can't read");
	cleanup_json json_t *json = json_parse(
		marked ? marked : text, marked ? marked_len : len, OCI_CONFIG_MAX_DEPTH, e);
	if (!json)
		return -EINVAL;
	ret = check(json, e);
	if (ret == 0)
		*resources = steal_ptr(&json);
	return ret;
}

int resources_from_file(json_t **resources, int fd, const char *name, struct err *e)
{
	int ret = read_file(resources, fd, e);

	return ret < 0 ? err_add(e, "%s", name) : 0;
}

static int64_t integer_at(const json_t *json, const char *path)
{
	return json_integer_value(oci_lookup(json, path));
}

/* In bytes, 0 for none; unified is another way to say it. */
static int64_t memory_limit(const json_t *resources)
{
	const char *text = json_string_value(
		json_object_get(json_object_get(resources, "unified"), "memory.max"));
	int64_t limit = integer_at(resources, "memory.limit");

	if (text && is_number(text))
		limit = strtoll(text, NULL, 10);
	return limit > 0 ? limit : 0;
}

int resources_fit_vm(const json_t *resources, const json_t *merged, const json_t *vm, struct err *e)
{
	int64_t limit = memory_limit(resources), quota = integer_at(merged, "cpu.quota");
	int64_t memory = integer_at(vm, "memoryBytes"), vcpus = integer_at(vm, "vcpus");
	int64_t period = integer_at(merged, "cpu.period");
	bool cpu = oci_lookup(resources, "cpu.quota") || oci_lookup(resources, "cpu.period");

	if (memory > 0 && limit > memory)
		return err_set(e, EINVAL,
			"memory.limit: %" PRId64 " bytes are more than the virtual machine has, "
			"%" PRId64 " MiB, and it can't grow",
			limit, memory / MIB);
	if (period <= 0)
		period = PERIOD_DEFAULT_US;
	if (cpu && vcpus > 0 && quota > 0 && quota / period >= vcpus && quota > vcpus * period)
		return err_set(e, EINVAL,
			"cpu.quota: %" PRId64 " of each %" PRId64
			" microseconds are more than the virtual machine's %" PRId64
			" CPU(s) can give, and it can't get more",
			quota, period, vcpus);
	return 0;
}

uint64_t resources_overhead(const json_t *merged, const json_t *vm, int64_t created_limit)
{
	int64_t memory = integer_at(vm, "memoryBytes"), limit = memory_limit(merged);
	int64_t overhead = integer_at(vm, "memoryOverheadBytes");

	/* First what is not the VM's own memory, then what of that is above the new limit. */
	if (created_limit > 0 && created_limit < memory)
		overhead -= memory - created_limit;
	if (overhead < 0)
		overhead = 0;
	if (limit > 0 && limit < memory)
		overhead += memory - limit;
	return (uint64_t)overhead;
}

json_t *resources_for_guest(const json_t *resources)
{
	static const char *const parts[] = {"memory", "cpu", "pids", "hugepageLimits", "unified"};
	cleanup_json json_t *guest = json_object();
	const char *key;
	json_t *value;
	void *next;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		const json_t *part = json_object_get(resources, parts[i]);
		if (part && json_object_set_new(guest, parts[i], json_deep_copy(part)) < 0)
			return NULL;
	}
	/* Host CPUs, memory nodes and block devices are the host's, and what the guest's kernel
	 * has no use for was found to ask for nothing. */
	json_t *cpu = json_object_get(guest, "cpu"), *unified = json_object_get(guest, "unified");
	static const char *const host[] = {"cpus", "mems", "realtimePeriod", "realtimeRuntime"};
	for (size_t i = 0; i < sizeof(host) / sizeof(host[0]); i++)
		json_object_del(cpu, host[i]);
	json_object_foreach_safe (unified, next, key, value) {
		if (strncmp(key, "cpuset.", 7) == 0 || strncmp(key, "io.", 3) == 0)
			json_object_del(unified, key);
	}
	return steal_ptr(&guest);
}
