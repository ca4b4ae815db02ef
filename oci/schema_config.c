/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OCI runtime configuration as tables: what is common to all platforms, the process, and the
 * vm section. After config-schema.json, defs.json and config-vm.json of the specification 1.3.0.
 * The sections for Solaris and Windows are objects here and no more: no configuration that needs
 * them can be run, and unlike those of FreeBSD and z/OS they have no examples to be held to.
 */
#include <string.h>

#include "oci/tables.h"

static const struct oci_schema plain_object = {.kind = OCI_OBJECT};

static const struct oci_schema timeout = {.kind = OCI_INT, .min = 1, .max = INT64_MAX};
static const struct oci_field hook_fields[] = {
	REQUIRED("path", oci_string),
	FIELD("args", oci_strings),
	FIELD("env", oci_strings),
	FIELD("timeout", timeout),
	FIELDS_END,
};
static const struct oci_schema hook = OBJECT(hook_fields);
static const struct oci_schema hook_list = ARRAY(hook);
static const struct oci_field hooks_fields[] = {
	FIELD("prestart", hook_list),
	FIELD("createRuntime", hook_list),
	FIELD("createContainer", hook_list),
	FIELD("startContainer", hook_list),
	FIELD("poststart", hook_list),
	FIELD("poststop", hook_list),
	FIELDS_END,
};
static const struct oci_schema hooks = OBJECT(hooks_fields);

static const struct oci_field mount_fields[] = {
	REQUIRED("destination", oci_string),
	FIELD("source", oci_string),
	FIELD("type", oci_string),
	FIELD("options", oci_strings),
	FIELD("uidMappings", oci_id_mappings),
	FIELD("gidMappings", oci_id_mappings),
	FIELDS_END,
};
static const struct oci_schema mount = OBJECT(mount_fields);
const struct oci_schema oci_mounts_schema = ARRAY(mount);

static const struct oci_field root_fields[] = {
	REQUIRED("path", oci_string),
	FIELD("readonly", oci_bool),
	FIELDS_END,
};
static const struct oci_schema root = OBJECT(root_fields);

static const struct oci_field console_size_fields[] = {
	REQUIRED("height", oci_uint64),
	REQUIRED("width", oci_uint64),
	FIELDS_END,
};
static const struct oci_schema console_size = OBJECT(console_size_fields);

static const struct oci_field user_fields[] = {
	FIELD("uid", oci_uint32),
	FIELD("gid", oci_uint32),
	FIELD("umask", oci_uint32),
	FIELD("additionalGids", oci_uint32s),
	FIELD("username", oci_string),
	FIELDS_END,
};
static const struct oci_schema user = OBJECT(user_fields);

static const struct oci_field capabilities_fields[] = {
	FIELD("bounding", oci_strings),
	FIELD("permitted", oci_strings),
	FIELD("effective", oci_strings),
	FIELD("inheritable", oci_strings),
	FIELD("ambient", oci_strings),
	FIELDS_END,
};
static const struct oci_schema capabilities = OBJECT(capabilities_fields);

static const char *const io_classes[] = {
	"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE", NULL};
static const struct oci_schema io_class = WORDS(io_classes);
static const struct oci_field io_priority_fields[] = {
	REQUIRED("class", io_class),
	FIELD("priority", oci_int32),
	FIELDS_END,
};
static const struct oci_schema io_priority = OBJECT(io_priority_fields);

static const char *const scheduler_policies[] = {"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR",
	"SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE", NULL};
static const struct oci_schema scheduler_policy = WORDS(scheduler_policies);
static const char *const scheduler_flag_words[] = {"SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM",
	"SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS",
	"SCHED_FLAG_UTIL_CLAMP_MIN", "SCHED_FLAG_UTIL_CLAMP_MAX", NULL};
static const struct oci_schema scheduler_flag = WORDS(scheduler_flag_words);
static const struct oci_schema scheduler_flags = ARRAY(scheduler_flag);
static const struct oci_field scheduler_fields[] = {
	REQUIRED("policy", scheduler_policy),
	FIELD("nice", oci_int32),
	FIELD("priority", oci_int32),
	FIELD("flags", scheduler_flags),
	FIELD("runtime", oci_uint64),
	FIELD("deadline", oci_uint64),
	FIELD("period", oci_uint64),
	FIELDS_END,
};
static const struct oci_schema scheduler = OBJECT(scheduler_fields);

static bool is_rlimit(const char *text)
{
	if (strncmp(text, "RLIMIT_", 7) != 0 || !text[7])
		return false;
	for (text += 7; *text; text++)
		if (*text < 'A' || *text > 'Z')
			return false;
	return true;
}

