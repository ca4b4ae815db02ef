/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts and namespaces; see attack.h. Each copy has a mount namespace of its own already. */
#include "tests/attack/attack.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MNT_DETACH_ 2 /* <sys/mount.h>, where this is, clashes with <linux/mount.h> */

static int act_mount(struct attack *a)
{
	return outcome(syscall(SYS_mount, "none", a->sub, "tmpfs", 0L, NULL));
}

static int act_bind(struct attack *a)
{
	return outcome(syscall(SYS_mount, "/", a->sub, NULL, MS_BIND, NULL));
}

static int act_remount(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_mount, NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
}

/* A mount that the copy may do with as it likes, as its working directory. */
static int have_mount(struct attack *a)
{
	if (syscall(SYS_mount, "none", a->sub, "tmpfs", 0L, NULL) < 0 || chdir(a->sub) < 0)
		return errno;
	return 0;
}

static int act_umount(struct attack *a)
{
	return outcome(syscall(SYS_umount2, a->sub, MNT_DETACH_));
}

static int act_pivot(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_pivot_root, ".", "."));
}

static int act_open_tree(struct attack *a)
{
	return outcome(syscall(SYS_open_tree, AT_FDCWD, a->dir, OPEN_TREE_CLONE));
}

static int have_tree(struct attack *a)
{
	a->fds[0] = (int)syscall(SYS_open_tree, AT_FDCWD, a->dir, OPEN_TREE_CLONE);
	return outcome(a->fds[0]);
}

static int act_move_mount(struct attack *a)
{
	return outcome(
		syscall(SYS_move_mount, a->fds[0], "", AT_FDCWD, a->sub, MOVE_MOUNT_F_EMPTY_PATH));
}

static int act_mount_setattr(struct attack *a)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_NOSUID};

	return outcome(
		syscall(SYS_mount_setattr, a->fds[0], "", AT_EMPTY_PATH, &attr, sizeof(attr)));
}

static int act_fsopen(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_fsopen, "tmpfs", 0));
}

static int have_context(struct attack *a)
{
	a->fds[0] = (int)syscall(SYS_fsopen, "tmpfs", 0);
	return outcome(a->fds[0]);
}

static int act_fsconfig(struct attack *a)
{
	return outcome(syscall(SYS_fsconfig, a->fds[0], FSCONFIG_CMD_CREATE, NULL, NULL, 0));
}

static int act_fspick(struct attack *a)
{
	return outcome(syscall(SYS_fspick, AT_FDCWD, a->sub, 0));
}

#define ACT_UNSHARE(name, flag)                                                                    \
	static int act_unshare_##name(struct attack *a)                                            \
	{                                                                                          \
		(void)a;                                                                           \
		return outcome(syscall(SYS_unshare, flag));                                        \
	}

ACT_UNSHARE(user, CLONE_NEWUSER)
ACT_UNSHARE(mount, CLONE_NEWNS)
ACT_UNSHARE(net, CLONE_NEWNET)
ACT_UNSHARE(pid, CLONE_NEWPID)
ACT_UNSHARE(cgroup, CLONE_NEWCGROUP)

/* As fork does it, on the same stack. */
static int clone_with(unsigned long flags)
{
	long pid = syscall(SYS_clone, flags | SIGCHLD, 0L, 0L, 0L, 0L);

	if (pid == 0)
		for (;;)
			syscall(SYS_exit_group, 0);
	return outcome(pid);
}

static int act_clone_user(struct attack *a)
{
	(void)a;
	return clone_with(CLONE_NEWUSER);
}

static int act_clone_net(struct attack *a)
{
	(void)a;
	return clone_with(CLONE_NEWNET);
}

static int act_clone3_user(struct attack *a)
{
	struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
	long pid = syscall(SYS_clone3, &args, sizeof(args));

	(void)a;
	if (pid == 0)
		for (;;)
			syscall(SYS_exit_group, 0);
	return outcome(pid);
}

static int have_namespace(struct attack *a, const char *kind)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/ns/%s", a->victim_proc, kind);
	a->fds[0] = open(path, O_RDONLY | O_CLOEXEC);
	return outcome(a->fds[0]);
}

static int have_net(struct attack *a)
{
	return have_namespace(a, "net");
}

static int have_mounts(struct attack *a)
{
	return have_namespace(a, "mnt");
}

static int act_setns_net(struct attack *a)
{
	return outcome(syscall(SYS_setns, a->fds[0], CLONE_NEWNET));
}

static int act_setns_mount(struct attack *a)
{
	return outcome(syscall(SYS_setns, a->fds[0], CLONE_NEWNS));
}

static int act_setns_pidfd(struct attack *a)
{
	return outcome(syscall(SYS_setns, a->victim_pidfd, CLONE_NEWNS | CLONE_NEWNET));
}

static const struct attempt table[] = {
	ATTEMPT("mount a file system", NULL, act_mount),
	ATTEMPT("bind the host's root directory", NULL, act_bind),
	ATTEMPT("remount the root directory", NULL, act_remount),
	ATTEMPT("unmount", have_mount, act_umount),
	ATTEMPT("pivot_root", have_mount, act_pivot),
	ATTEMPT("open_tree", NULL, act_open_tree),
	ATTEMPT("move_mount", have_tree, act_move_mount),
	ATTEMPT("mount_setattr", have_tree, act_mount_setattr),
	ATTEMPT("fsopen", NULL, act_fsopen),
	ATTEMPT("fsconfig", have_context, act_fsconfig),
	ATTEMPT("fspick", have_mount, act_fspick),
	ATTEMPT("a new user namespace", NULL, act_unshare_user),
	ATTEMPT("a new mount namespace", NULL, act_unshare_mount),
	ATTEMPT("a new network namespace", NULL, act_unshare_net),
	ATTEMPT("a new pid namespace", NULL, act_unshare_pid),
	ATTEMPT("a new cgroup namespace", NULL, act_unshare_cgroup),
	ATTEMPT("a process in a new user namespace (clone)", NULL, act_clone_user),
	ATTEMPT("a process in a new network namespace (clone)", NULL, act_clone_net),
	ATTEMPT("a process in a new user namespace (clone3)", NULL, act_clone3_user),
	ATTEMPT("enter another network namespace", have_net, act_setns_net),
	ATTEMPT("enter another mount namespace", have_mounts, act_setns_mount),
	ATTEMPT("enter namespaces by a pidfd", NULL, act_setns_pidfd),
};
const struct attempts attempts_mounts = ATTEMPTS(table);
