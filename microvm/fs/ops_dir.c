/* SPDX-License-Identifier: Apache-2.0 */
/* LOOKUP, FORGET and reading directories. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "microvm/fs/ops.h"

/* What getdents64 fills in (the kernel's struct linux_dirent64). */
struct host_dirent {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

int op_lookup(const struct op_call *c)
{
	cleanup_node struct node_use dir = {0};
	struct fuse_entry_out out;
	const char *name;

	int ret = request_take_name(c->r, &name);
	if (!ret)
		ret = node_use(&c->s->nodes, c->r->header.nodeid, &dir);
	if (!ret && dir.node && !S_ISDIR(dir.node->type))
		ret = -ENOTDIR;
	if (!ret)
		ret = lookup_entry(c, &dir, name, &out);
	return ret ? ret : request_reply(c->r, &out, sizeof(out));
}

int op_forget(const struct op_call *c)
{
	const struct fuse_forget_in *in = request_take(c->r, sizeof(*in));

	if (in)
		node_forget(&c->s->nodes, c->r->header.nodeid, in->nlookup);
	return OP_NO_REPLY;
}

int op_batch_forget(const struct op_call *c)
{
	const struct fuse_batch_forget_in *in = request_take(c->r, sizeof(*in));

	for (uint32_t i = 0; in && i < in->count; i++) {
		const struct fuse_forget_one *one = request_take(c->r, sizeof(*one));
		if (!one)
			break;
		node_forget(&c->s->nodes, one->nodeid, one->nlookup);
	}
	return OP_NO_REPLY;
}

int op_opendir(const struct op_call *c)
{
	const struct fuse_open_in *in = request_take(c->r, sizeof(*in));
	cleanup_node struct node_use dir = {0};
	struct fuse_open_out out = {0};
	int fd = -1;

	if (!in)
		return -EINVAL;
	int ret = node_use(&c->s->nodes, c->r->header.nodeid, &dir);
	if (ret)
		return ret;
	if (dir.node) {
		if (!S_ISDIR(dir.node->type))
			return -ENOTDIR;
		fd = op_openat(c, dir.fd, ".", O_RDONLY | O_DIRECTORY, 0);
		if (fd < 0)
			return fd;
		if (node_export(dir.node)->cache == CACHE_ALWAYS)
			out.open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
	}
	ret = handle_open(&c->s->handles, dir.node, fd, true, &out.fh);
	if (ret)
		return ret;
	ret = request_reply(c->r, &out, sizeof(out));
	if (ret < 0)
		handle_close(&c->s->handles, out.fh);
	return ret;
}

/* A reply under construction in the thread's buffer. */
struct dir_reply {
	const struct op_call *c;
	const struct node_use *dir;
	bool plus;
	size_t used, size;
};

/*
 * Adds one entry; false when it does not fit. With plus, the entry's node is looked up, but only
 * once it is sure that the guest will hear of it; an entry that has vanished goes without a node.
 */
static bool dir_add(struct dir_reply *reply, const char *name, size_t len, uint64_t ino,
	uint8_t type, uint64_t next_offset)
{
	size_t head = reply->plus ? offsetof(struct fuse_direntplus, dirent) : 0;
	size_t bytes = FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + len);
	uint8_t *at = reply->c->t->buf + reply->used;

	if (bytes > reply->size - reply->used)
		return false;
	memset(at, 0, bytes);
	struct fuse_dirent *d = (struct fuse_dirent *)(void *)(at + head);
	if (reply->plus) {
		struct fuse_entry_out *e = (struct fuse_entry_out *)(void *)at;
		if (!strcmp(name, ".") || !strcmp(name, "..") ||
			lookup_entry(reply->c, reply->dir, name, e) < 0)
			memset(e, 0, sizeof(*e));
		else
			ino = e->attr.ino;
	}
	d->ino = ino;
	d->off = next_offset;
	d->namelen = (uint32_t)len;
	d->type = type;
	memcpy(d->name, name, len);
	reply->used += bytes;
	return true;
}

