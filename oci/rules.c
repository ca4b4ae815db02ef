/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the text of the OCI runtime specification demands of a configuration beyond its schema.
 * Every function takes values that have passed the schema, so types are not looked at again.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "oci/config.h"
#include "oci/number.h"
#include "oci/schema.h"

#define HOSTNAME_MAX_BYTES 64 /* __NEW_UTS_LEN of Linux */
#define NS_PER_S	   1000000000u

#define DEVICE_NAME_MAX_BYTES 15 /* IFNAMSIZ of Linux, without the end */

#define AT(parent, name) (&(struct oci_path){.up = (parent), .key = (name)})
#define NTH(parent, i)	 (&(struct oci_path){.up = (parent), .index = (i)})

static const char *text_of(const json_t *object, const char *name)
{
	return json_string_value(json_object_get(object, name));
}

static int absolute(const char *text, const struct oci_path *path, struct err *e)
{
	if (!text || text[0] == '/')
		return 0;
	return oci_fault(path, e, *text ? "must be absolute" : "must not be empty");
}

static int all_absolute(const json_t *array, const struct oci_path *path, struct err *e)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		int ret = absolute(json_string_value(json_array_get(array, i)), NTH(path, i), e);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Semantic Versioning 2.0.0: three numbers without leading zeros, and what may follow them. */
static bool is_semver(const char *text)
{
	for (int part = 0; part < 3; part++) {
		size_t n = strspn(text, "0123456789");
		if (!n || n > 9 || (n > 1 && text[0] == '0'))
			return false;
		text += n;
		if (part < 2 && *text++ != '.')
			return false;
	}
	if (!*text)
		return true;
	if (*text != '-' && *text != '+')
		return false;
	return text[1] &&
		text[strspn(text,
			"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-.+")] ==
		'\0';
}

static int rules_rlimits(const json_t *rlimits, const struct oci_path *path, struct err *e)
{
	/* The names of setrlimit(2), without the common beginning. */
	static const char *const known[] = {"AS", "CORE", "CPU", "DATA", "FSIZE", "LOCKS",
		"MEMLOCK", "MSGQUEUE", "NICE", "NOFILE", "NPROC", "RSS", "RTPRIO", "RTTIME",
		"SIGPENDING", "STACK"};
	unsigned seen = 0;

	for (size_t i = 0; i < json_array_size(rlimits); i++) {
		const json_t *entry = json_array_get(rlimits, i);
		const char *type = text_of(entry, "type");
		size_t k = 0;
		while (k < sizeof(known) / sizeof(known[0]) && strcmp(known[k], type + 7) != 0)
			k++;
		const struct oci_path *here = NTH(path, i);
		if (k == sizeof(known) / sizeof(known[0]))
			return oci_fault(AT(here, "type"), e, "\"%s\" is not known", type);
		if (seen & 1u << k)
			return oci_fault(AT(here, "type"), e, "\"%s\" is given twice", type);
		seen |= 1u << k;
		uint64_t soft, hard;
		if (oci_number_get(json_object_get(entry, "soft"), &soft) < 0 ||
			oci_number_get(json_object_get(entry, "hard"), &hard) < 0)
			return oci_fault(here, e, "must have a soft and a hard limit");
		if (soft > hard)
			return oci_fault(AT(here, "soft"), e,
				"%" PRIu64 " is larger than the hard limit, %" PRIu64, soft, hard);
	}
	return 0;
}

const char *oci_env_fault(const char *text)
{
	if (!strchr(text, '='))
		return "invalid environment variable";
	return text[0] == '=' ? "environment variable name can't be empty" : NULL;
}

static int rules_env(const json_t *env, const struct oci_path *path, struct err *e)
{
	for (size_t i = 0; i < json_array_size(env); i++) {
		const char *text = json_string_value(json_array_get(env, i));
		const char *fault = oci_env_fault(text);
		if (fault)
			return oci_fault(NTH(path, i), e, "%s: \"%s\"", fault, text);
	}
	return 0;
}

