/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linux section of the OCI runtime configuration as tables; after config-linux.json and
 * defs-linux.json of the specification 1.3.0.
 */
#include <string.h>

#include "oci/tables.h"

static bool is_device_type(const char *text)
{
	return text[0] && strchr("cbup", text[0]) && !text[1];
}

static const struct oci_schema device_type = {
	.kind = OCI_STRING, .match = is_device_type, .want = "be one of c, b, u and p"};
static const struct oci_field device_fields[] = {
	REQUIRED("type", device_type),
	REQUIRED("path", oci_string),
	FIELD("fileMode", oci_file_mode),
	FIELD("major", oci_int64),
	FIELD("minor", oci_int64),
	FIELD("uid", oci_uint32),
	FIELD("gid", oci_uint32),
	FIELDS_END,
};
static const struct oci_schema device = OBJECT(device_fields);
static const struct oci_schema devices = ARRAY(device);

static const struct oci_field net_device_fields[] = {FIELD("name", oci_string), FIELDS_END};
static const struct oci_schema net_device = OBJECT(net_device_fields);
static const struct oci_schema net_devices = MAP(net_device);

static const char *const namespace_types[] = {
	"mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time", NULL};
const struct oci_schema oci_namespace_type = WORDS(namespace_types);
static const struct oci_field namespace_fields[] = {
	REQUIRED("type", oci_namespace_type),
	FIELD("path", oci_string),
	FIELDS_END,
};
static const struct oci_schema namespace = OBJECT(namespace_fields);
static const struct oci_schema namespaces = ARRAY(namespace);

static const struct oci_field device_rule_fields[] = {
	REQUIRED("allow", oci_bool),
	FIELD("type", oci_string),
	FIELD("major", oci_int64),
	FIELD("minor", oci_int64),
	FIELD("access", oci_string),
	FIELDS_END,
};
static const struct oci_schema device_rule = OBJECT(device_rule_fields);
static const struct oci_schema device_rules = ARRAY(device_rule);

static const struct oci_field pids_fields[] = {REQUIRED("limit", oci_int64), FIELDS_END};
static const struct oci_schema pids = OBJECT(pids_fields);

static const struct oci_field throttle_fields[] = {
	REQUIRED("major", oci_int64),
	REQUIRED("minor", oci_int64),
	FIELD("rate", oci_uint64),
	FIELDS_END,
};
static const struct oci_schema throttle = OBJECT(throttle_fields);
static const struct oci_schema throttles = ARRAY(throttle);
static const struct oci_field weight_fields[] = {
	REQUIRED("major", oci_int64),
	REQUIRED("minor", oci_int64),
	FIELD("weight", oci_uint16),
	FIELD("leafWeight", oci_uint16),
	FIELDS_END,
};
static const struct oci_schema weight = OBJECT(weight_fields);
static const struct oci_schema weights = ARRAY(weight);
static const struct oci_field block_io_fields[] = {
	FIELD("weight", oci_uint16),
	FIELD("leafWeight", oci_uint16),
	FIELD("weightDevice", weights),
	FIELD("throttleReadBpsDevice", throttles),
	FIELD("throttleWriteBpsDevice", throttles),
	FIELD("throttleReadIOPSDevice", throttles),
	FIELD("throttleWriteIOPSDevice", throttles),
	FIELDS_END,
};
static const struct oci_schema block_io = OBJECT(block_io_fields);

static const struct oci_field cpu_fields[] = {
	FIELD("shares", oci_uint64),
	FIELD("quota", oci_int64),
	FIELD("burst", oci_uint64),
	FIELD("period", oci_uint64),
	FIELD("realtimeRuntime", oci_int64),
	FIELD("realtimePeriod", oci_uint64),
	FIELD("cpus", oci_string),
	FIELD("mems", oci_string),
	FIELD("idle", oci_int64),
	FIELDS_END,
};
static const struct oci_schema cpu = OBJECT(cpu_fields);

/* ^[1-9][0-9]*[KMG]B$ */
static bool is_page_size(const char *text)
{
	size_t n = strspn(text, "0123456789");

	return n && text[0] != '0' && text[n] && strchr("KMG", text[n]) &&
		strcmp(text + n + 1, "B") == 0;
}

