/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Out of a directory that hvrun-fs exports, by the calls that it may make in there; see attack.h.
 * The attack's directory is HVRUN_ATTACK_DIR/hvrun-fs.d, the export HVRUN_ATTACK_DIR/export.
 */
#include "tests/attack/attack.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define ABOVE "../hvrun-fs.d/"
#define UP    "../../../../../../../../../../../.."

static int open_at(int dir, const char *name, int flags)
{
	return outcome(syscall(SYS_openat, dir, name, flags | O_CLOEXEC, 0600));
}

static int act_above(struct attack *a)
{
	return open_at(a->export_fd, ABOVE "secret", O_RDONLY);
}

static int act_root(struct attack *a)
{
	char path[160];

	snprintf(path, sizeof(path), "%s%s", UP, a->secret);
	return open_at(a->export_fd, path, O_RDONLY);
}

static int act_above2(struct attack *a)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC};

	return outcome(syscall(SYS_openat2, a->export_fd, ABOVE "secret", &how, sizeof(how)));
}

/* Through a directory that is moved meanwhile, or is removed: ".." of it is asked for again. */
static int act_below_above(struct attack *a)
{
	(void)syscall(SYS_mkdirat, a->export_fd, "below", 0700);
	int fd = (int)syscall(SYS_openat, a->export_fd, "below", O_PATH | O_CLOEXEC);

	if (fd < 0)
		return errno;
	(void)syscall(SYS_unlinkat, a->export_fd, "below", AT_REMOVEDIR);
	(void)syscall(SYS_mkdirat, a->export_fd, "below", 0700);
	fd = (int)syscall(SYS_openat, a->export_fd, "below", O_PATH | O_CLOEXEC);
	return open_at(fd, "../" ABOVE "secret", O_RDONLY);
}

static int follow(struct attack *a, const char *target)
{
	(void)syscall(SYS_unlinkat, a->export_fd, "symlink", 0);
	if (syscall(SYS_symlinkat, target, a->export_fd, "symlink") < 0)
		return errno;
	return open_at(a->export_fd, "symlink", O_RDONLY);
}

static int act_symlink_relative(struct attack *a)
{
	return follow(a, ABOVE "secret");
}

static int act_symlink_absolute(struct attack *a)
{
	return follow(a, a->secret);
}

static int act_symlink_proc(struct attack *a)
{
	char target[160];

	snprintf(target, sizeof(target), "/proc/self/root%s", a->secret);
	return follow(a, target);
}

static int act_symlink_exe(struct attack *a)
{
	return follow(a, "/proc/self/exe");
}

static int act_write(struct attack *a)
{
	return open_at(a->export_fd, ABOVE "doomed", O_WRONLY | O_TRUNC);
}

static int act_creat(struct attack *a)
{
	return open_at(a->export_fd, ABOVE "made", O_WRONLY | O_CREAT);
}

static int act_link_in(struct attack *a)
{
	(void)syscall(SYS_unlinkat, a->export_fd, "stolen", 0);
	return outcome(
		syscall(SYS_linkat, a->export_fd, ABOVE "secret", a->export_fd, "stolen", 0));
}

static int act_link_out(struct attack *a)
{
	return outcome(syscall(SYS_linkat, a->export_fd, "file", a->export_fd, ABOVE "made", 0));
}

static int act_rename_in(struct attack *a)
{
	return outcome(
		syscall(SYS_renameat2, a->export_fd, ABOVE "doomed", a->export_fd, "stolen", 0));
}

static int act_rename_out(struct attack *a)
{
	if (syscall(SYS_mknodat, a->export_fd, "moved", S_IFREG | 0600, 0) < 0 && errno != EEXIST)
		return errno;
	return outcome(
		syscall(SYS_renameat2, a->export_fd, "moved", a->export_fd, ABOVE "made", 0));
}

static int act_exchange(struct attack *a)
{
	return outcome(syscall(SYS_renameat2, a->export_fd, "file", a->export_fd, ABOVE "doomed",
		RENAME_EXCHANGE));
}

static int act_mkdir(struct attack *a)
{
	return outcome(syscall(SYS_mkdirat, a->export_fd, ABOVE "made", 0700));
}

static int act_unlink(struct attack *a)
{
	return outcome(syscall(SYS_unlinkat, a->export_fd, ABOVE "doomed", 0));
}

static int act_rmdir(struct attack *a)
{
	return outcome(syscall(SYS_unlinkat, a->export_fd, ABOVE "sub", AT_REMOVEDIR));
}

static int act_mknod(struct attack *a)
{
	return outcome(syscall(SYS_mknodat, a->export_fd, ABOVE "made", S_IFIFO | 0600, 0));
}

/* By name from the root directory, as hvrun-fs does it: that holds its descriptors. */
static int change_mode(int dir, const char *name, mode_t mode)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/%d/%s",
		attack_attacker() == ATTACKER_FREE ? "/proc/self/fd" : "", dir, name);
	return outcome(syscall(SYS_chmod, path, mode));
}

static int act_chmod(struct attack *a)
{
	return change_mode(a->export_fd, ABOVE "doomed", 04777);
}

static int act_chown(struct attack *a)
{
	return outcome(syscall(SYS_fchownat, a->export_fd, ABOVE "doomed", 0, 0, 0));
}

