/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts, root, memory and capabilities; see sandbox.h. The system calls are in seccomp.c,
 * Landlock is in landlock.c.
 */
#include "microvm/fs/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/emptyfs.h"
#include "base/fd.h"
#include "base/log.h"
#include "microvm/fs/landlock.h"
#include "microvm/fs/seccomp.h"

#define PROC_FDS      "/proc/self/fd"
#define AT_RECURSIVE_ 0x8000u
/* <sys/mount.h>, where this is, clashes with <linux/mount.h>. */
#define MS_PRIVATE_ (1u << 18)

/*
 * DAC_*, FOWNER, CHOWN, FSETID, MKNOD, SETFCAP do what the guest's kernel has permitted; SETUID and
 * SETGID let it be done in the caller's name; DAC_READ_SEARCH opens inodes by handle as well.
 * SYS_ADMIN is what trusted.* and security.* attributes take: of what else it could do, the list of
 * system calls leaves nothing.
 */
static const unsigned char kept_capabilities[] = {
	CAP_CHOWN,
	CAP_DAC_OVERRIDE,
	CAP_DAC_READ_SEARCH,
	CAP_FOWNER,
	CAP_FSETID,
	CAP_SETGID,
	CAP_SETUID,
	CAP_SYS_ADMIN,
	CAP_MKNOD,
	CAP_SETFCAP,
};

static int open_tree_clone(int dirfd, const char *path, unsigned flags)
{
	long fd = syscall(SYS_open_tree, dirfd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);

	return fd < 0 ? -errno : (int)fd;
}

/*
 * A copy of the mounts of the export, or -errno. Of a tree whose mounts are locked (user
 * namespaces) there are whole copies only: then lookups have to keep to the one mount.
 */
static int clone_export(struct export *export)
{
	int tree = -EINVAL;

	if (!export->recursive)
		tree = open_tree_clone(export->fd, "", AT_EMPTY_PATH);
	if (tree >= 0)
		export->one_mount = false;
	else
		tree = open_tree_clone(export->fd, "", AT_EMPTY_PATH | AT_RECURSIVE_);
	return tree;
}

int fs_sandbox_export(struct export *export, struct err *e)
{
	cleanup_close int tree = clone_export(export);
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
		.propagation = MS_PRIVATE_,
	};

	if (tree == -EPERM || tree == -EINVAL || tree == -ENOSYS) {
		log_debug("%s: no private mount: %s", export->path, strerror(-tree));
		return 0;
	}
	if (tree < 0)
		return err_sys(e, -tree, "%s: a private mount", export->path);
	if (export->readonly)
		attr.attr_set |= MOUNT_ATTR_RDONLY;
	/* Linux before 5.12 does not have the call. */
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE_, &attr,
		    sizeof(attr)) < 0 &&
		errno != ENOSYS)
		return err_sys(e, errno, "%s: attributes of the private mount", export->path);
	fd_closep(&export->fd);
	export->fd = steal_fd(&tree);
	return 0;
}

static bool may_leave(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2];

	return !syscall(SYS_capget, &header, caps) && caps[0].effective & 1u << CAP_SYS_ADMIN;
}

int fs_sandbox_enter(bool privileged, const char **prefix, struct err *e)
{
	*prefix = PROC_FDS "/";
	if (!privileged)
		return 0;
	if (!may_leave()) {
		log_warn("the host's mounts stay in reach: CAP_SYS_ADMIN is missing");
		return 0;
	}
	cleanup_close int fds = open_tree_clone(AT_FDCWD, PROC_FDS, 0);
	if (fds < 0)
		return err_sys(e, -fds, "%s", PROC_FDS);
	if (unshare(CLONE_NEWNS) < 0)
		return err_sys(e, errno, "mount namespace");
	int ret = emptyfs_replace_root(fds, e);
	if (ret < 0)
		return ret;
	if (fchdir(fds) < 0 || chroot(".") < 0)
		return err_sys(e, errno, "root directory");
	*prefix = "/";
	return 0;
}

/* Root without some of what takes a caller's identity (Docker's, say) works in its own, with what
 * it has. */
static int drop_capabilities(bool privileged)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[2];
	uint32_t keep[2] = {0};

	for (size_t i = 0; i < sizeof(kept_capabilities); i++)
		keep[kept_capabilities[i] / 32] |= 1u << kept_capabilities[i] % 32;
	if (!privileged) /* what may not take a caller's identity does not set trusted attributes */
		keep[CAP_SYS_ADMIN / 32] &= ~(1u << CAP_SYS_ADMIN % 32);
	if (syscall(SYS_capget, &header, caps) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		caps[i].permitted &= keep[i];
		caps[i].effective = caps[i].permitted;
		caps[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, caps) < 0 ? -errno : 0;
}

static int keep_to_exports(const struct exports *exports, struct err *e)
{
	int ret = fs_landlock(exports);

	if (ret != -EOPNOTSUPP)
		return ret < 0 ? err_sys(e, -ret, "Landlock") : 0;
	if (!geteuid()) /* all that is root's is in reach then */
		log_warn("nothing keeps this program to the files that it serves: privileges are "
			 "missing, and this kernel has no Landlock");
	else
		log_debug("this kernel has no Landlock to keep to the exports with");
	return 0;
}

int fs_sandbox_close(bool privileged, const struct exports *exports, struct err *e)
{
	const struct rlimit none = {0, 0};

	/* A dump would hold files, and what the guest has in its memory. */
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "RLIMIT_CORE");
	int ret = drop_capabilities(privileged);
	if (ret < 0)
		return err_sys(e, -ret, "capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "no_new_privs");
	if (privileged) {
		ret = fs_landlock(NULL);
		if (ret < 0) /* the list of calls has none that needs forbidding */
			log_debug("no Landlock against sockets: %s", strerror(-ret));
	} else {
		ret = keep_to_exports(exports, e);
		if (ret < 0)
			return ret;
	}
	ret = fs_seccomp_install();
	return ret < 0 ? err_sys(e, -ret, "system call filter") : 0;
}

void fs_sandbox_memory(uint64_t bytes)
{
#ifdef __SANITIZE_ADDRESS__
	(void)bytes; /* its shadow is larger than any bound */
#else
	struct rlimit limit;

	if (getrlimit(RLIMIT_DATA, &limit) < 0)
		return;
	limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
	if (setrlimit(RLIMIT_DATA, &limit) < 0)
		log_warn("memory stays unbounded: %s", strerror(errno));
#endif
}
