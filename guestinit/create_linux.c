/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding of `config.linux` but for its resources; see create.h and runtime-spec "Linux". */
#include <errno.h>
#include <string.h>

#include "guestinit/create.h"
#include "guestinit/syscalls.h"

const struct decode_field create_id_map_fields[] = {
	FIELD("containerID", DECODE_U32, offsetof(struct cfg_id_map, container_id),
		.required = true),
	FIELD("hostID", DECODE_U32, offsetof(struct cfg_id_map, host_id), .required = true),
	FIELD("size", DECODE_U32, offsetof(struct cfg_id_map, size), .required = true),
	FIELD_END,
};

struct namespace
{
	const char *type, *path;
};

static const struct decode_field namespace_fields[] = {
	FIELD("type", DECODE_STRING, offsetof(struct namespace, type), .required = true),
	FIELD("path", DECODE_STRING, offsetof(struct namespace, path)),
	FIELD_END,
};

static const struct {
	const char *type;
	uint64_t flag;
} namespace_types[] = {
	{"pid", CLONE_NEWPID},
	{"network", CLONE_NEWNET},
	{"mount", CLONE_NEWNS},
	{"ipc", CLONE_NEWIPC},
	{"uts", CLONE_NEWUTS},
	{"user", CLONE_NEWUSER},
	{"cgroup", CLONE_NEWCGROUP},
	{"time", CLONE_NEWTIME},
};

static uint64_t namespace_flag(const char *type)
{
	for (size_t i = 0; i < sizeof(namespace_types) / sizeof(namespace_types[0]); i++)
		if (strcmp(namespace_types[i].type, type) == 0)
			return namespace_types[i].flag;
	return 0;
}

static int create_namespaces(struct decode *d, const json_t *value, void *out)
{
	uint64_t *flags = out;
	struct decode_list list;
	int ret = decode_list(d, value, namespace_fields, sizeof(struct namespace), &list);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < list.n; i++) {
		const struct namespace *ns = (struct namespace *)list.v + i;
		uint64_t flag = namespace_flag(ns->type);

		decode_enter(d, "[%zu]", i);
		if (!flag)
			return decode_fail(d, "no namespace of type \"%s\"", ns->type);
		if (*flags & flag)
			return decode_fail(d, "a second one of type \"%s\"", ns->type);
		/* A network by path is the VM's own: the host wired its device into it. */
		if (ns->path && ns->path[0] && flag != CLONE_NEWNET)
			return decode_fail(d, "joining by path is not supported in the guest");
		*flags |= flag;
		*strrchr(d->path, '[') = '\0';
	}
	return 0;
}

/* {"key": "value", …} as a list of pairs. */
static int create_pairs(struct decode *d, const json_t *value, void *out)
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
		if (!json_is_string(child)) {
			decode_enter(d, ".%.100s", key);
			return decode_fail(d, "must be a string");
		}
		v[i++] = (struct cfg_sysctl){key, json_string_value(child)};
	}
	*list = (struct decode_list){v, i};
	return 0;
}

static const struct decode_field device_fields[] = {
	FIELD("type", DECODE_STRING, offsetof(struct cfg_device, type), .required = true),
	FIELD("path", DECODE_STRING, offsetof(struct cfg_device, path), .required = true),
	FIELD("major", DECODE_I64, offsetof(struct cfg_device, major)),
	FIELD("minor", DECODE_I64, offsetof(struct cfg_device, minor)),
	FIELD("fileMode", DECODE_U64, offsetof(struct cfg_device, mode)),
	FIELD("uid", DECODE_U64, offsetof(struct cfg_device, uid)),
	FIELD("gid", DECODE_U64, offsetof(struct cfg_device, gid)),
	FIELD_END,
};

static const struct decode_field offset_fields[] = {
	FIELD("secs", DECODE_I64, offsetof(struct cfg_time_offset, secs)),
	FIELD("nanosecs", DECODE_U64, offsetof(struct cfg_time_offset, nanosecs)),
	FIELD_END,
};

static int create_time_offset(struct decode *d, const json_t *value, void *out)
{
	struct cfg_time_offset *offset = out;

	offset->set = true;
	return decode_object(d, value, offset_fields, offset);
}

static const struct decode_field offsets_fields[] = {
	FIELD("monotonic", DECODE_CUSTOM, offsetof(struct cfg_linux, monotonic),
		.custom = create_time_offset),
	FIELD("boottime", DECODE_CUSTOM, offsetof(struct cfg_linux, boottime),
		.custom = create_time_offset),
	FIELD_END,
};

static int create_time_offsets(struct decode *d, const json_t *value, void *out)
{
	return decode_object(d, value, offsets_fields, out);
}

static int create_propagation(struct decode *d, const json_t *value, void *out)
{
	const char *word = json_string_value(value);

	if (!word)
		return decode_fail(d, "must be a string");
	if (!word[0])
		return 0;
	*(uint64_t *)out = mount_options_propagation(word);
	if (!*(uint64_t *)out)
		return decode_fail(d, "no propagation \"%s\"", word);
	return 0;
}

