/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock between a driver that does anything and host descriptors that come and go. Every
 * connection made must be reported closed at most once, and never after that.
 *
 * Covers: microvm/devices/vsock.c microvm/devices/vsock_conn.c microvm/devices/vsock_rx.c
 *   microvm/devices/vsock_tx.c microvm/devices/stream_fd.c
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_vsock.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "microvm/devices/vsock.h"
#include "tests/unit/support/fuzz_script.h"

#define STREAMS	   16u
#define QUEUE_SIZE 32u
#define GUEST_CID  3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct stream {
	int fd; /* our end of the host side; -1 once closed */
	bool made, closed;
	unsigned n_drained;
};

struct fuzz_vsock {
	struct virtio_device *dev;
	struct stream streams[STREAMS];
	unsigned n_streams;
};

static void on_connected(void *arg)
{
	if (((struct stream *)arg)->closed)
		abort();
}

static void on_drained(void *arg)
{
	struct stream *s = arg;

	if (s->closed || s->n_drained++)
		abort();
}

static void on_closed(void *arg, int reason)
{
	struct stream *s = arg;

	if (s->closed || reason > 0)
		abort();
	s->closed = true;
}

static const struct vsock_conn_events events = {
	.connected = on_connected, .drained = on_drained, .closed = on_closed};

/* A fresh stream on a socket pair; the other end in *fd. NULL when all are used. */
static struct stream *make_stream(struct fuzz_vsock *v, int *fd)
{
	int pair[2];

	if (v->n_streams == STREAMS ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return NULL;
	struct stream *s = &v->streams[v->n_streams++];
	*s = (struct stream){.fd = pair[0], .made = true};
	*fd = pair[1];
	return s;
}

static int on_accept(void *arg, uint32_t guest_port, struct vsock_accepted *accepted)
{
	int fd;
	struct stream *s = guest_port % 5 ? make_stream(arg, &fd) : NULL;

	if (!s)
		return -1;
	*accepted = (struct vsock_accepted){fd, fd, &events, s};
	return 0;
}

static void step_connect(struct fuzz_vsock *v, struct fuzz_input *in)
{
	uint8_t how = fuzz_u8(in);
	int fd;
	struct stream *s = make_stream(v, &fd);

	if (!s)
		return;
	int rd_fd = how & 1 ? fd : -1, wr_fd = how & 2 ? fd : -1;
	if (!(how & 3))
		close(fd);
	int ret = vsock_connect(v->dev, 1025u + (how >> 4), 1000, rd_fd, wr_fd, &events, s);
	(void)ret; /* ports in use: the descriptors are gone all the same */
}

/* A packet with a header that mostly makes sense. */
static void step_packet(struct fuzz_script *script, struct fuzz_input *in)
{
	static const uint32_t ports[] = {1000, 1001, 1024, 1025, 1026, 1027};
	const uint8_t *bytes;
	uint8_t how = fuzz_u8(in), port = fuzz_u8(in);
	struct virtio_vsock_hdr h = {
		.src_cid = GUEST_CID,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = ports[port % 6],
		.dst_port = ports[port / 6 % 6],
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = fuzz_u8(in) % 9,
		.flags = how & 3,
		.buf_alloc = how & 4 ? fuzz_u32(in) : 4096,
		.fwd_cnt = how & 8 ? fuzz_u32(in) : 0,
	};
	size_t n = fuzz_bytes(in, how & 16 ? fuzz_u8(in) : 0, &bytes);
	uint8_t *p = script->arena + FUZZ_ARENA_BYTES / 2;

	h.len = how & 32 ? fuzz_u32(in) : how & 64 ? 65536 : (uint32_t)n;
	if (how & 128)
		h.src_cid = fuzz_u64(in);
	memcpy(p, &h, sizeof(h));
	memcpy(p + sizeof(h), bytes, n);
	const struct fake_segment s[] = {
		{p, sizeof(h), false}, {p + sizeof(h), how & 64 ? 65536 : (uint32_t)n, false}};
	while (fake_used(script->fake, 1, NULL) >= 0)
		;
	(void)fake_add(script->fake, 1, s, 2);
	fake_kick(script->fake, 1);
	fake_loop_settle(script->loop, 0);
}

/* Takes what was received and posts the buffers anew. */
static void step_receive(struct fuzz_script *script, struct fuzz_input *in)
{
	uint32_t len = fuzz_u8(in) & 1 ? 100 : 4096;

	while (fake_used(script->fake, 0, NULL) >= 0)
		;
	for (unsigned i = 0; i < QUEUE_SIZE / 2; i++) {
		const struct fake_segment s = {
			script->arena + FUZZ_ARENA_BYTES / 4 + i * 4096, len, true};
		if (fake_add(script->fake, 0, &s, 1) < 0)
			break;
	}
	fake_kick(script->fake, 0);
	fake_loop_settle(script->loop, 0);
}

static void step_host(struct fuzz_script *script, struct fuzz_input *in)
{
	static uint8_t bytes[100000];
	struct fuzz_vsock *v = script->arg;
	uint8_t how = fuzz_u8(in);
	struct stream *s = &v->streams[(how >> 3) % STREAMS];

	if (!s->made || s->fd < 0)
		return;
	switch (how & 7) {
	case 0:
		close(s->fd);
		s->fd = -1;
		break;
	case 1:
		(void)shutdown(s->fd, SHUT_WR);
		break;
	case 2:
		(void)shutdown(s->fd, SHUT_RD);
		break;
	case 3:
		(void)send(s->fd, bytes, 10, MSG_NOSIGNAL);
		break;
	case 4:
		(void)send(s->fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
		break;
	default:
		(void)recv(s->fd, bytes, how & 1 ? 1000 : sizeof(bytes), 0);
	}
	fake_loop_settle(script->loop, 0);
}

static void own_step(struct fuzz_script *script, unsigned op, struct fuzz_input *in)
{
	switch (op) {
	case 0:
		step_connect(script->arg, in);
		break;
	case 1:
	case 2:
		step_receive(script, in);
		break;
	case 3:
	case 4:
		step_host(script, in);
		break;
	default:
		step_packet(script, in);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fake_transport fake;
	struct fuzz_input in = {data, size};
	struct fuzz_vsock v = {0};
	struct loop loop;

	signal(SIGPIPE, SIG_IGN);
	if (loop_init(&loop) < 0)
		abort();
	const struct vsock_config config = {.loop = &loop, .guest_cid = GUEST_CID};
	uint64_t features =
		FAKE_F_VERSION_1 | (fuzz_u8(&in) & 1 ? FAKE_F_EVENT_IDX : 0) | FAKE_F_INDIRECT;
	if (vsock_create(&config, &v.dev, NULL) < 0 ||
		vsock_listen(v.dev, 1024, on_accept, &v) < 0 ||
		fake_transport_init(&fake, v.dev, QUEUE_SIZE, features) < 0)
		abort();
	struct fuzz_script script = {.fake = &fake,
		.loop = &loop,
		.features = features,
		.n_queues = v.dev->n_queues,
		.arg = &v,
		.step = own_step};
	fuzz_script_run(&script, &in);
	fake_transport_fini(&fake);
	/* After the device's reset, everything that drains ends. */
	for (unsigned i = 0; i < v.n_streams; i++)
		if (v.streams[i].fd >= 0)
			close(v.streams[i].fd);
	fake_loop_settle(&loop, 0);
	vsock_free(v.dev);
	loop_fini(&loop);
	return 0;
}
