/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest's FUSE requests, one after the other, on a session with state: the input says
 * opcode, node, handle and arguments of each, by number among those that the session gave out, or
 * raw. Replies must fit the protocol and their room, and nothing beside the export may change.
 *
 * Covers: microvm/fs/request.c microvm/fs/session.c microvm/fs/lookup.c microvm/fs/attr.c microvm/fs/handle.c
 *   microvm/fs/node.c microvm/fs/node_fd.c microvm/fs/node_path.c microvm/fs/ops_attr.c microvm/fs/ops_dir.c
 *   microvm/fs/ops_file.c microvm/fs/ops_fs.c microvm/fs/ops_lock.c microvm/fs/ops_name.c microvm/fs/ops_open.c
 *   microvm/fs/ops_xattr.c microvm/fs/lock_ranges.c
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "microvm/fs/session.h"
#include "tests/unit/support/fuzz_script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STEPS_MAX 200
#define KNOWN_MAX 16
#define ARGS_MAX  1024u
#define ROOM_MAX  8192u
#define CANARY	  0x5a

struct state {
	struct exports exports;
	struct fuse_session *session;
	struct fuse_thread *thread;
	char top[64]; /* holds the exported directory and a file that must stay as it is */
	uint64_t nodes[KNOWN_MAX], handles[KNOWN_MAX];
	unsigned n_nodes, n_handles;
};

/* A request with its buffers: one that is parked outlives the step. */
struct fuzz_request {
	struct fuse_request r; /* first */
	struct iovec iov[2];
	uint8_t in[sizeof(struct fuse_in_header) + ARGS_MAX];
	uint8_t out[ROOM_MAX + 16];
};

static void completed(struct fuse_request *r, void *arg)
{
	(void)arg;
	request_fini(r);
	free(r);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* A guest may have locked its own directories, and not every test runs as root. */
static int unlock_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	return type == FTW_D || type == FTW_DNR ? chmod(path, 0700) : 0;
}

static void remove_tree(const char *path)
{
	for (int depth = 0; depth < STEPS_MAX; depth++) {
		nftw(path, unlock_one, 16, FTW_PHYS); /* one level more each time */
		nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
		if (access(path, F_OK))
			return;
	}
}

static void state_begin(struct state *s)
{
	const struct rlimit limit = {1 << 20, 1 << 20}; /* of a file's size */
	char path[96];
	struct err e;

	memset(s, 0, sizeof(*s));
	umask(022); /* the last input left its own */
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &limit);
	snprintf(s->top, sizeof(s->top), "%s/hvrun-fuzz-XXXXXX",
		access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(s->top))
		abort();
	snprintf(path, sizeof(path), "%s/canary", s->top);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	snprintf(path, sizeof(path), "%s/export", s->top);
	if (mkdir(path, 0755) < 0 || exports_init(&s->exports) < 0)
		abort();
	for (int i = 0; i < 2; i++) {
		struct export x = {.name = (char *)(i ? "r" : "x"), .path = path};
		x.fd = open(path, O_PATH | O_CLOEXEC);
		x.readonly = i;
		x.host_locks = true;
		x.cache = i ? CACHE_NEVER : CACHE_AUTO;
		if (exports_add(&s->exports, &x, &e) < 0)
			abort();
	}
	if (cred_process_init(cred_is_privileged()) < 0)
		abort();
	struct fuse_session_config config = {
		.exports = &s->exports,
		.fd_prefix = "/proc/self/fd/",
		.node_fds_max = 6,
		.nodes_max = 64,
		.handles_max = 32,
		.complete = completed,
	};
	if (fuse_session_create(&s->session, &config, &e) < 0)
		abort();
	s->thread = fuse_thread_new();
	if (!s->thread || fuse_thread_init(s->thread, s->session) < 0)
		abort();
	s->nodes[s->n_nodes++] = FUSE_ROOT_ID;
}

static void state_end(struct state *s)
{
	char path[96];
	struct stat st;

	fuse_session_free(s->session);
	exports_fini(&s->exports);
	free(s->thread);
	/* The guest has not come out: the file beside is there, and nothing else. */
	snprintf(path, sizeof(path), "%s/canary", s->top);
	if (stat(path, &st) < 0 || st.st_size || (st.st_mode & 07777) != 0600 || unlink(path) < 0)
		abort();
	snprintf(path, sizeof(path), "%s/export", s->top);
	if (stat(path, &st) < 0)
		abort();
	remove_tree(path);
	if (rmdir(s->top) < 0)
		abort();
}

static void learn(uint64_t *known, unsigned *n, uint64_t id)
{
	for (unsigned i = 0; i < *n; i++)
		if (known[i] == id)
			return;
	if (*n < KNOWN_MAX)
		known[(*n)++] = id;
	else
		known[1 + id % (KNOWN_MAX - 1)] = id;
}