static int rules_process(const struct oci_config *config, struct err *e)
{
	const struct oci_path *path = AT(NULL, "process");
	const json_t *process = config->process;

	if (!process)
		return 0;
	if (!json_array_size(json_object_get(process, "args")) &&
		!json_object_get(config->json, "windows"))
		return oci_fault(AT(path, "args"), e, "must not be empty");
	int ret = absolute(text_of(process, "cwd"), AT(path, "cwd"), e);
	if (ret < 0)
		return ret;
	ret = rules_env(json_object_get(process, "env"), AT(path, "env"), e);
	if (ret < 0)
		return ret;
	json_int_t score = json_integer_value(json_object_get(process, "oomScoreAdj"));
	if (score < -1000 || score > 1000)
		return oci_fault(AT(path, "oomScoreAdj"), e, "must be between -1000 and 1000");
	json_int_t umask_bits = json_integer_value(oci_lookup(process, "user.umask"));
	if (umask_bits > 0777)
		return oci_fault(AT(AT(path, "user"), "umask"), e, "must be between 0 and 511");
	return rules_rlimits(json_object_get(process, "rlimits"), AT(path, "rlimits"), e);
}

static bool is_bind(const json_t *mount)
{
	const json_t *options = json_object_get(mount, "options");
	const char *type = text_of(mount, "type");

	if (type && strcmp(type, "bind") == 0)
		return true;
	for (size_t i = 0; i < json_array_size(options); i++) {
		const char *option = json_string_value(json_array_get(options, i));
		if (strcmp(option, "bind") == 0 || strcmp(option, "rbind") == 0)
			return true;
	}
	return false;
}

static int rules_mounts(const struct oci_config *config, struct err *e)
{
	const struct oci_path *path = AT(NULL, "mounts");

	/* Elsewhere than on Linux a destination may look different. */
	if (!config->linux_section && json_object_get(config->json, "windows"))
		return 0;
	for (size_t i = 0; i < json_array_size(config->mounts); i++) {
		const json_t *mount = json_array_get(config->mounts, i);
		const struct oci_path *here = NTH(path, i);
		if (!*text_of(mount, "destination"))
			return oci_fault(AT(here, "destination"), e, "must not be empty");
		const char *source = text_of(mount, "source");
		if (is_bind(mount) && (!source || !*source))
			return oci_fault(AT(here, "source"), e, "is missing from a bind mount");
		bool uids = json_array_size(json_object_get(mount, "uidMappings"));
		bool gids = json_array_size(json_object_get(mount, "gidMappings"));
		if (uids != gids)
			return oci_fault(AT(here, uids ? "gidMappings" : "uidMappings"), e,
				"is missing beside the other mapping");
	}
	return 0;
}

static int rules_hooks(const json_t *hooks, struct err *e)
{
	static const char *const kinds[] = {"prestart", "createRuntime", "createContainer",
		"startContainer", "poststart", "poststop"};
	const struct oci_path *path = AT(NULL, "hooks");

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		const json_t *list = json_object_get(hooks, kinds[k]);
		for (size_t i = 0; i < json_array_size(list); i++) {
			int ret = absolute(text_of(json_array_get(list, i), "path"),
				AT(NTH(AT(path, kinds[k]), i), "path"), e);
			if (ret < 0)
				return ret;
		}
	}
	return 0;
}

static int rules_namespaces(
	const struct oci_config *config, const struct oci_path *up, struct err *e)
{
	const json_t *list = json_object_get(config->linux_section, "namespaces");
	const struct oci_path *path = AT(up, "namespaces");
	unsigned seen = 0;

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *entry = json_array_get(list, i);
		const char *type = text_of(entry, "type");
		unsigned bit = oci_namespace_bit(type);
		if (seen & bit)
			return oci_fault(
				AT(NTH(path, i), "type"), e, "\"%s\" is given twice", type);
		seen |= bit;
		const char *ns_path = text_of(entry, "path");
		if (ns_path && *ns_path && *ns_path != '/')
			return oci_fault(AT(NTH(path, i), "path"), e, "must be absolute");
	}
	/* What would otherwise change the host itself. */
	if (config->hostname && *config->hostname && !(seen & OCI_NS_UTS))
		return oci_fault(AT(NULL, "hostname"), e, "needs a namespace of type uts");
	if (config->domainname && *config->domainname && !(seen & OCI_NS_UTS))
		return oci_fault(AT(NULL, "domainname"), e, "needs a namespace of type uts");
	if (json_object_size(json_object_get(config->linux_section, "timeOffsets")) &&
		!(seen & OCI_NS_TIME))
		return oci_fault(AT(up, "timeOffsets"), e, "needs a namespace of type time");
	bool uids = json_array_size(json_object_get(config->linux_section, "uidMappings"));
	bool gids = json_array_size(json_object_get(config->linux_section, "gidMappings"));
	if ((uids || gids) && !(seen & OCI_NS_USER))
		return oci_fault(AT(up, uids ? "uidMappings" : "gidMappings"), e,
			"needs a namespace of type user");
	return 0;
}

