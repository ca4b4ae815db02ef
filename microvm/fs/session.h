/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A FUSE session: what the guest knows and has open, and the operations on it. It takes requests
 * from any transport and any number of threads at once, each with a struct fuse_thread of its own.
 */
#ifndef MICROVM_FS_SESSION_H
#define MICROVM_FS_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "microvm/fs/cred.h"
#include "microvm/fs/export.h"
#include "microvm/fs/handle.h"
#include "microvm/fs/node.h"
#include "microvm/fs/request.h"

#define FUSE_THREAD_BUF_BYTES (FS_XATTR_MAX_BYTES + 4096u)

/* What a thread that serves requests owns. Untouched parts cost no memory. */
struct fuse_thread {
	struct cred cred;
	/*
	 * Set by the transport before each request: a read of data that are not in the host's page
	 * cache gives FUSE_AGAIN instead of waiting for them.
	 */
	bool nowait;
	struct iovec iov[REQUEST_IOV_MAX];
	_Alignas(16) uint8_t buf[FUSE_THREAD_BUF_BYTES];
};

struct fuse_session_config {
	struct exports *exports; /* outlives the session */
	bool map_ids; /* id-mapped mounts, where the guest's kernel has them: FUSE_ALLOW_IDMAP */
	const char *fd_prefix; /* where this process reaches its descriptors: "/proc/self/fd/" */
	uint32_t node_fds_max; /* descriptors that nodes may keep where handles can replace them */
	uint32_t nodes_max, handles_max;
	/*
	 * Called with what the session and its transport may need at most, when that is known:
	 * beyond it allocations may fail. NULL where the process has other things in memory.
	 */
	void (*bound_memory)(uint64_t bytes);
	/*
	 * A request that was parked (FUSE_PARKED) is answered now: reply_bytes says what was
	 * written. Called from any thread, without locks; also before FUSE_PARKED is returned.
	 */
	void (*complete)(struct fuse_request *r, void *arg);
	void *arg;
};

/* What was negotiated in INIT; any thread may look. */
enum session_flag {
	SESSION_INITIALIZED = 1,
	SESSION_HOST_LOCKS = 2,	 /* locks of the guest are locks of the host */
	SESSION_DIRECT_MMAP = 4, /* FOPEN_DIRECT_IO does not forbid shared mappings */
};

/* The one syncfs(2) that is under way (ops_fs.c). */
struct session_sync {
	pthread_mutex_t lock;
	bool running;
	struct fuse_request *waiting; /* for the next one */
};

struct fuse_session {
	struct fuse_session_config config;
	struct nodes nodes;
	struct handles handles;
	struct locks *locks;
	struct session_sync sync;
	bool privileged;
	uint32_t own_uid, own_gid; /* not privileged: what the guest sees as root */
	int64_t start_sec;	   /* times of the synthetic root */
	atomic_uint flags;
};

enum fuse_result {
	FUSE_DONE,   /* r->reply_bytes were written; 0 when the guest expects no reply */
	FUSE_AGAIN,  /* only with nowait: hand it in again without, where waiting does no harm */
	FUSE_PARKED, /* config.complete will be called, if it was not: a lock or the like is awaited
		      */
};

/* The calling process decides by its capabilities what the session can do (cred.h). */
int fuse_session_create(struct fuse_session **out, const struct fuse_session_config *config,
	struct err *e) must_check;
void fuse_session_free(struct fuse_session *session); /* no request may be under way */

/* A new bound on config.nodes_max, and so on memory; what is there stays. */
void fuse_session_set_nodes_max(struct fuse_session *session, uint32_t nodes_max);

/* Memory for a thread, to be prepared by the thread itself. */
struct fuse_thread *fuse_thread_new(void);
int fuse_thread_init(struct fuse_thread *thread, const struct fuse_session *session) must_check;

/*
 * Serves one request whose transport part is set. Whatever the guest wrote there, the reply stays
 * within the writable buffers. r may be handed in again after FUSE_AGAIN; request_fini is the
 * caller's, after FUSE_DONE or completion.
 */
enum fuse_result fuse_session_handle(struct fuse_session *session, struct fuse_thread *thread,
	struct fuse_request *r) must_check;

/*
 * Whether requests may be parked. When no longer, those that are get EINTR (the guest asks again)
 * and complete without delay, though not all before this returns.
 */
void fuse_session_park(struct fuse_session *session, bool allowed);

/* For the transport's choice of thread, before fuse_session_handle. */
enum request_weight {
	WEIGHT_LIGHT, /* names and attributes: a few system calls on what is most likely cached */
	WEIGHT_DATA,  /* moves data */
	WEIGHT_WAIT,  /* waits for storage by its nature */
};
enum request_weight fuse_request_weight(const struct fuse_request *r, uint32_t *opcode);

#endif
