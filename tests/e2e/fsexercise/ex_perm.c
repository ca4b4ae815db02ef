/* SPDX-License-Identifier: Apache-2.0 */
/* Owners, modes, set-user-ID bits and who loses them. */
#include "fsexercise.h"

#include <linux/falloc.h>
#include <sys/xattr.h>

static int as_user(void *arg)
{
	struct stat st;

	(void)arg;
	result("user: open 0600 of root", open("root600", O_RDONLY));
	result("user: open 0640 of his group", open("group640", O_RDONLY) >= 0 ? 0 : -1);
	result("user: write 0640 of his group", open("group640", O_WRONLY));
	result("user: search 0700 of root", access("private/x", F_OK));
	result("user: create in 0755 of root", open("nope", O_CREAT | O_WRONLY, 0644));
	int fd = open("shared/mine", O_CREAT | O_WRONLY | O_EXCL, 0664);
	say("user: create by supplementary group", "%s, %s", outcome(fd), stat_text("shared/mine"));
	fd = open("setgid/mine", O_CREAT | O_WRONLY | O_EXCL, 0664);
	say("user: create in set-group-ID", "%s, %s", outcome(fd), stat_text("setgid/mine"));
	result("user: mkdir in set-group-ID", mkdir("setgid/dir", 0755));
	say("user: it inherits", "%s", stat_text("setgid/dir"));
	result("user: symlink in set-group-ID", symlink("x", "setgid/link"));
	say("user: it is", "%s", stat_text("setgid/link"));
	result("user: fifo in set-group-ID", mkfifo("setgid/fifo", 0644));
	say("user: it is", "%s", stat_text("setgid/fifo"));
	fd = open("foreign/sgid", O_CREAT | O_WRONLY | O_EXCL, 02775);
	say("user: 02775 in set-group-ID of others", "%s, %s", outcome(fd),
		stat_text("foreign/sgid"));
	fd = open("open/mine", O_CREAT | O_RDWR | O_EXCL, 0600);
	say("user: create in 0777", "%s, %s", outcome(fd), stat_text("open/mine"));
	result("user: chown to another", chown("open/mine", OTHER_ID, (gid_t)-1));
	result("user: chgrp to his group", chown("open/mine", (uid_t)-1, GROUP_ID));
	result("user: chgrp to a foreign group", chown("open/mine", (uid_t)-1, FOREIGN_ID));
	result("user: chmod of root's", chmod("root644", 0666));
	result("user: chmod of his", chmod("open/mine", 0640));
	result("user: utimes of root's to now", utimensat(AT_FDCWD, "root644", NULL, 0));
	result("user: truncate root's", truncate("root644", 0));
	result("user: unlink root's in sticky", unlink("sticky/root"));
	result("user: rename root's in sticky", rename("sticky/root", "sticky/x"));
	result("user: create in sticky",
		open("sticky/user", O_CREAT | O_WRONLY, 0644) < 0 ? -1 : 0);
	result("user: unlink his in sticky", unlink("sticky/user"));
	result("user: mknod device", mknod("open/dev", S_IFCHR | 0666, 0x103));
	result("user: link root's", link("root644", "open/linked"));
	result("user: O_NOATIME of root's", open("root644", O_RDONLY | O_NOATIME));
	result("user: fchmod by descriptor", fchmod(fd, 0604));
	need(fstat(fd, &st) == 0, "fstat");
	say("user: then", "%o", st.st_mode);
	result("user: access R", access("root644", R_OK));
	result("user: access W", access("root644", W_OK));
	result("user: execute bit", access("root755", X_OK));
	return 0;
}

void exercise_owner(void)
{
	static const struct {
		const char *name;
		mode_t mode;
		gid_t gid;
	} dirs[] = {
		{"private", 0700, 0},
		{"shared", 0770, GROUP_ID},
		{"setgid", 02777, GROUP_ID},
		{"foreign", 02777, FOREIGN_ID},
		{"open", 0777, 0},
		{"sticky", 01777, 0},
	};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		need(mkdir(dirs[i].name, 0700) == 0, dirs[i].name);
		need(chown(dirs[i].name, 0, dirs[i].gid) == 0, dirs[i].name);
		need(chmod(dirs[i].name, dirs[i].mode) == 0, dirs[i].name);
		say(dirs[i].name, "%s", stat_text(dirs[i].name));
	}
	put_file("root600", "secret");
	chmod("root600", 0600);
	put_file("root644", "public");
	put_file("root755", "public");
	chmod("root755", 0755);
	put_file("group640", "group");
	result("chown", chown("group640", 0, GROUP_ID));
	chmod("group640", 0640);
	put_file("sticky/root", "x");
	say("user", "ended with %d", run_as(USER_ID, USER_ID, as_user, NULL));
	result("root: create in set-group-ID",
		open("setgid/root", O_CREAT | O_WRONLY, 02775) < 0 ? -1 : 0);
	say("root: it is", "%s", stat_text("setgid/root"));
	symlink("root644", "link");
	result("lchown", lchown("link", USER_ID, USER_ID));
	say("link", "%s, target unchanged %s", stat_text("link"), stat_text("root644"));
	result("chown both", chown("root644", USER_ID, GROUP_ID));
	say("now", "%s", stat_text("root644"));
	result("chmod all bits", chmod("root644", 07777));
	say("now", "%s", stat_text("root644"));
	result("root: read 0000", (chmod("root600", 0), open("root600", O_RDWR)) < 0 ? -1 : 0);
	result("large ids", chown("root600", 4000000000u, 3999999999u));
	say("now", "%s", stat_text("root600"));
}

