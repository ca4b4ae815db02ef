/* SPDX-License-Identifier: Apache-2.0 */
/* The session: INIT, and the table of operations; see session.h. */
#include "microvm/fs/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "microvm/fs/ops.h"

#define MAX_BACKGROUND	     256
#define CONGESTION_THRESHOLD 192

/*
 * What the guest can make the server keep: a node with its name, an open file, each with its slot;
 * and threads, requests under way, lock owners and directories being read, with room for what the
 * allocator loses between them.
 */
#define MEMORY_NODE_BYTES   768u
#define MEMORY_HANDLE_BYTES 320u
#define MEMORY_FIXED_BYTES  (256u << 20)

/*
 * What the server asks for when the guest offers it. Not among them:
 * WRITEBACK_CACHE, because data of a write(2) that returned would be lost with a killed VM;
 * NO_OPEN_SUPPORT, because files would not be checked at open, nor unlinked ones readable;
 * EXPORT_SUPPORT, for it asks the server for "." and "..";
 * SUBMOUNTS, because Linux (6.1, 6.12) gives the file systems that it makes then neither ACLs nor
 * SB_NOSEC;
 * ALLOW_IDMAP, unless a mount needs it (config.map_ids): the guest then says who the caller is only
 * where something is created, and all else is done as this process's own user.
 */
#define WANTED_FLAGS                                                                               \
	(FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_DONT_MASK |                \
		FUSE_HAS_IOCTL_DIR | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |                  \
		FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_POSIX_ACL |   \
		FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_HANDLE_KILLPRIV_V2 |                   \
		FUSE_SETXATTR_EXT | FUSE_DIRECT_IO_ALLOW_MMAP)
#define HOST_LOCK_FLAGS (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS)

static void session_reset(struct fuse_session *s)
{
	atomic_store(&s->flags, 0);
	locks_release_all(s);
	handles_close_all(&s->handles);
	nodes_forget_all(&s->nodes);
}

static int op_init(const struct op_call *c)
{
	const struct fuse_init_in *in = request_take(c->r, offsetof(struct fuse_init_in, flags2));
	struct fuse_session *s = c->s;
	struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = FS_FUSE_MINOR};

	if (!in)
		return -EINVAL;
	if (in->major > FUSE_KERNEL_VERSION)
		return request_reply(c->r, &out, sizeof(out)); /* it will ask again, in ours */
	if (in->major < FUSE_KERNEL_VERSION || in->minor < FS_FUSE_MINOR_MIN)
		return -EPROTO;

	uint64_t offered = in->flags;
	if (offered & FUSE_INIT_EXT && request_take(c->r, sizeof(in->flags2)))
		offered |= (uint64_t)in->flags2 << 32;
	uint64_t wanted = WANTED_FLAGS;
	pthread_mutex_lock(&s->config.exports->lock);
	if (s->config.exports->host_locks)
		wanted |= HOST_LOCK_FLAGS;
	pthread_mutex_unlock(&s->config.exports->lock);
	if (s->config.map_ids)
		wanted |= FUSE_ALLOW_IDMAP;
	/* Without privilege the host's ACLs are not shown, and the guest may as well not ask. */
	if (!s->privileged)
		wanted &= ~(uint64_t)FUSE_POSIX_ACL;
	wanted &= offered;
	if (wanted >> 32)
		wanted |= FUSE_INIT_EXT;

	session_reset(s); /* a guest that rebooted has forgotten everything */
	atomic_store(&s->flags,
		(unsigned)SESSION_INITIALIZED |
			((wanted & HOST_LOCK_FLAGS) == HOST_LOCK_FLAGS ? SESSION_HOST_LOCKS : 0u) |
			(wanted & FUSE_DIRECT_IO_ALLOW_MMAP ? SESSION_DIRECT_MMAP : 0u));

	if (in->minor < out.minor)
		out.minor = in->minor;
	out.flags = (uint32_t)wanted;
	out.flags2 = (uint32_t)(wanted >> 32);
	out.max_readahead = in->max_readahead;
	out.max_background = MAX_BACKGROUND;
	out.congestion_threshold = CONGESTION_THRESHOLD;
	out.max_write = FS_MAX_WRITE_BYTES;
	out.time_gran = 1;
	out.max_pages = FS_MAX_PAGES;
	log_debug("FUSE 7.%u, flags %#llx of %#llx", out.minor, (unsigned long long)wanted,
		(unsigned long long)offered);
	return request_reply(c->r, &out, sizeof(out));
}

