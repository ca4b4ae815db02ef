/* SPDX-License-Identifier: Apache-2.0 */
/* What a hostile vhost-user front end may try: the connection ends or the device breaks, no more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/support/vhost_peer.h"

/* Each of these must end the connection, once, with the device stopped. */
static void expect_closed(struct vhost_peer *f, int error)
{
	vhost_peer_pump(f);
	assert_int_equal(f->closed, 1);
	assert_int_equal(f->closed_error, error);
	assert_false(f->adder.dev.started);
}

static void test_refuses_lengths(void **state)
{
	struct vhost_peer *f = *state;
	struct vhost_message m;

	vhost_peer_start(f);
	vhost_message_init(&m, VHOST_SET_FEATURES, 7);
	vhost_peer_send(f, &m);
	expect_closed(f, -EPROTO);
}

static void test_refuses_oversized(void **state)
{
	struct vhost_peer *f = *state;
	struct vhost_header header = {VHOST_SET_CONFIG, VHOST_VERSION, UINT32_MAX};

	assert_int_equal(write(f->sock, &header, sizeof(header)), sizeof(header));
	expect_closed(f, -EPROTO);
}

static void test_refuses_version(void **state)
{
	struct vhost_peer *f = *state;
	struct vhost_header header = {VHOST_GET_FEATURES, 2, 0};

	assert_int_equal(write(f->sock, &header, sizeof(header)), sizeof(header));
	expect_closed(f, -EPROTO);
}

static void test_refuses_half_message(void **state)
{
	struct vhost_peer *f = *state;
	struct vhost_header header = {VHOST_SET_FEATURES, VHOST_VERSION, 8};

	assert_int_equal(write(f->sock, &header, sizeof(header)), sizeof(header));
	vhost_peer_pump(f);
	assert_int_equal(f->closed, 0);
	fd_closep(&f->sock);
	expect_closed(f, -ENODATA);
}

static void test_refuses_table_without_fds(void **state)
{
	struct vhost_peer *f = *state;
	struct vhost_message m = vhost_peer_memory_table(f);

	m.n_fds = 0;
	vhost_peer_send(f, &m);
	expect_closed(f, -EPROTO);
}

static void test_refuses_too_many_fds(void **state)
{
	struct vhost_peer *f = *state;
	struct vhost_message m;

	vhost_message_init(&m, VHOST_SET_OWNER, 0);
	for (m.n_fds = 0; m.n_fds < 3; m.n_fds++)
		m.fds[m.n_fds] = f->memory_fd;
	vhost_peer_send(f, &m);
	expect_closed(f, -EPROTO);
}

static void test_refuses_queue_index(void **state)
{
	struct vhost_peer *f = *state;

	vhost_peer_send_state(f, VHOST_SET_VRING_NUM, 2, 8);
	expect_closed(f, -EINVAL);
}

static void test_refuses_memory_past_file(void **state)
{
	struct vhost_peer *f = *state;
	struct vhost_message m = vhost_peer_memory_table(f);

	m.payload.memory.regions[0].len_bytes += 4096;
	vhost_peer_send(f, &m);
	expect_closed(f, -EINVAL);
}

static void test_refuses_ring_outside_memory(void **state)
{
	struct vhost_peer *f = *state;
	struct vhost_message m;

	vhost_peer_send_u64(f, VHOST_SET_FEATURES, UINT64_C(1) << VIRTIO_F_VERSION_1);
	m = vhost_peer_memory_table(f);
	vhost_peer_send(f, &m);
	vhost_peer_send_state(f, VHOST_SET_VRING_NUM, 0, 8);
	vhost_message_init(&m, VHOST_SET_VRING_ADDR, sizeof(m.payload.addr));
	m.payload.addr.desc = PEER_USER_ADDR + PEER_MEMORY_BYTES;
	m.payload.addr.avail = m.payload.addr.used = PEER_USER_ADDR;
	vhost_peer_send(f, &m);
	vhost_peer_send_fd(f, VHOST_SET_VRING_KICK, 0, f->kick[0]);
	expect_closed(f, -EFAULT);
}

/* In bounds at its start, but not to its end: that the guest chose, so only the device breaks. */
static void test_ring_across_the_end_breaks_device(void **state)
{
	struct vhost_peer *f = *state;
	struct vhost_message m;

	vhost_peer_send_u64(f, VHOST_SET_FEATURES, UINT64_C(1) << VIRTIO_F_VERSION_1);
	m = vhost_peer_memory_table(f);
	vhost_peer_send(f, &m);
	vhost_peer_send_state(f, VHOST_SET_VRING_NUM, 0, 256);
	vhost_message_init(&m, VHOST_SET_VRING_ADDR, sizeof(m.payload.addr));
	m.payload.addr.desc = PEER_USER_ADDR + PEER_MEMORY_BYTES - 16;
	m.payload.addr.avail = m.payload.addr.used = PEER_USER_ADDR;
	vhost_peer_send(f, &m);
	vhost_peer_send_fd(f, VHOST_SET_VRING_ERR, 0, f->call[1]);
	vhost_peer_send_fd(f, VHOST_SET_VRING_KICK, 0, f->kick[0]);
	assert_int_equal(f->closed, 0);
	assert_true(f->adder.dev.broken);
	uint64_t count;
	assert_int_equal(read(f->call[1], &count, sizeof(count)), sizeof(count));
	/* It starts once the front end has stopped it and the ring is right. */
	vhost_peer_get_base(f, 0);
	vhost_peer_set_ring(f, 0, 0);
	vhost_peer_request(f, 0, "HAL");
	assert_memory_equal(f->memory + PEER_DATA_OFFSET + 64, "IBM", 3);
}

static void test_refuses_unknown_request(void **state)
{
	struct vhost_peer *f = *state;

	vhost_peer_send_u64(f, 77, 0);
	expect_closed(f, -EOPNOTSUPP);
}

static void test_kick_may_be_anything(void **state)
{
	struct vhost_peer *f = *state;
	int pipes[2];

	vhost_peer_start(f);
	vhost_peer_get_base(f, 0);
	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(write(pipes[1], "x", 1), 1);
	vhost_peer_send_fd(
		f, VHOST_SET_VRING_KICK, 0, pipes[0]); /* blocking, never drained: no spin */
	unsigned kicks = f->adder.kicks;
	for (int i = 0; i < 100; i++)
		vhost_peer_pump(f);
	assert_true(f->adder.kicks <= kicks + 2);
	close(pipes[0]);
	close(pipes[1]);
	vhost_peer_send_fd(
		f, VHOST_SET_VRING_KICK, 1, f->memory_fd); /* epoll takes no regular files */
	expect_closed(f, -EPERM);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, vhost_peer_setup, vhost_peer_teardown)
	const struct CMUnitTest tests[] = {
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
