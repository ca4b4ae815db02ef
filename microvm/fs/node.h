/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inodes that the guest knows. A node id is a slot number and a generation, never a pointer;
 * it stays valid until the guest has forgotten as many lookups as it was given.
 *
 * A node is one inode of one host mount of one export: the same inode seen through two exports is
 * two nodes, for the exports may differ in what they allow. Its O_PATH descriptor pins the inode,
 * so that its number can't be reused while the node lives. When there are more than a budget of
 * descriptors, idle nodes trade theirs for a file handle (open_by_handle_at(2)), which holds the
 * inode's generation and so can't be mistaken either. Where there are no handles (overlayfs, no
 * privilege), they trade it for their directory and name (node_path.c).
 *
 * Node id 1 is the synthetic root; it is not in the table (struct node_use.node is NULL).
 */
#ifndef MICROVM_FS_NODE_H
#define MICROVM_FS_NODE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/err.h"
#include "microvm/fs/export.h"

/* statx fields that node_enter and attributes need */
#define NODE_STATX_MASK (STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID)

/* One host mount (and device: btrfs has several in one mount) met under one export. */
struct mount {
	struct export *export;
	uint64_t id, dev;
	uint16_t tag;	 /* tells its inode numbers from those of others; see node_guest_ino */
	int fd;		 /* something opened in it, a directory if it is one; -1 */
	bool no_handles; /* inodes can't be opened by handle here */
};

struct node_handle; /* a file handle */
struct node_path;   /* directory and name: node_path.c */

struct node {
	struct node *hash_next;
	struct mount *mount;
	uint64_t ino;
	uint32_t slot, generation;
	mode_t type; /* S_IFMT bits, never changes */
	bool hashed;
	bool referenced; /* since the clock's hand passed */
	bool pinned;	 /* keeps its descriptor: it could not be found again */
	bool told;	 /* told_* hold what the guest knows of the file's state */
	int fd;		 /* O_PATH; -1 while evicted */
	uint32_t uses;	 /* operations at work with fd */
	uint32_t holds;	 /* open files and the like that need the node, not its fd */
	uint64_t nlookup;
	struct node_handle *handle;
	struct node_path *path; /* only in mounts without handles */
	uint64_t told_size;
	struct statx_timestamp told_mtime, told_ctime;
};

struct node_slot {
	struct node *node;
	uint32_t generation, next_free;
};

struct nodes {
	pthread_mutex_t lock;
	bool no_handles;       /* this process may not use them: don't try */
	const char *fd_prefix; /* "/proc/self/fd/" or where that is for this process */
	struct node_slot *slots;
	uint32_t n_slots, cap_slots, free_slot;
	struct node **hash;
	uint32_t hash_size;
	uint32_t count, count_max;
	uint32_t open_fds, fd_budget, evicted, hand;
	struct mount **mounts;
	unsigned n_mounts;
};

int nodes_init(struct nodes *nodes, const char *fd_prefix, uint32_t fd_budget,
	uint32_t count_max) must_check;
void nodes_fini(struct nodes *nodes); /* nothing may be in use */
void nodes_forget_all(struct nodes *nodes);

/* A node at work: found, alive and with a descriptor until node_unuse. */
struct node_use {
	struct nodes *nodes;
	struct node *node; /* NULL: the synthetic root */
	int fd;		   /* O_PATH, the node's own; -1 for the root */
};
#define cleanup_node __attribute__((cleanup(node_unuse)))

/* -ESTALE for an id that is not (or no more) known, -errno when it can't be reopened. */
int node_use(struct nodes *nodes, uint64_t id, struct node_use *use) must_check;
void node_unuse(struct node_use *use); /* fine on a zeroed use, and twice */

/*
 * One more lookup of the inode behind fd, an O_PATH descriptor that becomes the table's (also on
 * failure). stx is fd's, with NODE_STATX_MASK. parent is the directory it was found in by name
 * (NULL when it has none yet), NULL for the root of export. tell: stx goes to the guest
 * (node_tell). Fills *out with the node's id and the inode number for the guest.
 */
struct node_entry {
	uint64_t id, ino;
};
int node_enter(struct nodes *nodes, struct node *parent, const char *name, struct export *export,
	int fd, const struct statx *stx, bool tell, struct node_entry *out) must_check;

void node_forget(struct nodes *nodes, uint64_t id, uint64_t nlookup);

/* Keeps a used node beyond its use. unhold may free it. */
void node_hold(struct nodes *nodes, struct node *node);
void node_unhold(struct nodes *nodes, struct node *node);

static inline uint64_t node_id(const struct node *node)
{
	return (uint64_t)node->generation << 32 | node->slot;
}

/*
 * The inode number that the guest sees for ino found in node's mount. For the guest all exports and
 * all mounts beneath them are one file system (the kernel could be told of mounts, FUSE_SUBMOUNTS,
 * but then knows no ACLs in them), so equal numbers of different mounts must come out different:
 * the mount's tag goes into the upper bits. Numbers that need those bits themselves are hashed.
 */
uint64_t node_guest_ino(const struct node *node, uint64_t ino);

/* Remembers what the guest is told; whether stx is what it was told last. */
void node_tell(struct nodes *nodes, struct node *node, const struct statx *stx);
bool node_is_told(struct nodes *nodes, struct node *node, const struct statx *stx);

/*
 * Before name in dir is unlinked or replaced: an evicted node of that inode gets its descriptor
 * back for good, since a handle does not survive the last link, nor a path its name.
 */
void node_pin_name(struct nodes *nodes, const struct node_use *dir, const char *name);

/* After what was name in from has become newname in to (exchange: and the other way round). */
void node_renamed(struct nodes *nodes, const struct node_use *from, const char *name,
	const struct node_use *to, const char *newname, bool exchange);

/*
 * The mounts met so far, one by one: false behind the last. What is copied stays valid as long as
 * the table does.
 */
bool nodes_mount(struct nodes *nodes, unsigned index, struct mount *copy);

/* Frees descriptors in a hurry (after EMFILE): true when it is worth trying again. */
bool nodes_shrink(struct nodes *nodes);

/* The path under which this process reaches what fd refers to, whatever that is. */
struct fd_path {
	char text[40];
};
const char *fd_path_set(struct fd_path *path, const char *prefix, int fd);

/* node_fd.c, the lock held: */
void nodes_evict(struct nodes *nodes, uint32_t budget);
int node_reopen(struct nodes *nodes, struct node *node) must_check; /* drops the lock meanwhile */
bool node_same_inode(struct node *node, int fd, const struct statx *stx); /* of an evicted node */
void mount_prepare(struct nodes *nodes, struct mount *mount, int root_fd, mode_t type);
void node_handle_free(struct node_handle *handle);

/* node.c, the lock held: */
struct node *nodes_find(struct nodes *nodes, const struct node *near, const struct statx *stx);
int node_unref(struct nodes *nodes, struct node *node); /* frees if unused; a descriptor to close */

/*
 * node_path.c, the lock held. set: where the node is now (no more than a try: without memory it has
 * none, and keeps its descriptor). drop: gives the path up; the directory that it held, for the
 * caller to unref. reopen: drops the lock meanwhile.
 */
void node_path_set(struct nodes *nodes, struct node *node, struct node *parent, const char *name,
	const struct statx *stx);
struct node *node_path_drop(struct node *node);
bool node_path_is(const struct node *node, const struct node *parent, const char *name);
bool node_path_same(const struct node *node, const struct statx *stx);
int node_path_reopen(struct nodes *nodes, struct node *node) must_check;

#endif
