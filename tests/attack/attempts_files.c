/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the host, by every kind of name; see attack.h. hvrun-fs may make most of these calls. */
#include "tests/attack/attack.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

static int open_name(const char *name, int flags)
{
	return outcome(syscall(SYS_openat, AT_FDCWD, name, flags | O_CLOEXEC, 0600));
}

static int act_open(struct attack *a)
{
	return outcome(syscall(SYS_open, a->secret, O_RDONLY | O_CLOEXEC));
}

static int act_openat(struct attack *a)
{
	return open_name(a->secret, O_RDONLY);
}

static int act_open_write(struct attack *a)
{
	return open_name(a->secret, O_WRONLY);
}

static int act_openat2(struct attack *a)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC};

	return outcome(syscall(SYS_openat2, AT_FDCWD, a->secret, &how, sizeof(how)));
}

static int act_open_path(struct attack *a)
{
	return open_name(a->secret, O_PATH);
}

static int act_creat(struct attack *a)
{
	return open_name(a->made, O_WRONLY | O_CREAT | O_EXCL);
}

static int act_tmpfile(struct attack *a)
{
	return open_name(a->dir, O_WRONLY | O_TMPFILE);
}

static int open_below(const char *above, const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), "%s%s", above, name);
	return open_name(path, O_RDONLY);
}

static int act_dots(struct attack *a)
{
	return open_below("../../../../../../../../../../../..", a->secret);
}

static int act_dots_root(struct attack *a)
{
	return open_below("/../../../../../..", a->secret);
}

static int act_proc_self_root(struct attack *a)
{
	return open_below("/proc/self/root", a->secret);
}

static int act_proc_root(struct attack *a)
{
	char root[48];

	snprintf(root, sizeof(root), "%s/root", a->victim_proc);
	return open_below(root, a->secret);
}

static int act_proc_1_root(struct attack *a)
{
	(void)a;
	return open_name("/proc/1/root", O_RDONLY | O_DIRECTORY);
}

static int act_proc_cwd(struct attack *a)
{
	char cwd[48];

	snprintf(cwd, sizeof(cwd), "%s/cwd", a->victim_proc);
	return open_name(cwd, O_RDONLY | O_DIRECTORY);
}

static int act_proc_exe(struct attack *a)
{
	(void)a;
	return open_name("/proc/self/exe", O_RDONLY);
}

/* A file of the host that the process has, for reading only. */
static int have_secret(struct attack *a)
{
	a->fds[0] = open(a->secret, O_RDONLY | O_CLOEXEC);
	return outcome(a->fds[0]);
}

/* hvrun-fs's own descriptors are its root directory. */
static int act_proc_fd(struct attack *a)
{
	const char *fds = attack_attacker() == ATTACKER_SERVER ? "" : "/proc/self/fd";
	char path[32];

	snprintf(path, sizeof(path), "%s/%d", fds, a->fds[0]);
	return open_name(path, O_WRONLY);
}

static int act_proc_mem(struct attack *a)
{
	return open_below(a->victim_proc, "/mem");
}

static int act_proc_environ(struct attack *a)
{
	return open_below(a->victim_proc, "/environ");
}

static int act_proc_sysctl(struct attack *a)
{
	(void)a;
	return open_name("/proc/sys/kernel/core_pattern", O_WRONLY);
}

static int act_sysfs(struct attack *a)
{
	(void)a;
	return open_name("/sys/kernel", O_RDONLY | O_DIRECTORY);
}

static int act_device(struct attack *a)
{
	(void)a;
	return open_name("/dev/zero", O_RDWR);
}

static int act_stat(struct attack *a)
{
	struct stat st;

	return outcome(syscall(SYS_newfstatat, AT_FDCWD, a->secret, &st, 0));
}

static int act_statx(struct attack *a)
{
	struct statx st;

	return outcome(syscall(SYS_statx, AT_FDCWD, a->secret, 0, STATX_BASIC_STATS, &st));
}

static int act_access(struct attack *a)
{
	return outcome(syscall(SYS_faccessat, AT_FDCWD, a->secret, R_OK));
}