/* Ids that the reply brought. */
static void learn_reply(struct state *s, uint32_t opcode, const uint8_t *payload, size_t len)
{
	struct fuse_entry_out entry;
	struct fuse_open_out open;

	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_MKNOD:
	case FUSE_MKDIR:
	case FUSE_SYMLINK:
	case FUSE_LINK:
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		if (len < sizeof(entry))
			abort();
		memcpy(&entry, payload, sizeof(entry));
		learn(s->nodes, &s->n_nodes, entry.nodeid);
		if (opcode != FUSE_CREATE && opcode != FUSE_TMPFILE)
			return;
		payload += sizeof(entry);
		len -= sizeof(entry);
		/* fallthrough */
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		if (len < sizeof(open))
			abort();
		memcpy(&open, payload, sizeof(open));
		learn(s->handles, &s->n_handles, open.fh);
	}
}

static void check_reply(struct state *s, const struct fuzz_request *q, uint32_t opcode)
{
	struct fuse_out_header out;

	for (size_t i = 0; i < 16; i++)
		if (q->out[q->r.writable_bytes + i] != CANARY)
			abort();
	if (q->r.reply_bytes > q->r.writable_bytes)
		abort();
	if (!q->r.reply_bytes)
		return;
	memcpy(&out, q->out, sizeof(out));
	if (out.len != q->r.reply_bytes || out.error > 0 || out.error <= -512 ||
		(out.error && out.len != sizeof(out)))
		abort();
	if (!out.error)
		learn_reply(s, opcode, q->out + sizeof(out), out.len - sizeof(out));
}

/* The first argument of many requests is a handle or a node: one of those that there are. */
static void patch(struct state *s, uint32_t opcode, uint8_t selector, uint8_t *args, size_t len)
{
	uint64_t id;

	if (len < sizeof(id) || selector == 0xff)
		return;
	switch (opcode) {
	case FUSE_RENAME:
	case FUSE_RENAME2:
	case FUSE_LINK:
		id = s->nodes[selector % s->n_nodes];
		break;
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
	case FUSE_FSYNC:
	case FUSE_FSYNCDIR:
	case FUSE_FLUSH:
	case FUSE_GETLK:
	case FUSE_SETLK:
	case FUSE_SETLKW:
	case FUSE_IOCTL:
	case FUSE_FALLOCATE:
	case FUSE_LSEEK:
	case FUSE_COPY_FILE_RANGE:
		if (!s->n_handles)
			return;
		id = s->handles[selector % s->n_handles];
		break;
	default:
		return;
	}
	memcpy(args, &id, sizeof(id));
}

static void step(struct state *s, struct fuzz_input *in)
{
	struct fuzz_request *q = calloc(1, sizeof(*q));
	struct fuse_in_header h = {.opcode = fuzz_u8(in), .unique = 1};
	uint8_t node = fuzz_u8(in), handle = fuzz_u8(in), bits = fuzz_u8(in);
	size_t want = fuzz_u16(in) % (ARGS_MAX + 1);
	const uint8_t *args;

	if (!q)
		abort();
	size_t len = fuzz_bytes(in, want, &args);
	h.nodeid = node == 0xff ? fuzz_u64(in) : s->nodes[node % s->n_nodes];
	h.len = (uint32_t)(sizeof(h) + len);
	h.uid = bits & 4 ? 1000 : 0;
	h.gid = bits & 8 ? UINT32_MAX : 0;
	if (bits & 1)
		h.len = fuzz_u32(in);
	if (bits & 2)
		h.total_extlen = fuzz_u8(in);
	memcpy(q->in, &h, sizeof(h));
	if (len)
		memcpy(q->in + sizeof(h), args, len);
	patch(s, h.opcode, handle, q->in + sizeof(h), len);
	size_t room = bits & 16 ? fuzz_u16(in) % ROOM_MAX : ROOM_MAX - 64;
	memset(q->out, CANARY, sizeof(q->out));
	q->iov[0] = (struct iovec){q->in, sizeof(h) + len};
	q->iov[1] = (struct iovec){q->out, room};
	q->r.iov = q->iov;
	q->r.n_readable = q->r.n_writable = 1;
	q->r.readable_bytes = sizeof(h) + len;
	q->r.writable_bytes = room;
	s->thread->nowait = bits & 32;
	enum fuse_result result = fuse_session_handle(s->session, s->thread, &q->r);
	if (result == FUSE_AGAIN) {
		s->thread->nowait = false;
		result = fuse_session_handle(s->session, s->thread, &q->r);
	}
	if (result == FUSE_PARKED)
		return; /* it is completed, and freed, in time */
	if (result != FUSE_DONE)
		abort();
	check_reply(s, q, h.opcode);
	request_fini(&q->r);
	free(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct state s;

	state_begin(&s);
	s.session->nodes.no_handles |= size & 1;
	for (int i = 0; i < STEPS_MAX && in.left; i++)
		step(&s, &in);
	state_end(&s);
	return 0;
}
