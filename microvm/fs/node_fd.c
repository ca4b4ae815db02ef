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

void mount_prepare(struct nodes *nodes, struct mount *mount, int root_fd, mode_t type)
{
	struct fd_path path;

	/* An export's own mount can be reached by its descriptor whenever that is needed. */
	if (mount->tag < EXPORTS_MAX || (!S_ISDIR(type) && !S_ISREG(type)))
		return;
	mount->fd = open(fd_path_set(&path, nodes->fd_prefix, root_fd), O_RDONLY | O_CLOEXEC);
}

/* Whether inodes of this mount can be found again by handle: found out at the first eviction. */
static bool mount_has_handles(struct mount *mount)
{
	union handle_buffer buf;

	if (mount->handles_tried)
		return !mount->no_handles;
	mount->handles_tried = true;
	mount->no_handles = true;
	if (mount->fd < 0 && S_ISDIR(mount->export->type))
		mount->fd = openat(mount->export->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (mount->fd < 0)
		return false;
	int ret = inode_handle(mount->fd, &buf);
	if (!ret)
		ret = inode_open(mount, &buf.h);
	if (ret >= 0) {
		close(ret);
		mount->no_handles = false;
	} else {
		log_debug("%s: no file handles (%s): one descriptor per inode",
			mount->export->path, strerror(-ret));
	}
	return ret >= 0;
}

/* Lock held. Takes the node's descriptor when it can be had back. */
static bool node_evict(struct nodes *nodes, struct node *node)
{
	union handle_buffer buf;
	struct statx stx;

	if (!mount_has_handles(node->mount)) {
		node->pinned = true;
		return false;
	}
	/* The last link of an open file is gone: its handle would be stale at once. */
	if (statx(node->fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_NLINK, &stx) < 0 ||
		stx.stx_nlink == 0 || inode_handle(node->fd, &buf) < 0) {
		node->pinned = true;
		return false;
	}
	if (!node->handle) {
		size_t len = sizeof(struct file_handle) + buf.h.handle_bytes;
		node->handle = malloc(len);
		if (!node->handle)
			return false;
		memcpy(node->handle, &buf, len);
	}
	close(node->fd);
	node->fd = -1;
	nodes->open_fds--;
	nodes->evicted++;
	return true;
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
			(void)node_evict(nodes, node);
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

bool node_same_inode(struct node *node, int fd)
{
	union handle_buffer buf;

	return node->handle && inode_handle(fd, &buf) == 0 &&
		buf.h.handle_type == node->handle->h.handle_type &&
		buf.h.handle_bytes == node->handle->h.handle_bytes &&
		!memcmp(buf.h.f_handle, node->handle->h.f_handle, buf.h.handle_bytes);
}

int node_reopen(struct nodes *nodes, struct node *node)
{
	struct statx stx;

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

void node_pin_name(struct nodes *nodes, const struct node_use *dir, const char *name)
{
	struct statx stx;
	struct node_entry entry;

	pthread_mutex_lock(&nodes->lock);
	bool any = nodes->evicted != 0;
	pthread_mutex_unlock(&nodes->lock);
	if (!any)
		return;
	cleanup_close int fd = openat(dir->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, NODE_STATX_MASK, &stx) < 0)
		return;
	if (!S_ISDIR(stx.stx_mode) && stx.stx_nlink > 1)
		return;
	/* Entering gives the node this descriptor; then it is pinned and the lookup taken back. */
	struct mount *mount = dir->node->mount;
	if (node_enter(nodes, dir->node, mount->export, steal_fd(&fd), &stx, false,
		    &entry) < 0)
		return;
	struct node_use use;
	if (!node_use(nodes, entry.id, &use)) {
		pthread_mutex_lock(&nodes->lock);
		use.node->pinned = true;
		pthread_mutex_unlock(&nodes->lock);
		node_unuse(&use);
	}
	node_forget(nodes, entry.id, 1);
}
