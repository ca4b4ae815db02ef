/* SPDX-License-Identifier: Apache-2.0 */
/* The table of nodes: ids, hash, lookup counts; see node.h. Descriptors are in node_fd.c. */
#include "microvm/fs/node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "microvm/fs/proto.h"

#define SLOT_FIRST     2u /* 0 is no id and 1 is the root's */
#define HASH_SIZE_INIT 1024u
#define MOUNTS_MAX     4096u
#define INO_BITS       48u /* enough for the inode numbers of nearly all file systems */

const char *fd_path_set(struct fd_path *path, const char *prefix, int fd)
{
	snprintf(path->text, sizeof(path->text), "%s%d", prefix, fd);
	return path->text;
}

int nodes_init(struct nodes *nodes, const char *fd_prefix, uint32_t fd_budget, uint32_t count_max)
{
	memset(nodes, 0, sizeof(*nodes));
	nodes->fd_prefix = fd_prefix;
	nodes->fd_budget = fd_budget;
	nodes->count_max = count_max;
	nodes->n_slots = SLOT_FIRST;
	nodes->hand = SLOT_FIRST;
	nodes->hash_size = HASH_SIZE_INIT;
	nodes->hash = calloc(HASH_SIZE_INIT, sizeof(*nodes->hash));
	if (!nodes->hash)
		return -ENOMEM;
	return -pthread_mutex_init(&nodes->lock, NULL);
}

void nodes_fini(struct nodes *nodes)
{
	nodes_forget_all(nodes);
	for (unsigned i = 0; i < nodes->n_mounts; i++) {
		if (nodes->mounts[i]->fd >= 0)
			close(nodes->mounts[i]->fd);
		free(nodes->mounts[i]);
	}
	free(nodes->mounts);
	free(nodes->slots);
	free(nodes->hash);
	pthread_mutex_destroy(&nodes->lock);
}

static uint32_t hash_of(const struct nodes *nodes, const struct mount *mount, uint64_t ino)
{
	uint64_t h = (ino + mount->tag) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(h >> 32) & (nodes->hash_size - 1);
}

static struct node *hash_find(struct nodes *nodes, const struct mount *mount, uint64_t ino)
{
	struct node *n = nodes->hash[hash_of(nodes, mount, ino)];

	while (n && (n->ino != ino || n->mount != mount))
		n = n->hash_next;
	return n;
}

static void hash_grow(struct nodes *nodes)
{
	uint32_t old_size = nodes->hash_size;
	struct node **old = nodes->hash, **fresh = calloc((size_t)old_size * 2, sizeof(*fresh));

	if (!fresh)
		return; /* longer chains, no harm */
	nodes->hash = fresh;
	nodes->hash_size = old_size * 2;
	for (uint32_t i = 0; i < old_size; i++) {
		for (struct node *n = old[i], *next; n; n = next) {
			uint32_t h = hash_of(nodes, n->mount, n->ino);
			next = n->hash_next;
			n->hash_next = fresh[h];
			fresh[h] = n;
		}
	}
	free(old);
}

static void hash_remove(struct nodes *nodes, struct node *node)
{
	struct node **link = &nodes->hash[hash_of(nodes, node->mount, node->ino)];

	if (!node->hashed)
		return;
	while (*link != node)
		link = &(*link)->hash_next;
	*link = node->hash_next;
	node->hashed = false;
}

