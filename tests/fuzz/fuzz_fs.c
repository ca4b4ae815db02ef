/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The virtio-fs device on queues that do anything: how requests come out of chains, and which
 * thread serves them. What a request says is fuzz_fuse's; here it is a header with some opcode,
 * node and arguments, in pieces, or no request at all. The export is read-only and must stay as it
 * is.
 *
 * Covers: microvm/fs/server.c
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "microvm/fs/server.h"
#include "tests/unit/support/fuzz_script.h"

#define QUEUE_SIZE 16
#define WORKERS	   2
#define SLOT_BYTES 2048u
#define ROOM_AT	   512u /* of the reply in its slot */
#define ARGS_MAX   128u
#define CONTENT	   "content"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
	struct exports exports;
	struct fs_server *server;
	char dir[64];
	uint8_t *slots;
	unsigned n_requests;
};

/* A request whose lengths are right; the driver may cut it where it likes. */
static void step(struct fuzz_script *script, unsigned op, struct fuzz_input *in)
{
	struct state *s = script->arg;
	uint8_t *slot = s->slots + s->n_requests++ % QUEUE_SIZE * SLOT_BYTES;
	uint8_t node = fuzz_u8(in), cut = fuzz_u8(in), room = fuzz_u8(in);
	struct fuse_in_header h = {
		.opcode = fuzz_u8(in), .unique = s->n_requests, .nodeid = node % 8u};
	const uint8_t *args;

	size_t n = fuzz_bytes(in, fuzz_u8(in) % ARGS_MAX, &args);
	h.len = (uint32_t)(sizeof(h) + n);
	memcpy(slot, &h, sizeof(h));
	if (n)
		memcpy(slot + sizeof(h), args, n);
	uint32_t first = cut % h.len;
	const struct fake_segment segments[] = {
		{slot, first, false},
		{slot + first, h.len - first, false},
		{slot + ROOM_AT, room * 4u, true},
	};
	unsigned queue = node / 8u % script->n_queues;
	if (op & 1)
		(void)fake_add_indirect(script->fake, queue, segments, room ? 3 : 2);
	else
		(void)fake_add(script->fake, queue, segments, room ? 3 : 2);
}

static void state_begin(struct state *s, struct loop *loop)
{
	char path[96];
	struct err e;

	snprintf(s->dir, sizeof(s->dir), "%s/hvrun-fuzz-XXXXXX",
		access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	if (!mkdtemp(s->dir) || exports_init(&s->exports) < 0)
		abort();
	snprintf(path, sizeof(path), "%s/file", s->dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, CONTENT, sizeof(CONTENT)) != sizeof(CONTENT))
		abort();
	close(fd);
	struct export x = {.name = (char *)"x",
		.path = s->dir,
		.fd = open(s->dir, O_PATH | O_CLOEXEC),
		.readonly = true,
		.host_locks = true};
	if (exports_add(&s->exports, &x, &e) < 0 || cred_process_init(cred_is_privileged()) < 0)
		abort();
	const struct fuse_session_config config = {
		.exports = &s->exports,
		.fd_prefix = "/proc/self/fd/",
		.node_fds_max = 6,
		.nodes_max = 64,
		.handles_max = 32,
	};
	if (fs_server_create(&s->server, loop, &config, WORKERS, &e) < 0)
		abort();
}

static void state_end(struct state *s)
{
	char path[96];
	struct stat st;

	fs_server_free(s->server);
	exports_fini(&s->exports);
	snprintf(path, sizeof(path), "%s/file", s->dir);
	if (stat(path, &st) < 0 || st.st_size != sizeof(CONTENT) || (st.st_mode & 07777) != 0644 ||
		unlink(path) < 0 || rmdir(s->dir) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_transport fake;
	struct fuzz_input in = {data, size};
	struct state s = {.n_requests = 0};
	struct loop loop;
	uint64_t features =
		FAKE_F_VERSION_1 | (fuzz_u8(&in) & 1 ? FAKE_F_EVENT_IDX : 0) | FAKE_F_INDIRECT;

	if (loop_init(&loop) < 0)
		abort();
	state_begin(&s, &loop);
	struct virtio_device *dev = fs_server_device(s.server);
	if (fake_transport_init(&fake, dev, QUEUE_SIZE, features) < 0)
		abort();
	s.slots = fake_alloc(&fake, QUEUE_SIZE * SLOT_BYTES);
	if (!s.slots)
		abort();
	struct fuzz_script script = {.fake = &fake,
		.loop = &loop,
		.features = features,
		.n_queues = dev->n_queues,
		.arg = &s,
		.step = step};
	fuzz_script_run(&script, &in);
	fake_transport_fini(&fake);
	state_end(&s);
	loop_fini(&loop);
	return 0;
}