static int rules_devices(const json_t *devices, const struct oci_path *path, struct err *e)
{
	for (size_t i = 0; i < json_array_size(devices); i++) {
		const json_t *device = json_array_get(devices, i);
		const struct oci_path *here = NTH(path, i);
		int ret = absolute(text_of(device, "path"), AT(here, "path"), e);
		if (ret < 0)
			return ret;
		if (text_of(device, "type")[0] == 'p')
			continue;
		for (int k = 0; k < 2; k++) {
			const char *name = k ? "minor" : "major";
			const json_t *number = json_object_get(device, name);
			if (!number)
				return oci_fault(AT(here, name), e, "is missing");
			/* The kernel has 12 bits for the major and 20 for the minor number. */
			json_int_t value = json_integer_value(number);
			if (value < 0 || value >= (k ? 1 << 20 : 1 << 12))
				return oci_fault(AT(here, name), e, "is out of range");
		}
	}
	return 0;
}

static bool action_takes_errno(const char *action)
{
	return strcmp(action, "SCMP_ACT_ERRNO") == 0 || strcmp(action, "SCMP_ACT_TRACE") == 0;
}

static int rules_seccomp(const json_t *seccomp, const struct oci_path *path, struct err *e)
{
	const json_t *calls = json_object_get(seccomp, "syscalls");
	const char *listener = text_of(seccomp, "listenerPath");
	bool notify = false;

	if (!seccomp)
		return 0;
	const char *fallback = text_of(seccomp, "defaultAction");
	if (strcmp(fallback, "SCMP_ACT_NOTIFY") == 0)
		return oci_fault(AT(path, "defaultAction"), e,
			"SCMP_ACT_NOTIFY can't be the default: it would stop the runtime itself");
	if (json_object_get(seccomp, "defaultErrnoRet") && !action_takes_errno(fallback))
		return oci_fault(
			AT(path, "defaultErrnoRet"), e, "has no meaning with %s", fallback);
	for (size_t i = 0; i < json_array_size(calls); i++) {
		const json_t *call = json_array_get(calls, i);
		const json_t *args = json_object_get(call, "args");
		const char *action = text_of(call, "action");
		const struct oci_path *here = NTH(AT(path, "syscalls"), i);
		notify |= strcmp(action, "SCMP_ACT_NOTIFY") == 0;
		if (json_object_get(call, "errnoRet") && !action_takes_errno(action))
			return oci_fault(AT(here, "errnoRet"), e, "has no meaning with %s", action);
		for (size_t k = 0; k < json_array_size(args); k++)
			if (json_integer_value(json_object_get(json_array_get(args, k), "index")) >
				5)
				return oci_fault(AT(NTH(AT(here, "args"), k), "index"), e,
					"must be between 0 and 5");
	}
	if (notify && (!listener || !*listener))
		return oci_fault(AT(path, "listenerPath"), e, "is needed by SCMP_ACT_NOTIFY");
	return absolute(listener && *listener ? listener : NULL, AT(path, "listenerPath"), e);
}

/* As the kernel wants the names of network devices. */
static bool is_device_name(const char *name)
{
	return *name && strlen(name) <= DEVICE_NAME_MAX_BYTES && strcmp(name, ".") != 0 &&
		strcmp(name, "..") != 0 && !strpbrk(name, "/:% \t\n\v\f\r");
}

/* What a device is called in the container. */
static const char *device_name(const char *name, const json_t *device)
{
	const char *other = text_of(device, "name");

	return other && *other ? other : name;
}

static int rules_net_devices(const json_t *devices, const struct oci_path *path, struct err *e)
{
	const char *name, *other_name;
	json_t *device, *other;

	json_object_foreach ((json_t *)(uintptr_t)devices, name, device) {
		const char *inside = device_name(name, device);
		if (!is_device_name(name))
			return oci_fault(AT(path, name), e, "is not the name of a network device");
		if (!is_device_name(inside))
			return oci_fault(AT(AT(path, name), "name"), e,
				"\"%.64s\" is not the name of a network device", inside);
		json_object_foreach ((json_t *)(uintptr_t)devices, other_name, other) {
			if (other == device)
				break;
			if (strcmp(device_name(other_name, other), inside) == 0)
				return oci_fault(AT(path, name), e,
					"\"%s\" would be the name of \"%s\", too", inside,
					other_name);
		}
	}
	return 0;
}

