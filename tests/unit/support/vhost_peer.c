/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted vhost-user front end: see vhost_peer.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/support/vhost_peer.h"

static void adder_config_read(struct virtio_device *dev, uint32_t offset, void *dst, uint32_t len)
{
	memcpy(dst, ((struct adder *)dev)->config + offset, len);
}

static void adder_config_write(
	struct virtio_device *dev, uint32_t offset, const void *src, uint32_t len)
{
	memcpy(((struct adder *)dev)->config + offset, src, len);
}

static int adder_start(struct virtio_device *dev)
{
	((struct adder *)dev)->starts++;
	return 0;
}

static void adder_stop(struct virtio_device *dev)
{
	((struct adder *)dev)->stops++;
}

static void adder_kick(struct virtio_device *dev, unsigned queue)
{
	static struct virtq_chain chain;
	uint8_t bytes[16];
	bool pushed = false;
	int ret;

	((struct adder *)dev)->kicks++;
	while ((ret = virtq_pop(&dev->queues[queue], &chain)) > 0) {
		size_t n = virtq_chain_read(&chain, 0, bytes, sizeof(bytes));
		for (size_t i = 0; i < n; i++)
			bytes[i]++;
		n = virtq_chain_write(&chain, 0, bytes, n);
		virtq_push(&dev->queues[queue], chain.head, (uint32_t)n);
		pushed = true;
	}
	if (ret < 0)
		virtio_device_break(dev, "broken ring");
	if (pushed)
		virtio_device_interrupt(dev, queue);
}

static const struct virtio_device_ops adder_ops = {
	.config_read = adder_config_read,
	.config_write = adder_config_write,
	.start = adder_start,
	.kick = adder_kick,
	.stop = adder_stop,
};

static void on_closed(void *arg, int error)
{
	struct vhost_peer *f = arg;

	f->closed++;
	f->closed_error = error;
}

