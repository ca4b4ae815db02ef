/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files and directories of the guest. A file handle is a slot number and a generation; it is
 * looked up, bounded, and alive while an operation works with it, even when another releases it.
 */
#ifndef MICROVM_FS_HANDLE_H
#define MICROVM_FS_HANDLE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "microvm/fs/node.h"

#define HANDLE_ENTRIES_BYTES 8192u
#define HANDLE_ENTRIES_MAX   4096u /* directories that keep entries between two reads */

struct handle {
	uint64_t id;
	uint64_t nodeid;
	struct node *node; /* held; NULL for the synthetic root */
	struct export *export;
	int fd; /* opened for the access that the guest asked for; -1 for the root */
	bool dir;
	unsigned refs; /* the table's and those of operations */

	pthread_mutex_t lock; /* for what follows */
	int direct_fd;	      /* the same file with O_DIRECT, opened when first needed; -1 */
	bool locked;	      /* POSIX locks were set by it; under the locks' lock (ops_lock.c) */
	/* A directory's entries that were read (by one getdents64) but not yet handed out. */
	uint8_t *entries; /* HANDLE_ENTRIES_BYTES, or NULL while there are none */
	size_t entries_at, entries_end;
	uint64_t next_offset; /* what the guest asks for next if it goes on */
};

struct handles {
	pthread_mutex_t lock;
	struct nodes *nodes;
	struct handle_slot *slots;
	uint32_t n_slots, cap_slots, free_slot, count, count_max;
	atomic_uint n_entries; /* handles with entries */
};

int handles_init(struct handles *handles, struct nodes *nodes, uint32_t count_max) must_check;
void handles_fini(struct handles *handles);
void handles_close_all(struct handles *handles);

/*
 * A new handle with one reference, the table's, on the file that fd (taken over, also on failure)
 * is open on. node is held by it. -ENFILE when there are too many.
 */
int handle_open(
	struct handles *handles, struct node *node, int fd, bool dir, uint64_t *id) must_check;

/* Referenced for the caller; NULL unless id is a handle of that kind on that node. */
struct handle *handle_get(struct handles *handles, uint64_t id, uint64_t nodeid, bool dir);
void handle_put(struct handles *handles, struct handle *handle);

/* The guest closes it: unknown from now on. Fine for an id that is not one. */
void handle_close(struct handles *handles, uint64_t id);

struct handle_use {
	struct handles *handles;
	struct handle *handle;
};
void handle_unuse(struct handle_use *use);
#define cleanup_handle __attribute__((cleanup(handle_unuse)))

/* handle_get into a use: 0 or -EBADF. */
int handle_use(struct handles *handles, uint64_t id, uint64_t nodeid, bool dir,
	struct handle_use *use) must_check;

/*
 * With the directory handle's lock held. get: room for entries, there at least until trim (-ENOMEM).
 * trim: gives it back when nothing is left in it, or when too many handles have some; what was left
 * is then read again.
 */
int handle_entries_get(struct handles *handles, struct handle *handle) must_check;
void handle_entries_trim(struct handles *handles, struct handle *handle);

/* The descriptor for an access with these open flags of the guest: with or without O_DIRECT. */
int handle_io_fd(struct handles *handles, struct handle *handle, uint32_t open_flags) must_check;

#endif
