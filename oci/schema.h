/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A compact JSON schema: constant tables that say what a document may hold, and the walk that
 * compares a document with them. A fault is reported with the JSON path of the value, as in
 * `mounts[3].destination: must be a string`. Members that a table does not name are ignored, as
 * the OCI specification demands of runtimes ("Extensibility"), unless the object is `closed`.
 */
#ifndef OCI_SCHEMA_H
#define OCI_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum oci_kind {
	OCI_ANY,
	OCI_BOOL,
	OCI_STRING,
	OCI_INT,    /* from min to max, both within int64 */
	OCI_UINT64, /* the whole range of uint64; see oci/number.h */
	OCI_OBJECT,
	OCI_ARRAY,
	OCI_MAP, /* an object with free names, each value being of `items` */
};

struct oci_schema {
	enum oci_kind kind;
	bool closed;			 /* OCI_OBJECT: an unknown member is a fault */
	size_t min_items;		 /* OCI_ARRAY */
	int64_t min, max;		 /* OCI_INT */
	const struct oci_field *fields;	 /* OCI_OBJECT: up to the one without a name */
	const struct oci_schema *items;	 /* OCI_ARRAY, OCI_MAP */
	const char *const *words;	 /* OCI_STRING: one of these, NULL at the end */
	bool (*match)(const char *text); /* OCI_STRING */
	const char *want;		 /* what match wants: "must WANT" */
};

struct oci_field {
	const char *name;
	const struct oci_schema *schema;
	bool required;
};

/* Where a value is: a chain of frames on the stack, innermost first. key NULL: an array's index. */
struct oci_path {
	const struct oci_path *up;
	const char *key;
	size_t index;
};

/* "linux.devices[2].path", cut at cap_bytes; the empty string for the document itself (NULL). */
void oci_path_format(const struct oci_path *path, char *buf, size_t cap_bytes);

/* Fills e with "PATH: text" and returns -EINVAL. */
int oci_fault(const struct oci_path *path, struct err *e, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Compares value, which lies at path (NULL: the whole document), with schema. 0, or -EINVAL with
 * e naming the path of the first fault in the order of the tables.
 */
int oci_schema_check(const struct oci_schema *schema, const json_t *value,
	const struct oci_path *path, struct err *e) must_check;

/*
 * Removes the members that schema does not name from value and all below it, for readers that
 * refuse what they don't know. value has passed the schema.
 */
void oci_schema_prune(const struct oci_schema *schema, json_t *value);

/* The tables of the OCI runtime configuration, 1.0 to 1.3, and of what a runtime prints. */
extern const struct oci_schema oci_config_schema;
extern const struct oci_schema oci_process_schema;
extern const struct oci_schema oci_mounts_schema;
extern const struct oci_schema oci_linux_schema;
extern const struct oci_schema oci_freebsd_schema;
extern const struct oci_schema oci_zos_schema;
extern const struct oci_schema oci_features_schema;
extern const struct oci_schema oci_state_schema;

/* Shared by the tables. */
extern const struct oci_schema oci_any, oci_bool, oci_string, oci_strings, oci_string_map;
extern const struct oci_schema oci_int32, oci_int64, oci_uint8, oci_uint16, oci_uint32, oci_uint64;
extern const struct oci_schema oci_uint32s, oci_id_mappings, oci_file_mode;
extern const struct oci_schema oci_namespace_type, oci_seccomp_action, oci_seccomp_op;
extern const struct oci_schema oci_seccomp_arch, oci_seccomp_flag;

#endif