struct change {
	const char *what;
	int (*fn)(const char *path);
};

static int change_write(const char *path)
{
	int fd = open(path, O_WRONLY);

	return write(fd, "w", 1) == 1 ? 0 : -1;
}

static int change_append(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	return write(fd, "w", 1) == 1 ? 0 : -1;
}

static int change_direct(const char *path)
{
	static char buf[4096] __attribute__((aligned(4096)));
	int fd = open(path, O_WRONLY | O_DIRECT);

	if (fd < 0)
		return change_write(path); /* no O_DIRECT here */
	return pwrite(fd, buf, sizeof(buf), 0) == sizeof(buf) ? 0 : -1;
}

static int change_truncate(const char *path)
{
	return truncate(path, 3);
}

static int change_ftruncate(const char *path)
{
	return ftruncate(open(path, O_WRONLY), 4);
}

static int change_open_trunc(const char *path)
{
	return open(path, O_WRONLY | O_TRUNC) < 0 ? -1 : 0;
}

static int change_creat(const char *path)
{
	return open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) < 0 ? -1 : 0;
}

static int change_fallocate(const char *path)
{
	return fallocate(open(path, O_WRONLY), 0, 0, 8192);
}

static int change_copy(const char *path)
{
	int in = open("source", O_RDONLY);

	return copy_file_range(in, NULL, open(path, O_WRONLY), NULL, 4, 0) == 4 ? 0 : -1;
}

static int change_chgrp(const char *path)
{
	return chown(path, (uid_t)-1, GROUP_ID);
}

static int change_chmod(const char *path)
{
	return chmod(path, 06711);
}

static int change_utimes(const char *path)
{
	return utimensat(AT_FDCWD, path, NULL, 0);
}

static int change_link(const char *path)
{
	(void)path;
	return 0;
}

static const struct change changes[] = {
	{"write", change_write},
	{"append", change_append},
	{"O_DIRECT write", change_direct},
	{"truncate", change_truncate},
	{"ftruncate", change_ftruncate},
	{"O_TRUNC", change_open_trunc},
	{"creat", change_creat},
	{"fallocate", change_fallocate},
	{"copy_file_range", change_copy},
	{"chgrp", change_chgrp},
	{"chmod", change_chmod},
	{"utimes", change_utimes},
	{"nothing", change_link},
};

struct victim {
	const struct change *change;
	const char *path;
};

static int apply(void *arg)
{
	const struct victim *v = arg;

	return v->change->fn(v->path) ? errno : 0;
}

static bool has_caps(const char *path)
{
	return getxattr(path, "security.capability", NULL, 0) > 0;
}

static void try_changes(const char *who, uid_t uid, mode_t mode)
{
	/* CAP_NET_RAW, effective: version 2 of struct vfs_cap_data. */
	static const unsigned char caps[20] = {1, 0, 0, 2, 0, 0x20};
	char operation[128];

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		struct victim v = {&changes[i], "victim"};
		unlink("victim");
		put_file("victim", "0123456789");
		need(chown("victim", USER_ID, USER_ID) == 0, "chown");
		need(chmod("victim", mode) == 0, "chmod");
		int have = setxattr("victim", "security.capability", caps, sizeof(caps), 0);
		int ret = run_as(uid, uid, apply, &v);
		snprintf(operation, sizeof(operation), "%s: %o after %s", who, mode,
			changes[i].what);
		say(operation, "%o, %s, capabilities %s", mode_of("victim"),
			ret ? strerrorname_np(ret) : "ok",
			have			     ? "impossible"
				: has_caps("victim") ? "kept"
						     : "gone");
	}
}

void exercise_setid(void)
{
	put_file("source", "source");
	need(chmod(".", 0777) == 0, ".");
	try_changes("user", USER_ID, 06755);
	try_changes("user", USER_ID, 02644); /* no group execution: not set-group-ID */
	try_changes("root", 0, 06755);
	need(chown("victim", USER_ID, FOREIGN_ID) == 0, "chown");
	need(chmod("victim", 0755) == 0, "chmod");
	struct change sgid = {"chmod g+s", change_chmod};
	struct victim v = {&sgid, "victim"};
	int ret = run_as(USER_ID, USER_ID, apply, &v);
	say("user: g+s for a foreign group", "%s, %o", ret ? strerrorname_np(ret) : "ok",
		mode_of("victim"));
	chmod("victim", 06755);
	result("root: chown", chown("victim", 0, 0));
	say("root: afterwards", "%o", mode_of("victim"));
	mkdir("dir", 0755);
	chmod("dir", 06755);
	result("root: chown of a directory", chown("dir", USER_ID, USER_ID));
	say("root: afterwards", "%o", mode_of("dir"));
}