/* Offsets in the root: 0 before ".", 1 before "..", 2 + n before export n. */
static void read_root(struct dir_reply *reply, uint64_t offset)
{
	if (offset == 0 && dir_add(reply, ".", 1, FUSE_ROOT_ID, DT_DIR, 1))
		offset = 1;
	if (offset == 1 && dir_add(reply, "..", 2, FUSE_ROOT_ID, DT_DIR, 2))
		offset = 2;
	while (offset >= 2 && offset - 2 < EXPORTS_MAX) {
		struct export *x = exports_at(reply->c->s->config.exports, (unsigned)offset - 2);
		if (!x ||
			!dir_add(reply, x->name, strlen(x->name), offset, (uint8_t)(x->type >> 12),
				offset + 1))
			return;
		offset++;
	}
}

/* Handle's lock held. Makes entries[entries_at] the one at offset; 0 at the directory's end. */
static int refill(struct handles *handles, struct handle *h, uint64_t offset)
{
	if (offset != h->next_offset) {
		h->entries_at = h->entries_end = 0;
		if (offset > INT64_MAX || lseek(h->fd, (off_t)offset, SEEK_SET) < 0)
			return -EINVAL;
		h->next_offset = offset;
	}
	if (h->entries_at < h->entries_end)
		return 1;
	int ret = handle_entries_get(handles, h);
	if (ret < 0)
		return ret;
	long n = syscall(SYS_getdents64, h->fd, h->entries, HANDLE_ENTRIES_BYTES);
	if (n < 0)
		return -errno;
	h->entries_at = 0;
	h->entries_end = (size_t)n;
	return n > 0;
}

static int read_host(struct dir_reply *reply, struct handle *h, uint64_t offset)
{
	int ret;

	while ((ret = refill(&reply->c->s->handles, h, offset)) > 0) {
		struct host_dirent *d = (struct host_dirent *)(void *)(h->entries + h->entries_at);
		size_t len = strlen(d->name);
		if (len <= FS_NAME_MAX &&
			!dir_add(reply, d->name, len, node_guest_ino(h->node, d->ino), d->type,
				(uint64_t)d->off))
			break;
		h->entries_at += d->reclen;
		h->next_offset = offset = (uint64_t)d->off;
	}
	handle_entries_trim(&reply->c->s->handles, h);
	return ret < 0 && !reply->used ? ret : 0;
}

static int read_dir(const struct op_call *c, bool plus)
{
	const struct fuse_read_in *in = request_take(c->r, sizeof(*in));
	cleanup_handle struct handle_use use = {0};
	cleanup_node struct node_use dir = {0};
	struct dir_reply reply = {.c = c, .dir = &dir, .plus = plus};

	if (!in)
		return -EINVAL;
	reply.size = in->size < sizeof(c->t->buf) ? in->size : sizeof(c->t->buf);
	if (reply.size > request_room(c->r))
		reply.size = request_room(c->r);
	int ret = handle_use(&c->s->handles, in->fh, c->r->header.nodeid, true, &use);
	if (ret)
		return ret;
	if (plus) {
		ret = node_use(&c->s->nodes, c->r->header.nodeid, &dir);
		if (ret < 0)
			return ret;
	}
	if (use.handle->node) {
		pthread_mutex_lock(&use.handle->lock);
		ret = read_host(&reply, use.handle, in->offset);
		pthread_mutex_unlock(&use.handle->lock);
	} else {
		read_root(&reply, in->offset);
	}
	return ret ? ret : request_reply(c->r, c->t->buf, reply.used);
}

int op_readdir(const struct op_call *c)
{
	return read_dir(c, false);
}

int op_readdirplus(const struct op_call *c)
{
	return read_dir(c, true);
}

int op_releasedir(const struct op_call *c)
{
	const struct fuse_release_in *in = request_take(c->r, sizeof(*in));

	if (!in)
		return -EINVAL;
	handle_close(&c->s->handles, in->fh);
	return request_reply(c->r, NULL, 0);
}

int op_fsyncdir(const struct op_call *c)
{
	const struct fuse_fsync_in *in = request_take(c->r, sizeof(*in));
	cleanup_handle struct handle_use use = {0};

	if (!in)
		return -EINVAL;
	int ret = handle_use(&c->s->handles, in->fh, c->r->header.nodeid, true, &use);
	if (ret)
		return ret;
	if (use.handle->node) {
		bool data = in->fsync_flags & FUSE_FSYNC_FDATASYNC;
		if ((data ? fdatasync(use.handle->fd) : fsync(use.handle->fd)) < 0)
			return -errno;
	}
	return request_reply(c->r, NULL, 0);
}
