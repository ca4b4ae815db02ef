/* SPDX-License-Identifier: Apache-2.0 */
/* Identity, capabilities, Landlock; see privileges.h. */
#include "microvm/confine/privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/confine/landlock.h"

static int capabilities_get(struct __user_cap_data_struct caps[2])
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	return syscall(SYS_capget, &header, caps) < 0 ? -errno : 0;
}

static int capabilities_keep(const struct __user_cap_data_struct had[2], uint64_t keep)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2] = {0};

	/* Ambient ones go with the inheritable. */
	for (int i = 0; i < 2; i++)
		caps[i].effective = caps[i].permitted =
			had[i].permitted & (uint32_t)(keep >> 32 * i);
	return syscall(SYS_capset, &header, caps) < 0 ? -errno : 0;
}

/* What execve could give. It takes CAP_SETPCAP; without it no_new_privs has to do. */
static void clear_bounding_set(void)
{
	for (unsigned long capability = 0; prctl(PR_CAPBSET_DROP, capability, 0ul, 0ul, 0ul) == 0;
		capability++)
		;
}

/* A signal at the parent's death does not survive a change of identity. */
static int become(uid_t uid, struct err *e)
{
	int death_signal = 0;
	pid_t parent = getppid();

	if (prctl(PR_GET_PDEATHSIG, &death_signal) < 0)
		return err_sys(e, errno, "signal at the parent's death");
	if (setgroups(0, NULL) < 0 || setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_sys(e, errno, "user and group %u", (unsigned)uid);
	if (!death_signal)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, death_signal) < 0)
		return err_sys(e, errno, "signal at the parent's death");
	return getppid() == parent ? 0 : err_set(e, ESRCH, "hvrun has ended meanwhile");
}

/* Handles everything, and allows nothing but the port (0: none). What is open stays usable. */
static void forbid_files(uint16_t port)
{
	struct landlock_rules rules = {.handled_access_fs = LANDLOCK_FS_FIRST};
	long version = landlock_version();

	if (version < 1) {
		log_debug("no Landlock: %s", strerror(errno));
		return;
	}
	if (version >= 2)
		rules.handled_access_fs |= LANDLOCK_FS_REFER;
	if (version >= 3)
		rules.handled_access_fs |= LANDLOCK_FS_TRUNCATE;
	if (version >= 5)
		rules.handled_access_fs |= LANDLOCK_FS_IOCTL_DEV;
	landlock_no_sockets(&rules, version);
	cleanup_close int fd = landlock_create(&rules);
	if (fd < 0 || (port && version >= 4 && landlock_allow_connect(fd, port) < 0) ||
		landlock_restrict(fd) < 0)
		log_debug("Landlock: %s", strerror(errno));
}

int privileges_drop_but_tcp(uid_t uid, uint64_t keep, uint16_t port, struct err *e)
{
	const struct rlimit none = {0, 0};
	struct __user_cap_data_struct had[2];
	int ret = capabilities_get(had);

	if (ret < 0)
		return err_sys(e, -ret, "capabilities");
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "no core dumps");
	clear_bounding_set();
	ret = uid ? become(uid, e) : 0;
	if (ret < 0)
		return ret;
	ret = capabilities_keep(had, uid ? 0 : keep);
	if (ret < 0)
		return err_sys(e, -ret, "capabilities");
	if ((had[0].permitted || had[1].permitted) && prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(e, errno, "not dumpable");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "no_new_privs");
	forbid_files(port);
	return 0;
}

int privileges_drop(uid_t uid, uint64_t keep, struct err *e)
{
	return privileges_drop_but_tcp(uid, keep, 0, e);
}
