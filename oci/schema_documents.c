/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents that a runtime prints, as tables: its features and a container's state; after
 * features-schema.json, features-linux.json and state-schema.json of the specification 1.3.0.
 */
#include <string.h>

#include "oci/tables.h"

static const struct oci_field enabled_fields[] = {
	FIELD("enabled", oci_bool),
	FIELDS_END,
};
static const struct oci_schema enabled = OBJECT(enabled_fields);

static bool is_capability(const char *text)
{
	if (strncmp(text, "CAP_", 4) != 0 || !text[4])
		return false;
	return text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_")] == '\0';
}

static const struct oci_schema capability = {
	.kind = OCI_STRING, .match = is_capability, .want = "be CAP_ and capital letters"};
static const struct oci_schema capabilities = ARRAY(capability);
static const struct oci_schema namespaces = ARRAY(oci_namespace_type);

static const struct oci_field cgroup_fields[] = {
	FIELD("v1", oci_bool),
	FIELD("v2", oci_bool),
	FIELD("systemd", oci_bool),
	FIELD("systemdUser", oci_bool),
	FIELD("rdma", oci_bool),
	FIELDS_END,
};
static const struct oci_schema cgroup = OBJECT(cgroup_fields);

static const struct oci_schema actions = ARRAY(oci_seccomp_action);
static const struct oci_schema operators = ARRAY(oci_seccomp_op);
static const struct oci_schema archs = ARRAY(oci_seccomp_arch);
static const struct oci_schema flags = ARRAY(oci_seccomp_flag);
static const struct oci_field seccomp_fields[] = {
	FIELD("enabled", oci_bool),
	FIELD("actions", actions),
	FIELD("operators", operators),
	FIELD("archs", archs),
	FIELD("knownFlags", flags),
	FIELD("supportedFlags", flags),
	FIELDS_END,
};
static const struct oci_schema seccomp = OBJECT(seccomp_fields);

static const struct oci_field mount_extensions_fields[] = {
	FIELD("idmap", enabled),
	FIELDS_END,
};
static const struct oci_schema mount_extensions = OBJECT(mount_extensions_fields);

static const struct oci_field linux_fields[] = {
	FIELD("namespaces", namespaces),
	FIELD("capabilities", capabilities),
	FIELD("cgroup", cgroup),
	FIELD("seccomp", seccomp),
	FIELD("apparmor", enabled),
	FIELD("selinux", enabled),
	FIELD("intelRdt", enabled),
	FIELD("mountExtensions", mount_extensions),
	FIELD("netDevices", enabled),
	FIELDS_END,
};
static const struct oci_schema linux_section = OBJECT(linux_fields);

static const struct oci_field features_fields[] = {
	REQUIRED("ociVersionMin", oci_string),
	REQUIRED("ociVersionMax", oci_string),
	FIELD("hooks", oci_strings),
	FIELD("mountOptions", oci_strings),
	FIELD("linux", linux_section),
	FIELD("annotations", oci_string_map),
	FIELD("potentiallyUnsafeConfigAnnotations", oci_strings),
	FIELDS_END,
};
const struct oci_schema oci_features_schema = OBJECT(features_fields);

static const char *const status_words[] = {"creating", "created", "running", "stopped", NULL};
static const struct oci_schema status = WORDS(status_words);
static const struct oci_schema pid = {.kind = OCI_INT, .max = INT32_MAX};
static const struct oci_field state_fields[] = {
	REQUIRED("ociVersion", oci_string),
	REQUIRED("id", oci_string),
	REQUIRED("status", status),
	FIELD("pid", pid),
	REQUIRED("bundle", oci_string),
	FIELD("annotations", oci_string_map),
	FIELDS_END,
};
const struct oci_schema oci_state_schema = OBJECT(state_fields);
