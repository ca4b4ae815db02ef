/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user back end against a scripted front end on a socket pair: the sequence that QEMU
 * uses, service over a ring, stop and resume, and what a hostile front end may try.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/vhost/backend.h"
#include "microvm/vhost/message.h"

#define MEMORY_BYTES (1u << 20)
#define USER_ADDR    UINT64_C(0x7f0000000000)
#define GPA	     UINT64_C(0x100000)
#define QUEUE_SIZE   8u
#define DESC_OFFSET  0x0u
#define AVAIL_OFFSET 0x1000u
#define USED_OFFSET  0x2000u
#define RING_STRIDE  0x4000u
#define DATA_OFFSET  0x80000u

/* A device that answers each chain with the bytes of its readable part plus one. */
struct adder {
	struct virtio_device dev;
	unsigned kicks, starts, stops;
	uint8_t config[8];
};

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

struct fixture {
	struct adder adder;
	struct loop loop;
	struct vhost_backend *backend;
	int sock; /* the front end's end */
	int memory_fd, kick[2], call[2];
	uint8_t *memory;
	unsigned closed;
	int closed_error;
};

static void on_closed(void *arg, int error)
{
	struct fixture *f = arg;

	f->closed++;
	f->closed_error = error;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
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
	assert_int_equal(ftruncate(f->memory_fd, MEMORY_BYTES), 0);
	f->memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f->memory_fd, 0);
	assert_true(f->memory != MAP_FAILED);
	for (int i = 0; i < 2; i++) {
		f->kick[i] = eventfd(0, EFD_CLOEXEC);
		f->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vhost_backend_free(f->backend);
	virtio_device_fini(&f->adder.dev);
	loop_fini(&f->loop);
	munmap(f->memory, MEMORY_BYTES);
	fd_closep(&f->memory_fd);
	fd_closep(&f->sock);
	for (int i = 0; i < 2; i++) {
		fd_closep(&f->kick[i]);
		fd_closep(&f->call[i]);
	}
	free(f);
	return 0;
}

static void pump(struct fixture *f)
{
	for (int i = 0; i < 8; i++)
		assert_int_equal(loop_run_once(&f->loop, 0), 0);
}

static void send_message(struct fixture *f, struct vhost_message *m)
{
	assert_int_equal(vhost_message_send(f->sock, m, 1000), 0);
	pump(f);
}

static struct vhost_message receive(struct fixture *f)
{
	struct vhost_reader reader;

	vhost_reader_init(&reader);
	assert_int_equal(vhost_reader_receive(&reader, f->sock), 1);
	return reader.message;
}

static void send_u64(struct fixture *f, uint32_t request, uint64_t value)
{
	struct vhost_message m;

	vhost_message_init(&m, request, sizeof(value));
	m.payload.u64 = value;
	send_message(f, &m);
}

static uint64_t get_u64(struct fixture *f, uint32_t request)
{
	struct vhost_message m;

	vhost_message_init(&m, request, 0);
	send_message(f, &m);
	m = receive(f);
	assert_int_equal(m.header.request, request);
	assert_int_equal(m.header.flags, VHOST_VERSION | VHOST_FLAG_REPLY);
	assert_int_equal(m.header.payload_bytes, 8);
	return m.payload.u64;
}

static void send_state(struct fixture *f, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_message m;

	vhost_message_init(&m, request, sizeof(m.payload.state));
	m.payload.state = (struct vhost_vring_state){index, num};
	send_message(f, &m);
}

static uint32_t get_base(struct fixture *f, uint32_t index)
{
	send_state(f, VHOST_GET_VRING_BASE, index, 0);
	struct vhost_message m = receive(f);
	assert_int_equal(m.header.request, VHOST_GET_VRING_BASE);
	assert_int_equal(m.payload.state.index, index);
	return m.payload.state.num;
}

