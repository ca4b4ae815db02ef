/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes without file handles: where the file system has none, or this process may not use them, an
 * evicted node remembers its directory (which it holds) and its name there, and is found again by
 * walking down from the nearest ancestor that has a descriptor.
 *
 * A name is weaker than a handle: whoever renames things on the host's side makes the node stale,
 * and the guest looks the name up anew. What the guest renames itself is followed. That the inode
 * found is the one that was lost is checked by its number and its time of birth.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/fs/node.h"
#include "microvm/fs/proto.h"

#define DEPTH_MAX 256u

struct node_path {
	struct node *parent;	     /* held */
	struct statx_timestamp born; /* zero where that is unknown */
	char name[];
};

static struct statx_timestamp born_of(const struct statx *stx)
{
	static const struct statx_timestamp unknown;

	return stx->stx_mask & STATX_BTIME ? stx->stx_btime : unknown;
}

bool node_path_is(const struct node *node, const struct node *parent, const char *name)
{
	return node->path && node->path->parent == parent && !strcmp(node->path->name, name);
}

void node_path_set(struct nodes *nodes, struct node *node, struct node *parent, const char *name,
	const struct statx *stx)
{
	size_t len = strlen(name) + 1;

	if (node == parent)
		return;
	if (node_path_is(node, parent, name))
		return;
	struct node_path *fresh = malloc(sizeof(*fresh) + len);
	if (!fresh)
		return;
	fresh->parent = parent;
	fresh->born = born_of(stx);
	memcpy(fresh->name, name, len);
	struct node *old = node_path_drop(node);
	parent->holds++;
	node->path = fresh;
	node->pinned = false;
	if (old) {
		old->holds--;
		int fd = node_unref(nodes, old);
		fd_closep(&fd);
	}
}

struct node *node_path_drop(struct node *node)
{
	struct node *parent = node->path ? node->path->parent : NULL;

	free(node->path);
	node->path = NULL;
	return parent;
}

static bool same_inode(const struct node *node, const struct statx *stx)
{
	struct statx_timestamp born = born_of(stx);

	return stx->stx_ino == node->ino && (stx->stx_mode & S_IFMT) == node->type &&
		stx->stx_mnt_id == node->mount->id && born.tv_sec == node->path->born.tv_sec &&
		born.tv_nsec == node->path->born.tv_nsec;
}

bool node_path_same(const struct node *node, const struct statx *stx)
{
	return node->path && same_inode(node, stx);
}

/* Lock held, dropped meanwhile: gives node, whose directory has a descriptor and a use, its own. */
static int reopen_in_parent(struct nodes *nodes, struct node *node)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	char name[FS_NAME_MAX + 1];
	struct statx stx;

	if (node->fd >= 0)
		return 0;
	if (!node->path || node->path->parent->fd < 0)
		return -ESTALE;
	snprintf(name, sizeof(name), "%s", node->path->name); /* bounded when it was taken */
	struct node *parent = node->path->parent;
	int parent_fd = parent->fd;
	parent->uses++; /* it may have become another than the caller found */
	pthread_mutex_unlock(&nodes->lock);
	int fd = (int)syscall(SYS_openat2, parent_fd, name, &how, sizeof(how));
	int ret = fd < 0 ? (errno == EMFILE ? -EMFILE : -ESTALE) : 0;
	if (!ret && statx(fd, "", AT_EMPTY_PATH, NODE_STATX_MASK, &stx) < 0)
		ret = -errno;
	pthread_mutex_lock(&nodes->lock);
	parent->uses--;
	int unused_fd = node_unref(nodes, parent);
	fd_closep(&unused_fd);
	if (!ret && (!node->path || !same_inode(node, &stx)))
		ret = -ESTALE;
	if (node->fd < 0 && !ret) {
		node->fd = steal_fd(&fd);
		nodes->evicted--;
		nodes->open_fds++;
	}
	fd_closep(&fd);
	return node->fd >= 0 ? 0 : ret;
}

int node_path_reopen(struct nodes *nodes, struct node *node)
{
	struct node *chain[DEPTH_MAX];
	unsigned n = 0;
	int ret = 0;

	/* Up to an ancestor with a descriptor; uses keep all of them alive, and it open. */
	for (struct node *at = node;;) {
		if (n == DEPTH_MAX)
			ret = -ESTALE;
		else {
			at->uses++;
			chain[n++] = at;
		}
		if (ret || at->fd >= 0)
			break;
		if (!at->path) {
			ret = -ESTALE;
			break;
		}
		at = at->path->parent;
	}
	for (unsigned i = n; i-- > 0 && !ret;)
		if (chain[i]->fd < 0)
			ret = reopen_in_parent(nodes, chain[i]);
	/* The lowest is the caller's, who has a use of his own; the others may go now. */
	for (unsigned i = n; i-- > 0;) {
		chain[i]->uses--;
		int fd = i ? node_unref(nodes, chain[i]) : -1;
		fd_closep(&fd);
	}
	return ret;
}

static void follow(struct nodes *nodes, const struct node_use *dir, const char *name)
{
	struct statx stx;

	if (statx(dir->fd, name, AT_SYMLINK_NOFOLLOW, NODE_STATX_MASK, &stx) < 0)
		return;
	pthread_mutex_lock(&nodes->lock);
	struct node *node = nodes_find(nodes, dir->node, &stx);
	if (node && node != dir->node)
		node_path_set(nodes, node, dir->node, name, &stx);
	pthread_mutex_unlock(&nodes->lock);
}

void node_renamed(struct nodes *nodes, const struct node_use *from, const char *name,
	const struct node_use *to, const char *newname, bool exchange)
{
	if (!to->node->mount->no_handles)
		return;
	follow(nodes, to, newname);
	if (exchange)
		follow(nodes, from, name);
}
