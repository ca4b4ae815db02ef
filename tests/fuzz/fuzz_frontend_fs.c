/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile hvrun-fs, as hvrun-vmm meets it: the input is all that comes from it, with descriptors
 * beside some messages, and then its end. The first byte says how often the guest starts and stops
 * the device, the second in pieces of which size the bytes come. Whatever they are, it ends with
 * one word on why, and nothing leaks.
 *
 * Covers: microvm/vhost/frontend_fs.c microvm/vhost/message.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/vhost/frontend_fs.h"
#include "tests/unit/support/fuzz_script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define QUEUES	    3u
#define RING_STRIDE 0x4000u
#define INPUT_MAX   4096u
#define PIECES_MAX  64u /* the rest in one: a socket holds only so many */

struct state {
	struct loop loop;
	struct guest_memory memory;
	struct virtio_device *fs;
	int peer, event;
	unsigned lost;
};

static void on_lost(void *arg, const char *why)
{
	struct state *s = arg;

	if (s->lost++ || !why || !*why || strchr(why, '\n'))
		abort();
}

static void nothing(struct virtio_device *dev)
{
	(void)dev;
}

static void no_interrupt(struct virtio_device *dev, unsigned queue)
{
	(void)dev;
	(void)queue;
}

static const struct virtio_transport_ops transport_ops = {
	.interrupt = no_interrupt,
	.config_changed = nothing,
	.needs_reset = nothing,
};

static void state_begin(struct state *s)
{
	struct err e = {0};
	int pair[2];

	*s = (struct state){.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	if (s->event < 0 || loop_init(&s->loop) < 0 ||
		guest_memory_create(&s->memory, 4u << 20, &e) < 0 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	s->peer = pair[1];
	struct frontend_fs_config config = {
		.loop = &s->loop,
		.sock_fd = pair[0],
		.tag = "fuzz",
		.request_queues = QUEUES - 1,
		.lost = on_lost,
		.arg = s,
	};
	if (frontend_fs_create(&config, &s->fs, &e) < 0)
		abort();
	s->fs->transport = &transport_ops;
	for (unsigned i = 0; i < QUEUES; i++) {
		s->fs->kick_fds[i] = s->fs->call_fds[i] = s->event;
		s->fs->queue_ready[i] = true;
		s->fs->layouts[i] = (struct virtq_layout){
			.size = 8,
			.desc_gpa = i * RING_STRIDE,
			.avail_gpa = i * RING_STRIDE + 0x1000,
			.used_gpa = i * RING_STRIDE + 0x2000,
		};
	}
}

/* All that the peer ever says; every third piece brings a descriptor that nobody asked for. */
static void say(struct state *s, struct fuzz_input *in, unsigned piece_bytes)
{
	size_t left = INPUT_MAX;

	for (unsigned i = 0; in->left && left; i++) {
		const uint8_t *bytes;
		size_t most = i < PIECES_MAX && piece_bytes < left ? piece_bytes : left;
		size_t n = fuzz_bytes(in, most, &bytes);
		left -= n;
		if (i % 3 == 2 && piece_bytes % 2) {
			if (fd_send_packet(s->peer, bytes, n, &s->event, 1) < 0)
				abort();
		} else if (write(s->peer, bytes, n) != (ssize_t)n) {
			abort();
		}
	}
	shutdown(s->peer, SHUT_WR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = {data, size};
	struct state s;

	log_init("fuzz", -1, LOG_LEVEL_ERROR);
	state_begin(&s);
	unsigned starts = fuzz_u8(&in) % 4 + 1u;
	say(&s, &in, fuzz_u8(&in) + 1u);
	for (unsigned i = 0; i < starts; i++) {
		pthread_mutex_lock(&s.fs->lock);
		int ret = virtio_device_start(
			s.fs, &s.memory, UINT64_C(1) << VIRTIO_F_VERSION_1, NULL);
		if (!ret || i % 2)
			virtio_device_stop(s.fs);
		pthread_mutex_unlock(&s.fs->lock);
	}
	close(s.peer);
	for (unsigned i = 0; i < 4; i++)
		if (loop_run_once(&s.loop, 0) < 0)
			abort();
	if (!s.lost)
		abort(); /* the peer has ended: somebody must have been told */
	frontend_fs_free(s.fs);
	close(s.event);
	guest_memory_fini(&s.memory);
	loop_fini(&s.loop);
	return 0;
}
