/* SPDX-License-Identifier: Apache-2.0 */
/* Paths inside a container's root; see path.h. */
#include "guestinit/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#include "base/fd.h"
#include "guestinit/syscalls.h"

#define PATH_LINKS_MAX 40 /* as the kernel has it */

static int path_openat2(int root_fd, const char *path, uint64_t flags)
{
	int fd = sys_openat2(root_fd, path[0] ? path : ".", O_PATH | O_CLOEXEC | flags,
		RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);

	return fd < 0 ? -errno : fd;
}

int path_open(int root_fd, const char *path)
{
	return path_openat2(root_fd, path, 0);
}

int path_open_nofollow(int root_fd, const char *path)
{
	return path_openat2(root_fd, path, O_NOFOLLOW);
}

/*
 * A walk by hand, for paths of which a part is missing: `done` is what is resolved, free of
 * symlinks; `todo` is the rest. Each step opens `done` anew from the root, confined, so that a
 * rename on the way can at worst make the walk fail.
 */
struct path_walk {
	int root_fd;
	mode_t type;
	unsigned links;
	char done[PATH_MAX], todo[PATH_MAX];
};

/* Takes the first component off `todo`; false at the end. `last` when nothing follows it. */
static bool walk_next(struct path_walk *w, char *name, bool *last)
{
	char *p = w->todo + strspn(w->todo, "/");
	size_t len = strcspn(p, "/");

	if (!len)
		return false;
	if (len > NAME_MAX)
		len = NAME_MAX + 1; /* the kernel will say ENAMETOOLONG */
	memcpy(name, p, len);
	name[len] = '\0';
	p += strcspn(p, "/");
	*last = !p[strspn(p, "/")];
	memmove(w->todo, p, strlen(p) + 1);
	return true;
}

static int walk_append(struct path_walk *w, const char *name)
{
	size_t used = strlen(w->done), len = strlen(name);

	if (used + 1 + len >= sizeof(w->done))
		return -ENAMETOOLONG;
	w->done[used] = '/';
	memcpy(w->done + used + 1, name, len + 1);
	return 0;
}

static void walk_up(struct path_walk *w)
{
	char *slash = strrchr(w->done, '/');

	if (slash)
		*slash = '\0';
}

/* Puts a symlink's target in front of `todo`. */
static int walk_follow(struct path_walk *w, int link_fd)
{
	char target[PATH_MAX], rest[PATH_MAX];
	ssize_t len = readlinkat(link_fd, "", target, sizeof(target));

	if (len < 0)
		return -errno;
	if (!len || ++w->links > PATH_LINKS_MAX)
		return -ELOOP;
	size_t rest_len = strlen(w->todo);
	if ((size_t)len + 1 + rest_len >= sizeof(w->todo))
		return -ENAMETOOLONG;
	memcpy(rest, w->todo, rest_len + 1);
	memcpy(w->todo, target, (size_t)len);
	w->todo[len] = '/';
	memcpy(w->todo + len + 1, rest, rest_len + 1);
	if (target[0] == '/')
		w->done[0] = '\0';
	return 0;
}

static int walk_create(struct path_walk *w, int parent_fd, const char *name, bool last)
{
	int ret = 0;

	if (last && S_ISREG(w->type)) {
		ret = mknodat(parent_fd, name, S_IFREG | 0644, 0) < 0 ? -errno : 0;
	} else if (mkdirat(parent_fd, name, 0755) < 0) {
		ret = -errno;
	}
	return ret == -EEXIST ? 0 : ret; /* somebody was faster: the look-up judges it */
}

static int walk_step(struct path_walk *w, const char *name, bool last)
{
	cleanup_close int parent = path_openat2(w->root_fd, w->done, O_DIRECTORY);

	if (parent < 0)
		return parent;
	int ret = walk_append(w, name);
	if (ret < 0)
		return ret;
	cleanup_close int fd = path_openat2(w->root_fd, w->done, O_NOFOLLOW);
	if (fd == -ENOENT) {
		ret = walk_create(w, parent, name, last);
		if (ret < 0)
			return ret;
		fd = path_openat2(w->root_fd, w->done, O_NOFOLLOW);
	}
	struct stat st;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISLNK(st.st_mode))
		return 0;
	walk_up(w);
	return walk_follow(w, fd);
}

/* Mostly, only the last component is missing. -ENOENT when it takes a walk. */
static int path_make_last(int root_fd, const char *path, mode_t type)
{
	struct path_walk w = {.root_fd = root_fd, .type = type};
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t len = (size_t)(name - path);

	if (!name[0] || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || len >= sizeof(w.done))
		return -ENOENT;
	memcpy(w.done, path, len);
	w.done[len] = '\0';
	cleanup_close int parent = path_openat2(root_fd, w.done, O_DIRECTORY);
	if (parent < 0)
		return -ENOENT;
	int ret = S_ISREG(type) ? mknodat(parent, name, S_IFREG | 0644, 0)
				: mkdirat(parent, name, 0755);
	if (ret < 0) /* EEXIST: a symlink that leads to nothing */
		return errno == EEXIST ? -ENOENT : -errno;
	return path_openat2(parent, name, O_NOFOLLOW);
}

int path_make(int root_fd, const char *path, mode_t type)
{
	int fd = path_open(root_fd, path);

	if (fd == -ENOENT)
		fd = path_make_last(root_fd, path, type);
	if (fd != -ENOENT)
		return fd;
	struct path_walk w = {.root_fd = root_fd, .type = type};
	char name[NAME_MAX + 2];
	bool last;
	size_t len = strlen(path);
	if (len >= sizeof(w.todo))
		return -ENAMETOOLONG;
	memcpy(w.todo, path, len + 1);
	while (walk_next(&w, name, &last)) {
		if (strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0) {
			walk_up(&w);
			continue;
		}
		int ret = walk_step(&w, name, last);
		if (ret < 0)
			return ret;
	}
	return path_openat2(root_fd, w.done, O_NOFOLLOW);
}

int path_make_parent(int root_fd, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	const char *last = slash ? slash + 1 : path;
	char parent[PATH_MAX];

	if (!last[0] || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
		return -EINVAL;
	size_t len = (size_t)(last - path);
	if (len >= sizeof(parent))
		return -ENAMETOOLONG;
	memcpy(parent, path, len);
	parent[len] = '\0';
	*name = last;
	return path_make(root_fd, parent, S_IFDIR);
}

int path_clean(const char *path, char *out, size_t cap_bytes)
{
	size_t used = 0;

	if (cap_bytes < 2)
		return -ENAMETOOLONG;
	while (*path) {
		path += strspn(path, "/");
		size_t len = strcspn(path, "/");
		if (len == 2 && path[0] == '.' && path[1] == '.') {
			while (used && out[--used] != '/')
				;
		} else if (len && !(len == 1 && path[0] == '.')) {
			if (used + len + 2 > cap_bytes)
				return -ENAMETOOLONG;
			out[used++] = '/';
			memcpy(out + used, path, len);
			used += len;
		}
		path += len;
	}
	if (!used)
		out[used++] = '/';
	out[used] = '\0';
	return 0;
}
