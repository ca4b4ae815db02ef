/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts of a container; see mount.h. */
#include "guestinit/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/copyup.h"
#include "guestinit/create.h"
#include "guestinit/path.h"

#define FSMOUNT_CLOEXEC_FLAG 1

int mount_set_attr(int fd, unsigned at_flags, uint64_t set, uint64_t clear)
{
	struct mount_attr attr = {.attr_set = set, .attr_clr = clear};

	if (!set && !clear)
		return 0;
	return mount_setattr(fd, "", AT_EMPTY_PATH | at_flags, &attr, sizeof(attr)) < 0 ? -errno
											: 0;
}

int mount_set_propagation(int fd, uint64_t ms_flags)
{
	struct mount_attr attr = {.propagation = ms_flags & ~(uint64_t)MS_REC};
	unsigned at_flags = ms_flags & MS_REC ? AT_RECURSIVE : 0;

	return mount_setattr(fd, "", AT_EMPTY_PATH | at_flags, &attr, sizeof(attr)) < 0 ? -errno
											: 0;
}

int mount_clone(int fd, unsigned at_flags)
{
	int tree =
		open_tree(fd, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | at_flags);

	return tree < 0 ? -errno : tree;
}

int mount_attach(int tree_fd, int target_fd)
{
	if (move_mount(tree_fd, "", target_fd, "",
		    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/* The kernel's own words about a refused option, if it has any ("e tmpfs: Unknown …"). */
static int mount_fs_error(int fs, int code, const char *what, struct err *e)
{
	char text[256];
	ssize_t len = read(fs, text, sizeof(text) - 1);

	if (len <= 2)
		return err_sys(e, code, "%s", what);
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return err_set(e, code, "%s: %s", what, text + 2);
}

static int mount_fs_flag(int fs, const char *flag, struct err *e)
{
	if (fsconfig(fs, FSCONFIG_SET_FLAG, flag, NULL, 0) < 0)
		return mount_fs_error(fs, errno, flag, e);
	return 0;
}

static int mount_fs_word(int fs, const char *word, struct err *e)
{
	const char *equals = strchr(word, '=');
	char key[256];

	if (!equals)
		return mount_fs_flag(fs, word, e);
	size_t len = (size_t)(equals - word);
	if (!len || len >= sizeof(key))
		return err_set(e, EINVAL, "option \"%.64s\": malformed", word);
	memcpy(key, word, len);
	key[len] = '\0';
	if (fsconfig(fs, FSCONFIG_SET_STRING, key, equals + 1, 0) < 0)
		return mount_fs_error(fs, errno, word, e);
	return 0;
}

static int mount_fs_options(int fs, const struct cfg_mount *m, struct err *e)
{
	const struct mount_options *o = &m->options;
	const char *piece = "";
	int ret = 0;

	for (size_t i = 0; i < o->n_sb_flags && ret == 0; i++)
		ret = mount_fs_flag(fs, piece = o->sb_flags[i], e);
	for (size_t i = 0; i < o->n_data && ret == 0; i++)
		ret = mount_fs_word(fs, piece = o->data[i], e);
	if (ret < 0)
		err_add(e, "options[%zu]", mount_options_index(&m->option_words, piece));
	return ret;
}

static int mount_fs_open(const char *type, const char *source, struct err *e)
{
	cleanup_close int fs = fsopen(type, FSOPEN_CLOEXEC);

	if (fs < 0 && errno == ENODEV)
		return err_set(e, ENODEV, "the guest's kernel has no file system \"%s\"", type);
	if (fs < 0)
		return err_sys(e, errno, "file system \"%s\"", type);
	if (source && source[0] && fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return mount_fs_error(fs, errno, "source", e);
	return steal_fd(&fs);
}

static int mount_fs_create(int fs, const char *type, uint64_t attrs, struct err *e)
{
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return mount_fs_error(fs, errno, type, e);
	int tree = fsmount(fs, FSMOUNT_CLOEXEC_FLAG, (unsigned)attrs);
	if (tree < 0)
		return err_sys(e, errno, "can't mount %s", type);
	return tree;
}

int mount_new(
	const char *type, uint64_t attrs, const char *const *words, size_t n_words, struct err *e)
{
	return mount_new_from(type, type, attrs, words, n_words, e);
}

int mount_new_from(const char *type, const char *source, uint64_t attrs, const char *const *words,
	size_t n_words, struct err *e)
{
	cleanup_close int fs = mount_fs_open(type, source, e);

	if (fs < 0)
		return fs;
	for (size_t i = 0; i < n_words; i++) {
		int ret = mount_fs_word(fs, words[i], e);
		if (ret < 0)
			return ret;
	}
	return mount_fs_create(fs, type, attrs, e);
}

/*
 * A superblock of these may be shared with other mounts of the guest, or is made for this mount
 * alone: read-only is a matter of the mount. On a disk, the superblock must be so, too.
 */
static bool mount_is_pseudo(const char *type)
{
	static const char *const types[] = {"tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup2",
		"ramfs", "devtmpfs", "debugfs", "tracefs", "bpf", "securityfs", "hugetlbfs",
		"overlay", "fusectl", "configfs", "pstore", "binfmt_misc"};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

/*
 * There is cgroup v2 only: what was written for v1 is the same place, without v1's options. A
 * tmpfs gets the mode of the directory that it covers unless the options say another (as runc).
 */
static int mount_make_fs(
	const struct cfg_mount *m, uint64_t attrs, const struct stat *covered, struct err *e)
{
	bool cgroup1 = strcmp(m->type, "cgroup") == 0;
	const char *type = cgroup1 ? "cgroup2" : m->type;
	cleanup_close int fs = mount_fs_open(type, m->source, e);
	int ret = 0;

	if (fs < 0)
		return fs;
	if (covered->st_mode && strcmp(type, "tmpfs") == 0) {
		char word[32];
		snprintf(word, sizeof(word), "mode=%04o", (unsigned)covered->st_mode & 07777);
		ret = mount_fs_word(fs, word, e);
	}
	if (ret == 0 && !cgroup1)
		ret = mount_fs_options(fs, m, e);
	if (ret == 0 && (attrs & MOUNT_ATTR_RDONLY) && !mount_is_pseudo(type))
		ret = mount_fs_flag(fs, "ro", e);
	if (ret < 0)
		return ret;
	return mount_fs_create(fs, type, attrs, e);
}

static bool mount_fd_is_proc(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* The files in /proc that tools like lxcfs replace; anything else there is refused (as runc). */
static bool mount_proc_allowed(const char *path)
{
	static const char *const paths[] = {"/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo",
		"/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg", "/proc/slabinfo",
		"/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled"};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (strcmp(path, paths[i]) == 0)
			return true;
	return false;
}

/*
 * Masked and read-only paths, sysctl and security labels rely on /proc being the kernel's own, so
 * an image or a configuration must not put something else there.
 */
static int mount_check_target(
	const struct mount_context *ctx, const struct cfg_mount *m, int tree_fd, struct err *e)
{
	char clean[PATH_MAX];
	bool proc = !m->options.bind && strcmp(m->type, "proc") == 0;
	bool sysfs = !m->options.bind && strcmp(m->type, "sysfs") == 0;

	if (path_clean(m->destination, clean, sizeof(clean)) < 0)
		return err_set(e, ENAMETOOLONG, "destination: too long");
	if (strcmp(clean, "/") == 0)
		return err_set(e, EINVAL, "destination: the root itself can't be mounted over");
	if (strcmp(clean, "/proc") == 0 && !proc &&
		!(m->options.bind && tree_fd >= 0 && mount_fd_is_proc(tree_fd)))
		return err_set(e, EINVAL, "only a proc file system can be mounted on /proc");
	if (proc || sysfs) {
		cleanup_close int fd = path_open_nofollow(ctx->root_fd, clean);
		struct stat st;
		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode))
			return err_set(
				e, EINVAL, "%s must be mounted on an ordinary directory", m->type);
	}
	return 0;
}

static int mount_check_proc(const struct cfg_mount *m, int target_fd, struct err *e)
{
	char clean[PATH_MAX];

	if (!mount_fd_is_proc(target_fd))
		return 0;
	if (path_clean(m->destination, clean, sizeof(clean)) == 0 &&
		(strcmp(clean, "/proc") == 0 || mount_proc_allowed(clean)))
		return 0;
	return err_set(e, EPERM, "can't be mounted because it is inside of /proc");
}

/* Changes what is mounted at the destination instead of mounting something. */
static int mount_remount(const struct mount_context *ctx, const struct cfg_mount *m, struct err *e)
{
	const struct mount_options *o = &m->options;
	cleanup_close int target = path_open(ctx->root_fd, m->destination);

	if (target < 0)
		return err_sys(e, -target, "remount");
	if (!o->bind) {
		cleanup_close int fs = fspick(target, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC);
		if (fs < 0)
			return err_sys(e, errno, "remount");
		int ret = mount_fs_options(fs, m, e);
		if (ret == 0 && o->attr_set & MOUNT_ATTR_RDONLY)
			ret = mount_fs_flag(fs, "ro", e);
		else if (ret == 0 && o->attr_clear & MOUNT_ATTR_RDONLY)
			ret = mount_fs_flag(fs, "rw", e);
		if (ret < 0)
			return ret;
		if (fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
			return mount_fs_error(fs, errno, "remount", e);
	}
	int ret = mount_set_attr(target, 0, o->attr_set, o->attr_clear);
	if (ret == 0)
		ret = mount_set_attr(target, AT_RECURSIVE, o->tree_set, o->tree_clear);
	for (size_t i = 0; i < o->n_propagation && ret == 0; i++)
		ret = mount_set_propagation(target, o->propagation[i]);
	return ret < 0 ? err_sys(e, -ret, "remount") : 0;
}

/*
 * tmpfs and /dev stay writable for the mount points and devices that are yet to be made. With rro
 * too: what is mounted below by then are other entries of the configuration.
 */
static bool mount_is_late(const struct cfg_mount *m)
{
	char clean[PATH_MAX];

	if (!((m->options.attr_set | m->options.tree_set) & MOUNT_ATTR_RDONLY))
		return false;
	if (!m->options.bind && strcmp(m->type, "tmpfs") == 0)
		return true;
	return path_clean(m->destination, clean, sizeof(clean)) == 0 && strcmp(clean, "/dev") == 0;
}

static int mount_late(struct mount_context *ctx, int tree, struct err *e)
{
	if (ctx->n_late_readonly == MOUNT_LATE_MAX)
		return err_set(e, E2BIG, "more than %d read-only tmpfs", MOUNT_LATE_MAX);
	int fd = fcntl(tree, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return err_sys(e, errno, "can't keep the mount");
	ctx->late_readonly[ctx->n_late_readonly++] = fd;
	return 0;
}

/* Attributes of the whole tree, then the place, then propagation. */
static int mount_place(const struct cfg_mount *m, int tree, int target, bool late, struct err *e)
{
	const struct mount_options *o = &m->options;
	uint64_t tree_set = late ? o->tree_set & ~(uint64_t)MOUNT_ATTR_RDONLY : o->tree_set;
	int ret = mount_set_attr(tree, AT_RECURSIVE, tree_set, o->tree_clear);

	if (ret < 0)
		return err_sys(e, -ret, "can't set recursive options");
	ret = mount_attach(tree, target);
	if (ret == -EINVAL || ret == -ENOTDIR)
		return err_set(e, -ret, "a directory and a file can't be mounted on each other");
	if (ret < 0)
		return err_sys(e, -ret, "can't attach the mount");
	for (size_t i = 0; i < o->n_propagation; i++) {
		ret = mount_set_propagation(tree, o->propagation[i]);
		if (ret < 0)
			return err_sys(e, -ret, "can't set the propagation");
	}
	return 0;
}

/* The place of the mount. *covered says what was there before, st_mode 0 when nothing was. */
static int mount_target(struct mount_context *ctx, const struct cfg_mount *m, int tree_fd,
	struct stat *covered, struct err *e)
{
	struct stat st = {.st_mode = S_IFDIR};

	memset(covered, 0, sizeof(*covered));
	if (tree_fd >= 0 && fstat(tree_fd, &st) < 0)
		return err_sys(e, errno, "can't look at the source");
	cleanup_close int target = path_open(ctx->root_fd, m->destination);
	if (target == -ENOENT) {
		target = path_make(
			ctx->root_fd, m->destination, S_ISDIR(st.st_mode) ? S_IFDIR : S_IFREG);
		if (target < 0)
			return err_sys(e, -target, "can't make the mount point");
	} else if (target < 0) {
		return err_sys(e, -target, "mount point");
	} else if (fstat(target, covered) < 0) {
		return err_sys(e, errno, "mount point");
	}
	int ret = mount_check_proc(m, target, e);
	return ret < 0 ? ret : steal_fd(&target);
}

static bool mount_has_word(const struct mount_options *o, const char *start)
{
	for (size_t i = 0; i < o->n_data; i++)
		if (strncmp(o->data[i], start, strlen(start)) == 0)
			return true;
	return false;
}

static int mount_copy_up(const struct mount_options *o, const struct stat *covered, int target,
	int tree, struct err *e)
{
	if (!covered->st_mode)
		return 0;
	int ret = copyup_tree(target, tree, e);
	if (ret < 0)
		return err_add(e, "tmpcopyup");
	if (mount_has_word(o, "uid=") || mount_has_word(o, "gid="))
		return 0;
	cleanup_close int dir = openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fchown(dir, covered->st_uid, covered->st_gid) < 0)
		return err_sys(e, errno, "tmpcopyup");
	return 0;
}

int mount_make(struct mount_context *ctx, const struct cfg_mount *m, int tree_fd, struct err *e)
{
	const struct mount_options *o = &m->options;
	cleanup_close int made = -1;

	if (o->remount)
		return mount_remount(ctx, m, e);
	int ret = mount_check_target(ctx, m, tree_fd, e);
	if (ret < 0)
		return ret;
	struct stat covered;
	cleanup_close int target = mount_target(ctx, m, tree_fd, &covered, e);
	if (target < 0)
		return target;
	bool late = mount_is_late(m);
	uint64_t attrs = late ? o->attr_set & ~(uint64_t)MOUNT_ATTR_RDONLY : o->attr_set;
	if (o->bind) {
		ret = mount_set_attr(tree_fd, 0, attrs, o->attr_clear);
		if (ret < 0)
			return err_sys(e, -ret, "can't set the options");
	} else {
		made = mount_make_fs(m, attrs, &covered, e);
		if (made < 0)
			return made;
		tree_fd = made;
	}
	if (o->tmpcopyup) {
		ret = mount_copy_up(o, &covered, target, tree_fd, e);
		if (ret < 0)
			return ret;
	}
	if (late) {
		ret = mount_late(ctx, tree_fd, e);
		if (ret < 0)
			return ret;
	}
	return mount_place(m, tree_fd, target, late, e);
}

int mount_finish(struct mount_context *ctx, struct err *e)
{
	for (size_t i = 0; i < ctx->n_late_readonly; i++) {
		int ret = mount_set_attr(ctx->late_readonly[i], 0, MOUNT_ATTR_RDONLY, 0);
		fd_closep(&ctx->late_readonly[i]);
		if (ret < 0)
			return err_sys(e, -ret, "can't make a tmpfs read-only");
	}
	ctx->n_late_readonly = 0;
	return 0;
}
