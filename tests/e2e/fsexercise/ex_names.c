/* SPDX-License-Identifier: Apache-2.0 */
/* Names: creating, removing, links, renames, directories. */
#include "fsexercise.h"

#include <dirent.h>
#include <limits.h>
#include <sys/inotify.h>

static void exercise_creation(void)
{
	char name[300];
	int fd;

	result("open missing", open("missing", O_RDONLY));
	fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0640);
	say("create", "%s, %s", outcome(fd), stat_text("file"));
	close(fd);
	result("create exclusively again", open("file", O_RDWR | O_CREAT | O_EXCL, 0640));
	fd = open("file", O_RDWR | O_CREAT, 0600);
	say("create what exists", "%s, %s", outcome(fd), stat_text("file"));
	close(fd);
	umask(077);
	fd = open("masked", O_WRONLY | O_CREAT, 0666);
	say("umask 077", "%s, %s", outcome(fd), stat_text("masked"));
	close(fd);
	umask(0);
	fd = open("unmasked", O_WRONLY | O_CREAT, 0666);
	say("umask 0", "%s, %s", outcome(fd), stat_text("unmasked"));
	close(fd);
	umask(022);
	fd = open("readonly", O_RDWR | O_CREAT | O_EXCL, 0400);
	say("create 0400 for writing", "%s, write %zd", outcome(fd), write(fd, "x", 1));
	close(fd);
	result("through a file", open("file/x", O_RDONLY));
	result("file with slash", open("file/", O_RDONLY));
	result("directory for writing", open(".", O_WRONLY));
	result("O_DIRECTORY on a file", open("file", O_RDONLY | O_DIRECTORY));
	result("empty name", open("", O_RDONLY));
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	fd = open(name, O_WRONLY | O_CREAT, 0644);
	say("name of 255 bytes", "%s", outcome(fd));
	close(fd);
	result("unlink it", unlink(name));
	name[255] = 'n';
	name[256] = '\0';
	result("name of 256 bytes", open(name, O_WRONLY | O_CREAT, 0644));
	result("look up 256 bytes", access(name, F_OK));
	fd = open("\xff\xfe latin \xe9\n\t\x01", O_WRONLY | O_CREAT, 0644);
	say("name that is no UTF-8", "%s", outcome(fd));
	close(fd);
	result("find it", access("\xff\xfe latin \xe9\n\t\x01", F_OK));
	result("case differs", access("FILE", F_OK));
	result("unlink missing", unlink("missing"));
}

static void exercise_directories(void)
{
	char deep[2048] = "";

	result("mkdir", mkdir("dir", 0751));
	say("stat of it", "%s", stat_text("dir"));
	result("mkdir again", mkdir("dir", 0755));
	result("mkdir sticky", mkdir("sticky", 01777));
	say("stat of it", "%s", stat_text("sticky"));
	put_file("dir/inside", "x");
	result("rmdir full", rmdir("dir"));
	result("unlink a directory", unlink("dir"));
	result("rmdir a file", rmdir("file"));
	result("rmdir dot", rmdir("dir/."));
	result("rmdir dotdot", rmdir("dir/.."));
	result("mkdir inside", mkdir("dir/sub", 0755));
	say("links count subdirectories", "%s", stat_text("dir"));
	unlink("dir/inside");
	rmdir("dir/sub");
	result("rmdir empty", rmdir("dir"));
	for (int i = 0; i < 60; i++) {
		strcat(deep, i ? "/deep" : "deep");
		if (mkdir(deep, 0755) < 0)
			break;
	}
	say("60 levels deep", "%zu bytes of path", strlen(deep));
	strcat(deep, "/../../../deep");
	result("dotdot from there", access(deep, F_OK));
}