int vhost_peer_setup(void **state)
{
	struct vhost_peer *f = calloc(1, sizeof(*f));
	struct err e = {0};
	int pair[2];

	assert_non_null(f);
	assert_int_equal(virtio_device_init(&f->adder.dev), 0);
	f->adder.dev.ops = &adder_ops;
	f->adder.dev.name = "adder";
	f->adder.dev.offered = UINT64_C(1) << VIRTIO_F_VERSION_1 | 1;
	f->adder.dev.config_bytes = 8;
	f->adder.dev.n_queues = 2;
	f->adder.dev.queue_size_max = 256;
	memcpy(f->adder.config, "abcdefgh", 8);
	assert_int_equal(loop_init(&f->loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	f->sock = pair[0];
	assert_int_equal(vhost_backend_create(
				 &f->backend, &f->loop, &f->adder.dev, pair[1], on_closed, f, &e),
		0);
	f->memory_fd = memfd_create("test", MFD_CLOEXEC);
	assert_int_equal(ftruncate(f->memory_fd, PEER_MEMORY_BYTES), 0);
	f->memory =
		mmap(NULL, PEER_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->memory_fd, 0);
	assert_true(f->memory != MAP_FAILED);
	for (int i = 0; i < 2; i++) {
		f->kick[i] = eventfd(0, EFD_CLOEXEC);
		f->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	*state = f;
	return 0;
}

int vhost_peer_teardown(void **state)
{
	struct vhost_peer *f = *state;

	vhost_backend_free(f->backend);
	virtio_device_fini(&f->adder.dev);
	loop_fini(&f->loop);
	munmap(f->memory, PEER_MEMORY_BYTES);
	fd_closep(&f->memory_fd);
	fd_closep(&f->sock);
	for (int i = 0; i < 2; i++) {
		fd_closep(&f->kick[i]);
		fd_closep(&f->call[i]);
	}
	free(f);
	return 0;
}

void vhost_peer_pump(struct vhost_peer *f)
{
	for (int i = 0; i < 8; i++)
		assert_int_equal(loop_run_once(&f->loop, 0), 0);
}

void vhost_peer_send(struct vhost_peer *f, struct vhost_message *m)
{
	assert_int_equal(vhost_message_send(f->sock, m, 1000), 0);
	vhost_peer_pump(f);
}

struct vhost_message vhost_peer_receive(struct vhost_peer *f)
{
	struct vhost_reader reader;

	vhost_reader_init(&reader);
	assert_int_equal(vhost_reader_receive(&reader, f->sock), 1);
	return reader.message;
}

void vhost_peer_send_u64(struct vhost_peer *f, uint32_t request, uint64_t value)
{
	struct vhost_message m;

	vhost_message_init(&m, request, sizeof(value));
	m.payload.u64 = value;
	vhost_peer_send(f, &m);
}

uint64_t vhost_peer_get_u64(struct vhost_peer *f, uint32_t request)
{
	struct vhost_message m;

	vhost_message_init(&m, request, 0);
	vhost_peer_send(f, &m);
	m = vhost_peer_receive(f);
	assert_int_equal(m.header.request, request);
	assert_int_equal(m.header.flags, VHOST_VERSION | VHOST_FLAG_REPLY);
	assert_int_equal(m.header.payload_bytes, 8);
	return m.payload.u64;
}

void vhost_peer_send_state(struct vhost_peer *f, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_message m;

	vhost_message_init(&m, request, sizeof(m.payload.state));
	m.payload.state = (struct vhost_vring_state){index, num};
	vhost_peer_send(f, &m);
}

uint32_t vhost_peer_get_base(struct vhost_peer *f, uint32_t index)
{
	vhost_peer_send_state(f, VHOST_GET_VRING_BASE, index, 0);
	struct vhost_message m = vhost_peer_receive(f);
	assert_int_equal(m.header.request, VHOST_GET_VRING_BASE);
	assert_int_equal(m.payload.state.index, index);
	return m.payload.state.num;
}

void vhost_peer_send_fd(struct vhost_peer *f, uint32_t request, uint32_t index, int fd)
{
	struct vhost_message m;

	vhost_message_init(&m, request, sizeof(m.payload.u64));
	m.payload.u64 = fd < 0 ? index | VHOST_VRING_NO_FD : index;
	m.fds[0] = fd;
	m.n_fds = fd >= 0;
	vhost_peer_send(f, &m);
}

struct vhost_message vhost_peer_memory_table(const struct vhost_peer *f)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_SET_MEM_TABLE, 8 + sizeof(struct vhost_memory_region));
	m.payload.memory.n_regions = 1;
	m.payload.memory.regions[0] =
		(struct vhost_memory_region){PEER_GPA, PEER_MEMORY_BYTES, PEER_USER_ADDR, 0};
	m.fds[0] = f->memory_fd;
	m.n_fds = 1;
	return m;
}

void vhost_peer_negotiate(struct vhost_peer *f)
{
	uint64_t features = vhost_peer_get_u64(f, VHOST_GET_FEATURES);

	assert_int_equal(features,
		UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES | 1);
	uint64_t protocol = vhost_peer_get_u64(f, VHOST_GET_PROTOCOL_FEATURES);
	assert_true(protocol & 1u << VHOST_PROTOCOL_F_REPLY_ACK);
	assert_true(protocol & 1u << VHOST_PROTOCOL_F_CONFIG);
	vhost_peer_send_u64(f, VHOST_SET_PROTOCOL_FEATURES, protocol);
	assert_int_equal(vhost_peer_get_u64(f, VHOST_GET_QUEUE_NUM), 2);
	struct vhost_message m;
	vhost_message_init(&m, VHOST_SET_OWNER, 0);
	vhost_peer_send(f, &m);
	vhost_peer_send_u64(f, VHOST_SET_FEATURES, features);
}

void vhost_peer_set_memory(struct vhost_peer *f)
{
	struct vhost_message m = vhost_peer_memory_table(f);

	m.header.flags |= VHOST_FLAG_NEED_REPLY;
	vhost_peer_send(f, &m);
	m = vhost_peer_receive(f);
	assert_int_equal(m.header.request, VHOST_SET_MEM_TABLE);
	assert_int_equal(m.payload.u64, 0);
}

void vhost_peer_set_ring(struct vhost_peer *f, uint32_t index, uint32_t base)
{
	struct vhost_message m;
	uint64_t ring = PEER_USER_ADDR + index * PEER_RING_STRIDE;

	vhost_peer_send_state(f, VHOST_SET_VRING_NUM, index, PEER_QUEUE_SIZE);
	vhost_peer_send_state(f, VHOST_SET_VRING_BASE, index, base);
	vhost_message_init(&m, VHOST_SET_VRING_ADDR, sizeof(m.payload.addr));
	m.payload.addr = (struct vhost_vring_addr){
		.index = index,
		.desc = ring + PEER_DESC_OFFSET,
		.avail = ring + PEER_AVAIL_OFFSET,
		.used = ring + PEER_USED_OFFSET,
	};
	vhost_peer_send(f, &m);
	vhost_peer_send_fd(f, VHOST_SET_VRING_CALL, index, f->call[index]);
	vhost_peer_send_fd(f, VHOST_SET_VRING_KICK, index, f->kick[index]);
}

void vhost_peer_start(struct vhost_peer *f)
{
	vhost_peer_negotiate(f);
	vhost_peer_set_memory(f);
	for (uint32_t i = 0; i < 2; i++)
		vhost_peer_set_ring(f, i, 0);
	assert_int_equal(f->adder.starts, 0);
	vhost_peer_send_state(f, VHOST_SET_VRING_ENABLE, 0, 1);
	assert_int_equal(f->adder.starts, 0);
	vhost_peer_send_state(f, VHOST_SET_VRING_ENABLE, 1, 1);
	assert_int_equal(f->adder.starts, 1);
	assert_true(f->adder.dev.queues[0].running && f->adder.dev.queues[1].running);
}

/* Puts one request into a ring (descriptors 0 and 1) and kicks. */
void vhost_peer_request(struct vhost_peer *f, uint32_t index, const char *text)
{
	uint8_t *ring = f->memory + index * PEER_RING_STRIDE;
	struct {
		uint64_t gpa;
		uint32_t len;
		uint16_t flags, next;
	} desc[2] = {
		{PEER_GPA + PEER_DATA_OFFSET, (uint32_t)strlen(text), 1, 1},
		{PEER_GPA + PEER_DATA_OFFSET + 64, (uint32_t)strlen(text), 2, 0},
	};
	uint16_t *avail = (uint16_t *)(void *)(ring + PEER_AVAIL_OFFSET);
	uint64_t one = 1;

	memcpy(f->memory + PEER_DATA_OFFSET, text, strlen(text));
	memcpy(ring + PEER_DESC_OFFSET, desc, sizeof(desc));
	avail[2 + avail[1] % PEER_QUEUE_SIZE] = 0;
	avail[1]++;
	assert_int_equal(write(f->kick[index], &one, sizeof(one)), sizeof(one));
	vhost_peer_pump(f);
}