static void send_fd(struct fixture *f, uint32_t request, uint32_t index, int fd)
{
	struct vhost_message m;

	vhost_message_init(&m, request, sizeof(m.payload.u64));
	m.payload.u64 = fd < 0 ? index | VHOST_VRING_NO_FD : index;
	m.fds[0] = fd;
	m.n_fds = fd >= 0;
	send_message(f, &m);
}

static struct vhost_message memory_table(const struct fixture *f)
{
	struct vhost_message m;

	vhost_message_init(&m, VHOST_SET_MEM_TABLE, 8 + sizeof(struct vhost_memory_region));
	m.payload.memory.n_regions = 1;
	m.payload.memory.regions[0] = (struct vhost_memory_region){GPA, MEMORY_BYTES, USER_ADDR, 0};
	m.fds[0] = f->memory_fd;
	m.n_fds = 1;
	return m;
}

static void negotiate(struct fixture *f)
{
	uint64_t features = get_u64(f, VHOST_GET_FEATURES);

	assert_int_equal(features,
		UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VHOST_F_PROTOCOL_FEATURES | 1);
	uint64_t protocol = get_u64(f, VHOST_GET_PROTOCOL_FEATURES);
	assert_true(protocol & 1u << VHOST_PROTOCOL_F_REPLY_ACK);
	assert_true(protocol & 1u << VHOST_PROTOCOL_F_CONFIG);
	send_u64(f, VHOST_SET_PROTOCOL_FEATURES, protocol);
	assert_int_equal(get_u64(f, VHOST_GET_QUEUE_NUM), 2);
	struct vhost_message m;
	vhost_message_init(&m, VHOST_SET_OWNER, 0);
	send_message(f, &m);
	send_u64(f, VHOST_SET_FEATURES, features);
}

static void set_memory(struct fixture *f)
{
	struct vhost_message m = memory_table(f);

	m.header.flags |= VHOST_FLAG_NEED_REPLY;
	send_message(f, &m);
	m = receive(f);
	assert_int_equal(m.header.request, VHOST_SET_MEM_TABLE);
	assert_int_equal(m.payload.u64, 0);
}

static void set_ring(struct fixture *f, uint32_t index, uint32_t base)
{
	struct vhost_message m;
	uint64_t ring = USER_ADDR + index * RING_STRIDE;

	send_state(f, VHOST_SET_VRING_NUM, index, QUEUE_SIZE);
	send_state(f, VHOST_SET_VRING_BASE, index, base);
	vhost_message_init(&m, VHOST_SET_VRING_ADDR, sizeof(m.payload.addr));
	m.payload.addr = (struct vhost_vring_addr){
		.index = index,
		.desc = ring + DESC_OFFSET,
		.avail = ring + AVAIL_OFFSET,
		.used = ring + USED_OFFSET,
	};
	send_message(f, &m);
	send_fd(f, VHOST_SET_VRING_CALL, index, f->call[index]);
	send_fd(f, VHOST_SET_VRING_KICK, index, f->kick[index]);
}

static void start(struct fixture *f)
{
	negotiate(f);
	set_memory(f);
	for (uint32_t i = 0; i < 2; i++)
		set_ring(f, i, 0);
	assert_int_equal(f->adder.starts, 0);
	send_state(f, VHOST_SET_VRING_ENABLE, 0, 1);
	assert_int_equal(f->adder.starts, 0);
	send_state(f, VHOST_SET_VRING_ENABLE, 1, 1);
	assert_int_equal(f->adder.starts, 1);
	assert_true(f->adder.dev.queues[0].running && f->adder.dev.queues[1].running);
}