/* Names become paths below /proc/sys in the guest. */
static int rules_sysctl(const json_t *sysctl, const struct oci_path *path, struct err *e)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)sysctl, name, value) {
		if (!*name || name[0] == '.' || name[0] == '/' || strstr(name, "..") ||
			strstr(name, "//"))
			return oci_fault(AT(path, name), e, "is not the name of a sysctl");
	}
	return 0;
}

static int rules_linux(const struct oci_config *config, struct err *e)
{
	const json_t *section = config->linux_section;
	const struct oci_path *path = AT(NULL, "linux");
	static const char *const clocks[] = {"monotonic", "boottime"};

	int ret = rules_namespaces(config, path, e);
	if (ret == 0)
		ret = rules_devices(json_object_get(section, "devices"), AT(path, "devices"), e);
	if (ret == 0)
		ret = rules_net_devices(
			json_object_get(section, "netDevices"), AT(path, "netDevices"), e);
	if (ret == 0)
		ret = rules_seccomp(json_object_get(section, "seccomp"), AT(path, "seccomp"), e);
	if (ret == 0)
		ret = rules_sysctl(json_object_get(section, "sysctl"), AT(path, "sysctl"), e);
	if (ret == 0)
		ret = all_absolute(
			json_object_get(section, "maskedPaths"), AT(path, "maskedPaths"), e);
	if (ret == 0)
		ret = all_absolute(
			json_object_get(section, "readonlyPaths"), AT(path, "readonlyPaths"), e);
	for (size_t k = 0; k < 2 && ret == 0; k++) {
		const json_t *offset =
			json_object_get(json_object_get(section, "timeOffsets"), clocks[k]);
		if (json_integer_value(json_object_get(offset, "nanosecs")) >= NS_PER_S)
			ret = oci_fault(AT(AT(AT(path, "timeOffsets"), clocks[k]), "nanosecs"), e,
				"must be less than %u", NS_PER_S);
	}
	return ret;
}

static int rules_vm(const struct oci_config *config, struct err *e)
{
	const struct oci_path *path = AT(NULL, "vm");
	static const char *const files[][2] = {
		{"hypervisor", "path"},
		{"kernel", "path"},
		{"kernel", "initrd"},
		{"image", "path"},
		{"hwConfig", "deviceTree"},
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int ret = absolute(text_of(json_object_get(config->vm, files[i][0]), files[i][1]),
			AT(AT(path, files[i][0]), files[i][1]), e);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int oci_rules_check(const struct oci_config *config, struct err *e)
{
	if (!is_semver(config->version))
		return oci_fault(AT(NULL, "ociVersion"), e, "\"%.64s\" is not a version like 1.3.0",
			config->version);
	if (config->root_path && !*config->root_path)
		return oci_fault(AT(AT(NULL, "root"), "path"), e, "must not be empty");
	if (config->hostname && strlen(config->hostname) > HOSTNAME_MAX_BYTES)
		return oci_fault(
			AT(NULL, "hostname"), e, "is longer than %d bytes", HOSTNAME_MAX_BYTES);
	if (config->domainname && strlen(config->domainname) > HOSTNAME_MAX_BYTES)
		return oci_fault(
			AT(NULL, "domainname"), e, "is longer than %d bytes", HOSTNAME_MAX_BYTES);
	const char *name;
	json_t *value;
	json_object_foreach (config->annotations, name, value) {
		if (!*name)
			return oci_fault(AT(NULL, "annotations"), e, "has an empty name");
	}
	int ret = rules_process(config, e);
	if (ret == 0)
		ret = rules_mounts(config, e);
	if (ret == 0)
		ret = rules_hooks(config->hooks, e);
	/* A configuration for z/OS and the like keeps its own rules about host names. */
	if (ret == 0 && (config->linux_section || config->vm))
		ret = rules_linux(config, e);
	if (ret == 0)
		ret = rules_vm(config, e);
	return ret;
}