static int op_destroy(const struct op_call *c)
{
	session_reset(c->s);
	return request_reply(c->r, NULL, 0);
}

static int op_ignore(const struct op_call *c)
{
	(void)c;
	return OP_NO_REPLY;
}

struct op {
	op_fn *run;
	uint16_t
		reply_bytes; /* the least room behind the header; checked before anything happens */
	uint8_t weight;
	bool creates; /* something that belongs to the caller: it must be done in his name */
};

#define NONE  UINT16_MAX /* no reply at all */
#define ENTRY sizeof(struct fuse_entry_out)
#define ATTR  sizeof(struct fuse_attr_out)
#define OPEN  sizeof(struct fuse_open_out)

/* ACCESS, BMAP and POLL get ENOSYS, as all that is not here: the kernel then decides itself. */
static const struct op ops[FS_OPCODE_MAX] = {
	[FUSE_LOOKUP] = {op_lookup, ENTRY, WEIGHT_LIGHT, false},
	[FUSE_FORGET] = {op_forget, NONE, WEIGHT_LIGHT, false},
	[FUSE_GETATTR] = {op_getattr, ATTR, WEIGHT_LIGHT, false},
	[FUSE_SETATTR] = {op_setattr, ATTR, WEIGHT_LIGHT, false},
	[FUSE_READLINK] = {op_readlink, 0, WEIGHT_LIGHT, false},
	[FUSE_SYMLINK] = {op_symlink, ENTRY, WEIGHT_LIGHT, true},
	[FUSE_MKNOD] = {op_mknod, ENTRY, WEIGHT_LIGHT, true},
	[FUSE_MKDIR] = {op_mkdir, ENTRY, WEIGHT_LIGHT, true},
	[FUSE_UNLINK] = {op_unlink, 0, WEIGHT_LIGHT, false},
	[FUSE_RMDIR] = {op_rmdir, 0, WEIGHT_LIGHT, false},
	[FUSE_RENAME] = {op_rename, 0, WEIGHT_LIGHT, false},
	[FUSE_LINK] = {op_link, ENTRY, WEIGHT_LIGHT, false},
	[FUSE_OPEN] = {op_open, OPEN, WEIGHT_LIGHT, false},
	[FUSE_READ] = {op_read, 0, WEIGHT_DATA, false},
	[FUSE_WRITE] = {op_write, sizeof(struct fuse_write_out), WEIGHT_DATA, false},
	[FUSE_STATFS] = {op_statfs, sizeof(struct fuse_statfs_out), WEIGHT_LIGHT, false},
	[FUSE_RELEASE] = {op_release, 0, WEIGHT_LIGHT, false},
	[FUSE_FSYNC] = {op_fsync, 0, WEIGHT_WAIT, false},
	[FUSE_SETXATTR] = {op_setxattr, 0, WEIGHT_LIGHT, false},
	[FUSE_GETXATTR] = {op_getxattr, 0, WEIGHT_LIGHT, false},
	[FUSE_LISTXATTR] = {op_listxattr, 0, WEIGHT_LIGHT, false},
	[FUSE_REMOVEXATTR] = {op_removexattr, 0, WEIGHT_LIGHT, false},
	[FUSE_FLUSH] = {op_flush, 0, WEIGHT_LIGHT, false},
	[FUSE_INIT] = {op_init, sizeof(struct fuse_init_out), WEIGHT_LIGHT, false},
	[FUSE_OPENDIR] = {op_opendir, OPEN, WEIGHT_LIGHT, false},
	[FUSE_READDIR] = {op_readdir, 0, WEIGHT_LIGHT, false},
	[FUSE_RELEASEDIR] = {op_releasedir, 0, WEIGHT_LIGHT, false},
	[FUSE_FSYNCDIR] = {op_fsyncdir, 0, WEIGHT_WAIT, false},
	[FUSE_GETLK] = {op_getlk, sizeof(struct fuse_lk_out), WEIGHT_LIGHT, false},
	[FUSE_SETLK] = {op_setlk, 0, WEIGHT_LIGHT, false},
	[FUSE_SETLKW] = {op_setlkw, 0, WEIGHT_LIGHT, false},
	[FUSE_CREATE] = {op_create, ENTRY + OPEN, WEIGHT_LIGHT, true},
	[FUSE_INTERRUPT] = {op_ignore, NONE, WEIGHT_LIGHT, false},
	[FUSE_DESTROY] = {op_destroy, 0, WEIGHT_LIGHT, false},
	[FUSE_IOCTL] = {op_ioctl, sizeof(struct fuse_ioctl_out), WEIGHT_LIGHT, false},
	[FUSE_NOTIFY_REPLY] = {op_ignore, NONE, WEIGHT_LIGHT, false},
	[FUSE_BATCH_FORGET] = {op_batch_forget, NONE, WEIGHT_LIGHT, false},
	[FUSE_FALLOCATE] = {op_fallocate, 0, WEIGHT_WAIT, false},
	[FUSE_READDIRPLUS] = {op_readdirplus, 0, WEIGHT_LIGHT, false},
	[FUSE_RENAME2] = {op_rename2, 0, WEIGHT_LIGHT, true},
	[FUSE_LSEEK] = {op_lseek, sizeof(struct fuse_lseek_out), WEIGHT_LIGHT, false},
	[FUSE_COPY_FILE_RANGE] = {op_copy_file_range, sizeof(struct fuse_write_out), WEIGHT_WAIT,
		false},
	[FUSE_SYNCFS] = {op_syncfs, 0, WEIGHT_WAIT, false},
	[FUSE_TMPFILE] = {op_tmpfile, ENTRY + OPEN, WEIGHT_LIGHT, true},
	[FUSE_STATX] = {op_statx, sizeof(struct fuse_statx_out), WEIGHT_LIGHT, false},
};

