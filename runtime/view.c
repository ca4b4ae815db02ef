/* SPDX-License-Identifier: Apache-2.0 */
/* The container's files in its monitor's namespace; see view.h. */
#include "runtime/view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/emptyfs.h"
#include "base/fd.h"
#include "base/log.h"
#include "runtime/support.h"

#define OPEN_TRIES    64
#define NO_PRIVILEGES (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* A mount of its own of what fd names, with what is mounted below it or, if that can be, without.
 */
static int clone_tree(int fd, bool recursive, bool readonly, struct err *e)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
	struct mount_attr attr = {
		.attr_set = NO_PRIVILEGES | (readonly ? MOUNT_ATTR_RDONLY : 0),
		.propagation = MS_SLAVE,
	};
	cleanup_close int tree = open_tree(fd, "", flags | (recursive ? AT_RECURSIVE : 0));

	/* Locked mounts (user namespaces) can't be left out. */
	if (tree < 0 && errno == EINVAL && !recursive)
		tree = open_tree(fd, "", flags | AT_RECURSIVE);
	if (tree < 0 ||
		mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		return err_sys(e, errno, "private mount");
	return steal_fd(&tree);
}

/* The place is resolved as in the container, whose image may have symlinks to anywhere. */
static int attach(int tree, int root, const char *destination, struct err *e)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	cleanup_close int place = -1;

	/* EAGAIN: something was renamed somewhere while it looked at a "..". */
	for (int tries = 0; place < 0 && tries < OPEN_TRIES && (tries == 0 || errno == EAGAIN);
		tries++)
		place = (int)syscall(SYS_openat2, root, destination, &how, sizeof(how));
	if (place < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return 0;
	if (place < 0 ||
		move_mount(tree, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) <
			0)
		return err_sys(e, errno, "mount on %s", destination);
	return 0;
}

/* The trees are those of the host's namespace, the places those of the monitor's. */
struct trees {
	int root, empty;
	const struct exports *exports;
	int *binds; /* one for each export, -1: none */
};

static int clone_all(struct trees *trees, const struct oci_config *config, struct err *e)
{
	const struct exports *exports = trees->exports;

	trees->root = clone_tree(exports->list[0].fd, true, config->root_readonly, e);
	if (trees->root < 0)
		return err_add(e, "%s", exports->list[0].path);
	for (size_t i = 1; i < exports->n; i++) {
		const struct export *export = &exports->list[i];
		if (export->socket)
			continue;
		int tree = clone_tree(export->fd, export->recursive, export->readonly, e);
		/* What is mounted in no namespace, or in another one, has no place in this one. */
		if (tree < 0 && tree != -EINVAL)
			return err_add(e, "%s", export->path);
		trees->binds[i] = tree < 0 ? -1 : tree;
	}
	trees->empty = emptyfs_new(e);
	return trees->empty < 0 ? trees->empty : 0;
}

static int attach_all(const struct trees *trees, const struct oci_config *config, struct err *e)
{
	size_t n = 1; /* the root's export comes first */

	if (move_mount(trees->root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
		fchdir(trees->root) < 0 || chroot(".") < 0)
		return err_sys(e, errno, "root file system");
	for (size_t i = 0; i < json_array_size(config->mounts); i++) {
		const json_t *mount = json_array_get(config->mounts, i);
		cleanup_close int cover = -1;
		if (!support_is_bind(mount))
			cover = open_tree(trees->empty, "",
				OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
		int tree = support_is_bind(mount) ? trees->binds[n++] : cover;
		if (tree < 0)
			continue;
		int ret = attach(tree, trees->root,
			json_string_value(json_object_get(mount, "destination")), e);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* The namespace; 1 when it is our own, which is to stay as it is. */
static int open_namespace(pid_t monitor, struct err *e, int *ns)
{
	char path[64];
	struct stat own, theirs;

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)monitor);
	*ns = open(path, O_RDONLY | O_CLOEXEC);
	if (*ns < 0 || fstat(*ns, &theirs) < 0 || stat("/proc/self/ns/mnt", &own) < 0)
		return err_sys(e, errno, "%s", path);
	return own.st_dev == theirs.st_dev && own.st_ino == theirs.st_ino;
}

/* In a process of its own, which also closes what is open. */
static int show(pid_t monitor, const struct exports *exports, const struct oci_config *config,
	struct err *e)
{
	cleanup_close int ns = -1;
	cleanup_free int *binds = calloc(exports->n, sizeof(*binds));
	struct trees trees = {.root = -1, .empty = -1, .exports = exports, .binds = binds};

	if (!binds)
		return err_sys(e, ENOMEM, "mounts");
	for (size_t i = 0; i < exports->n; i++)
		binds[i] = -1;
	int ret = open_namespace(monitor, e, &ns);
	if (ret != 0)
		return ret < 0 ? ret : 0;
	ret = clone_all(&trees, config, e);
	if (ret == 0 && setns(ns, CLONE_NEWNS) < 0)
		ret = err_sys(e, errno, "the monitor's mount namespace");
	return ret < 0 ? ret : attach_all(&trees, config, e);
}

int view_show(pid_t monitor, const struct exports *exports, const struct oci_config *config,
	struct err *e)
{
	int pipes[2];
	char text[512];
	ssize_t n;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return err_sys(e, errno, "pipe");
	/* A process of its own: root and working directory change with the namespace. */
	pid_t pid = fork();
	if (pid == 0) {
		struct err why;
		bool failed = show(monitor, exports, config, &why) < 0;
		if (failed)
			(void)!write(pipes[1], why.text, strlen(why.text));
		_exit(failed);
	}
	int code = errno, status = 0;
	close(pipes[1]);
	n = pid < 0 ? 0 : read(pipes[0], text, sizeof(text) - 1);
	close(pipes[0]);
	if (pid < 0)
		return err_sys(e, code, "fork");
	waitpid(pid, &status, 0);
	if (status == 0)
		return 0;
	text[n > 0 ? n : 0] = '\0';
	return err_set(e, EIO, "%s", n > 0 ? text : "its process was killed");
}
