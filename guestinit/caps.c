/* SPDX-License-Identifier: Apache-2.0 */
/* Capabilities; see caps.h. */
#include "guestinit/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "guestinit/create.h"

#define CAPS_BITS 64

/* In the order of their numbers (linux/capability.h), without "CAP_". */
static const char *const caps_names[] = {
	"CHOWN",
	"DAC_OVERRIDE",
	"DAC_READ_SEARCH",
	"FOWNER",
	"FSETID",
	"KILL",
	"SETGID",
	"SETUID",
	"SETPCAP",
	"LINUX_IMMUTABLE",
	"NET_BIND_SERVICE",
	"NET_BROADCAST",
	"NET_ADMIN",
	"NET_RAW",
	"IPC_LOCK",
	"IPC_OWNER",
	"SYS_MODULE",
	"SYS_RAWIO",
	"SYS_CHROOT",
	"SYS_PTRACE",
	"SYS_PACCT",
	"SYS_ADMIN",
	"SYS_BOOT",
	"SYS_NICE",
	"SYS_RESOURCE",
	"SYS_TIME",
	"SYS_TTY_CONFIG",
	"MKNOD",
	"LEASE",
	"AUDIT_WRITE",
	"AUDIT_CONTROL",
	"SETFCAP",
	"MAC_OVERRIDE",
	"MAC_ADMIN",
	"SYSLOG",
	"WAKE_ALARM",
	"BLOCK_SUSPEND",
	"AUDIT_READ",
	"PERFMON",
	"BPF",
	"CHECKPOINT_RESTORE",
};

int caps_number(const char *name)
{
	if (strncmp(name, "CAP_", 4) != 0)
		return -ENOENT;
	for (size_t i = 0; i < sizeof(caps_names) / sizeof(caps_names[0]); i++)
		if (strcmp(name + 4, caps_names[i]) == 0)
			return (int)i;
	return -ENOENT;
}

int caps_bound(const struct cfg_capabilities *caps, struct err *e)
{
	for (unsigned long cap = 0; cap < CAPS_BITS; cap++) {
		if (caps->bounding >> cap & 1)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0)
			continue;
		if (errno == EINVAL)
			return 0; /* past the last that the kernel knows */
		return err_sys(
			e, errno, "process.capabilities.bounding: can't drop number %lu", cap);
	}
	return 0;
}

int caps_apply(const struct cfg_capabilities *caps, struct err *e)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].effective = (uint32_t)(caps->effective >> (32 * i));
		data[i].permitted = (uint32_t)(caps->permitted >> (32 * i));
		data[i].inheritable = (uint32_t)(caps->inheritable >> (32 * i));
	}
	if (syscall(SYS_capset, &head, data) < 0)
		return err_sys(e, errno, "process.capabilities: can't set them");
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return err_sys(e, errno, "process.capabilities.ambient: can't clear them");
	for (unsigned long cap = 0; cap < CAPS_BITS; cap++) {
		if (!(caps->ambient >> cap & 1))
			continue;
		/* Like runc: one that is not also permitted and inheritable is left out. */
		uint64_t both = caps->permitted & caps->inheritable;
		if (!(both >> cap & 1))
			continue;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return err_sys(e, errno,
				"process.capabilities.ambient: can't raise number %lu", cap);
	}
	return 0;
}
