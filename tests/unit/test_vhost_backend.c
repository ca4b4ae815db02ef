/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user back end against a scripted front end on a socket pair: the sequence that QEMU
 * uses, service over a ring, stop and resume. What it refuses is in test_vhost_refusals.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/support/vhost_peer.h"

static void test_serves_rings(void **state)
{
	struct vhost_peer *f = *state;
	uint64_t count;

	vhost_peer_start(f);
	for (uint16_t i = 1; i <= 20; i++) {
		vhost_peer_request(f, 1, "HAL");
		assert_memory_equal(f->memory + PEER_DATA_OFFSET + 64, "IBM", 3);
		uint16_t *used =
			(uint16_t *)(void *)(f->memory + PEER_RING_STRIDE + PEER_USED_OFFSET);
		assert_int_equal(used[1], i);
		assert_int_equal(read(f->call[1], &count, sizeof(count)), sizeof(count));
	}
	assert_true(read(f->call[0], &count, sizeof(count)) < 0);
	assert_int_equal(f->closed, 0);
}

static void test_stops_and_resumes(void **state)
{
	struct vhost_peer *f = *state;

	vhost_peer_start(f);
	vhost_peer_request(f, 0, "a");
	vhost_peer_request(f, 0, "a");
	assert_int_equal(vhost_peer_get_base(f, 0), 2);
	assert_int_equal(f->adder.stops, 1);
	assert_int_equal(vhost_peer_get_base(f, 1), 0);
	unsigned kicks = f->adder.kicks;
	vhost_peer_request(f, 0, "x"); /* nobody listens */
	assert_int_equal(f->adder.kicks, kicks);
	vhost_peer_set_ring(f, 0, 2);
	assert_int_equal(f->adder.starts, 2);				/* enabled still */
	assert_memory_equal(f->memory + PEER_DATA_OFFSET + 64, "y", 1); /* what waited was served */
	vhost_peer_set_ring(f, 1, 0); /* joins the running device */
	vhost_peer_request(f, 1, "HAL");
	assert_memory_equal(f->memory + PEER_DATA_OFFSET + 64, "IBM", 3);
	assert_int_equal(f->adder.starts, 2);
}

static void test_disabled_ring_stops(void **state)
{
	struct vhost_peer *f = *state;

	vhost_peer_start(f);
	vhost_peer_send_state(f, VHOST_SET_VRING_ENABLE, 0, 0);
	assert_int_equal(f->adder.stops, 1);
	assert_false(f->adder.dev.started);
	vhost_peer_send_state(f, VHOST_SET_VRING_ENABLE, 0, 1);
	assert_true(f->adder.dev.started);
}

static void test_without_protocol_features(void **state)
{
	struct vhost_peer *f = *state;

	vhost_peer_send_u64(f, VHOST_SET_FEATURES, UINT64_C(1) << VIRTIO_F_VERSION_1);
	struct vhost_message m = vhost_peer_memory_table(f);
	vhost_peer_send(f, &m);
	vhost_peer_set_ring(f, 0, 0);
	assert_int_equal(f->adder.starts, 1);
	vhost_peer_request(f, 0, "HAL");
	assert_memory_equal(f->memory + PEER_DATA_OFFSET + 64, "IBM", 3);
}

static void test_config(void **state)
{
	struct vhost_peer *f = *state;
	struct vhost_message m;

	vhost_peer_negotiate(f);
	vhost_message_init(&m, VHOST_GET_CONFIG, 12 + 12);
	m.payload.config.len_bytes = 12;
	vhost_peer_send(f, &m);
	m = vhost_peer_receive(f);
	assert_int_equal(m.header.payload_bytes, 24);
	assert_memory_equal(m.payload.config.bytes, "abcdefgh\0\0\0\0", 12);
	vhost_message_init(&m, VHOST_SET_CONFIG, 12 + 2);
	m.payload.config.offset = 2;
	m.payload.config.len_bytes = 2;
	memcpy(m.payload.config.bytes, "XY", 2);
	vhost_peer_send(f, &m);
	assert_memory_equal(f->adder.config, "abXYefgh", 8);
	m.payload.config.offset = 7;
	m.header.flags |= VHOST_FLAG_NEED_REPLY;
	vhost_peer_send(f, &m);
	m = vhost_peer_receive(f);
	assert_int_equal(m.payload.u64, 1);
	assert_int_equal(f->closed, 0);
}

static void test_memory_table_while_running(void **state)
{
	struct vhost_peer *f = *state;

	vhost_peer_start(f);
	vhost_peer_set_memory(f); /* the same again */
	struct vhost_message m = vhost_peer_memory_table(f);
	m.payload.memory.regions[0].gpa += 4096;
	m.header.flags |= VHOST_FLAG_NEED_REPLY;
	vhost_peer_send(f, &m);
	m = vhost_peer_receive(f);
	assert_int_equal(m.payload.u64, 1);
	vhost_peer_request(f, 0, "HAL");
	assert_memory_equal(f->memory + PEER_DATA_OFFSET + 64, "IBM", 3);
}

static void test_end_of_file(void **state)
{
	struct vhost_peer *f = *state;

	vhost_peer_start(f);
	fd_closep(&f->sock);
	vhost_peer_pump(f);
	assert_int_equal(f->closed, 1);
	assert_int_equal(f->closed_error, 0);
	assert_int_equal(f->adder.stops, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, vhost_peer_setup, vhost_peer_teardown)
	const struct CMUnitTest tests[] = {
		T(test_serves_rings),
		T(test_stops_and_resumes),
		T(test_disabled_ring_stops),
		T(test_without_protocol_features),
		T(test_config),
		T(test_memory_table_while_running),
		T(test_end_of_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
