/* SPDX-License-Identifier: Apache-2.0 */
/* What concerns a whole file system, and ioctls. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/fs/ops.h"

int op_statfs(const struct op_call *c)
{
	cleanup_node struct node_use use = {0};
	struct fuse_statfs_out out = {
		.st = {.bsize = 4096, .frsize = 4096, .namelen = FS_NAME_MAX}};
	struct statfs st;

	int ret = node_use(&c->s->nodes, c->r->header.nodeid, &use);
	if (ret)
		return ret;
	if (use.node) {
		if (fstatfs(use.fd, &st) < 0)
			return -errno;
		out.st = (struct fuse_kstatfs){
			.blocks = st.f_blocks,
			.bfree = st.f_bfree,
			.bavail = st.f_bavail,
			.files = st.f_files,
			.ffree = st.f_ffree,
			.bsize = (uint32_t)st.f_bsize,
			.namelen = (uint32_t)st.f_namelen,
			.frsize = (uint32_t)st.f_frsize,
		};
	}
	return request_reply(c->r, &out, sizeof(out));
}

/* For the guest it is one file system: each of the host's that it may have written to. */
static int sync_all(struct nodes *nodes)
{
	struct mount mount;
	uint64_t synced[64];
	unsigned n_synced = 0;
	int ret = 0;

	for (unsigned i = 0; nodes_mount(nodes, i, &mount); i++) {
		bool again = false;
		for (unsigned k = 0; k < n_synced && !again; k++)
			again = synced[k] == mount.dev;
		if (again || mount.export->readonly)
			continue;
		/* Without a descriptor it is a device or the like, and holds no data. */
		int one = mount.fd >= 0 && syncfs(mount.fd) < 0 ? -errno : 0;
		ret = ret ? ret : one;
		if (n_synced < 64)
			synced[n_synced++] = mount.dev;
	}
	return ret;
}

static void sync_answer(const struct op_call *c, struct fuse_request *batch, int result)
{
	while (batch) {
		struct fuse_request *r = batch;
		batch = r->next;
		if (result || request_reply(r, NULL, 0))
			request_reply_error(r, result);
		c->s->config.complete(r, c->s->config.arg);
	}
}

/*
 * One at a time, whoever asks: it may take long, and writes back what other programs of the host
 * have written to these file systems, too. Requests that come meanwhile are parked, and the next
 * one is for all of them: it begins after they came, so that it covers what they are about.
 */
int op_syncfs(const struct op_call *c)
{
	struct session_sync *sync = &c->s->sync;
	struct fuse_request *batch = c->r;

	pthread_mutex_lock(&sync->lock);
	bool other = sync->running;
	c->r->next = other ? sync->waiting : NULL;
	if (other)
		sync->waiting = c->r;
	sync->running = true;
	pthread_mutex_unlock(&sync->lock);
	if (other)
		return OP_PARKED;
	for (;;) {
		int ret = sync_all(&c->s->nodes);
		pthread_mutex_lock(&sync->lock);
		struct fuse_request *next = sync->waiting;
		sync->waiting = NULL;
		sync->running = next != NULL;
		pthread_mutex_unlock(&sync->lock);
		if (!next && batch == c->r)
			return ret ? ret : request_reply(c->r, NULL, 0);
		sync_answer(c, batch, ret);
		if (!next)
			return OP_PARKED;
		batch = next;
	}
}

/* Attribute flags that a guest may change: nothing that pins a file or moves it to a project. */
#define SETTABLE_FLAGS                                                                             \
	(FS_SYNC_FL | FS_NODUMP_FL | FS_NOATIME_FL | FS_DIRSYNC_FL | FS_TOPDIR_FL | FS_NOCOW_FL |  \
		FS_COMPR_FL | FS_NOCOMP_FL)

static int set_flags(const struct op_call *c, const struct handle *h, uint32_t wanted)
{
	int flags = 0;

	if (!h->export || h->export->readonly)
		return -EROFS;
	if (ioctl(h->fd, FS_IOC_GETFLAGS, &flags) < 0)
		return -errno;
	if (((uint32_t)flags ^ wanted) & ~(uint32_t)SETTABLE_FLAGS & FS_FL_USER_MODIFIABLE)
		return -EPERM;
	flags = (int)wanted;
	(void)c;
	return ioctl(h->fd, FS_IOC_SETFLAGS, &flags) < 0 ? -errno : 0;
}

/*
 * ioctls carry pointers and drivers' commands; only those whose meaning is known pass. Files that
 * get here are regular files and directories of the host.
 */
int op_ioctl(const struct op_call *c)
{
	const struct fuse_ioctl_in *in = request_take(c->r, sizeof(*in));
	cleanup_handle struct handle_use use = {0};
	struct {
		struct fuse_ioctl_out out;
		union {
			int flags;
			struct fsxattr x;
		};
	} reply = {0};
	size_t out_bytes = 0;
	const void *arg;

	if (!in)
		return -EINVAL;
	int ret = handle_use(
		&c->s->handles, in->fh, c->r->header.nodeid, in->flags & FUSE_IOCTL_DIR, &use);
	if (ret)
		return ret;
	if (!use.handle->node)
		return -ENOTTY;
	switch (in->cmd) {
	case FS_IOC_GETFLAGS:
		ret = ioctl(use.handle->fd, FS_IOC_GETFLAGS, &reply.flags) < 0 ? -errno : 0;
		/* The command's size says long, but it has always been an int. */
		out_bytes = in->out_size < sizeof(long) ? sizeof(int) : sizeof(long);
		break;
	case FS_IOC_FSGETXATTR:
		ret = ioctl(use.handle->fd, FS_IOC_FSGETXATTR, &reply.x) < 0 ? -errno : 0;
		out_bytes = sizeof(reply.x);
		break;
	case FS_IOC_SETFLAGS:
		arg = request_take(c->r, sizeof(int));
		ret = arg ? set_flags(c, use.handle, *(const uint32_t *)arg) : -EINVAL;
		break;
	default:
		ret = -ENOTTY;
	}
	if (!ret && out_bytes > in->out_size)
		ret = -EINVAL;
	return ret ? ret : request_reply(c->r, &reply, sizeof(reply.out) + out_bytes);
}
