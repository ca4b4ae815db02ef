/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front end of virtio-fs against our own back end in another thread: start, requests through
 * guest memory, interrupts, stop; and a back end that dies, lies or says nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/vhost/backend.h"
#include "microvm/vhost/frontend_fs.h"
#include "microvm/vhost/message.h"

#define QUEUES	    3u
#define RING_STRIDE 0x4000u
#define DATA_GPA    0x40000u

/* What hvrun-fs would be: one request is answered with its bytes plus one. */
struct server {
	struct virtio_device dev;
	struct loop loop;
	struct vhost_backend *backend;
	struct virtq_chain chain;
	pthread_t thread;
};

static int server_start(struct virtio_device *dev)
{
	(void)dev;
	return 0;
}

static void server_stop(struct virtio_device *dev)
{
	(void)dev;
}

static void server_kick(struct virtio_device *dev, unsigned queue)
{
	struct server *s = (struct server *)dev;
	uint8_t bytes[16];
	bool pushed = false;

	while (virtq_pop(&dev->queues[queue], &s->chain) > 0) {
		size_t n = virtq_chain_read(&s->chain, 0, bytes, sizeof(bytes));
		for (size_t i = 0; i < n; i++)
			bytes[i]++;
		n = virtq_chain_write(&s->chain, 0, bytes, n);
		virtq_push(&dev->queues[queue], s->chain.head, (uint32_t)n);
		pushed = true;
	}
	if (pushed)
		virtio_device_interrupt(dev, queue);
}

static const struct virtio_device_ops server_ops = {
	.start = server_start,
	.kick = server_kick,
	.stop = server_stop,
};

static void server_closed(void *arg, int error)
{
	struct server *s = arg;

	(void)error;
	loop_stop(&s->loop);
}

static void *server_main(void *arg)
{
	struct server *s = arg;

	(void)!loop_run(&s->loop);
	return NULL;
}

struct fixture {
	struct server server;
	bool server_runs;
	int server_sock;
	struct loop loop;
	struct guest_memory memory;
	struct virtio_device *fs;
	int kick[QUEUES], call;
	unsigned lost;
	char why[256];
};

static void on_lost(void *arg, const char *why)
{
	struct fixture *f = arg;

	f->lost++;
	snprintf(f->why, sizeof(f->why), "%s", why);
}

static void transport_nothing(struct virtio_device *dev)
{
	(void)dev;
}

static void transport_no_interrupt(struct virtio_device *dev, unsigned queue)
{
	(void)dev;
	(void)queue;
}

