/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the dispatcher (session.c) and the operations (ops_*.c). An operation takes its
 * arguments from the request and either composes the reply and returns 0, or returns -errno and
 * the dispatcher replies, or one of the op_result values.
 */
#ifndef MICROVM_FS_OPS_H
#define MICROVM_FS_OPS_H

#include "microvm/fs/session.h"

enum op_result {
	OP_NO_REPLY = 1,
	OP_AGAIN,
	OP_PARKED,
};

struct op_call {
	struct fuse_session *s;
	struct fuse_thread *t;
	struct fuse_request *r;
};

typedef int op_fn(const struct op_call *c);

/* ops_attr.c */
op_fn op_getattr, op_statx, op_setattr;

/* ops_dir.c */
op_fn op_lookup, op_forget, op_batch_forget, op_opendir, op_readdir, op_readdirplus, op_releasedir,
	op_fsyncdir;

/* ops_name.c */
op_fn op_readlink, op_symlink, op_mknod, op_mkdir, op_unlink, op_rmdir, op_rename, op_rename2,
	op_link;

/* ops_open.c */
op_fn op_open, op_create, op_tmpfile, op_release, op_flush;

/* ops_file.c */
op_fn op_read, op_write, op_fsync, op_fallocate, op_lseek, op_copy_file_range;

/* ops_xattr.c */
op_fn op_setxattr, op_getxattr, op_listxattr, op_removexattr;

/* ops_fs.c */
op_fn op_statfs, op_syncfs, op_ioctl;

/* ops_lock.c */
op_fn op_getlk, op_setlk, op_setlkw;

static inline unsigned session_flags(const struct fuse_session *s)
{
	return atomic_load_explicit(&s->flags, memory_order_relaxed);
}

static inline struct export *node_export(const struct node *node)
{
	return node->mount->export;
}

/* The node of a request that changes something: never the root, never in a read-only export. */
int op_use_writable(const struct op_call *c, uint64_t nodeid, struct node_use *use) must_check;

/* The same for a directory that gets, loses or renames an entry. */
int op_use_dir(const struct op_call *c, uint64_t nodeid, struct node_use *use) must_check;

/* The path under which the node itself (a symlink too) is reached by calls without dirfd. */
const char *op_node_path(const struct op_call *c, const struct node_use *use, struct fd_path *path);

/* attr.c */

#define ATTR_FOREVER_S 86400

/* Attributes as the guest sees them: ids mapped, inode number unique. node NULL: the root. */
void attr_fill(const struct fuse_session *s, const struct node *node, const struct statx *stx,
	struct fuse_attr *attr);
void attr_root_statx(const struct fuse_session *s, struct statx *stx);
uint64_t attr_valid_s(const struct node *node);

/* Ids between guest and host; -EPERM for one that the host can't express. */
uint32_t attr_uid_to_guest(const struct fuse_session *s, uint32_t uid);
uint32_t attr_gid_to_guest(const struct fuse_session *s, uint32_t gid);
int attr_ids_to_host(const struct fuse_session *s, uint32_t *uid, uint32_t *gid) must_check;

/* Bits of a mode that the export lets the guest store. */
uint32_t attr_mode_allowed(const struct export *export, mode_t type, uint32_t mode);

/* lookup.c: finds name in dir (the root too), enters its node and fills the reply's entry. */
int lookup_entry(const struct op_call *c, const struct node_use *dir, const char *name,
	struct fuse_entry_out *out) must_check;

/*
 * Enters what fd (O_PATH, taken over) refers to, found in dir by name (NULL: a file without one);
 * export's root when dir is NULL.
 */
int lookup_enter(const struct op_call *c, struct node *dir, const char *name, struct export *export,
	int fd, struct fuse_entry_out *out) must_check;

/* Opens with O_CLOEXEC; when descriptors have run out, once more after some were freed. */
int op_openat(
	const struct op_call *c, int dirfd, const char *path, int flags, mode_t mode) must_check;

/* ops_lock.c: locks of the host, released for one owner of a file or altogether. */
int locks_create(struct fuse_session *s) must_check;
void locks_free(struct fuse_session *s);
void locks_release_owner(struct fuse_session *s, const struct handle *h, uint64_t owner);
void locks_release_handle(struct fuse_session *s, struct handle *h);
void locks_release_all(struct fuse_session *s);

#endif