enum request_weight fuse_request_weight(const struct fuse_request *r, uint32_t *opcode)
{
	struct fuse_in_header header = {0};

	/* A hint only: what counts is the copy that request_decode takes. */
	if (r->n_readable && r->iov[0].iov_len >= sizeof(header))
		memcpy(&header, r->iov[0].iov_base, sizeof(header));
	*opcode = header.opcode < FS_OPCODE_MAX ? header.opcode : 0;
	return ops[*opcode].weight;
}

/* Of renames, only one that leaves a whiteout behind makes something. */
static bool creates(const struct op_call *c, const struct op *op)
{
	const struct fuse_rename2_in *in = (const void *)c->r->args;

	if (op->run != op_rename2 || c->r->args_bytes < sizeof(*in))
		return op->creates;
	return in->flags & RENAME_WHITEOUT;
}

static int run_op(const struct op_call *c, const struct op *op)
{
	const struct fuse_in_header *h = &c->r->header;
	bool init = h->opcode == FUSE_INIT || h->opcode == FUSE_DESTROY;

	if (!(session_flags(c->s) & SESSION_INITIALIZED) && !init)
		return -EIO;
	if (op->reply_bytes != NONE &&
		c->r->writable_bytes < sizeof(struct fuse_out_header) + op->reply_bytes)
		return -EINVAL;
	if (cred_become(&c->t->cred, h->uid, h->gid) < 0) {
		/*
		 * An id that the host does not have can't own anything; all else is harmless. With
		 * mapped ids the guest gives -1 here unless something is created.
		 */
		if (creates(c, op))
			return -EOVERFLOW;
		int ret = cred_become(&c->t->cred, 0, 0);
		if (ret < 0)
			return ret;
	}
	if (op->creates) {
		int ret = cred_keep_setid(&c->t->cred, true);
		if (ret < 0)
			return ret;
	}
	return op->run(c);
}