/* Puts one request into a ring (descriptors 0 and 1) and kicks. */
static void request(struct fixture *f, uint32_t index, const char *text)
{
	uint8_t *ring = f->memory + index * RING_STRIDE;
	struct {
		uint64_t gpa;
		uint32_t len;
		uint16_t flags, next;
	} desc[2] = {
		{GPA + DATA_OFFSET, (uint32_t)strlen(text), 1, 1},
		{GPA + DATA_OFFSET + 64, (uint32_t)strlen(text), 2, 0},
	};
	uint16_t *avail = (uint16_t *)(void *)(ring + AVAIL_OFFSET);
	uint64_t one = 1;

	memcpy(f->memory + DATA_OFFSET, text, strlen(text));
	memcpy(ring + DESC_OFFSET, desc, sizeof(desc));
	avail[2 + avail[1] % QUEUE_SIZE] = 0;
	avail[1]++;
	assert_int_equal(write(f->kick[index], &one, sizeof(one)), sizeof(one));
	pump(f);
}

static void test_serves_rings(void **state)
{
	struct fixture *f = *state;
	uint64_t count;

	start(f);
	for (uint16_t i = 1; i <= 20; i++) {
		request(f, 1, "HAL");
		assert_memory_equal(f->memory + DATA_OFFSET + 64, "IBM", 3);
		uint16_t *used = (uint16_t *)(void *)(f->memory + RING_STRIDE + USED_OFFSET);
		assert_int_equal(used[1], i);
		assert_int_equal(read(f->call[1], &count, sizeof(count)), sizeof(count));
	}
	assert_true(read(f->call[0], &count, sizeof(count)) < 0);
	assert_int_equal(f->closed, 0);
}

static void test_stops_and_resumes(void **state)
{
	struct fixture *f = *state;

	start(f);
	request(f, 0, "a");
	request(f, 0, "a");
	assert_int_equal(get_base(f, 0), 2);
	assert_int_equal(f->adder.stops, 1);
	assert_int_equal(get_base(f, 1), 0);
	unsigned kicks = f->adder.kicks;
	request(f, 0, "x"); /* nobody listens */
	assert_int_equal(f->adder.kicks, kicks);
	set_ring(f, 0, 2);
	assert_int_equal(f->adder.starts, 2);			   /* enabled still */
	assert_memory_equal(f->memory + DATA_OFFSET + 64, "y", 1); /* what waited was served */
	set_ring(f, 1, 0);					   /* joins the running device */
	request(f, 1, "HAL");
	assert_memory_equal(f->memory + DATA_OFFSET + 64, "IBM", 3);
	assert_int_equal(f->adder.starts, 2);
}

static void test_disabled_ring_stops(void **state)
{
	struct fixture *f = *state;

	start(f);
	send_state(f, VHOST_SET_VRING_ENABLE, 0, 0);
	assert_int_equal(f->adder.stops, 1);
	assert_false(f->adder.dev.started);
	send_state(f, VHOST_SET_VRING_ENABLE, 0, 1);
	assert_true(f->adder.dev.started);
}

static void test_without_protocol_features(void **state)
{
	struct fixture *f = *state;

	send_u64(f, VHOST_SET_FEATURES, UINT64_C(1) << VIRTIO_F_VERSION_1);
	struct vhost_message m = memory_table(f);
	send_message(f, &m);
	set_ring(f, 0, 0);
	assert_int_equal(f->adder.starts, 1);
	request(f, 0, "HAL");
	assert_memory_equal(f->memory + DATA_OFFSET + 64, "IBM", 3);
}

static void test_config(void **state)
{
	struct fixture *f = *state;
	struct vhost_message m;

	negotiate(f);
	vhost_message_init(&m, VHOST_GET_CONFIG, 12 + 12);
	m.payload.config.len_bytes = 12;
	send_message(f, &m);
	m = receive(f);
	assert_int_equal(m.header.payload_bytes, 24);
	assert_memory_equal(m.payload.config.bytes, "abcdefgh\0\0\0\0", 12);
	vhost_message_init(&m, VHOST_SET_CONFIG, 12 + 2);
	m.payload.config.offset = 2;
	m.payload.config.len_bytes = 2;
	memcpy(m.payload.config.bytes, "XY", 2);
	send_message(f, &m);
	assert_memory_equal(f->adder.config, "abXYefgh", 8);
	m.payload.config.offset = 7;
	m.header.flags |= VHOST_FLAG_NEED_REPLY;
	send_message(f, &m);
	m = receive(f);
	assert_int_equal(m.payload.u64, 1);
	assert_int_equal(f->closed, 0);
}