static const struct virtio_transport_ops transport_ops = {
	.interrupt = transport_no_interrupt,
	.config_changed = transport_nothing,
	.needs_reset = transport_nothing,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e = {0};
	int pair[2];

	assert_non_null(f);
	assert_int_equal(loop_init(&f->loop), 0);
	assert_int_equal(guest_memory_create(&f->memory, 4u << 20, &e), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	struct frontend_fs_config config = {
		.loop = &f->loop,
		.sock_fd = pair[0],
		.tag = "hvrun",
		.request_queues = QUEUES - 1,
		.lost = on_lost,
		.arg = f,
	};
	assert_int_equal(frontend_fs_create(&config, &f->fs, &e), 0);
	f->server_sock = pair[1];
	f->fs->transport = &transport_ops;
	f->call = eventfd(0, EFD_CLOEXEC);
	for (unsigned i = 0; i < QUEUES; i++) {
		f->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		f->fs->kick_fds[i] = f->kick[i];
		f->fs->call_fds[i] = f->call;
		f->fs->queue_ready[i] = true;
		f->fs->layouts[i] = (struct virtq_layout){
			.size = 8,
			.desc_gpa = i * RING_STRIDE,
			.avail_gpa = i * RING_STRIDE + 0x1000,
			.used_gpa = i * RING_STRIDE + 0x2000,
		};
	}
	*state = f;
	return 0;
}

static void serve(struct fixture *f, unsigned queues)
{
	struct server *s = &f->server;
	struct err e = {0};

	assert_int_equal(virtio_device_init(&s->dev), 0);
	s->dev.ops = &server_ops;
	s->dev.name = "server";
	s->dev.offered = f->fs->offered;
	s->dev.n_queues = queues;
	s->dev.queue_size_max = 512;
	assert_int_equal(loop_init(&s->loop), 0);
	assert_int_equal(vhost_backend_create(&s->backend, &s->loop, &s->dev,
				 steal_fd(&f->server_sock), server_closed, s, &e),
		0);
	assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
	f->server_runs = true;
}

static void end_server(struct fixture *f)
{
	if (!f->server_runs)
		return;
	loop_stop(&f->server.loop);
	pthread_join(f->server.thread, NULL);
	vhost_backend_free(f->server.backend);
	virtio_device_fini(&f->server.dev);
	loop_fini(&f->server.loop);
	f->server_runs = false;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	frontend_fs_free(f->fs);
	end_server(f);
	fd_closep(&f->server_sock);
	loop_fini(&f->loop);
	guest_memory_fini(&f->memory);
	fd_closep(&f->call);
	for (unsigned i = 0; i < QUEUES; i++)
		fd_closep(&f->kick[i]);
	free(f);
	return 0;
}

static int start(struct fixture *f)
{
	pthread_mutex_lock(&f->fs->lock);
	int ret = virtio_device_start(f->fs, &f->memory, UINT64_C(1) << VIRTIO_F_VERSION_1, NULL);
	pthread_mutex_unlock(&f->fs->lock);
	return ret;
}

static void stop(struct fixture *f)
{
	pthread_mutex_lock(&f->fs->lock);
	virtio_device_stop(f->fs);
	pthread_mutex_unlock(&f->fs->lock);
}

/* One request through queue index, as the guest would make it; waits for the interrupt. */
static void request(struct fixture *f, unsigned index)
{
	uint8_t *ring = guest_memory_at(&f->memory, index * RING_STRIDE, RING_STRIDE);
	char *data = guest_memory_at(&f->memory, DATA_GPA, 128);
	struct {
		uint64_t gpa;
		uint32_t len;
		uint16_t flags, next;
	} desc[2] = {{DATA_GPA, 3, 1, 1}, {DATA_GPA + 64, 3, 2, 0}};
	uint16_t *avail = (uint16_t *)(void *)(ring + 0x1000);
	uint64_t one = 1, count;

	memcpy(data, "HAL", 3);
	memset(data + 64, 0, 3);
	memcpy(ring, desc, sizeof(desc));
	avail[2 + avail[1] % 8] = 0;
	__atomic_store_n(&avail[1], (uint16_t)(avail[1] + 1), __ATOMIC_RELEASE);
	assert_int_equal(write(f->kick[index], &one, sizeof(one)), sizeof(one));
	struct pollfd p = {.fd = f->call, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(read(f->call, &count, sizeof(count)), sizeof(count));
	assert_memory_equal(data + 64, "IBM", 3);
}

static void test_config_space(void **state)
{
	struct fixture *f = *state;
	uint8_t space[40];

	assert_int_equal(f->fs->config_bytes, 40);
	f->fs->ops->config_read(f->fs, 0, space, 40);
	assert_memory_equal(space, "hvrun\0\0\0", 8);
	assert_int_equal(space[36], QUEUES - 1);
	assert_string_equal(frontend_fs_tag(f->fs), "hvrun");
}

static void test_starts_serves_stops(void **state)
{
	struct fixture *f = *state;

	serve(f, QUEUES);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(start(f), 0);
		for (unsigned i = 0; i < 10; i++)
			request(f, i % QUEUES);
		stop(f);
		memset(guest_memory_at(&f->memory, 0, QUEUES * RING_STRIDE), 0,
			QUEUES * RING_STRIDE);
	}
	assert_int_equal(loop_run_once(&f->loop, 0), 0);
	assert_int_equal(f->lost, 0);
}

static void test_back_end_dies(void **state)
{
	struct fixture *f = *state;

	serve(f, QUEUES);
	assert_int_equal(start(f), 0);
	end_server(f);
	assert_int_equal(loop_run_once(&f->loop, 1000), 0);
	assert_int_equal(f->lost, 1);
	assert_string_equal(f->why, "hvrun-fs ended");
	stop(f); /* and no hang */
	assert_int_equal(loop_run_once(&f->loop, 0), 0);
	assert_int_equal(f->lost, 1);
}

static void test_too_few_queues(void **state)
{
	struct fixture *f = *state;

	serve(f, QUEUES - 1);
	assert_true(start(f) < 0);
	assert_int_equal(loop_run_once(&f->loop, 1000), 0);
	assert_int_equal(f->lost, 1);
	assert_string_equal(f->why, "hvrun-fs: it has 2 queues instead of 3");
}

static void test_nonsense_reply(void **state)
{
	struct fixture *f = *state;
	struct vhost_message m;

	vhost_message_init(&m, VHOST_GET_QUEUE_NUM, 8); /* not what is asked first */
	m.header.flags |= VHOST_FLAG_REPLY;
	assert_int_equal(vhost_message_send(f->server_sock, &m, 100), 0);
	assert_true(start(f) < 0);
	assert_int_equal(loop_run_once(&f->loop, 1000), 0);
	assert_string_equal(f->why, "hvrun-fs: asking for its features: protocol error");
}

static void test_dead_before_start(void **state)
{
	struct fixture *f = *state;

	fd_closep(&f->server_sock);
	assert_true(start(f) < 0);
	assert_int_equal(loop_run_once(&f->loop, 1000), 0);
	assert_int_equal(f->lost, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_config_space),
		T(test_starts_serves_stops),
		T(test_back_end_dies),
		T(test_too_few_queues),
		T(test_nonsense_reply),
		T(test_dead_before_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