static int slot_take(struct nodes *nodes, uint32_t *slot)
{
	if (nodes->free_slot) {
		*slot = nodes->free_slot;
		nodes->free_slot = nodes->slots[*slot].next_free;
		return 0;
	}
	if (nodes->n_slots >= nodes->cap_slots) {
		uint32_t cap = nodes->cap_slots ? nodes->cap_slots * 2 : 256;
		struct node_slot *grown = realloc(nodes->slots, (size_t)cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		memset(grown + nodes->cap_slots, 0,
			(size_t)(cap - nodes->cap_slots) * sizeof(*grown));
		nodes->slots = grown;
		nodes->cap_slots = cap;
	}
	*slot = nodes->n_slots++;
	return 0;
}

/* Outside the lock: closing the last reference to an unlinked file may take its time. */
static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* The descriptor to close, or -1. A node in a mount without handles holds its directory. */
int node_unref(struct nodes *nodes, struct node *node)
{
	int fd = -1;

	while (node && !node->nlookup && !node->holds && !node->uses) {
		struct node *parent = node_path_drop(node);
		hash_remove(nodes, node);
		struct node_slot *slot = &nodes->slots[node->slot];
		slot->node = NULL;
		slot->generation++;
		slot->next_free = nodes->free_slot;
		nodes->free_slot = node->slot;
		nodes->count--;
		if (node->fd >= 0)
			nodes->open_fds--;
		else
			nodes->evicted--;
		close_if(fd); /* of the node below: a directory's entry went before it */
		fd = node->fd;
		node_handle_free(node->handle);
		free(node);
		node = parent;
		if (node)
			node->holds--;
	}
	return fd;
}

static struct node *find_id(struct nodes *nodes, uint64_t id)
{
	uint32_t slot = (uint32_t)id;

	if (slot < SLOT_FIRST || slot >= nodes->n_slots)
		return NULL;
	struct node *node = nodes->slots[slot].node;
	return node && node->generation == id >> 32 ? node : NULL;
}

int node_use(struct nodes *nodes, uint64_t id, struct node_use *use)
{
	int ret = 0;

	*use = (struct node_use){.nodes = nodes, .fd = -1};
	if (id == FUSE_ROOT_ID)
		return 0;
	pthread_mutex_lock(&nodes->lock);
	struct node *node = find_id(nodes, id);
	if (!node || !node->nlookup) {
		pthread_mutex_unlock(&nodes->lock);
		return -ESTALE;
	}
	node->uses++;
	node->referenced = true;
	if (node->fd < 0)
		ret = node_reopen(nodes, node);
	use->node = node;
	use->fd = node->fd;
	pthread_mutex_unlock(&nodes->lock);
	if (ret < 0)
		node_unuse(use);
	return ret;
}

void node_unuse(struct node_use *use)
{
	struct nodes *nodes = use->nodes;

	if (!use->node)
		return;
	pthread_mutex_lock(&nodes->lock);
	use->node->uses--;
	int fd = node_unref(nodes, use->node);
	pthread_mutex_unlock(&nodes->lock);
	use->node = NULL;
	use->fd = -1;
	close_if(fd);
}

/* Lock held. The host mount that stx lies in; near is where to look first. */
static struct mount *mount_find(
	struct nodes *nodes, struct mount *near, struct export *export, const struct statx *stx)
{
	uint64_t dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);

	if (near && near->id == stx->stx_mnt_id && near->dev == dev)
		return near;
	for (unsigned i = 0; i < nodes->n_mounts; i++) {
		struct mount *m = nodes->mounts[i];
		if (m->export == export && m->id == stx->stx_mnt_id && m->dev == dev)
			return m;
	}
	if (nodes->n_mounts == MOUNTS_MAX)
		return NULL;
	/* An export's own mount has the export's number, so that the first one's tag is 0. */
	uint16_t tag = (uint16_t)(near ? EXPORTS_MAX + nodes->n_mounts : export->index);
	struct mount **grown =
		realloc(nodes->mounts, (nodes->n_mounts + 1) * sizeof(*nodes->mounts));
	if (!grown)
		return NULL;
	nodes->mounts = grown;
	struct mount *m = malloc(sizeof(*m));
	if (!m)
		return NULL;
	*m = (struct mount){
		.tag = tag,
		.export = export,
		.id = stx->stx_mnt_id,
		.dev = dev,
		.fd = -1,
	};
	nodes->mounts[nodes->n_mounts++] = m;
	return m;
}

/* Lock held. A new node without lookups in the table; it does not own fd yet. */
static int node_create(
	struct nodes *nodes, struct mount *mount, const struct statx *stx, struct node **out)
{
	uint32_t slot;

	if (nodes->count >= nodes->count_max)
		return -ENOMEM;
	struct node *n = calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	if (slot_take(nodes, &slot) < 0) {
		free(n);
		return -ENOMEM;
	}
	n->mount = mount;
	n->ino = stx->stx_ino;
	n->slot = slot;
	n->generation = nodes->slots[slot].generation;
	n->type = stx->stx_mode & S_IFMT;
	n->fd = -1;
	nodes->slots[slot].node = n;
	if (++nodes->count > nodes->hash_size)
		hash_grow(nodes);
	uint32_t h = hash_of(nodes, mount, n->ino);
	n->hash_next = nodes->hash[h];
	nodes->hash[h] = n;
	n->hashed = true;
	nodes->evicted++; /* until it has its descriptor */
	*out = n;
	return 0;
}

static void tell_locked(struct node *node, const struct statx *stx)
{
	if (!S_ISREG(node->type))
		return;
	node->told = true;
	node->told_size = stx->stx_size;
	node->told_mtime = stx->stx_mtime;
	node->told_ctime = stx->stx_ctime;
}

struct node *nodes_find(struct nodes *nodes, const struct node *near, const struct statx *stx)
{
	uint64_t dev = makedev(stx->stx_dev_major, stx->stx_dev_minor);

	if (near->mount->id != stx->stx_mnt_id || near->mount->dev != dev)
		return NULL;
	return hash_find(nodes, near->mount, stx->stx_ino);
}