enum fuse_result fuse_session_handle(
	struct fuse_session *session, struct fuse_thread *thread, struct fuse_request *r)
{
	struct op_call c = {session, thread, r};

	request_fini(r); /* of an earlier attempt */
	int ret = request_decode(r);
	if (!ret) {
		const struct op *op =
			r->header.opcode < FS_OPCODE_MAX ? &ops[r->header.opcode] : NULL;
		ret = op && op->run ? run_op(&c, op) : -ENOSYS;
		/* From the host's file system it must not switch an operation off for good. */
		if (ret == -ENOSYS && op && op->run && op->run != op_flush)
			ret = -EOPNOTSUPP;
	}
	switch (ret) {
	case OP_AGAIN:
		return FUSE_AGAIN;
	case OP_PARKED:
		return FUSE_PARKED; /* r may be gone already */
	case OP_NO_REPLY:
	case 0:
		return FUSE_DONE;
	}
	request_reply_error(r, ret);
	return FUSE_DONE;
}

int fuse_session_create(
	struct fuse_session **out, const struct fuse_session_config *config, struct err *e)
{
	struct fuse_session *s = calloc(1, sizeof(*s));
	struct timespec now;

	if (!s)
		return err_sys(e, ENOMEM, "file server");
	s->config = *config;
	s->privileged = cred_is_privileged();
	s->own_uid = geteuid();
	s->own_gid = getegid();
	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	s->start_sec = now.tv_sec;
	int ret = nodes_init(
		&s->nodes, s->config.fd_prefix, s->config.node_fds_max, s->config.nodes_max);
	if (ret < 0)
		goto fail;
	s->nodes.no_handles = !s->privileged;
	ret = handles_init(&s->handles, &s->nodes, s->config.handles_max);
	if (ret < 0)
		goto fail_nodes;
	ret = -pthread_mutex_init(&s->sync.lock, NULL);
	if (ret < 0)
		goto fail_handles;
	ret = locks_create(s);
	if (ret < 0)
		goto fail_sync;
	*out = s;
	return 0;

fail_sync:
	pthread_mutex_destroy(&s->sync.lock);
fail_handles:
	handles_fini(&s->handles);
fail_nodes:
	nodes_fini(&s->nodes);
fail:
	free(s);
	return err_sys(e, -ret, "file server");
}

void fuse_session_free(struct fuse_session *session)
{
	if (!session)
		return;
	session_reset(session);
	locks_free(session);
	pthread_mutex_destroy(&session->sync.lock);
	handles_fini(&session->handles);
	nodes_fini(&session->nodes);
	free(session);
}

void fuse_session_set_nodes_max(struct fuse_session *session, uint32_t nodes_max)
{
	pthread_mutex_lock(&session->nodes.lock);
	session->nodes.count_max = nodes_max;
	pthread_mutex_unlock(&session->nodes.lock);
	if (session->config.bound_memory)
		session->config.bound_memory(MEMORY_FIXED_BYTES +
			(uint64_t)nodes_max * MEMORY_NODE_BYTES +
			(uint64_t)session->config.handles_max * MEMORY_HANDLE_BYTES);
}

struct fuse_thread *fuse_thread_new(void)
{
	/* Large enough to come from mmap: pages that are never touched cost nothing. */
	return malloc(sizeof(struct fuse_thread));
}

int fuse_thread_init(struct fuse_thread *thread, const struct fuse_session *session)
{
	thread->nowait = false;
	return cred_thread_init(&thread->cred, session->privileged);
}