static const struct oci_schema rlimit_type = {
	.kind = OCI_STRING, .match = is_rlimit, .want = "be RLIMIT_ and capital letters"};
static const struct oci_field rlimit_fields[] = {
	REQUIRED("type", rlimit_type),
	REQUIRED("soft", oci_uint64),
	REQUIRED("hard", oci_uint64),
	FIELDS_END,
};
static const struct oci_schema rlimit = OBJECT(rlimit_fields);
static const struct oci_schema rlimits = ARRAY(rlimit);

static bool is_cpu_list(const char *text)
{
	return text[strspn(text, "0123456789, -")] == '\0';
}

static const struct oci_schema cpu_list = {
	.kind = OCI_STRING, .match = is_cpu_list, .want = "be a list of CPUs like 0-3,7"};
static const struct oci_field exec_affinity_fields[] = {
	FIELD("initial", cpu_list),
	FIELD("final", cpu_list),
	FIELDS_END,
};
static const struct oci_schema exec_affinity = OBJECT(exec_affinity_fields);

static const struct oci_field process_fields[] = {
	FIELD("args", oci_strings),
	REQUIRED("cwd", oci_string),
	FIELD("env", oci_strings),
	FIELD("terminal", oci_bool),
	FIELD("consoleSize", console_size),
	FIELD("user", user),
	FIELD("capabilities", capabilities),
	FIELD("rlimits", rlimits),
	FIELD("noNewPrivileges", oci_bool),
	FIELD("oomScoreAdj", oci_int64),
	FIELD("apparmorProfile", oci_string),
	FIELD("selinuxLabel", oci_string),
	FIELD("ioPriority", io_priority),
	FIELD("scheduler", scheduler),
	FIELD("execCPUAffinity", exec_affinity),
	FIELD("commandLine", oci_string),
	FIELDS_END,
};
const struct oci_schema oci_process_schema = OBJECT(process_fields);

static const struct oci_field hypervisor_fields[] = {
	REQUIRED("path", oci_string),
	FIELD("parameters", oci_strings),
	FIELDS_END,
};
static const struct oci_schema hypervisor = OBJECT(hypervisor_fields);

static const struct oci_field kernel_fields[] = {
	REQUIRED("path", oci_string),
	FIELD("parameters", oci_strings),
	FIELD("initrd", oci_string),
	FIELDS_END,
};
static const struct oci_schema kernel = OBJECT(kernel_fields);

static const char *const image_formats[] = {"raw", "qcow2", "vdi", "vmdk", "vhd", NULL};
static const struct oci_schema image_format = WORDS(image_formats);
static const struct oci_field image_fields[] = {
	REQUIRED("path", oci_string),
	REQUIRED("format", image_format),
	FIELDS_END,
};
static const struct oci_schema image = OBJECT(image_fields);

static const struct oci_field iomem_fields[] = {
	FIELD("firstGFN", oci_uint64),
	REQUIRED("firstMFN", oci_uint64),
	REQUIRED("nrMFNs", oci_uint64),
	FIELDS_END,
};
static const struct oci_schema iomem = OBJECT(iomem_fields);
static const struct oci_schema iomems = ARRAY(iomem);

static const struct oci_field hw_config_fields[] = {
	FIELD("deviceTree", oci_string),
	FIELD("vcpus", oci_uint32),
	FIELD("memory", oci_uint64),
	FIELD("dtdevs", oci_strings),
	FIELD("iomems", iomems),
	FIELD("irqs", oci_uint32s),
	FIELDS_END,
};
static const struct oci_schema hw_config = OBJECT(hw_config_fields);

static const struct oci_field vm_fields[] = {
	FIELD("hypervisor", hypervisor),
	REQUIRED("kernel", kernel),
	FIELD("image", image),
	FIELD("hwConfig", hw_config),
	FIELDS_END,
};
static const struct oci_schema vm = OBJECT(vm_fields);

static const struct oci_field config_fields[] = {
	REQUIRED("ociVersion", oci_string),
	FIELD("process", oci_process_schema),
	FIELD("root", root),
	FIELD("hostname", oci_string),
	FIELD("domainname", oci_string),
	FIELD("mounts", oci_mounts_schema),
	FIELD("hooks", hooks),
	FIELD("annotations", oci_string_map),
	FIELD("linux", oci_linux_schema),
	FIELD("vm", vm),
	FIELD("freebsd", oci_freebsd_schema),
	FIELD("zos", oci_zos_schema),
	FIELD("solaris", plain_object),
	FIELD("windows", plain_object),
	FIELDS_END,
};
const struct oci_schema oci_config_schema = OBJECT(config_fields);
