/* SPDX-License-Identifier: Apache-2.0 */
/* What can't be honoured; see support.h. */
#include "runtime/support.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* Fields that ask for nothing when they are empty, 0, false or -1 (unlimited), as callers write. */
static const struct {
	const char *path, *reason;
} refused[] = {
	{"linux.intelRdt", "cache and bandwidth allocation is not offered for virtual machines"},
	{"linux.memoryPolicy",
		"a virtual machine has one memory node; bind it as a whole with "
		"linux.resources.cpu.mems"},
	{"linux.seccomp.listenerPath",
		"a seccomp listener of the host can't supervise the "
		"processes of a virtual machine"},
	{"linux.resources.rdma", "no RDMA device is passed into the virtual machine"},
	{"linux.resources.network.classID", "needs cgroup v1; containers have cgroup v2"},
	{"linux.resources.network.priorities", "needs cgroup v1; containers have cgroup v2"},
	{"linux.resources.memory.kernel", "needs cgroup v1; containers have cgroup v2"},
	{"linux.resources.memory.kernelTCP", "needs cgroup v1; containers have cgroup v2"},
	{"linux.resources.memory.swappiness", "needs cgroup v1; containers have cgroup v2"},
	{"linux.resources.memory.disableOOMKiller", "needs cgroup v1; containers have cgroup v2"},
	{"linux.resources.cpu.realtimeRuntime", "needs cgroup v1; containers have cgroup v2"},
	{"linux.resources.cpu.realtimePeriod", "needs cgroup v1; containers have cgroup v2"},
	{"linux.resources.blockIO.weight", "the container's files don't lie on a block device"},
	{"linux.resources.blockIO.leafWeight", "needs cgroup v1; containers have cgroup v2"},
	{"linux.resources.blockIO.weightDevice", "the host's block devices are not the guest's"},
	{"linux.resources.blockIO.throttleReadBpsDevice",
		"the host's block devices are not the guest's"},
	{"linux.resources.blockIO.throttleWriteBpsDevice",
		"the host's block devices are not the guest's"},
	{"linux.resources.blockIO.throttleReadIOPSDevice",
		"the host's block devices are not the guest's"},
	{"linux.resources.blockIO.throttleWriteIOPSDevice",
		"the host's block devices are not the guest's"},
	{"vm.hypervisor.parameters", "hvrun's monitor takes no parameters from a bundle"},
	{"vm.kernel.initrd", "hvrun boots an initial RAM disk of its own, holding its init"},
	{"vm.hwConfig.deviceTree", "virtual machines here have no device tree"},
	{"vm.hwConfig.dtdevs", "no device of the host is passed through"},
	{"vm.hwConfig.iomems", "no memory of the host is passed through"},
	{"vm.hwConfig.irqs", "no interrupt of the host is passed through"},
};

bool support_asks(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return json_object_size(value) > 0;
	case JSON_ARRAY:
		return json_array_size(value) > 0;
	case JSON_STRING:
		return json_string_length(value) > 0;
	case JSON_INTEGER:
		return json_integer_value(value) != 0 && json_integer_value(value) != -1;
	case JSON_TRUE:
		return true;
	default:
		return false;
	}
}

static int refuse(struct err *e, const char *path, const char *reason)
{
	return err_set(e, ENOTSUP, "config.json: %s: %s", path, reason);
}

static int check_fields(const struct oci_config *config, struct err *e)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		const json_t *value = oci_lookup(config->json, refused[i].path);
		if (value && support_asks(value))
			return refuse(e, refused[i].path, refused[i].reason);
	}
	return 0;
}