static int act_readlink(struct attack *a)
{
	char path[48], text[128];

	snprintf(path, sizeof(path), "%s/exe", a->victim_proc);
	return outcome(syscall(SYS_readlinkat, AT_FDCWD, path, text, sizeof(text)));
}

static int act_chdir(struct attack *a)
{
	return outcome(syscall(SYS_chdir, a->dir));
}

static int act_chroot(struct attack *a)
{
	return outcome(syscall(SYS_chroot, a->dir));
}

static int act_unlink(struct attack *a)
{
	return outcome(syscall(SYS_unlinkat, AT_FDCWD, a->doomed, 0));
}

static int act_rename(struct attack *a)
{
	return outcome(syscall(SYS_renameat2, AT_FDCWD, a->doomed, AT_FDCWD, a->made, 0));
}

static int act_link(struct attack *a)
{
	return outcome(syscall(SYS_linkat, AT_FDCWD, a->doomed, AT_FDCWD, a->made, 0));
}

static int act_symlink(struct attack *a)
{
	return outcome(syscall(SYS_symlinkat, "secret", AT_FDCWD, a->made));
}

static int act_mkdir(struct attack *a)
{
	return outcome(syscall(SYS_mkdirat, AT_FDCWD, a->made, 0700));
}

static int act_mknod(struct attack *a)
{
	return outcome(syscall(SYS_mknodat, AT_FDCWD, a->made, S_IFIFO | 0600, 0));
}

static int act_chmod(struct attack *a)
{
	return outcome(syscall(SYS_chmod, a->doomed, 04755));
}

static int act_chown(struct attack *a)
{
	return outcome(syscall(SYS_fchownat, AT_FDCWD, a->doomed, 1, 1, 0));
}

static int act_truncate(struct attack *a)
{
	return outcome(syscall(SYS_truncate, a->doomed, 0));
}

static int act_utimens(struct attack *a)
{
	return outcome(syscall(SYS_utimensat, AT_FDCWD, a->doomed, NULL, 0));
}

static int act_setxattr(struct attack *a)
{
	return outcome(syscall(SYS_setxattr, a->doomed, "trusted.attack", "x", 1, 0));
}

static int act_listxattr(struct attack *a)
{
	return outcome(syscall(SYS_listxattr, a->doomed, NULL, 0));
}

static int act_name_to_handle(struct attack *a)
{
	struct {
		struct file_handle head;
		unsigned char bytes[MAX_HANDLE_SZ];
	} handle = {.head.handle_bytes = MAX_HANDLE_SZ};
	int mount;

	return outcome(
		syscall(SYS_name_to_handle_at, AT_FDCWD, a->secret, &handle.head, &mount, 0));
}

/* The handle of the host's file is known; what is missing is its file system. */
static int have_handle(struct attack *a)
{
	struct file_handle *handle = calloc(1, sizeof(*handle) + MAX_HANDLE_SZ);
	int mount;

	if (!handle)
		return ENOMEM;
	handle->handle_bytes = MAX_HANDLE_SZ;
	a->page = (char *)handle;
	return outcome(syscall(SYS_name_to_handle_at, AT_FDCWD, a->secret, handle, &mount, 0));
}

/* By way of what it was started with, whatever that is; not confined, by what it opens. */
static int act_open_by_handle(struct attack *a)
{
	int fds[] = {STDIN_FILENO, STDOUT_FILENO, a->own_stderr, -1}, code = EBADF;

	if (attack_attacker() == ATTACKER_FREE)
		fds[3] = (int)syscall(SYS_openat, AT_FDCWD, a->dir, O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		if (fds[i] < 0)
			continue;
		if (syscall(SYS_open_by_handle_at, fds[i], a->page, O_RDONLY | O_CLOEXEC) >= 0)
			return 0;
		code = errno;
	}
	return code;
}

static int act_inotify(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_inotify_init1, IN_CLOEXEC));
}

static int act_fanotify(struct attack *a)
{
	(void)a;
	return outcome(syscall(SYS_fanotify_init, 0, O_RDONLY | O_CLOEXEC));
}

static int act_splice(struct attack *a)
{
	return outcome(syscall(SYS_splice, a->fds[0], NULL, a->fds[1], NULL, 1L, 0));
}

