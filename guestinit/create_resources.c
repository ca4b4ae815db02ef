/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding of `config.linux.resources`: what cgroup v2 has a counterpart for. What only cgroup v1
 * has is refused by its path; what even runc drops in silence on cgroup v2 is warned about.
 */
#include <errno.h>
#include <string.h>

#include "guestinit/create.h"

static int create_v1_ignored(struct decode *d, const json_t *value, void *out)
{
	(void)value;
	(void)out;
	decode_warn(d, "has no meaning with cgroup v2, left out");
	return 0;
}

/* Fine as long as it asks for nothing. */
static int create_v1_false(struct decode *d, const json_t *value, void *out)
{
	(void)out;
	if (json_is_false(value))
		return 0;
	return decode_fail(d, "is not supported with cgroup v2");
}

static const struct decode_field devcg_fields[] = {
	FIELD("allow", DECODE_BOOL, offsetof(struct cfg_devcg_rule, allow), .required = true),
	FIELD("type", DECODE_STRING, offsetof(struct cfg_devcg_rule, type)),
	FIELD("major", DECODE_I64, offsetof(struct cfg_devcg_rule, major)),
	FIELD("minor", DECODE_I64, offsetof(struct cfg_devcg_rule, minor)),
	FIELD("access", DECODE_STRING, offsetof(struct cfg_devcg_rule, access)),
	FIELD_END,
};

#define RES(member) offsetof(struct cfg_resources, member)

static const struct decode_field memory_fields[] = {
	FIELD("limit", DECODE_I64, RES(memory.limit)),
	FIELD("reservation", DECODE_I64, RES(memory.reservation)),
	FIELD("swap", DECODE_I64, RES(memory.swap)),
	FIELD("kernel", DECODE_CUSTOM, 0, .custom = create_v1_ignored),
	FIELD("kernelTCP", DECODE_CUSTOM, 0, .custom = create_v1_ignored),
	FIELD("swappiness", DECODE_CUSTOM, 0, .custom = create_v1_ignored),
	FIELD("disableOOMKiller", DECODE_CUSTOM, 0, .custom = create_v1_false),
	FIELD("useHierarchy", DECODE_IGNORE, 0),
	FIELD("checkBeforeUpdate", DECODE_IGNORE, 0),
	FIELD_END,
};

static const struct decode_field cpu_fields[] = {
	FIELD("shares", DECODE_U64, RES(cpu.shares)),
	FIELD("quota", DECODE_I64, RES(cpu.quota)),
	FIELD("burst", DECODE_U64, RES(cpu.burst)),
	FIELD("period", DECODE_U64, RES(cpu.period)),
	FIELD("cpus", DECODE_STRING, RES(cpu.cpus)),
	FIELD("mems", DECODE_STRING, RES(cpu.mems)),
	FIELD("idle", DECODE_I64, RES(cpu.idle)),
	FIELD_END,
};

static const struct decode_field pids_fields[] = {
	FIELD("limit", DECODE_I64, RES(pids_limit)),
	FIELD_END,
};

static const struct decode_field hugepage_fields[] = {
	FIELD("pageSize", DECODE_STRING, offsetof(struct cfg_hugepage, page_size),
		.required = true),
	FIELD("limit", DECODE_U64, offsetof(struct cfg_hugepage, limit), .required = true),
	FIELD_END,
};

static const struct decode_field weight_fields[] = {
	FIELD("major", DECODE_I64, offsetof(struct cfg_blkio_device, major), .required = true),
	FIELD("minor", DECODE_I64, offsetof(struct cfg_blkio_device, minor), .required = true),
	FIELD("weight", DECODE_U64, offsetof(struct cfg_blkio_device, weight)),
	FIELD_END,
};

static const struct decode_field throttle_fields[] = {
	FIELD("major", DECODE_I64, offsetof(struct cfg_blkio_device, major), .required = true),
	FIELD("minor", DECODE_I64, offsetof(struct cfg_blkio_device, minor), .required = true),
	FIELD("rate", DECODE_U64, offsetof(struct cfg_blkio_device, rate), .required = true),
	FIELD_END,
};