static int check_namespaces(
	const struct oci_config *config, const struct settings *settings, struct err *e)
{
	const json_t *list = json_object_get(config->linux_section, "namespaces");
	static const struct {
		unsigned bit;
		const char *type, *what;
	} shared[] = {
		{OCI_NS_PID, "pid", "processes"},
		{OCI_NS_IPC, "ipc", "shared memory and semaphores"},
	};

	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *entry = json_array_get(list, i);
		const char *path = json_string_value(json_object_get(entry, "path"));
		if (!path || !*path)
			continue;
		const char *type = json_string_value(json_object_get(entry, "type"));
		if (strcmp(type, "network") == 0)
			continue;
		return err_set(e, ENOTSUP,
			"config.json: linux.namespaces[%zu].path: %s: a virtual machine can't join "
			"a "
			"%s namespace of the host: leave the path out",
			i, path, type);
	}
	if (!(config->namespaces & OCI_NS_NETWORK) && !settings->vm_namespaces &&
		settings->network == NETWORK_NAMESPACE)
		return err_set(e, ENOTSUP,
			"config.json: linux.namespaces: no network namespace: a virtual machine "
			"can't share the host's network: add {\"type\": \"network\"}, or use "
			"--network=user (connections by passt) or --network=none");
	if (!(config->namespaces & OCI_NS_NETWORK) &&
		json_object_size(json_object_get(config->linux_section, "netDevices")))
		return err_set(e, EINVAL,
			"config.json: linux.netDevices: there is no namespace of type network to "
			"move them into");
	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]) && !settings->vm_namespaces; i++)
		if (!(config->namespaces & shared[i].bit))
			return err_set(e, ENOTSUP,
				"config.json: linux.namespaces: there is no namespace of type %s, "
				"but "
				"a virtual machine can't share the host's %s: add {\"type\": "
				"\"%s\"}",
				shared[i].type, shared[i].what, shared[i].type);
	return 0;
}

bool support_char_device(unsigned major, unsigned minor)
{
	static const struct {
		unsigned major, minor;
	} known[] = {
		{1, 3},	   /* null */
		{1, 5},	   /* zero */
		{1, 7},	   /* full */
		{1, 8},	   /* random */
		{1, 9},	   /* urandom */
		{1, 11},   /* kmsg: the guest's own */
		{5, 0},	   /* tty */
		{5, 1},	   /* console */
		{5, 2},	   /* ptmx */
		{10, 200}, /* net/tun */
		{10, 229}, /* fuse */
		{10, 237}, /* loop-control */
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i].major == major && known[i].minor == minor)
			return true;
	return false;
}

static int check_devices(const struct oci_config *config, struct err *e)
{
	const json_t *devices = json_object_get(config->linux_section, "devices");

	for (size_t i = 0; i < json_array_size(devices); i++) {
		const json_t *device = json_array_get(devices, i);
		char type = json_string_value(json_object_get(device, "type"))[0];
		if (type != 'c' && type != 'u')
			continue;
		unsigned major = (unsigned)json_integer_value(json_object_get(device, "major"));
		unsigned minor = (unsigned)json_integer_value(json_object_get(device, "minor"));
		if (!support_char_device(major, minor))
			return err_set(e, ENOTSUP,
				"config.json: linux.devices[%zu]: %s: character device %u:%u is "
				"not "
				"passed into the virtual machine",
				i, json_string_value(json_object_get(device, "path")), major,
				minor);
	}
	return 0;
}

bool support_has_option(const json_t *mount, const char *option)
{
	const json_t *options = json_object_get(mount, "options");

	for (size_t i = 0; i < json_array_size(options); i++)
		if (strcmp(json_string_value(json_array_get(options, i)), option) == 0)
			return true;
	return false;
}

bool support_is_bind(const json_t *mount)
{
	const char *type = json_string_value(json_object_get(mount, "type"));

	return (type && strcmp(type, "bind") == 0) || support_has_option(mount, "bind") ||
		support_has_option(mount, "rbind");
}

bool support_maps_ids(const json_t *mount)
{
	return support_has_option(mount, "idmap") || support_has_option(mount, "ridmap") ||
		json_array_size(json_object_get(mount, "uidMappings"));
}

