/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sections of the OCI runtime configuration for FreeBSD and z/OS, as tables; after
 * config-freebsd.json and config-zos.json of the specification 1.3.0. Such a configuration can't
 * be run here, but a fault in it is found as in any other.
 */
#include "oci/tables.h"

static const char *const sharing_words[] = {"disable", "new", "inherit", NULL};
static const struct oci_schema sharing = WORDS(sharing_words);
/* The same without its first word. */
static const struct oci_schema sharing_enabled = {.kind = OCI_STRING, .words = sharing_words + 1};

static const struct oci_field jail_allow_fields[] = {
	FIELD("setHostname", oci_bool),
	FIELD("rawSockets", oci_bool),
	FIELD("chflags", oci_bool),
	FIELD("mount", oci_strings),
	FIELD("quotas", oci_bool),
	FIELD("socketAf", oci_bool),
	FIELD("mlock", oci_bool),
	FIELD("reservedPorts", oci_bool),
	FIELD("suser", oci_bool),
	FIELDS_END,
};
static const struct oci_schema jail_allow = OBJECT(jail_allow_fields);

static const struct oci_field jail_fields[] = {
	FIELD("parent", oci_string),
	FIELD("host", sharing_enabled),
	FIELD("ip4", sharing),
	FIELD("ip4Addr", oci_strings),
	FIELD("ip6", sharing),
	FIELD("ip6Addr", oci_strings),
	FIELD("vnet", sharing_enabled),
	FIELD("interface", oci_string),
	FIELD("vnetInterfaces", oci_strings),
	FIELD("sysvmsg", sharing),
	FIELD("sysvsem", sharing),
	FIELD("sysvshm", sharing),
	FIELD("enforceStatfs", oci_uint8),
	FIELD("allow", jail_allow),
	FIELDS_END,
};
static const struct oci_schema jail = OBJECT(jail_fields);

static const struct oci_field freebsd_device_fields[] = {
	FIELD("path", oci_string),
	FIELD("mode", oci_file_mode),
	FIELDS_END,
};
static const struct oci_schema freebsd_device = OBJECT(freebsd_device_fields);
static const struct oci_schema freebsd_devices = ARRAY(freebsd_device);

static const struct oci_field freebsd_fields[] = {
	FIELD("devices", freebsd_devices),
	FIELD("jail", jail),
	FIELDS_END,
};
const struct oci_schema oci_freebsd_schema = OBJECT(freebsd_fields);

static const char *const zos_namespace_types[] = {"mount", "pid", "uts", "ipc", NULL};
static const struct oci_schema zos_namespace_type = WORDS(zos_namespace_types);
static const struct oci_field zos_namespace_fields[] = {
	REQUIRED("type", zos_namespace_type),
	FIELD("path", oci_string),
	FIELDS_END,
};
static const struct oci_schema zos_namespace = OBJECT(zos_namespace_fields);
static const struct oci_schema zos_namespaces = ARRAY(zos_namespace);
static const struct oci_field zos_fields[] = {FIELD("namespaces", zos_namespaces), FIELDS_END};
const struct oci_schema oci_zos_schema = OBJECT(zos_fields);
