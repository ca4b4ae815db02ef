/* SPDX-License-Identifier: Apache-2.0 */
/* What hvrun can do; see features.h. */
#include "oci/features.h"

#include <stdbool.h>
#include <string.h>

#include "base/json.h"
#include "oci/schema.h"

static const char *const hooks[] = {"prestart", "createRuntime", "createContainer",
	"startContainer", "poststart", "poststop", NULL};

/* Those of guestinit/mount_options.c. */
static const char *const mount_options[] = {"acl", "async", "atime", "bind", "defaults", "dev",
	"diratime", "dirsync", "exec", "idmap", "iversion", "lazytime", "loud", "mand", "noatime",
	"nodev", "nodiratime", "noexec", "noiversion", "nolazytime", "nomand", "norelatime",
	"nostrictatime", "nosuid", "nosymfollow", "private", "ratime", "rbind", "rdev", "rdiratime",
	"relatime", "remount", "rexec", "ridmap", "rnoatime", "rnodev", "rnodiratime", "rnoexec",
	"rnorelatime", "rnostrictatime", "rnosuid", "rnosymfollow", "ro", "rprivate", "rrelatime",
	"rro", "rrw", "rshared", "rslave", "rstrictatime", "rsuid", "rsymfollow", "runbindable",
	"rw", "shared", "silent", "slave", "strictatime", "suid", "symfollow", "sync", "tmpcopyup",
	"unbindable", NULL};

/* Those of guestinit/caps.c. */
static const char *const capabilities[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH",
	"CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
	"CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ",
	"CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE", NULL};

/* A configuration that comes from somebody else should not carry these on its own account. */
static const char *const unsafe_annotations[] = {"dev.hvrun.", NULL};

/* The words but one (NULL: all) as an array. */
static json_t *list(const char *const *words, const char *except)
{
	json_t *array = json_array();

	for (; *words; words++) {
		if (except && strcmp(*words, except) == 0)
			continue;
		if (json_array_append_new(array, json_string(*words)) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *enabled(bool on)
{
	return json_pack("{s:b}", "enabled", on);
}

/* What a listener on the host would be asked has happened in another kernel. */
static json_t *features_seccomp(void)
{
	const char *const *flags = oci_seccomp_flag.words;
	const char *listener_flag = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";

	return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "enabled", true, "actions",
		list(oci_seccomp_action.words, "SCMP_ACT_NOTIFY"), "operators",
		list(oci_seccomp_op.words, NULL), "archs", list(oci_seccomp_arch.words, NULL),
		"knownFlags", list(flags, listener_flag), "supportedFlags",
		list(flags, listener_flag));
}

/*
 * The cgroups are those of the host, around the virtual machine. There is no security module in
 * the guest: profiles and labels are accepted and have no effect, which is not support.
 */
static json_t *features_linux(void)
{
	json_t *cgroup = json_pack("{s:b, s:b, s:b, s:b, s:b}", "v1", true, "v2", true, "systemd",
		true, "systemdUser", true, "rdma", false);

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:{s:o}, s:o}", "namespaces",
		list(oci_namespace_type.words, NULL), "capabilities", list(capabilities, NULL),
		"cgroup", cgroup, "seccomp", features_seccomp(), "apparmor", enabled(false),
		"selinux", enabled(false), "intelRdt", enabled(false), "mountExtensions", "idmap",
		enabled(true), "netDevices", enabled(true));
}

json_t *oci_features(const char *version)
{
	return json_pack("{s:s, s:s, s:o, s:o, s:o, s:{s:s}, s:o}", "ociVersionMin", "1.0.0",
		"ociVersionMax", "1.3.0", "hooks", list(hooks, NULL), "mountOptions",
		list(mount_options, NULL), "linux", features_linux(), "annotations",
		"dev.hvrun.version", version, "potentiallyUnsafeConfigAnnotations",
		list(unsafe_annotations, NULL));
}
