/* SPDX-License-Identifier: Apache-2.0 */
/* Per-thread ids, capabilities and umask; see cred.h. */
#include "microvm/fs/cred.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_WORDS 2

static int caps_get(struct __user_cap_data_struct data[CAP_WORDS])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

static int caps_set(const struct __user_cap_data_struct data[CAP_WORDS])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

bool cred_is_privileged(void)
{
	const uint32_t wanted = 1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE |
		1u << CAP_DAC_READ_SEARCH | 1u << CAP_FOWNER | 1u << CAP_FSETID | 1u << CAP_SETUID |
		1u << CAP_SETGID | 1u << CAP_SETPCAP;
	struct __user_cap_data_struct caps[CAP_WORDS];

	return !caps_get(caps) && (caps[0].effective & wanted) == wanted;
}

int cred_process_init(bool privileged)
{
	if (!privileged)
		return 0;
	/* A changed fsuid must not switch the file capabilities off. */
	if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0)
		return -errno;
	/* in_group_p() on the host is then about the caller's gid alone. */
	return syscall(SYS_setgroups, 0, NULL) < 0 ? -errno : 0;
}

int cred_thread_init(struct cred *cred, bool privileged)
{
	*cred = (struct cred){.privileged = privileged, .fsetid = true};
	if (unshare(CLONE_FS) < 0)
		return -errno;
	umask(0);
	if (!privileged)
		return 0;
	/* A new thread begins with whatever its creator was in the middle of. */
	syscall(SYS_setfsuid, 0);
	syscall(SYS_setfsgid, 0);
	cred->fsetid = false;
	return cred_keep_setid(cred, true);
}

int cred_become(struct cred *cred, uint32_t uid, uint32_t gid)
{
	if (!cred->privileged)
		return 0;
	if (uid == UINT32_MAX || gid == UINT32_MAX)
		return -EPERM;
	/* setfsuid reports nothing but the previous value: ask again to know. */
	if (gid != cred->fsgid) {
		syscall(SYS_setfsgid, gid);
		cred->fsgid = (uint32_t)syscall(SYS_setfsgid, -1);
	}
	if (uid != cred->fsuid) {
		syscall(SYS_setfsuid, uid);
		cred->fsuid = (uint32_t)syscall(SYS_setfsuid, -1);
	}
	return cred->fsuid == uid && cred->fsgid == gid ? 0 : -EPERM;
}

int cred_keep_setid(struct cred *cred, bool keep)
{
	struct __user_cap_data_struct caps[CAP_WORDS];

	if (!cred->privileged || cred->fsetid == keep)
		return 0;
	int ret = caps_get(caps);
	if (ret < 0)
		return ret;
	if (keep)
		caps[0].effective |= 1u << CAP_FSETID;
	else
		caps[0].effective &= ~(1u << CAP_FSETID);
	ret = caps_set(caps);
	if (!ret)
		cred->fsetid = keep;
	return ret;
}

void cred_umask(struct cred *cred, uint32_t mask)
{
	mask &= 0777;
	if (mask == cred->umask)
		return;
	umask(mask);
	cred->umask = mask;
}
