/* SPDX-License-Identifier: Apache-2.0 */
/* Reading config.json; see config.h. */
#include "oci/config.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "oci/number.h"
#include "oci/schema.h"

#define CPU_PERIOD_DEFAULT_US 100000

json_t *oci_lookup(const json_t *value, const char *path)
{
	char name[64];

	while (value && *path) {
		size_t n = strcspn(path, ".");
		if (n >= sizeof(name))
			return NULL;
		memcpy(name, path, n);
		name[n] = '\0';
		value = json_object_get(value, name);
		path += n + (path[n] == '.');
	}
	return (json_t *)(uintptr_t)value;
}

unsigned oci_namespace_bit(const char *type)
{
	static const struct {
		const char *type;
		unsigned bit;
	} table[] = {
		{"mount", OCI_NS_MOUNT},
		{"pid", OCI_NS_PID},
		{"network", OCI_NS_NETWORK},
		{"uts", OCI_NS_UTS},
		{"ipc", OCI_NS_IPC},
		{"user", OCI_NS_USER},
		{"cgroup", OCI_NS_CGROUP},
		{"time", OCI_NS_TIME},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i].type, type) == 0)
			return table[i].bit;
	return 0;
}

static const char *text_at(const json_t *value, const char *path)
{
	return json_string_value(oci_lookup(value, path));
}

static uint64_t number_at(const json_t *value, const char *path)
{
	uint64_t number = 0;

	if (oci_number_get(oci_lookup(value, path), &number) < 0)
		return 0;
	return number;
}

/* The kernel's window size has 16 bits a side. */
static uint16_t cells_at(const json_t *value, const char *path)
{
	uint64_t cells = number_at(value, path);

	return cells > UINT16_MAX ? UINT16_MAX : (uint16_t)cells;
}

static void config_fill_linux(struct oci_config *config)
{
	json_t *section = json_object_get(config->json, "linux");
	const json_t *list = json_object_get(section, "namespaces");

	config->linux_section = section;
	for (size_t i = 0; i < json_array_size(list); i++)
		config->namespaces |= oci_namespace_bit(
			json_string_value(json_object_get(json_array_get(list, i), "type")));
	config->resources = json_object_get(section, "resources");
	/* -1 means unlimited. */
	config->memory_limit_bytes =
		json_integer_value(oci_lookup(config->resources, "memory.limit"));
	if (config->memory_limit_bytes < 0)
		config->memory_limit_bytes = 0;
	config->cpu_quota_us = json_integer_value(oci_lookup(config->resources, "cpu.quota"));
	if (config->cpu_quota_us < 0)
		config->cpu_quota_us = 0;
	config->cpu_period_us = number_at(config->resources, "cpu.period");
	if (!config->cpu_period_us)
		config->cpu_period_us = CPU_PERIOD_DEFAULT_US;
	config->cpus = text_at(config->resources, "cpu.cpus");
	config->mems = text_at(config->resources, "cpu.mems");
}

static void config_fill(struct oci_config *config)
{
	const json_t *json = config->json;

	config->version = text_at(json, "ociVersion");
	config->root_path = text_at(json, "root.path");
	config->root_readonly = json_is_true(oci_lookup(json, "root.readonly"));
	config->process = json_object_get(json, "process");
	config->terminal = json_is_true(json_object_get(config->process, "terminal"));
	config->rows = cells_at(config->process, "consoleSize.height");
	config->columns = cells_at(config->process, "consoleSize.width");
	config->hostname = text_at(json, "hostname");
	config->domainname = text_at(json, "domainname");
	config->mounts = json_object_get(json, "mounts");
	config->hooks = json_object_get(json, "hooks");
	config->annotations = json_object_get(json, "annotations");
	config_fill_linux(config);
	config->vm = json_object_get(json, "vm");
	config->vm_kernel_path = text_at(config->vm, "kernel.path");
	config->vm_kernel_parameters = oci_lookup(config->vm, "kernel.parameters");
	config->vm_hypervisor_path = text_at(config->vm, "hypervisor.path");
	config->vm_vcpus = (uint32_t)number_at(config->vm, "hwConfig.vcpus");
	config->vm_memory_bytes = number_at(config->vm, "hwConfig.memory");
}

/* A relative destination is one below "/" (config.md, "Mounts"). */
static int config_fix_destinations(struct oci_config *config)
{
	for (size_t i = 0; i < json_array_size(config->mounts); i++) {
		json_t *mount = json_array_get(config->mounts, i);
		const char *destination = text_at(mount, "destination");
		if (*destination == '/')
			continue;
		if (json_object_set_new(mount, "destination", json_sprintf("/%s", destination)) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int config_parse(struct oci_config *config, const char *text, size_t len, struct err *e)
{
	cleanup_free char *marked = NULL;
	size_t marked_len = 0;

	if (len > OCI_CONFIG_MAX_BYTES)
		return err_set(e, EFBIG, "larger than %u bytes", OCI_CONFIG_MAX_BYTES);
	int ret = oci_number_mark(text, len, &marked, &marked_len);
	if (ret < 0)
		return err_sys(e, -ret, "can't read");
	config->json = json_parse(
		marked ? marked : text, marked ? marked_len : len, OCI_CONFIG_MAX_DEPTH, e);
	if (!config->json)
		return -EINVAL;
	ret = oci_schema_check(&oci_config_schema, config->json, NULL, e);
	if (ret < 0)
		return ret;
	config_fill(config);
	ret = oci_rules_check(config, e);
	if (ret < 0)
		return ret;
	if (config->linux_section || !json_object_get(config->json, "windows"))
		ret = config_fix_destinations(config);
	if (ret == 0 && marked)
		ret = oci_number_fold(config->json);
	return ret < 0 ? err_sys(e, -ret, "can't read") : 0;
}

int oci_config_parse(struct oci_config *config, const char *text, size_t len_bytes,
	const char *what, struct err *e)
{
	memset(config, 0, sizeof(*config));
	int ret = config_parse(config, text, len_bytes, e);
	if (ret == 0)
		return 0;
	oci_config_fini(config);
	err_add(e, "%s", what);
	return ret;
}

int oci_config_parse_fd(struct oci_config *config, int fd, const char *what, struct err *e)
{
	cleanup_free char *text = NULL;
	size_t len = 0;

	memset(config, 0, sizeof(*config));
	int ret = fd_slurp(fd, OCI_CONFIG_MAX_BYTES, &text, &len);
	if (ret == -EFBIG)
		return err_set(e, EFBIG, "%s: larger than %u bytes", what, OCI_CONFIG_MAX_BYTES);
	if (ret < 0)
		return err_sys(e, -ret, "%s: can't read", what);
	return oci_config_parse(config, text, len, what, e);
}

void oci_config_fini(struct oci_config *config)
{
	json_decref(config->json);
	memset(config, 0, sizeof(*config));
}
