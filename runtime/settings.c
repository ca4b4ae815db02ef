/* SPDX-License-Identifier: Apache-2.0 */
/* The host's configuration; see settings.h. */
#include "runtime/settings.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "oci/tables.h"
#include "runtime/options.h"

#define SETTINGS_MAX_BYTES (1u << 20)
#define SETTINGS_MAX_DEPTH 8
#define ANNOTATION_PREFIX  "dev.hvrun."

/* Room that the guest's kernel takes before the container has a byte. */
#define MEMORY_OVERHEAD_DEFAULT_MIB 64

/* A guest of 64 vCPUs takes minutes where the host is itself a virtual machine, emulated at that.
 */
#define BOOT_TIMEOUT_DEFAULT_S 600
#define BOOT_TIMEOUT_MAX_S     86400

#define RATE_MIN_BYTES 1024 /* a second: less carries no frame */
#define RATE_MAX_BYTES 1000000000000

static const char *const accels[] = {"kvm", "emulation", NULL};
static const char *const discoveries[] = {"cmdline", "acpi", NULL};
static const char *const caches[] = {"auto", "never", "always", NULL};
static const char *const lock_kinds[] = {"guest", "host", NULL};
static const char *const namespace_rules[] = {"refuse", "vm", NULL};
static const char *const networks[] = {"namespace", "user", "none", NULL};

static const struct oci_schema accel_schema = WORDS(accels);
static const struct oci_schema discovery_schema = WORDS(discoveries);
static const struct oci_schema cache_schema = WORDS(caches);
static const struct oci_schema locks_schema = WORDS(lock_kinds);
static const struct oci_schema namespace_schema = WORDS(namespace_rules);
static const struct oci_schema network_schema = WORDS(networks);
static const struct oci_schema spares_schema = {
	.kind = OCI_INT, .min = 0, .max = SPARE_INTERFACES_MAX};
static const struct oci_schema rate_schema = {
	.kind = OCI_INT, .min = RATE_MIN_BYTES, .max = RATE_MAX_BYTES};
static const struct oci_schema vcpus_schema = {.kind = OCI_INT, .min = 1, .max = VCPUS_MAX};
static const struct oci_schema memory_schema = {
	.kind = OCI_INT, .min = MEMORY_MIN_MIB, .max = MEMORY_MAX_MIB};
static const struct oci_schema overhead_schema = {.kind = OCI_INT, .min = 1, .max = MEMORY_MAX_MIB};
static const struct oci_schema boot_timeout_schema = {
	.kind = OCI_INT, .min = 1, .max = BOOT_TIMEOUT_MAX_S};
static const struct oci_schema threads_schema = {.kind = OCI_INT, .min = 1, .max = 64};

static const struct oci_schema uid_schema = {.kind = OCI_INT, .min = 0, .max = UID_BASE_MAX};

static const struct oci_field settings_fields[] = {
	FIELD("accel", accel_schema),
	FIELD("kernel", oci_string),
	FIELD("modules", oci_string),
	FIELD("discovery", discovery_schema),
	FIELD("cmdline", oci_string),
	FIELD("vcpus", vcpus_schema),
	FIELD("memoryMiB", memory_schema),
	FIELD("memoryOverheadMiB", overhead_schema),
	FIELD("hostOverheadMiB", overhead_schema),
	FIELD("bootTimeoutSeconds", boot_timeout_schema),
	FIELD("qemu", oci_string),
	FIELD("cache", cache_schema),
	FIELD("locks", locks_schema),
	FIELD("threads", threads_schema),
	FIELD("annotations", oci_strings),
	FIELD("hostNamespaces", namespace_schema),
	FIELD("network", network_schema),
	FIELD("spareInterfaces", spares_schema),
	FIELD("rxBytesPerSecond", rate_schema),
	FIELD("txBytesPerSecond", rate_schema),
	FIELD("antiSpoof", oci_bool),
	FIELD("passt", oci_string),
	FIELD("uidBase", uid_schema),
	FIELD("debug", oci_bool),
	FIELDS_END,
};
static const struct oci_schema settings_schema = {
	.kind = OCI_OBJECT, .fields = settings_fields, .closed = true};

const char *accel_name(enum accel accel)
{
	return accels[accel];
}

int settings_accel(const char *text, enum accel *accel, struct err *e)
{
	for (int i = 0; accels[i]; i++) {
		if (strcmp(accels[i], text) == 0) {
			*accel = (enum accel)i;
			return 0;
		}
	}
	return err_set(e, EINVAL, "\"%s\" is not an engine: there are kvm and emulation", text);
}

int settings_network(const char *text, enum network_kind *network, struct err *e)
{
	for (int i = 0; networks[i]; i++) {
		if (strcmp(networks[i], text) == 0) {
			*network = (enum network_kind)i;
			return 0;
		}
	}
	return err_set(
		e, EINVAL, "\"%s\" is not a network: there are namespace, user and none", text);
}