static void test_memory_table_while_running(void **state)
{
	struct fixture *f = *state;

	start(f);
	set_memory(f); /* the same again */
	struct vhost_message m = memory_table(f);
	m.payload.memory.regions[0].gpa += 4096;
	m.header.flags |= VHOST_FLAG_NEED_REPLY;
	send_message(f, &m);
	m = receive(f);
	assert_int_equal(m.payload.u64, 1);
	request(f, 0, "HAL");
	assert_memory_equal(f->memory + DATA_OFFSET + 64, "IBM", 3);
}

static void test_end_of_file(void **state)
{
	struct fixture *f = *state;

	start(f);
	fd_closep(&f->sock);
	pump(f);
	assert_int_equal(f->closed, 1);
	assert_int_equal(f->closed_error, 0);
	assert_int_equal(f->adder.stops, 1);
}

/* Each of these must end the connection, once, with the device stopped. */
static void expect_closed(struct fixture *f, int error)
{
	pump(f);
	assert_int_equal(f->closed, 1);
	assert_int_equal(f->closed_error, error);
	assert_false(f->adder.dev.started);
}

static void test_refuses_lengths(void **state)
{
	struct fixture *f = *state;
	struct vhost_message m;

	start(f);
	vhost_message_init(&m, VHOST_SET_FEATURES, 7);
	send_message(f, &m);
	expect_closed(f, -EPROTO);
}

static void test_refuses_oversized(void **state)
{
	struct fixture *f = *state;
	struct vhost_header header = {VHOST_SET_CONFIG, VHOST_VERSION, UINT32_MAX};

	assert_int_equal(write(f->sock, &header, sizeof(header)), sizeof(header));
	expect_closed(f, -EPROTO);
}

static void test_refuses_version(void **state)
{
	struct fixture *f = *state;
	struct vhost_header header = {VHOST_GET_FEATURES, 2, 0};

	assert_int_equal(write(f->sock, &header, sizeof(header)), sizeof(header));
	expect_closed(f, -EPROTO);
}

static void test_refuses_half_message(void **state)
{
	struct fixture *f = *state;
	struct vhost_header header = {VHOST_SET_FEATURES, VHOST_VERSION, 8};

	assert_int_equal(write(f->sock, &header, sizeof(header)), sizeof(header));
	pump(f);
	assert_int_equal(f->closed, 0);
	fd_closep(&f->sock);
	expect_closed(f, -ENODATA);
}

static void test_refuses_table_without_fds(void **state)
{
	struct fixture *f = *state;
	struct vhost_message m = memory_table(f);

	m.n_fds = 0;
	send_message(f, &m);
	expect_closed(f, -EPROTO);
}

static void test_refuses_too_many_fds(void **state)
{
	struct fixture *f = *state;
	struct vhost_message m;

	vhost_message_init(&m, VHOST_SET_OWNER, 0);
	for (m.n_fds = 0; m.n_fds < 3; m.n_fds++)
		m.fds[m.n_fds] = f->memory_fd;
	send_message(f, &m);
	expect_closed(f, -EPROTO);
}

static void test_refuses_queue_index(void **state)
{
	struct fixture *f = *state;

	send_state(f, VHOST_SET_VRING_NUM, 2, 8);
	expect_closed(f, -EINVAL);
}

static void test_refuses_memory_past_file(void **state)
{
	struct fixture *f = *state;
	struct vhost_message m = memory_table(f);

	m.payload.memory.regions[0].len_bytes += 4096;
	send_message(f, &m);
	expect_closed(f, -EINVAL);
}