static int act_stat(struct attack *a)
{
	struct statx st;

	return outcome(syscall(SYS_statx, a->export_fd, ABOVE "secret", 0, STATX_BASIC_STATS, &st));
}

static int act_handle(struct attack *a)
{
	struct {
		struct file_handle head;
		unsigned char bytes[MAX_HANDLE_SZ];
	} handle = {.head.handle_bytes = MAX_HANDLE_SZ};
	int mount;

	return outcome(syscall(
		SYS_name_to_handle_at, a->export_fd, ABOVE "secret", &handle.head, &mount, 0));
}

static int act_readonly_write(struct attack *a)
{
	return open_at(a->readonly_fd, "file", O_WRONLY);
}

static int act_readonly_creat(struct attack *a)
{
	return open_at(a->readonly_fd, "new", O_WRONLY | O_CREAT);
}

static int act_readonly_chmod(struct attack *a)
{
	return change_mode(a->readonly_fd, "file", 0600);
}

static int act_readonly_times(struct attack *a)
{
	return outcome(syscall(SYS_utimensat, a->readonly_fd, "file", NULL, 0));
}

/* A device of the host, made in the export: hvrun-fs may make it, for the guest to see. */
static int act_device(struct attack *a)
{
	(void)syscall(SYS_unlinkat, a->export_fd, "device", 0);
	if (syscall(SYS_mknodat, a->export_fd, "device", S_IFCHR | 0600, makedev(1, 5)) < 0)
		return errno;
	return open_at(a->export_fd, "device", O_RDONLY);
}

static int act_proc_fd(struct attack *a)
{
	return open_at(a->export_fd, UP "/proc/self/fd/0", O_RDONLY | O_NONBLOCK);
}

static int have_file(struct attack *a)
{
	a->fds[0] = openat(a->export_fd, "file", O_RDONLY | O_CLOEXEC);
	return outcome(a->fds[0]);
}

static int act_clone_range(struct attack *a)
{
	return outcome_past(syscall(SYS_ioctl, a->fds[0], FIDEDUPERANGE, NULL), EFAULT);
}

static int act_execute(struct attack *a)
{
	static char *const argv[] = {(char *)"true", NULL}, *const envp[] = {NULL};

	return outcome(syscall(SYS_execveat, a->export_fd, "program", argv, envp, 0));
}

static int have_program(struct attack *a)
{
	char part[4096];
	ssize_t n;
	int from = open("/bin/true", O_RDONLY | O_CLOEXEC);
	int to = openat(a->export_fd, "program", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	if (from < 0 || to < 0)
		return errno;
	while ((n = read(from, part, sizeof(part))) > 0)
		if (write(to, part, (size_t)n) != n)
			return EIO;
	close(to);
	close(from);
	return 0;
}

static const struct attempt table[] = {
	ATTEMPT("export: open a file above it", NULL, act_above),
	ATTEMPT("export: open a file above it (openat2)", NULL, act_above2),
	ATTEMPT("export: open a file from the root directory", NULL, act_root),
	ATTEMPT("export: open a file above a new directory", NULL, act_below_above),
	ATTEMPT("export: follow a symbolic link out of it", NULL, act_symlink_relative),
	ATTEMPT("export: follow a symbolic link from the root", NULL, act_symlink_absolute),
	ATTEMPT("export: follow a symbolic link by /proc/self/root", NULL, act_symlink_proc),
	ATTEMPT("export: follow a symbolic link to /proc/self/exe", NULL, act_symlink_exe),
	ATTEMPT("export: write a file above it", NULL, act_write),
	ATTEMPT("export: make a file above it", NULL, act_creat),
	ATTEMPT("export: link a file into it", NULL, act_link_in),
	ATTEMPT("export: link a file out of it", NULL, act_link_out),
	ATTEMPT("export: rename a file into it", NULL, act_rename_in),
	ATTEMPT("export: rename a file out of it", NULL, act_rename_out),
	ATTEMPT("export: exchange a file with one above it", NULL, act_exchange),
	ATTEMPT("export: make a directory above it", NULL, act_mkdir),
	ATTEMPT("export: make a node above it", NULL, act_mknod),
	ATTEMPT("export: remove a file above it", NULL, act_unlink),
	ATTEMPT("export: remove a directory above it", NULL, act_rmdir),
	ATTEMPT("export: change the mode of a file above it", NULL, act_chmod),
	ATTEMPT("export: change the owner of a file above it", NULL, act_chown),
	ATTEMPT("export: look at a file above it", NULL, act_stat),
	ATTEMPT("export: get the handle of a file above it", NULL, act_handle),
	ATTEMPT("export: read-only: write a file", NULL, act_readonly_write),
	ATTEMPT("export: read-only: make a file", NULL, act_readonly_creat),
	ATTEMPT("export: read-only: change a mode", NULL, act_readonly_chmod),
	ATTEMPT("export: read-only: change times", NULL, act_readonly_times),
	ATTEMPT("export: make a device and open it", NULL, act_device),
	ATTEMPT("export: open a descriptor of /proc above it", NULL, act_proc_fd),
	ATTEMPT("export: an ioctl that is not on the list", have_file, act_clone_range),
	ATTEMPT("export: execute a program in it", have_program, act_execute, .executes = true),
};
const struct attempts attempts_exports = ATTEMPTS(table);