int node_enter(struct nodes *nodes, struct node *parent, const char *name, struct export *export,
	int fd, const struct statx *stx, bool tell, struct node_entry *out)
{
	int ret = 0, surplus = fd;

	pthread_mutex_lock(&nodes->lock);
	unsigned n_mounts = nodes->n_mounts;
	struct mount *mount = mount_find(nodes, parent ? parent->mount : NULL, export, stx);
	struct node *n = mount ? hash_find(nodes, mount, stx->stx_ino) : NULL;
	if (!mount) {
		ret = -ENOMEM;
		goto out;
	}
	if (nodes->n_mounts != n_mounts)
		mount_prepare(nodes, mount, fd, stx->stx_mode & S_IFMT);
	if (n && n->fd < 0 && !node_same_inode(n, fd, stx)) {
		hash_remove(
			nodes, n); /* deleted, its number reused: ids of the old one are stale */
		n = NULL;
	}
	if (!n)
		ret = node_create(nodes, mount, stx, &n);
	if (ret < 0)
		goto out;
	if (n->fd < 0) {
		n->fd = fd;
		surplus = -1;
		nodes->evicted--;
		nodes->open_fds++;
	}
	n->nlookup++;
	n->referenced = true;
	if (mount->no_handles && parent && name)
		node_path_set(nodes, n, parent, name, stx);
	if (tell)
		tell_locked(n, stx);
	*out = (struct node_entry){
		.id = node_id(n),
		.ino = node_guest_ino(n, n->ino),
	};
	if (nodes->open_fds > nodes->fd_budget) {
		n->uses++; /* not this one */
		nodes_evict(nodes, nodes->fd_budget);
		n->uses--;
	}
out:
	pthread_mutex_unlock(&nodes->lock);
	close_if(surplus);
	return ret;
}

void node_forget(struct nodes *nodes, uint64_t id, uint64_t nlookup)
{
	int fd = -1;

	pthread_mutex_lock(&nodes->lock);
	struct node *node = find_id(nodes, id);
	if (node) {
		node->nlookup -= nlookup < node->nlookup ? nlookup : node->nlookup;
		fd = node_unref(nodes, node);
	}
	pthread_mutex_unlock(&nodes->lock);
	close_if(fd);
}

void nodes_forget_all(struct nodes *nodes)
{
	for (uint32_t slot = SLOT_FIRST;; slot++) {
		pthread_mutex_lock(&nodes->lock);
		if (slot >= nodes->n_slots) {
			pthread_mutex_unlock(&nodes->lock);
			return;
		}
		struct node *node = nodes->slots[slot].node;
		int fd = -1;
		if (node) {
			/* First the path: a wrong one might hold in a circle. */
			struct node *parent = node_path_drop(node);
			node->nlookup = 0;
			fd = node_unref(nodes, node);
			if (parent) {
				parent->holds--;
				close_if(fd);
				fd = node_unref(nodes, parent);
			}
		}
		pthread_mutex_unlock(&nodes->lock);
		close_if(fd);
	}
}

void node_hold(struct nodes *nodes, struct node *node)
{
	pthread_mutex_lock(&nodes->lock);
	node->holds++;
	pthread_mutex_unlock(&nodes->lock);
}

void node_unhold(struct nodes *nodes, struct node *node)
{
	pthread_mutex_lock(&nodes->lock);
	node->holds--;
	int fd = node_unref(nodes, node);
	pthread_mutex_unlock(&nodes->lock);
	close_if(fd);
}

bool nodes_mount(struct nodes *nodes, unsigned index, struct mount *copy)
{
	pthread_mutex_lock(&nodes->lock);
	bool there = index < nodes->n_mounts;
	if (there)
		*copy = *nodes->mounts[index];
	pthread_mutex_unlock(&nodes->lock);
	return there;
}

uint64_t node_guest_ino(const struct node *node, uint64_t ino)
{
	uint64_t tag = node->mount->tag;

	if (!(ino >> INO_BITS))
		return ino | tag << INO_BITS;
	uint64_t h = (ino ^ tag << 32 ^ tag) * UINT64_C(0x9e3779b97f4a7c15);
	return (h ^ h >> 29) | UINT64_C(1) << 63;
}

void node_tell(struct nodes *nodes, struct node *node, const struct statx *stx)
{
	if (!S_ISREG(node->type))
		return;
	pthread_mutex_lock(&nodes->lock);
	tell_locked(node, stx);
	pthread_mutex_unlock(&nodes->lock);
}

static bool same_time(const struct statx_timestamp *a, const struct statx_timestamp *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool node_is_told(struct nodes *nodes, struct node *node, const struct statx *stx)
{
	pthread_mutex_lock(&nodes->lock);
	bool same = node->told && node->told_size == stx->stx_size &&
		same_time(&node->told_mtime, &stx->stx_mtime) &&
		same_time(&node->told_ctime, &stx->stx_ctime);
	pthread_mutex_unlock(&nodes->lock);
	return same;
}