/* Reads one file over what was read before. A file that is not there is fine unless needed. */
static int settings_read(struct settings *settings, int dir, const char *name, const char *what,
	bool needed, struct err *e)
{
	cleanup_close int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return errno == ENOENT && !needed ? 0 : err_sys(e, errno, "%s", what);
	cleanup_json json_t *json =
		json_parse_fd(fd, SETTINGS_MAX_BYTES, SETTINGS_MAX_DEPTH, what, e);
	if (!json)
		return -EINVAL;
	int ret = oci_schema_check(&settings_schema, json, NULL, e);
	if (ret < 0) {
		err_add(e, "%s", what);
		return ret;
	}
	if (json_object_update(settings->json, json) < 0)
		return err_sys(e, ENOMEM, "%s", what);
	return 0;
}

static int is_settings_file(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return entry->d_name[0] != '.' && n > 5 && strcmp(entry->d_name + n - 5, ".json") == 0;
}

static int settings_read_dir(struct settings *settings, struct err *e)
{
	cleanup_close int dir = open(SETTINGS_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return errno == ENOENT ? 0 : err_sys(e, errno, "%s", SETTINGS_DIR);
	int ret =
		settings_read(settings, dir, "config.json", SETTINGS_DIR "/config.json", false, e);
	struct dirent **names = NULL;
	int n = ret < 0 ? 0 : scandirat(dir, "config.d", &names, is_settings_file, alphasort);
	if (n < 0 && errno != ENOENT)
		ret = err_sys(e, errno, "%s/config.d", SETTINGS_DIR);
	for (int i = 0; i < n; i++) {
		char what[512], name[300];
		snprintf(name, sizeof(name), "config.d/%s", names[i]->d_name);
		snprintf(what, sizeof(what), "%s/%s", SETTINGS_DIR, name);
		if (ret == 0)
			ret = settings_read(settings, dir, name, what, true, e);
		free(names[i]);
	}
	free(names);
	return ret;
}

static const char *text_of(const struct settings *settings, const char *key)
{
	return json_string_value(json_object_get(settings->json, key));
}

static unsigned number_of(const struct settings *settings, const char *key)
{
	return (unsigned)json_integer_value(json_object_get(settings->json, key));
}

static int fill_network(struct settings *s, struct err *e)
{
	const json_t *spares = json_object_get(s->json, "spareInterfaces");
	const char *network = text_of(s, "network");

	s->spare_interfaces = spares ? (int)json_integer_value(spares) : -1;
	s->rx_bytes = (uint64_t)json_integer_value(json_object_get(s->json, "rxBytesPerSecond"));
	s->tx_bytes = (uint64_t)json_integer_value(json_object_get(s->json, "txBytesPerSecond"));
	s->anti_spoof = json_is_true(json_object_get(s->json, "antiSpoof"));
	s->passt = text_of(s, "passt");
	return network ? settings_network(network, &s->network, e) : 0;
}

static int settings_fill(struct settings *s, struct err *e)
{
	const char *accel = text_of(s, "accel"), *rule = text_of(s, "hostNamespaces");
	const json_t *uid = json_object_get(s->json, "uidBase");

	s->kernel = text_of(s, "kernel");
	s->modules = text_of(s, "modules");
	s->discovery = text_of(s, "discovery");
	s->cmdline = text_of(s, "cmdline");
	s->vcpus = number_of(s, "vcpus");
	s->memory_mib = number_of(s, "memoryMiB");
	s->memory_overhead_mib = number_of(s, "memoryOverheadMiB");
	if (!s->memory_overhead_mib)
		s->memory_overhead_mib = MEMORY_OVERHEAD_DEFAULT_MIB;
	s->host_overhead_mib = number_of(s, "hostOverheadMiB");
	s->boot_timeout_s = number_of(s, "bootTimeoutSeconds");
	if (!s->boot_timeout_s)
		s->boot_timeout_s = BOOT_TIMEOUT_DEFAULT_S;
	s->qemu = text_of(s, "qemu");
	s->cache = text_of(s, "cache");
	s->locks = text_of(s, "locks");
	s->threads = number_of(s, "threads");
	s->annotations = json_object_get(s->json, "annotations");
	s->vm_namespaces = rule && strcmp(rule, "vm") == 0;
	s->uid_base = uid ? (uint32_t)json_integer_value(uid) : UID_BASE_DEFAULT;
	s->debug = json_is_true(json_object_get(s->json, "debug"));
	int ret = fill_network(s, e);
	return ret == 0 && accel ? settings_accel(accel, &s->accel, e) : ret;
}

int settings_load(struct settings *settings, const char *file, struct err *e)
{
	memset(settings, 0, sizeof(*settings));
	settings->json = json_object();
	if (!settings->json)
		return err_sys(e, ENOMEM, "settings");
	int ret = file ? settings_read(settings, AT_FDCWD, file, file, true, e)
		       : settings_read_dir(settings, e);
	if (ret == 0)
		ret = settings_fill(settings, e);
	if (ret < 0)
		settings_fini(settings);
	return ret;
}

void settings_fini(struct settings *settings)
{
	json_decref(settings->json);
	memset(settings, 0, sizeof(*settings));
}

void settings_use_kernel(struct settings *settings, const char *path)
{
	settings->kernel = path;
	settings->modules = NULL;
	settings->discovery = NULL;
}

static bool annotation_allowed(const struct settings *settings, const char *name)
{
	for (size_t i = 0; i < json_array_size(settings->annotations); i++)
		if (strcmp(json_string_value(json_array_get(settings->annotations, i)), name) == 0)
			return true;
	return false;
}

static int rate_of(const char *value, uint64_t *out, struct err *e)
{
	char *end;

	errno = 0;
	unsigned long long n = strtoull(value, &end, 10);
	if (errno || *end || value[0] < '0' || value[0] > '9' || n < RATE_MIN_BYTES ||
		n > RATE_MAX_BYTES)
		return err_set(e, EINVAL, "must be a number from %d to %lld", RATE_MIN_BYTES,
			(long long)RATE_MAX_BYTES);
	*out = n;
	return 0;
}

/* 1: is none of these. */
static int annotation_network(
	struct settings *s, const char *name, const char *value, struct err *e)
{
	if (strcmp(name, "network") == 0)
		return settings_network(value, &s->network, e);
	if (strcmp(name, "net.rxBytesPerSecond") == 0)
		return rate_of(value, &s->rx_bytes, e);
	if (strcmp(name, "net.txBytesPerSecond") == 0)
		return rate_of(value, &s->tx_bytes, e);
	if (strcmp(name, "net.antiSpoof") == 0) {
		s->anti_spoof = strcmp(value, "true") == 0;
		return s->anti_spoof || strcmp(value, "false") == 0
			? 0
			: err_set(e, EINVAL, "must be true or false");
	}
	if (strcmp(name, "net.ports") != 0)
		return 1;
	s->ports = value;
	return 0;
}

static int annotation_apply(struct settings *s, const char *name, const char *value, struct err *e)
{
	const char *const *words = NULL;
	int ret = annotation_network(s, name, value, e);

	if (ret <= 0)
		return ret;

	if (strcmp(name, "accel") == 0)
		return settings_accel(value, &s->accel, e);
	if (strcmp(name, "vcpus") == 0)
		return options_number(value, 1, VCPUS_MAX, &s->vcpus_forced) < 0
			? err_set(e, EINVAL, "must be a number from 1 to %u", VCPUS_MAX)
			: 0;
	if (strcmp(name, "memoryMiB") == 0)
		return options_number(
			       value, MEMORY_MIN_MIB, MEMORY_MAX_MIB, &s->memory_forced_mib) < 0
			? err_set(e, EINVAL, "must be a number from %u to %u", MEMORY_MIN_MIB,
				  MEMORY_MAX_MIB)
			: 0;
	if (strcmp(name, "kernel") == 0)
		return 0; /* by settings_annotate, before all others */
	if (strcmp(name, "modules") == 0)
		s->modules = value;
	else if (strcmp(name, "cmdline") == 0)
		s->cmdline = value;
	else if (strcmp(name, "cache") == 0)
		words = caches;
	else
		return err_set(e, EINVAL, "is not known");
	while (words && *words && strcmp(*words, value) != 0)
		words++;
	if (words && !*words)
		return err_set(e, EINVAL, "must be auto, never or always");
	if (words)
		s->cache = *words;
	return 0;
}

int settings_annotate(struct settings *settings, json_t *annotations, struct err *e)
{
	json_t *kernel = json_object_get(annotations, ANNOTATION_PREFIX "kernel");
	const char *key;
	json_t *value;

	if (kernel && annotation_allowed(settings, "kernel"))
		settings_use_kernel(settings, json_string_value(kernel));
	json_object_foreach (annotations, key, value) {
		if (strncmp(key, ANNOTATION_PREFIX, strlen(ANNOTATION_PREFIX)) != 0)
			continue;
		const char *name = key + strlen(ANNOTATION_PREFIX);
		int ret;
		if (!annotation_allowed(settings, name))
			ret = err_set(e, EPERM,
				"not allowed by this host: \"annotations\" in its configuration "
				"does not list \"%s\"",
				name);
		else
			ret = annotation_apply(settings, name, json_string_value(value), e);
		if (ret < 0)
			return err_add(e, "config.json: annotations[\"%s\"]", key);
	}
	return 0;
}