static int check_mapped_ids(
	const struct oci_config *config, const json_t *mount, size_t index, struct err *e)
{
	bool own = json_array_size(json_object_get(mount, "uidMappings"));
	const char *field = own ? "uidMappings" : "options";

	if (!support_is_bind(mount))
		return err_set(e, ENOTSUP,
			"config.json: mounts[%zu].%s: mapped ids: only a bind mount can have them",
			index, field);
	if (!own && !json_array_size(json_object_get(config->linux_section, "uidMappings")))
		return err_set(e, EINVAL,
			"config.json: mounts[%zu].options: idmap needs uidMappings and "
			"gidMappings, of the mount or of linux",
			index);
	if (geteuid() != 0)
		return err_set(e, ENOTSUP,
			"config.json: mounts[%zu].%s: mapped ids need root: the files of an "
			"ordinary user have no other owner in the virtual machine",
			index, field);
	return 0;
}

static int check_mounts(const struct oci_config *config, struct err *e)
{
	int ret = 0;

	for (size_t i = 0; i < json_array_size(config->mounts) && ret == 0; i++) {
		const json_t *mount = json_array_get(config->mounts, i);
		if (support_maps_ids(mount))
			ret = check_mapped_ids(config, mount, i, e);
	}
	return ret;
}

static int check_vm(const struct oci_config *config, const struct settings *settings, struct err *e)
{
	if (config->vm_hypervisor_path && settings->accel == ACCEL_KVM)
		return err_set(e, ENOTSUP,
			"config.json: vm.hypervisor.path: %s: the kvm engine is hvrun's own "
			"monitor; "
			"another hypervisor (QEMU) can be named for --accel=emulation only",
			config->vm_hypervisor_path);
	if (config->vm_vcpus > VCPUS_MAX)
		return err_set(e, ENOTSUP, "config.json: vm.hwConfig.vcpus: %u is more than %u",
			config->vm_vcpus, VCPUS_MAX);
	const char *format = json_string_value(oci_lookup(config->json, "vm.image.format"));
	if (format && strcmp(format, "raw") != 0)
		return err_set(e, ENOTSUP,
			"config.json: vm.image.format: %s: only raw images can be attached; "
			"`qemu-img convert -O raw` makes one",
			format);
	return 0;
}

static int check_version(const struct oci_config *config, struct err *e)
{
	static const char *const others[] = {"windows", "solaris", "freebsd", "zos"};

	if (strncmp(config->version, "1.", 2) != 0)
		return err_set(e, ENOTSUP,
			"config.json: ociVersion: %s: this runtime implements 1.0.0 to 1.3.0",
			config->version);
	if (!config->linux_section && !config->vm)
		for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
			if (json_object_get(config->json, others[i]))
				return err_set(e, ENOTSUP,
					"config.json: %s: this runtime runs Linux containers, and "
					"there is no linux section",
					others[i]);
	return 0;
}

static void log_without_effect(const struct oci_config *config)
{
	static const char *const fields[] = {
		"linux.mountLabel", "process.selinuxLabel", "process.apparmorProfile"};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const json_t *value = oci_lookup(config->json, fields[i]);
		if (value && support_asks(value))
			log_info("config.json: %s: the guest's kernel has no such security module: "
				 "the virtual machine takes its place",
				fields[i]);
	}
}

int support_check(const struct oci_config *config, const struct settings *settings, struct err *e)
{
	int ret = check_version(config, e);

	if (ret == 0 && !config->process)
		ret = err_set(e, EINVAL, "config.json: process: is missing");
	if (ret == 0 && !config->root_path)
		ret = err_set(e, EINVAL, "config.json: root: is missing");
	if (ret == 0)
		ret = check_fields(config, e);
	if (ret == 0)
		ret = check_namespaces(config, settings, e);
	if (ret == 0)
		ret = check_devices(config, e);
	if (ret == 0)
		ret = check_mounts(config, e);
	if (ret == 0)
		ret = check_vm(config, settings, e);
	if (ret == 0)
		log_without_effect(config);
	return ret;
}