static void exercise_links(void)
{
	char target[5000], back[5000];
	struct stat a, b;

	result("symlink", symlink("file", "link"));
	ssize_t n = readlink("link", back, sizeof(back));
	say("readlink", "%zd %.*s, %s", n, n > 0 ? (int)n : 0, back, stat_text("link"));
	result("symlink over something", symlink("file", "link"));
	result("dangling", symlink("nowhere", "dangling"));
	result("open dangling", open("dangling", O_RDONLY));
	result("create through dangling", open("dangling", O_WRONLY | O_CREAT, 0644) < 0 ? -1 : 0);
	say("what it made", "%s", stat_text("nowhere"));
	result("O_NOFOLLOW", open("link", O_RDONLY | O_NOFOLLOW));
	symlink("loop2", "loop1");
	symlink("loop1", "loop2");
	result("loop", open("loop1", O_RDONLY));
	memset(target, 't', sizeof(target));
	target[4095] = '\0';
	result("target of 4095 bytes", symlink(target, "longlink"));
	say("read back", "%zd", readlink("longlink", back, sizeof(back)));
	target[4095] = 't';
	target[4096] = '\0';
	result("target of 4096 bytes", symlink(target, "longlink2"));
	result("empty target", symlink("", "emptylink"));
	result("readlink of a file", readlink("file", back, sizeof(back)));
	say("outwards by symlink", "%s", outcome(symlink("../../../../etc/hostname", "out")));

	put_file("hard1", "content");
	result("link", link("hard1", "hard2"));
	say("links", "%s", stat_text("hard2"));
	stat("hard1", &a);
	stat("hard2", &b);
	say("same inode", "%d", a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	result("link over something", link("hard1", "file"));
	result("link a directory", link("sticky", "stickylink"));
	result("link a symlink", link("link", "linklink"));
	say("it is", "%s", stat_text("linklink"));
	result("link what it points to",
		linkat(AT_FDCWD, "dangling", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	say("it is", "%s", stat_text("followed"));
	put_file("hard1", "changed");
	say("content by the other name", "%s", get_file("hard2"));
	unlink("hard1");
	say("after unlinking one", "%s", stat_text("hard2"));
	for (int i = 0; i < 100; i++) {
		snprintf(back, sizeof(back), "many%d", i);
		if (link("hard2", back) < 0)
			break;
	}
	say("100 more", "%s", stat_text("hard2"));
}

static void exercise_watch(void)
{
	char buf[4096] __attribute__((aligned(8)));
	int fd = inotify_init1(IN_NONBLOCK);

	need(fd >= 0, "inotify");
	result("inotify watch", inotify_add_watch(fd, ".", IN_CREATE | IN_MOVED_TO | IN_DELETE));
	put_file("watched", "x");
	rename("watched", "watched2");
	unlink("watched2");
	ssize_t n = read(fd, buf, sizeof(buf));
	for (ssize_t at = 0; at < n;) {
		struct inotify_event *e = (struct inotify_event *)(void *)(buf + at);
		say("inotify event", "%x %s", e->mask, e->name);
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	close(fd);
}

void exercise_names(void)
{
	exercise_creation();
	exercise_directories();
	exercise_links();
	exercise_watch();
}

void exercise_rename(void)
{
	struct stat st;

	put_file("a", "a");
	put_file("b", "b");
	mkdir("d", 0755);
	mkdir("e", 0755);
	put_file("e/x", "x");
	result("over a file", rename("a", "b"));
	say("what is left", "%s, %s", get_file("a"), get_file("b"));
	result("missing", rename("a", "c"));
	result("to itself", rename("b", "b"));
	result("file over directory", rename("b", "d"));
	result("directory over file", rename("d", "b"));
	result("over a full directory", rename("d", "e"));
	result("over an empty directory", rename("e", "d"));
	say("moved along", "%s", get_file("d/x"));
	mkdir("d/sub", 0755);
	result("into itself", rename("d", "d/sub/d"));
	result("over its parent", rename("d/sub", "d"));
	put_file("c", "c");
	result("NOREPLACE taken", renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_NOREPLACE));
	result("NOREPLACE free", renameat2(AT_FDCWD, "b", AT_FDCWD, "b2", RENAME_NOREPLACE));
	result("EXCHANGE", renameat2(AT_FDCWD, "b2", AT_FDCWD, "c", RENAME_EXCHANGE));
	say("exchanged", "%s, %s", get_file("b2"), get_file("c"));
	result("EXCHANGE with directory", renameat2(AT_FDCWD, "c", AT_FDCWD, "d", RENAME_EXCHANGE));
	say("exchanged", "%s, %s", get_file("c/x"), get_file("d"));
	result("EXCHANGE missing", renameat2(AT_FDCWD, "c", AT_FDCWD, "no", RENAME_EXCHANGE));
	result("NOREPLACE and EXCHANGE",
		renameat2(AT_FDCWD, "c", AT_FDCWD, "d", RENAME_NOREPLACE | RENAME_EXCHANGE));
	if (!geteuid()) {
		result("WHITEOUT", renameat2(AT_FDCWD, "d", AT_FDCWD, "w", RENAME_WHITEOUT));
		stat("d", &st);
		say("whiteout is", "%o device %lx", st.st_mode, (unsigned long)st.st_rdev);
	}
	put_file("h1", "h");
	link("h1", "h2");
	result("over a link to itself", rename("h1", "h2"));
	say("both stay", "%s, %s", get_file("h1"), get_file("h2"));
	symlink("h1", "s");
	result("a symlink", rename("s", "s2"));
	say("it is", "%s", stat_text("s2"));
	int fd = open("h1", O_RDWR);
	rename("h2", "h3");
	rename("b2", "h1");
	say("open file that was replaced", "write %zd, fstat %s", write(fd, "z", 1),
		outcome(fstat(fd, &st)));
	say("its links", "%lu", (unsigned long)st.st_nlink);
	close(fd);
}

/* Names and types of a directory as counts, whether all of prefix0.. are there exactly once. */
static int count_entries(DIR *dir, unsigned char *seen, int max, int *types)
{
	struct dirent *d;
	int n = 0, i;

	while ((d = readdir(dir))) {
		n++;
		if (sscanf(d->d_name, "entry%d", &i) == 1 && i >= 0 && i < max)
			seen[i]++;
		types[d->d_type]++;
	}
	return n;
}

void exercise_readdir(void)
{
	enum { N = 3000 };
	static unsigned char seen[N];
	int types[256] = {0}, once = 0;
	char name[256];
	struct dirent *d;
	struct stat st;

	for (int i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "entry%d", i);
		if (i % 3 == 0)
			need(mkdir(name, 0755) == 0, name);
		else if (i % 3 == 1)
			put_file(name, "");
		else
			need(symlink("x", name) == 0, name);
	}
	DIR *dir = opendir(".");
	need(dir != NULL, ".");
	int n = count_entries(dir, seen, N, types);
	for (int i = 0; i < N; i++)
		once += seen[i] == 1;
	say("entries", "%d, once each %d, directories %d, files %d, links %d", n, once,
		types[DT_DIR], types[DT_REG], types[DT_LNK]);
	rewinddir(dir);
	memset(seen, 0, sizeof(seen));
	say("after rewinddir", "%d", count_entries(dir, seen, N, types));
	rewinddir(dir);
	for (int i = 0; i < 1000; i++)
		d = readdir(dir);
	long pos = telldir(dir);
	d = readdir(dir);
	need(d != NULL, "readdir");
	snprintf(name, sizeof(name), "%s", d->d_name);
	for (int i = 0; i < 700; i++)
		d = readdir(dir);
	seekdir(dir, pos);
	d = readdir(dir);
	say("seekdir back", "%s", d && !strcmp(d->d_name, name) ? "same entry" : "another entry");
	bool same = d && !fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
		st.st_ino == d->d_ino;
	say("inode number in entry", "%s", same ? "as stat says" : "differs");
	closedir(dir);

	dir = opendir(".");
	int removed = 0;
	while ((d = readdir(dir)))
		if (d->d_name[0] != '.')
			removed += unlinkat(dirfd(dir), d->d_name,
					   d->d_type == DT_DIR ? AT_REMOVEDIR : 0) == 0;
	say("removed while reading", "%d", removed);
	rewinddir(dir);
	put_file("fresh", "");
	rewinddir(dir);
	n = 0;
	while (readdir(dir))
		n++;
	say("a new one seen after rewind", "%d", n);
	closedir(dir);
	mkdir("gone", 0755);
	dir = opendir("gone");
	rmdir("gone");
	errno = 0;
	n = 0;
	while (readdir(dir))
		n++;
	say("reading a removed directory", "%d entries, %s", n, errno ? outcome(-1) : "end");
	result("creating in it", openat(dirfd(dir), "x", O_CREAT | O_WRONLY, 0644));
	closedir(dir);
}