#define BLKIO(member, table)                                                                       \
	.type = DECODE_LIST, .offset = RES(blkio.member), .fields = (table),                       \
	.elem_bytes = sizeof(struct cfg_blkio_device)

static const struct decode_field blkio_fields[] = {
	FIELD("weight", DECODE_U64, RES(blkio.weight)),
	{.key = "weightDevice", BLKIO(weights, weight_fields)},
	{.key = "throttleReadBpsDevice", BLKIO(read_bps, throttle_fields)},
	{.key = "throttleWriteBpsDevice", BLKIO(write_bps, throttle_fields)},
	{.key = "throttleReadIOPSDevice", BLKIO(read_iops, throttle_fields)},
	{.key = "throttleWriteIOPSDevice", BLKIO(write_iops, throttle_fields)},
	FIELD_END,
};

static const struct decode_field rdma_fields[] = {
	FIELD("hcaHandles", DECODE_U64, offsetof(struct cfg_rdma, handles)),
	FIELD("hcaObjects", DECODE_U64, offsetof(struct cfg_rdma, objects)),
	FIELD_END,
};

static int create_rdma(struct decode *d, const json_t *value, void *out)
{
	struct decode_list *list = out;
	const char *key;
	json_t *child;
	size_t i = 0;

	if (!json_is_object(value))
		return decode_fail(d, "must be an object");
	struct cfg_rdma *v = arena_array(d->arena, json_object_size(value), sizeof(*v));
	if (!v)
		return decode_no_memory(d);
	json_object_foreach ((json_t *)(uintptr_t)value, key, child) {
		size_t old = decode_enter(d, ".%.100s", key);
		int ret = decode_object(d, child, rdma_fields, &v[i]);
		if (ret < 0)
			return ret;
		decode_leave(d, old);
		v[i++].device = key;
	}
	*list = (struct decode_list){v, i};
	return 0;
}

/* The names are files of the container's cgroup. */
static int create_unified(struct decode *d, const json_t *value, void *out)
{
	struct decode_list *list = out;
	const char *key;
	json_t *child;
	size_t i = 0;

	if (!json_is_object(value))
		return decode_fail(d, "must be an object");
	struct cfg_sysctl *v = arena_array(d->arena, json_object_size(value), sizeof(*v));
	if (!v)
		return decode_no_memory(d);
	json_object_foreach ((json_t *)(uintptr_t)value, key, child) {
		size_t old = decode_enter(d, "[\"%.100s\"]", key);
		if (!json_is_string(child))
			return decode_fail(d, "must be a string");
		if (!key[0] || strchr(key, '/') || key[0] == '.')
			return decode_fail(d, "is not a cgroup file's name");
		decode_leave(d, old);
		v[i++] = (struct cfg_sysctl){key, json_string_value(child)};
	}
	*list = (struct decode_list){v, i};
	return 0;
}

const struct decode_field create_resources_fields[] = {
	FIELD("devices", DECODE_LIST, RES(devices), .fields = devcg_fields,
		.elem_bytes = sizeof(struct cfg_devcg_rule)),
	FIELD("memory", DECODE_OBJECT, 0, .fields = memory_fields),
	FIELD("cpu", DECODE_OBJECT, 0, .fields = cpu_fields),
	FIELD("pids", DECODE_OBJECT, 0, .fields = pids_fields),
	FIELD("hugepageLimits", DECODE_LIST, RES(hugepages), .fields = hugepage_fields,
		.elem_bytes = sizeof(struct cfg_hugepage)),
	FIELD("blockIO", DECODE_OBJECT, 0, .fields = blkio_fields),
	FIELD("rdma", DECODE_CUSTOM, RES(rdma), .custom = create_rdma),
	FIELD("unified", DECODE_CUSTOM, RES(unified), .custom = create_unified),
	FIELD_END,
};
