/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File-system exerciser; see fsexercise.h. Usage: fsexercise DIRECTORY [GROUP...]
 * It works in a fresh directory beneath DIRECTORY and removes it. As root, all of it; else the
 * groups that need other users are left out.
 */
#include "fsexercise.h"

#include <ftw.h>
#include <grp.h>
#include <stdarg.h>

static const struct {
	const char *name;
	void (*run)(void);
	bool needs_root;
} groups[] = {
	{"names", exercise_names, false},
	{"rename", exercise_rename, false},
	{"special", exercise_special, true},
	{"readdir", exercise_readdir, false},
	{"io", exercise_io, false},
	{"space", exercise_space, false},
	{"mmap", exercise_mmap, false},
	{"unlinked", exercise_unlinked, false},
	{"times", exercise_times, false},
	{"owner", exercise_owner, true},
	{"setid", exercise_setid, true},
	{"acl", exercise_acl, true},
	{"xattr", exercise_xattr, true},
	{"locks", exercise_locks, false},
	{"threads", exercise_threads, false},
};

static const char *group;

void say(const char *operation, const char *fmt, ...)
{
	va_list ap;

	printf("%s: %s: ", group, operation);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

const char *outcome(long ret)
{
	const char *name;

	if (ret >= 0)
		return "ok";
	name = strerrorname_np(errno);
	return name ? name : "unknown error";
}

void result(const char *operation, long ret)
{
	if (ret > 0)
		say(operation, "%ld", ret);
	else
		say(operation, "%s", outcome(ret));
}

void need(bool ok, const char *what)
{
	if (ok)
		return;
	say("can't go on", "%s: %s", what, strerror(errno));
	exit(2);
}

void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	size_t len = strlen(text);

	need(fd >= 0, path);
	need(write(fd, text, len) == (ssize_t)len, path);
	close(fd);
}

/* Results of the text functions stay until as many others were asked for. */
static char *next_text(void)
{
	static char texts[8][4096];
	static unsigned turn;

	return texts[turn++ % 8];
}

const char *get_file(const char *path)
{
	char *text = next_text();
	int fd = open(path, O_RDONLY);
	ssize_t n;

	if (fd < 0)
		return outcome(-1);
	n = read(fd, text, 4095);
	text[n < 0 ? 0 : n] = '\0';
	close(fd);
	return n < 0 ? outcome(-1) : text;
}

const char *stat_text(const char *path)
{
	char *text = next_text();
	struct stat st;

	if (lstat(path, &st) < 0)
		return outcome(-1);
	snprintf(text, 4096, "%o %u:%u links %lu size %lld", st.st_mode, st.st_uid, st.st_gid,
		(unsigned long)st.st_nlink, S_ISDIR(st.st_mode) ? 0ll : (long long)st.st_size);
	return text;
}

mode_t mode_of(const char *path)
{
	struct stat st;

	need(lstat(path, &st) == 0, path);
	return st.st_mode & 07777;
}

int run_as(uid_t uid, gid_t gid, int (*fn)(void *arg), void *arg)
{
	gid_t supplementary = GROUP_ID;
	int status;

	fflush(stdout);
	pid_t pid = fork();
	need(pid >= 0, "fork");
	if (!pid) {
		need(setgroups(1, &supplementary) == 0, "setgroups");
		need(setresgid(gid, gid, gid) == 0, "setresgid");
		need(setresuid(uid, uid, uid) == 0, "setresuid");
		int ret = fn(arg);
		fflush(stdout);
		_exit(ret);
	}
	need(waitpid(pid, &status, 0) == pid, "waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static bool wanted(int argc, char **argv, const char *name)
{
	for (int i = 2; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc <= 2;
}

int main(int argc, char **argv)
{
	char top[4096];

	if (argc < 2) {
		fprintf(stderr, "usage: fsexercise DIRECTORY [GROUP...]\n");
		return 2;
	}
	if (!strcmp(argv[1], "-"))
		return 3; /* exercise_exec only wants to see that it runs */
	group = "start";
	umask(022);
	snprintf(top, sizeof(top), "%s/fsexercise.XXXXXX", argv[1]);
	need(mkdtemp(top) != NULL, top);
	need(chmod(top, 0755) == 0, top);
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		if (!wanted(argc, argv, groups[i].name) || (groups[i].needs_root && geteuid()))
			continue;
		group = groups[i].name;
		need(chdir(top) == 0, top);
		need(mkdir(group, 0755) == 0, group);
		need(chdir(group) == 0, group);
		umask(022);
		groups[i].run();
	}
	group = "end";
	need(chdir("/") == 0, "/");
	result("removing all", nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS));
	return 0;
}