static const struct oci_schema page_size = {
	.kind = OCI_STRING, .match = is_page_size, .want = "be a size like 2MB"};
static const struct oci_field hugepage_fields[] = {
	REQUIRED("pageSize", page_size),
	REQUIRED("limit", oci_uint64),
	FIELDS_END,
};
static const struct oci_schema hugepage = OBJECT(hugepage_fields);
static const struct oci_schema hugepages = ARRAY(hugepage);

static const struct oci_field memory_fields[] = {
	FIELD("limit", oci_int64),
	FIELD("reservation", oci_int64),
	FIELD("swap", oci_int64),
	FIELD("kernel", oci_int64),
	FIELD("kernelTCP", oci_int64),
	FIELD("swappiness", oci_uint64),
	FIELD("disableOOMKiller", oci_bool),
	FIELD("useHierarchy", oci_bool),
	FIELD("checkBeforeUpdate", oci_bool),
	FIELDS_END,
};
static const struct oci_schema memory = OBJECT(memory_fields);

static const struct oci_field net_priority_fields[] = {
	REQUIRED("name", oci_string),
	REQUIRED("priority", oci_uint32),
	FIELDS_END,
};
static const struct oci_schema net_priority = OBJECT(net_priority_fields);
static const struct oci_schema net_priorities = ARRAY(net_priority);
static const struct oci_field network_fields[] = {
	FIELD("classID", oci_uint32),
	FIELD("priorities", net_priorities),
	FIELDS_END,
};
static const struct oci_schema network = OBJECT(network_fields);

static const struct oci_field rdma_fields[] = {
	FIELD("hcaHandles", oci_uint32),
	FIELD("hcaObjects", oci_uint32),
	FIELDS_END,
};
static const struct oci_schema rdma = OBJECT(rdma_fields);
static const struct oci_schema rdmas = MAP(rdma);

static const struct oci_field resources_fields[] = {
	FIELD("unified", oci_string_map),
	FIELD("devices", device_rules),
	FIELD("pids", pids),
	FIELD("blockIO", block_io),
	FIELD("cpu", cpu),
	FIELD("hugepageLimits", hugepages),
	FIELD("memory", memory),
	FIELD("network", network),
	FIELD("rdma", rdmas),
	FIELDS_END,
};
static const struct oci_schema resources = OBJECT(resources_fields);

/* The specification has the first four; callers write the recursive ones, too, and runc takes them.
 */
static const char *const propagations[] = {"private", "shared", "slave", "unbindable", "rprivate",
	"rshared", "rslave", "runbindable", NULL};
static const struct oci_schema propagation = WORDS(propagations);

static const char *const seccomp_actions[] = {"SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
	"SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE",
	"SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", NULL};
const struct oci_schema oci_seccomp_action = WORDS(seccomp_actions);
static const char *const seccomp_flag_words[] = {"SECCOMP_FILTER_FLAG_TSYNC",
	"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
	"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", NULL};
