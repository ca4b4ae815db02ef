/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile image below the paths of mounts: the input lays out a root file system, then has paths
 * made and opened in it. What comes back is in the root, and beside the root nothing changes.
 *
 * Each line of the input is an operation: a letter, a path, and for a symlink a tab and its target.
 * In targets and paths '@' is the directory beside the root that must stay empty.
 *
 * - l PATH TARGET: a symlink; d PATH: a directory; f PATH: a file (of the image)
 * - m PATH: path_make of a directory; r PATH: of a file; p PATH: path_make_parent
 * - o PATH: path_open; n PATH: path_open_nofollow; anything else: path_clean
 *
 * Covers: guestinit/path.c
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestinit/path.h"

#define INPUT_MAX 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	char dir[64], outside[80], root[80];
} place;

/* Removes what it can of the working directory, and enters the first directory that it can't. */
static bool empty_or_enter(void)
{
	const struct dirent *entry;
	bool entered = false;
	DIR *dir = opendir(".");

	while (dir && !entered && (entry = readdir(dir)) != NULL) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
			unlink(entry->d_name) == 0 || rmdir(entry->d_name) == 0)
			continue;
		entered = chdir(entry->d_name) == 0;
		if (!entered)
			abort();
	}
	if (dir)
		closedir(dir);
	return entered;
}

/* By steps, as a path may be longer than one that the kernel takes. */
static void remove_tree(const char *path)
{
	cleanup_close int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	unsigned depth = 0;

	if (before < 0 || chdir(path) < 0)
		abort();
	for (;;) {
		if (empty_or_enter())
			depth++;
		else if (depth-- == 0 || chdir("..") < 0)
			break;
	}
	if (fchdir(before) < 0 || rmdir(path) < 0)
		abort();
}

static void leave(void)
{
	remove_tree(place.dir);
}

static void enter(void)
{
	if (place.dir[0])
		return;
	snprintf(place.dir, sizeof(place.dir), "/tmp/fuzz-path.XXXXXX");
	if (!mkdtemp(place.dir))
		abort();
	snprintf(place.outside, sizeof(place.outside), "%s/outside", place.dir);
	snprintf(place.root, sizeof(place.root), "%s/root", place.dir);
	if (mkdir(place.outside, 0755) < 0)
		abort();
	atexit(leave);
}

static unsigned count(const char *path)
{
	unsigned n = 0;
	DIR *dir = opendir(path);

	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n - 2; /* . and .. */
}

/* A descriptor of something in the root, or none. */
static void check(int fd)
{
	char name[64], target[2 * PATH_MAX];
	size_t len = strlen(place.root);

	if (fd < 0)
		return;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(name, target, sizeof(target) - 1);
	/* -ENAMETOOLONG: deeper than a name can be, so not beside the root. */
	if (n >= 0) {
		target[n] = '\0';
		if (strncmp(target, place.root, len) != 0 || (target[len] && target[len] != '/'))
			abort();
	}
	close(fd);
}

/* The image's own: its directories are no symlinks, as whoever unpacks it sees to. */
static void lay_out(int root, char kind, const char *path, const char *target)
{
	char part[NAME_MAX + 1];
	cleanup_close int dir = fcntl(root, F_DUPFD_CLOEXEC, 3);
	const char *slash;

	for (path += strspn(path, "/"); dir >= 0 && (slash = strchr(path, '/')) != NULL;
		path = slash + strspn(slash, "/")) {
		if ((size_t)(slash - path) > NAME_MAX)
			return;
		memcpy(part, path, (size_t)(slash - path));
		part[slash - path] = '\0';
		if (!strcmp(part, ".."))
			return;
		int next = openat(dir, part, O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
		close(dir);
		dir = next;
	}
	if (dir < 0 || !strcmp(path, ".."))
		return;
	if (kind == 'l')
		(void)!symlinkat(target, dir, path);
	else if (kind == 'd')
		(void)!mkdirat(dir, path, 0755);
	else
		(void)!mknodat(dir, path, S_IFREG | 0644, 0);
}

static void clean(const char *path)
{
	char out[256];

	if (path_clean(path, out, sizeof(out)) < 0)
		return;
	size_t len = strlen(out);
	if (out[0] != '/' || strstr(out, "//") || strstr(out, "/./") || strstr(out, "/../") ||
		(len > 1 && out[len - 1] == '/') || (len >= 3 && !strcmp(out + len - 3, "/..")))
		abort();
}

static void operate(int root, char kind, const char *path, const char *target)
{
	const char *name;

	switch (kind) {
	case 'l':
	case 'd':
	case 'f':
		lay_out(root, kind, path, target);
		break;
	case 'm':
		check(path_make(root, path, S_IFDIR));
		break;
	case 'r':
		check(path_make(root, path, S_IFREG));
		break;
	case 'p':
		check(path_make_parent(root, path, &name));
		break;
	case 'o':
		check(path_open(root, path));
		break;
	case 'n':
		check(path_open_nofollow(root, path));
		break;
	default:
		clean(path);
	}
}

/* The word up to a tab or the end, with '@' written out. */
static char *expand(const char *from, const char *end)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	for (; out && from < end; from++) {
		if (*from == '@')
			fputs(place.outside, out);
		else
			fputc(*from, out);
	}
	if (!out || fclose(out) < 0)
		abort();
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size, *line, *tab;

	if (size > INPUT_MAX)
		return 0;
	enter();
	if (mkdir(place.root, 0755) < 0)
		abort();
	cleanup_close int root = open(place.root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (; at < end; at = line + 1) {
		line = memchr(at, '\n', (size_t)(end - at));
		if (!line)
			line = end;
		if (line == at)
			continue;
		tab = memchr(at, '\t', (size_t)(line - at));
		cleanup_free char *path = expand(at + 1, tab ? tab : line);
		cleanup_free char *target = expand(tab ? tab + 1 : line, line);
		operate(root, *at, path, target);
	}
	if (count(place.outside) || count(place.dir) != 2)
		abort();
	remove_tree(place.root);
	return 0;
}