struct personality_json {
	const char *domain;
	struct strings flags;
};

static const struct decode_field personality_fields[] = {
	FIELD("domain", DECODE_STRING, offsetof(struct personality_json, domain), .required = true),
	FIELD("flags", DECODE_STRINGS, offsetof(struct personality_json, flags)),
	FIELD_END,
};

static int create_personality(struct decode *d, const json_t *value, void *out)
{
	struct personality_json p = {0};
	int ret = decode_object(d, value, personality_fields, &p);

	if (ret < 0)
		return ret;
	if (strcmp(p.domain, "LINUX") != 0 && strcmp(p.domain, "LINUX32") != 0)
		return decode_fail(d, "no domain \"%s\"", p.domain);
	if (p.flags.n)
		return decode_fail(d, "flags are not supported");
	*(const char **)out = p.domain;
	return 0;
}

static const struct decode_field seccomp_arg_fields[] = {
	FIELD("index", DECODE_U32, offsetof(struct cfg_seccomp_arg, index), .required = true),
	FIELD("value", DECODE_RAW64, offsetof(struct cfg_seccomp_arg, value), .required = true),
	FIELD("valueTwo", DECODE_RAW64, offsetof(struct cfg_seccomp_arg, value_two)),
	FIELD("op", DECODE_STRING, offsetof(struct cfg_seccomp_arg, op), .required = true),
	FIELD_END,
};

static const struct decode_field seccomp_rule_fields[] = {
	FIELD("names", DECODE_STRINGS, offsetof(struct cfg_seccomp_rule, names), .required = true),
	FIELD("action", DECODE_STRING, offsetof(struct cfg_seccomp_rule, action), .required = true),
	FIELD("errnoRet", DECODE_U64, offsetof(struct cfg_seccomp_rule, errno_ret)),
	FIELD("args", DECODE_LIST, offsetof(struct cfg_seccomp_rule, args),
		.fields = seccomp_arg_fields, .elem_bytes = sizeof(struct cfg_seccomp_arg)),
	FIELD_END,
};

const struct decode_field create_seccomp_fields[] = {
	FIELD("defaultAction", DECODE_STRING, offsetof(struct cfg_seccomp, default_action),
		.required = true),
	FIELD("defaultErrnoRet", DECODE_U64, offsetof(struct cfg_seccomp, default_errno)),
	FIELD("architectures", DECODE_STRINGS, offsetof(struct cfg_seccomp, architectures)),
	FIELD("flags", DECODE_STRINGS, offsetof(struct cfg_seccomp, flags)),
	FIELD("syscalls", DECODE_LIST, offsetof(struct cfg_seccomp, rules),
		.fields = seccomp_rule_fields, .elem_bytes = sizeof(struct cfg_seccomp_rule)),
	FIELD_END,
};

static int create_seccomp(struct decode *d, const json_t *value, void *out)
{
	struct cfg_seccomp *seccomp = out;

	seccomp->set = true;
	return decode_object(d, value, create_seccomp_fields, seccomp);
}

#define ID_MAP(member)                                                                             \
	.type = DECODE_LIST, .offset = offsetof(struct cfg_linux, member),                         \
	.fields = create_id_map_fields, .elem_bytes = sizeof(struct cfg_id_map)

/* There is no LSM in the guest: mountLabel has nothing to label for. */
const struct decode_field create_linux_fields[] = {
	FIELD("namespaces", DECODE_CUSTOM, offsetof(struct cfg_linux, clone_flags),
		.custom = create_namespaces),
	{.key = "uidMappings", ID_MAP(uid_maps)},
	{.key = "gidMappings", ID_MAP(gid_maps)},
	FIELD("timeOffsets", DECODE_CUSTOM, 0, .custom = create_time_offsets),
	FIELD("devices", DECODE_LIST, offsetof(struct cfg_linux, devices), .fields = device_fields,
		.elem_bytes = sizeof(struct cfg_device)),
	FIELD("sysctl", DECODE_CUSTOM, offsetof(struct cfg_linux, sysctl), .custom = create_pairs),
	FIELD("seccomp", DECODE_CUSTOM, offsetof(struct cfg_linux, seccomp),
		.custom = create_seccomp),
	FIELD("rootfsPropagation", DECODE_CUSTOM, offsetof(struct cfg_linux, propagation),
		.custom = create_propagation),
	FIELD("maskedPaths", DECODE_STRINGS, offsetof(struct cfg_linux, masked_paths)),
	FIELD("readonlyPaths", DECODE_STRINGS, offsetof(struct cfg_linux, readonly_paths)),
	FIELD("resources", DECODE_OBJECT, offsetof(struct cfg_linux, resources),
		.fields = create_resources_fields),
	FIELD("personality", DECODE_CUSTOM, offsetof(struct cfg_linux, personality),
		.custom = create_personality),
	FIELD("cgroupsPath", DECODE_IGNORE, 0),
	FIELD("mountLabel", DECODE_IGNORE, 0),
	FIELD_END,
};