const struct oci_schema oci_seccomp_flag = WORDS(seccomp_flag_words);
static const struct oci_schema seccomp_flags = ARRAY(oci_seccomp_flag);
static const char *const seccomp_arch_words[] = {"SCMP_ARCH_X86", "SCMP_ARCH_X86_64",
	"SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64", "SCMP_ARCH_LOONGARCH64",
	"SCMP_ARCH_M68K", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32",
	"SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
	"SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_SH",
	"SCMP_ARCH_SHEB", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64", NULL};
const struct oci_schema oci_seccomp_arch = WORDS(seccomp_arch_words);
static const struct oci_schema seccomp_archs = ARRAY(oci_seccomp_arch);
static const char *const seccomp_ops[] = {"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",
	"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ", NULL};
const struct oci_schema oci_seccomp_op = WORDS(seccomp_ops);
static const struct oci_field seccomp_arg_fields[] = {
	REQUIRED("index", oci_uint32),
	REQUIRED("value", oci_uint64),
	FIELD("valueTwo", oci_uint64),
	REQUIRED("op", oci_seccomp_op),
	FIELDS_END,
};
static const struct oci_schema seccomp_arg = OBJECT(seccomp_arg_fields);
static const struct oci_schema seccomp_args = ARRAY(seccomp_arg);
static const struct oci_schema seccomp_names = {
	.kind = OCI_ARRAY, .items = &oci_string, .min_items = 1};
static const struct oci_field seccomp_call_fields[] = {
	REQUIRED("names", seccomp_names),
	REQUIRED("action", oci_seccomp_action),
	FIELD("errnoRet", oci_uint32),
	FIELD("args", seccomp_args),
	FIELDS_END,
};
static const struct oci_schema seccomp_call = OBJECT(seccomp_call_fields);
static const struct oci_schema seccomp_calls = ARRAY(seccomp_call);
static const struct oci_field seccomp_fields[] = {
	REQUIRED("defaultAction", oci_seccomp_action),
	FIELD("defaultErrnoRet", oci_uint32),
	FIELD("architectures", seccomp_archs),
	FIELD("flags", seccomp_flags),
	FIELD("listenerPath", oci_string),
	FIELD("listenerMetadata", oci_string),
	FIELD("syscalls", seccomp_calls),
	FIELDS_END,
};
static const struct oci_schema seccomp = OBJECT(seccomp_fields);

/* ^MB:[^\n]*$ */
static bool is_bandwidth(const char *text)
{
	return strncmp(text, "MB:", 3) == 0 && !strchr(text, '\n');
}

static const struct oci_schema bandwidth = {
	.kind = OCI_STRING, .match = is_bandwidth, .want = "be one line beginning with MB:"};
static const struct oci_field rdt_fields[] = {
	FIELD("closID", oci_string),
	FIELD("schemata", oci_strings),
	FIELD("l3CacheSchema", oci_string),
	FIELD("memBwSchema", bandwidth),
	FIELD("enableMonitoring", oci_bool),
	FIELDS_END,
};
static const struct oci_schema rdt = OBJECT(rdt_fields);

static const char *const policy_modes[] = {"MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE",
	"MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL", NULL};
static const struct oci_schema policy_mode = WORDS(policy_modes);
static const char *const policy_flag_words[] = {
	"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES", NULL};
static const struct oci_schema policy_flag = WORDS(policy_flag_words);
static const struct oci_schema policy_flags = ARRAY(policy_flag);
static const struct oci_field policy_fields[] = {
	FIELD("mode", policy_mode),
	FIELD("nodes", oci_string),
	FIELD("flags", policy_flags),
	FIELDS_END,
};
static const struct oci_schema policy = OBJECT(policy_fields);

static const char *const personality_domains[] = {"LINUX", "LINUX32", NULL};
static const struct oci_schema personality_domain = WORDS(personality_domains);
static const struct oci_field personality_fields[] = {
	FIELD("domain", personality_domain),
	FIELD("flags", oci_strings),
	FIELDS_END,
};
static const struct oci_schema personality = OBJECT(personality_fields);

static const struct oci_field offset_fields[] = {
	FIELD("secs", oci_int64),
	FIELD("nanosecs", oci_uint32),
	FIELDS_END,
};
static const struct oci_schema offset = OBJECT(offset_fields);
static const struct oci_field offsets_fields[] = {
	FIELD("boottime", offset),
	FIELD("monotonic", offset),
	FIELDS_END,
};
static const struct oci_schema offsets = OBJECT(offsets_fields);

static const struct oci_field linux_fields[] = {
	FIELD("namespaces", namespaces),
	FIELD("uidMappings", oci_id_mappings),
	FIELD("gidMappings", oci_id_mappings),
	FIELD("timeOffsets", offsets),
	FIELD("devices", devices),
	FIELD("netDevices", net_devices),
	FIELD("cgroupsPath", oci_string),
	FIELD("resources", resources),
	FIELD("intelRdt", rdt),
	FIELD("memoryPolicy", policy),
	FIELD("sysctl", oci_string_map),
	FIELD("seccomp", seccomp),
	FIELD("rootfsPropagation", propagation),
	FIELD("maskedPaths", oci_strings),
	FIELD("readonlyPaths", oci_strings),
	FIELD("mountLabel", oci_string),
	FIELD("personality", personality),
	FIELDS_END,
};
const struct oci_schema oci_linux_schema = OBJECT(linux_fields);
