/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile vhost-user front end. The input is a list of steps: one byte that says what comes with
 * the bytes (descriptors of memory or of events) or what happens in between (the guest scribbles
 * over its rings and kicks), one byte of length, then the bytes as they go down the socket. The
 * device behind pops every chain and answers it.
 *
 * Covers: microvm/vhost/backend.c microvm/vhost/message.c microvm/vhost/vring.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/vhost/backend.h"
#include "microvm/vhost/message.h"

#define MEMORY_BYTES (64u << 10)
#define STEPS_MAX    256

/* The first byte of a step: how many descriptors, and of which kind. */
#define STEP_FDS_MASK 0x0fu
#define STEP_EVENTS   0x10u /* eventfds instead of memory */
#define STEP_SCRIBBLE 0x20u /* the bytes go into guest memory, at 256 times the next byte */
#define STEP_KICK     0x40u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_config_read(struct virtio_device *dev, uint32_t offset, void *dst, uint32_t len)
{
	(void)dev;
	if (offset + len > 16)
		abort();
	memset(dst, 0x55, len);
}

static void fuzz_config_write(
	struct virtio_device *dev, uint32_t offset, const void *src, uint32_t len)
{
	(void)dev;
	(void)src;
	if (offset + len > 16)
		abort();
}

static int fuzz_start(struct virtio_device *dev)
{
	(void)dev;
	return 0;
}

static void fuzz_stop(struct virtio_device *dev)
{
	(void)dev;
}

static void fuzz_kick(struct virtio_device *dev, unsigned queue)
{
	static struct virtq_chain chain;
	uint8_t bytes[64];
	int ret = 0;

	/* As many as a real device takes in one go: the driver can make more while we look. */
	for (int i = 0; i < 1024 && (ret = virtq_pop(&dev->queues[queue], &chain)) > 0; i++) {
		size_t n = virtq_chain_read(&chain, 0, bytes, sizeof(bytes));
		n = virtq_chain_write(&chain, 0, bytes, n);
		virtq_push(&dev->queues[queue], chain.head, (uint32_t)n);
	}
	if (ret < 0)
		virtio_device_break(dev, "broken ring");
	else
		virtio_device_interrupt(dev, queue);
}

static const struct virtio_device_ops fuzz_ops = {
	.config_read = fuzz_config_read,
	.config_write = fuzz_config_write,
	.start = fuzz_start,
	.kick = fuzz_kick,
	.stop = fuzz_stop,
};

static void closed(void *arg, int error)
{
	(void)error;
	*(bool *)arg = true;
}

static void send_bytes(int sock, const uint8_t *bytes, size_t len, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(16 * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	(void)!sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

struct front_end {
	int sock, memory_fd, event_fd;
	uint8_t *memory;
};

/* One step; returns the bytes of input used. */
static size_t step(struct front_end *f, const uint8_t *data, size_t size)
{
	uint8_t kind = data[0];
	size_t len = data[1];
	int fds[16];
	unsigned n_fds = kind & STEP_FDS_MASK;
	uint64_t one = 1;

	data += 2;
	size -= 2;
	if (len > size)
		len = size;
	if (kind & STEP_KICK)
		(void)!write(f->event_fd, &one, sizeof(one));
	if (kind & STEP_SCRIBBLE) {
		if (len > 1) {
			size_t offset = (size_t)data[0] * 256;
			memcpy(f->memory + offset, data + 1,
				len - 1 < MEMORY_BYTES - offset ? len - 1 : MEMORY_BYTES - offset);
		}
	} else if (len) {
		for (unsigned i = 0; i < n_fds; i++)
			fds[i] = kind & STEP_EVENTS ? f->event_fd : f->memory_fd;
		send_bytes(f->sock, data, len, fds, n_fds);
	}
	return len + 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct virtio_device dev;
	struct vhost_backend *backend;
	struct loop loop;
	struct err e;
	struct front_end f;
	bool is_closed = false;
	int pair[2];

	log_init("fuzz", -1, LOG_LEVEL_ERROR);
	if (virtio_device_init(&dev) < 0 || loop_init(&loop) < 0 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	dev.ops = &fuzz_ops;
	dev.name = "fuzz";
	dev.offered = UINT64_C(1) << VIRTIO_F_VERSION_1 |
		      UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC |
		      UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;
	dev.config_bytes = 16;
	dev.n_queues = 2;
	dev.queue_size_max = 256;
	if (vhost_backend_create(&backend, &loop, &dev, pair[1], closed, &is_closed, &e) < 0)
		abort();
	f.sock = pair[0];
	f.memory_fd = memfd_create("fuzz", MFD_CLOEXEC);
	f.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (f.memory_fd < 0 || ftruncate(f.memory_fd, MEMORY_BYTES) < 0)
		abort();
	f.memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f.memory_fd, 0);
	if (f.memory == MAP_FAILED)
		abort();
	for (int i = 0; i < STEPS_MAX && size >= 2 && !is_closed; i++) {
		size_t used = step(&f, data, size);
		data += used;
		size -= used;
		for (int k = 0; k < 2; k++)
			if (loop_run_once(&loop, 0) < 0)
				abort();
	}
	fd_closep(&f.sock);
	if (loop_run_once(&loop, 0) < 0)
		abort();
	if (is_closed && dev.started)
		abort();
	vhost_backend_free(backend);
	virtio_device_fini(&dev);
	loop_fini(&loop);
	munmap(f.memory, MEMORY_BYTES);
	fd_closep(&f.memory_fd);
	fd_closep(&f.event_fd);
	return 0;
}
