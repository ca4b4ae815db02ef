/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of nodes: which nodes keep one, and how the others get theirs back; see node.h.
 *
 * Eviction is a clock: the hand walks the slots, gives nodes that were used since its last pass a
 * second chance, and takes the descriptor of the others. It makes a bounded number of steps per
 * new node, so that one request never pays for many.
 */
#include "microvm/fs/node.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

#if defined(__GNUC__) && !defined(__clang__)
/* gcc 12's analyzer loses track of what a table keeps, and calls it leaked. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

#define HANDLE_BYTES_MAX 128 /* MAX_HANDLE_SZ */
#define EVICT_STEPS	 64

struct node_handle {
	struct file_handle h;
};

union handle_buffer {
	struct file_handle h;
	char bytes[sizeof(struct file_handle) + HANDLE_BYTES_MAX];
};

void node_handle_free(struct node_handle *handle)
{
	free(handle);
}

static int inode_handle(int fd, union handle_buffer *buf)
{
	int mount_id;

	buf->h.handle_bytes = HANDLE_BYTES_MAX;
	return name_to_handle_at(fd, "", &buf->h, &mount_id, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static int inode_open(const struct mount *mount, struct file_handle *h)
{
	int fd = open_by_handle_at(mount->fd, h, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Whether inodes of this mount can be found again by handle: tried once, with its root. */
static bool mount_has_handles(const struct mount *mount)
{
	union handle_buffer buf;

	if (mount->fd < 0)
		return false;
	int ret = inode_handle(mount->fd, &buf);
	if (!ret)
		ret = inode_open(mount, &buf.h);
	if (ret >= 0)
		close(ret);
	else
		log_debug("%s: no file handles: %s", mount->export->path, strerror(-ret));
	return ret >= 0;
}

void mount_prepare(struct nodes *nodes, struct mount *mount, int root_fd, mode_t type)
{
	struct fd_path path = {""};

	if (S_ISDIR(type) || S_ISREG(type))
		mount->fd =
			open(fd_path_set(&path, nodes->fd_prefix, root_fd), O_RDONLY | O_CLOEXEC);
	mount->no_handles = nodes->no_handles || !S_ISDIR(type) || !mount_has_handles(mount);
}

/* A handle for the node, if it does not have one yet. */
static bool node_keep_handle(struct node *node)
{
	union handle_buffer buf;

	if (node->handle)
		return true;
	if (inode_handle(node->fd, &buf) < 0)
		return false;
	size_t len = sizeof(struct file_handle) + buf.h.handle_bytes;
	struct node_handle *fresh = malloc(len);
	if (!fresh)
		return false;
	memcpy(fresh, &buf, len);
	node->handle = fresh;
	return true;
}

/* Lock held. Takes the node's descriptor when it can be had back. */
static void node_evict(struct nodes *nodes, struct node *node)
{
	struct statx stx;

	/* Without a link there is neither name nor handle that would lead to it. */
	if (statx(node->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_NLINK, &stx) < 0 ||
		!stx.stx_nlink ||
		!(node->mount->no_handles ? !!node->path : node_keep_handle(node))) {
		node->pinned = true;
		return;
	}
	close(node->fd);
	node->fd = -1;
	nodes->open_fds--;
	nodes->evicted++;
}

void nodes_evict(struct nodes *nodes, uint32_t budget)
{
	for (unsigned i = 0; i < EVICT_STEPS && nodes->open_fds > budget; i++) {
		if (nodes->hand >= nodes->n_slots)
			nodes->hand = 2;
		struct node *node = nodes->slots[nodes->hand++].node;
		if (!node || node->fd < 0 || node->uses || node->pinned)
			continue;
		if (node->referenced)
			node->referenced = false;
		else
			node_evict(nodes, node);
	}
}

bool nodes_shrink(struct nodes *nodes)
{
	pthread_mutex_lock(&nodes->lock);
	uint32_t before = nodes->open_fds;
	/* Twice around for those that were used lately, if it takes that. */
	for (uint32_t n = 0; n <= 2 * (nodes->n_slots / EVICT_STEPS + 1); n++) {
		uint32_t goal = before > 64 ? before - 64 : 0;
		if (nodes->open_fds <= goal)
			break;
		nodes_evict(nodes, goal);
	}
	bool shrunk = nodes->open_fds < before;
	pthread_mutex_unlock(&nodes->lock);
	return shrunk;
}

bool node_same_inode(struct node *node, int fd, const struct statx *stx)
{
	union handle_buffer buf;

	if (node->mount->no_handles)
		return node_path_same(node, stx);
	return node->handle && inode_handle(fd, &buf) == 0 &&
		buf.h.handle_type == node->handle->h.handle_type &&
		buf.h.handle_bytes == node->handle->h.handle_bytes &&
		!memcmp(buf.h.f_handle, node->handle->h.f_handle, buf.h.handle_bytes);
}

int node_reopen(struct nodes *nodes, struct node *node)
{
	struct statx stx;

	if (node->mount->no_handles)
		return node_path_reopen(nodes, node);
	if (!node->handle)
		return -ESTALE;
	/* The caller has a use, so the node stays; mount and handle never change. */
	pthread_mutex_unlock(&nodes->lock);
	int fd = inode_open(node->mount, &node->handle->h);
	if (fd == -EMFILE && nodes_shrink(nodes))
		fd = inode_open(node->mount, &node->handle->h);
	if (fd >= 0 &&
		(statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_INO, &stx) < 0 ||
			stx.stx_ino != node->ino || (stx.stx_mode & S_IFMT) != node->type)) {
		close(fd);
		fd = -ESTALE;
	}
	pthread_mutex_lock(&nodes->lock);
	if (fd < 0)
		return node->fd >= 0 ? 0 : fd;
	if (node->fd >= 0) {
		close(fd); /* another thread was faster */
		return 0;
	}
	node->fd = fd;
	nodes->evicted--;
	nodes->open_fds++;
	return 0;
}

/* Lock held. The node of the inode that is to lose a name, if it depends on it: it gives that up.
 */
static bool depends_on_name(
	struct nodes *nodes, const struct node_use *dir, const char *name, const struct statx *stx)
{
	struct node *node = nodes_find(nodes, dir->node, stx);

	if (!node)
		return false;
	if (node->fd < 0)
		return node->mount->no_handles || stx->stx_nlink == 1 || S_ISDIR(node->type);
	if (node->mount->no_handles && node_path_is(node, dir->node, name)) {
		struct node *parent = node_path_drop(node);
		parent->holds--; /* dir's node, which is in use */
	}
	return false;
}

void node_pin_name(struct nodes *nodes, const struct node_use *dir, const char *name)
{
	struct statx stx;
	struct node_entry entry;
	struct node_use use;

	pthread_mutex_lock(&nodes->lock);
	bool any = nodes->evicted || dir->node->mount->no_handles;
	pthread_mutex_unlock(&nodes->lock);
	if (!any || statx(dir->fd, name, AT_SYMLINK_NOFOLLOW, NODE_STATX_MASK, &stx) < 0)
		return;
	pthread_mutex_lock(&nodes->lock);
	bool pin = depends_on_name(nodes, dir, name, &stx);
	pthread_mutex_unlock(&nodes->lock);
	if (!pin)
		return;
	/* Entering gives the node a descriptor; then it is pinned, and the lookup taken back. */
	cleanup_close int fd = openat(dir->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, NODE_STATX_MASK, &stx) < 0)
		return;
	struct export *export = dir->node->mount->export;
	if (node_enter(nodes, dir->node, NULL, export, steal_fd(&fd), &stx, false, &entry) < 0)
		return;
	if (!node_use(nodes, entry.id, &use)) {
		pthread_mutex_lock(&nodes->lock);
		use.node->pinned = true;
		pthread_mutex_unlock(&nodes->lock);
		node_unuse(&use);
	}
	node_forget(nodes, entry.id, 1);
}
