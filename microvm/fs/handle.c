/* SPDX-License-Identifier: Apache-2.0 */
/* Open files of the guest; see handle.h. */
#include "microvm/fs/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/fs/proto.h"

#define SLOT_FIRST 1u /* so that 0 is no handle */

struct handle_slot {
	struct handle *handle;
	uint32_t generation, next_free;
};

int handles_init(struct handles *handles, struct nodes *nodes, uint32_t count_max)
{
	*handles = (struct handles){.nodes = nodes, .n_slots = SLOT_FIRST, .count_max = count_max};
	return -pthread_mutex_init(&handles->lock, NULL);
}

void handles_fini(struct handles *handles)
{
	handles_close_all(handles);
	free(handles->slots);
	pthread_mutex_destroy(&handles->lock);
}

static int slot_take(struct handles *handles, uint32_t *slot)
{
	if (handles->count >= handles->count_max)
		return -ENFILE;
	if (handles->free_slot) {
		*slot = handles->free_slot;
		handles->free_slot = handles->slots[*slot].next_free;
		return 0;
	}
	if (handles->n_slots >= handles->cap_slots) {
		uint32_t cap = handles->cap_slots ? handles->cap_slots * 2 : 64;
		struct handle_slot *grown = realloc(handles->slots, (size_t)cap * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		memset(grown + handles->cap_slots, 0,
			(size_t)(cap - handles->cap_slots) * sizeof(*grown));
		handles->slots = grown;
		handles->cap_slots = cap;
	}
	*slot = handles->n_slots++;
	return 0;
}

int handle_open(struct handles *handles, struct node *node, int fd, bool dir, uint64_t *id)
{
	cleanup_close int owned = fd;
	cleanup_free struct handle *fresh = calloc(1, sizeof(*fresh));
	uint32_t slot;

	if (!fresh)
		return -ENOMEM;
	int ret = -pthread_mutex_init(&fresh->lock, NULL);
	if (ret < 0)
		return ret;
	/* Before the handle can be found: a guest may guess its id and close it at once. */
	if (node)
		node_hold(handles->nodes, node);
	pthread_mutex_lock(&handles->lock);
	ret = slot_take(handles, &slot);
	if (ret < 0) {
		pthread_mutex_unlock(&handles->lock);
		pthread_mutex_destroy(&fresh->lock);
		if (node)
			node_unhold(handles->nodes, node);
		return ret;
	}
	struct handle *h = steal_ptr(&fresh);
	h->id = (uint64_t)handles->slots[slot].generation << 32 | slot;
	h->node = node;
	h->nodeid = node ? node_id(node) : FUSE_ROOT_ID;
	h->export = node ? node->mount->export : NULL;
	h->fd = steal_fd(&owned);
	h->direct_fd = -1;
	h->dir = dir;
	h->refs = 1;
	handles->slots[slot].handle = h;
	handles->count++;
	*id = h->id;
	pthread_mutex_unlock(&handles->lock);
	return 0;
}

struct handle *handle_get(struct handles *handles, uint64_t id, uint64_t nodeid, bool dir)
{
	uint32_t slot = (uint32_t)id;
	struct handle *h = NULL;

	pthread_mutex_lock(&handles->lock);
	if (slot >= SLOT_FIRST && slot < handles->n_slots)
		h = handles->slots[slot].handle;
	if (h && h->id == id && h->nodeid == nodeid && h->dir == dir)
		h->refs++;
	else
		h = NULL;
	pthread_mutex_unlock(&handles->lock);
	return h;
}

static void entries_drop(struct handles *handles, struct handle *h)
{
	if (!h->entries)
		return;
	free(h->entries);
	h->entries = NULL;
	atomic_fetch_sub(&handles->n_entries, 1);
}

static void handle_free(struct handles *handles, struct handle *h)
{
	entries_drop(handles, h);
	fd_closep(&h->fd);
	fd_closep(&h->direct_fd);
	if (h->node)
		node_unhold(handles->nodes, h->node);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

void handle_put(struct handles *handles, struct handle *handle)
{
	pthread_mutex_lock(&handles->lock);
	bool last = --handle->refs == 0;
	pthread_mutex_unlock(&handles->lock);
	if (last)
		handle_free(handles, handle);
}

/* Lock held: out of the table. */
static struct handle *slot_clear(struct handles *handles, uint32_t slot)
{
	struct handle_slot *s = &handles->slots[slot];
	struct handle *h = s->handle;

	s->handle = NULL;
	s->generation++;
	s->next_free = handles->free_slot;
	handles->free_slot = slot;
	handles->count--;
	return h;
}

void handle_close(struct handles *handles, uint64_t id)
{
	uint32_t slot = (uint32_t)id;
	struct handle *h = NULL;

	pthread_mutex_lock(&handles->lock);
	if (slot >= SLOT_FIRST && slot < handles->n_slots && handles->slots[slot].handle &&
		handles->slots[slot].handle->id == id)
		h = slot_clear(handles, slot);
	pthread_mutex_unlock(&handles->lock);
	if (h)
		handle_put(handles, h);
}

void handles_close_all(struct handles *handles)
{
	for (uint32_t slot = SLOT_FIRST;; slot++) {
		struct handle *h = NULL;

		pthread_mutex_lock(&handles->lock);
		bool end = slot >= handles->n_slots;
		if (!end && handles->slots[slot].handle)
			h = slot_clear(handles, slot);
		pthread_mutex_unlock(&handles->lock);
		if (h)
			handle_put(handles, h);
		if (end)
			return;
	}
}

int handle_use(
	struct handles *handles, uint64_t id, uint64_t nodeid, bool dir, struct handle_use *use)
{
	use->handles = handles;
	use->handle = handle_get(handles, id, nodeid, dir);
	return use->handle ? 0 : -EBADF;
}

void handle_unuse(struct handle_use *use)
{
	if (use->handle)
		handle_put(use->handles, use->handle);
	use->handle = NULL;
}

int handle_entries_get(struct handles *handles, struct handle *h)
{
	if (h->entries)
		return 0;
	h->entries = malloc(HANDLE_ENTRIES_BYTES);
	if (!h->entries)
		return -ENOMEM;
	atomic_fetch_add(&handles->n_entries, 1);
	return 0;
}

void handle_entries_trim(struct handles *handles, struct handle *h)
{
	bool left = h->entries_at < h->entries_end;

	if (left && atomic_load(&handles->n_entries) <= HANDLE_ENTRIES_MAX)
		return;
	if (left)
		h->next_offset = UINT64_MAX; /* the descriptor is beyond it */
	h->entries_at = h->entries_end = 0;
	entries_drop(handles, h);
}

/*
 * A guest can switch O_DIRECT on and off (F_SETFL), and writes mapped pages back through any
 * handle of the file, without it. Two descriptors serve both without a race between requests.
 */
int handle_io_fd(struct handles *handles, struct handle *h, uint32_t open_flags)
{
	struct fd_path path = {""};

	if (!(open_flags & O_DIRECT))
		return h->fd;
	pthread_mutex_lock(&h->lock);
	int fd = h->direct_fd;
	if (fd < 0) {
		int mode = fcntl(h->fd, F_GETFL);
		fd = mode < 0 ? -1
			      : open(fd_path_set(&path, handles->nodes->fd_prefix, h->fd),
					(mode & (O_ACCMODE | O_SYNC)) | O_DIRECT | O_CLOEXEC);
		h->direct_fd = fd;
		fd = fd < 0 ? -errno : fd;
	}
	pthread_mutex_unlock(&h->lock);
	return fd;
}