/* What "Dirty Pipe" began with. */
static int have_pipe(struct attack *a)
{
	int pipes[2];

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return errno;
	a->fds[1] = pipes[1];
	return have_secret(a);
}

static int act_lease(struct attack *a)
{
	return outcome(syscall(SYS_fcntl, a->fds[0], F_SETLEASE, F_RDLCK));
}

static const struct attempt table[] = {
	ATTEMPT("open a file of the host (open)", NULL, act_open),
	ATTEMPT("open a file of the host (openat)", NULL, act_openat),
	ATTEMPT("open a file of the host (openat2)", NULL, act_openat2),
	ATTEMPT("open a file of the host to write", NULL, act_open_write),
	ATTEMPT("open a file of the host as a path only", NULL, act_open_path),
	ATTEMPT("open ../../.. and a file of the host", NULL, act_dots),
	ATTEMPT("open /../../.. and a file of the host", NULL, act_dots_root),
	ATTEMPT("open a file below /proc/self/root", NULL, act_proc_self_root),
	ATTEMPT("open a file below /proc/PID/root", NULL, act_proc_root),
	ATTEMPT("open /proc/1/root", NULL, act_proc_1_root),
	ATTEMPT("open /proc/PID/cwd", NULL, act_proc_cwd),
	ATTEMPT("open its own program (/proc/self/exe)", NULL, act_proc_exe),
	/* The attempt's own: what hvrun-fs has are its exports, pipes and sockets. */
	ATTEMPT("reopen a descriptor to write (/proc/self/fd)", have_secret, act_proc_fd,
		.allowed = BIT(ATTACKER_SERVER)),
	ATTEMPT("open a process's memory (/proc/PID/mem)", NULL, act_proc_mem),
	ATTEMPT("open a process's environment", NULL, act_proc_environ),
	ATTEMPT("open a sysctl of the host to write", NULL, act_proc_sysctl),
	ATTEMPT("open /sys", NULL, act_sysfs),
	ATTEMPT("open a device", NULL, act_device),
	ATTEMPT("make a file on the host", NULL, act_creat),
	ATTEMPT("make a file without a name on the host", NULL, act_tmpfile),
	ATTEMPT("look at a file of the host (stat)", NULL, act_stat),
	ATTEMPT("look at a file of the host (statx)", NULL, act_statx),
	ATTEMPT("ask for access to a file of the host", NULL, act_access),
	ATTEMPT("read a symbolic link in /proc", NULL, act_readlink),
	ATTEMPT("change directory to the host's", NULL, act_chdir),
	ATTEMPT("change root directory to the host's", NULL, act_chroot),
	ATTEMPT("remove a file of the host", NULL, act_unlink),
	ATTEMPT("rename a file of the host", NULL, act_rename),
	ATTEMPT("link a file of the host", NULL, act_link),
	ATTEMPT("make a symbolic link on the host", NULL, act_symlink),
	ATTEMPT("make a directory on the host", NULL, act_mkdir),
	ATTEMPT("make a node on the host", NULL, act_mknod),
	ATTEMPT("make a file of the host set-user-ID", NULL, act_chmod),
	ATTEMPT("change the owner of a file of the host", NULL, act_chown),
	ATTEMPT("truncate a file of the host", NULL, act_truncate),
	ATTEMPT("change the times of a file of the host", NULL, act_utimens),
	ATTEMPT("set an attribute of a file of the host", NULL, act_setxattr),
	ATTEMPT("list the attributes of a file of the host", NULL, act_listxattr),
	ATTEMPT("get the handle of a file of the host", NULL, act_name_to_handle),
	ATTEMPT("open a file of the host by its handle", have_handle, act_open_by_handle),
	ATTEMPT("watch files (inotify)", NULL, act_inotify),
	ATTEMPT("watch files (fanotify)", NULL, act_fanotify),
	ATTEMPT("splice pages of a file into a pipe", have_pipe, act_splice),
	ATTEMPT("hold up others by a lease on a file", have_secret, act_lease),
};
const struct attempts attempts_files = ATTEMPTS(table);