static void test_refuses_ring_outside_memory(void **state)
{
	struct fixture *f = *state;
	struct vhost_message m;

	send_u64(f, VHOST_SET_FEATURES, UINT64_C(1) << VIRTIO_F_VERSION_1);
	m = memory_table(f);
	send_message(f, &m);
	send_state(f, VHOST_SET_VRING_NUM, 0, 8);
	vhost_message_init(&m, VHOST_SET_VRING_ADDR, sizeof(m.payload.addr));
	m.payload.addr.desc = USER_ADDR + MEMORY_BYTES;
	m.payload.addr.avail = m.payload.addr.used = USER_ADDR;
	send_message(f, &m);
	send_fd(f, VHOST_SET_VRING_KICK, 0, f->kick[0]);
	expect_closed(f, -EFAULT);
}

/* In bounds at its start, but not to its end: that the guest chose, so only the device breaks. */
static void test_ring_across_the_end_breaks_device(void **state)
{
	struct fixture *f = *state;
	struct vhost_message m;

	send_u64(f, VHOST_SET_FEATURES, UINT64_C(1) << VIRTIO_F_VERSION_1);
	m = memory_table(f);
	send_message(f, &m);
	send_state(f, VHOST_SET_VRING_NUM, 0, 256);
	vhost_message_init(&m, VHOST_SET_VRING_ADDR, sizeof(m.payload.addr));
	m.payload.addr.desc = USER_ADDR + MEMORY_BYTES - 16;
	m.payload.addr.avail = m.payload.addr.used = USER_ADDR;
	send_message(f, &m);
	send_fd(f, VHOST_SET_VRING_ERR, 0, f->call[1]);
	send_fd(f, VHOST_SET_VRING_KICK, 0, f->kick[0]);
	assert_int_equal(f->closed, 0);
	assert_true(f->adder.dev.broken);
	uint64_t count;
	assert_int_equal(read(f->call[1], &count, sizeof(count)), sizeof(count));
	/* It starts once the front end has stopped it and the ring is right. */
	get_base(f, 0);
	set_ring(f, 0, 0);
	request(f, 0, "HAL");
	assert_memory_equal(f->memory + DATA_OFFSET + 64, "IBM", 3);
}

static void test_refuses_unknown_request(void **state)
{
	struct fixture *f = *state;

	send_u64(f, 77, 0);
	expect_closed(f, -EOPNOTSUPP);
}

static void test_kick_may_be_anything(void **state)
{
	struct fixture *f = *state;
	int pipes[2];

	start(f);
	get_base(f, 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	send_fd(f, VHOST_SET_VRING_KICK, 0, pipes[0]); /* blocking, never drained: no spin */
	unsigned kicks = f->adder.kicks;
	for (int i = 0; i < 100; i++)
		pump(f);
	assert_true(f->adder.kicks <= kicks + 2);
	close(pipes[0]);
	close(pipes[1]);
	send_fd(f, VHOST_SET_VRING_KICK, 1, f->memory_fd); /* epoll takes no regular files */
	expect_closed(f, -EPERM);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_serves_rings),
		T(test_stops_and_resumes),
		T(test_disabled_ring_stops),
		T(test_without_protocol_features),
		T(test_config),
		T(test_memory_table_while_running),
		T(test_end_of_file),
		T(test_refuses_lengths),
		T(test_refuses_oversized),
		T(test_refuses_version),
		T(test_refuses_half_message),
		T(test_refuses_table_without_fds),
		T(test_refuses_too_many_fds),
		T(test_refuses_queue_index),
		T(test_refuses_memory_past_file),
		T(test_refuses_ring_outside_memory),
		T(test_ring_across_the_end_breaks_device),
		T(test_refuses_unknown_request),
		T(test_kick_may_be_anything),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
