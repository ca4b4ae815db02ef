/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bundle's config.json: read with bounds, compared with the schema of the OCI runtime
 * specification 1.0 to 1.3, held to the rules that its text adds, and laid out for use. Whether
 * hvrun can honour what it asks for is another question: runtime/support.h.
 */
#ifndef OCI_CONFIG_H
#define OCI_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define OCI_CONFIG_MAX_BYTES (16u << 20)
/* Guests read at most MSG_MAX_DEPTH levels, and no known field lies nearly as deep as that. */
#define OCI_CONFIG_MAX_DEPTH 28

enum oci_namespace {
	OCI_NS_MOUNT = 1 << 0,
	OCI_NS_PID = 1 << 1,
	OCI_NS_NETWORK = 1 << 2,
	OCI_NS_UTS = 1 << 3,
	OCI_NS_IPC = 1 << 4,
	OCI_NS_USER = 1 << 5,
	OCI_NS_CGROUP = 1 << 6,
	OCI_NS_TIME = 1 << 7,
};

/* Pointers below are borrowed from json, which the struct owns; NULL where the field is absent. */
struct oci_config {
	json_t *json;
	const char *version;
	const char *root_path;
	bool root_readonly;
	json_t *process;
	bool terminal;
	uint16_t rows, columns; /* consoleSize, 0 unknown */
	const char *hostname, *domainname;
	json_t *mounts;
	json_t *hooks;
	json_t *annotations;
	json_t *linux_section;
	unsigned namespaces; /* enum oci_namespace, those listed */
	json_t *resources;
	int64_t memory_limit_bytes; /* 0: none */
	int64_t cpu_quota_us;	    /* 0: none */
	uint64_t cpu_period_us;	    /* never 0 */
	const char *cpus, *mems;    /* lists of the host's CPUs and memory nodes */
	json_t *vm;
	const char *vm_kernel_path, *vm_hypervisor_path;
	json_t *vm_kernel_parameters;
	uint32_t vm_vcpus;	  /* 0: not given */
	uint64_t vm_memory_bytes; /* 0: not given */
};

/*
 * Parses len_bytes of text; what names it in messages ("config.json"). 0 with *config filled, the
 * caller's to oci_config_fini; or -errno with e naming the JSON path, and nothing to free.
 */
int oci_config_parse(struct oci_config *config, const char *text, size_t len_bytes,
	const char *what, struct err *e) must_check;

/* The same for a file, read from its current position. */
int oci_config_parse_fd(
	struct oci_config *config, int fd, const char *what, struct err *e) must_check;

void oci_config_fini(struct oci_config *config);
#define cleanup_config __attribute__((cleanup(oci_config_fini)))

/*
 * What is wrong with an environment variable, in words that callers know from runc; NULL for one
 * with a name and a value.
 */
const char *oci_env_fault(const char *text);

/* The value at a path of member names ("linux.resources.memory"), NULL when it is not there. */
json_t *oci_lookup(const json_t *value, const char *path);

/* The bit of enum oci_namespace for the name that the specification gives it, 0 if unknown. */
unsigned oci_namespace_bit(const char *type);

/*
 * The rules that the text of the specification adds to the schema; config is filled and its json
 * has passed the schema. Called by oci_config_parse. -EINVAL with e naming the JSON path.
 */
int oci_rules_check(const struct oci_config *config, struct err *e) must_check;

#endif
