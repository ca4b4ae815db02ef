/* SPDX-License-Identifier: Apache-2.0 */
/* vsock: how connections begin and end, and what a guest must not do. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/support/vsock_driver.h"

#define RST		VIRTIO_VSOCK_OP_RST
#define RW		VIRTIO_VSOCK_OP_RW
#define REQUEST		VIRTIO_VSOCK_OP_REQUEST
#define RESPONSE	VIRTIO_VSOCK_OP_RESPONSE
#define SHUTDOWN	VIRTIO_VSOCK_OP_SHUTDOWN
#define SHUT_BOTH_FLAGS (VIRTIO_VSOCK_SHUTDOWN_RCV | VIRTIO_VSOCK_SHUTDOWN_SEND)

struct fixture {
	struct vsock_driver d;
	struct vsock_packet p;
	int broken; /* of wr_fd */
	unsigned n_connected, n_drained, n_closed, n_asked;
	int reason;
	int in[2], out[2]; /* pipes: we write in[1] and read out[0] */
	bool refuse;
};

static void on_connected(void *arg)
{
	((struct fixture *)arg)->n_connected++;
}

static void on_broken(void *arg, int code)
{
	struct fixture *f = arg;

	assert_int_equal(f->n_drained + f->n_closed, 0);
	f->broken = code;
}

static void on_drained(void *arg)
{
	((struct fixture *)arg)->n_drained++;
}

static void on_closed(void *arg, int reason)
{
	struct fixture *f = arg;

	f->n_closed++;
	f->reason = reason;
}

static const struct vsock_conn_events events = {
	.connected = on_connected,
	.broken = on_broken,
	.drained = on_drained,
	.closed = on_closed};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	signal(SIGPIPE, SIG_IGN);
	if (!f || driver_init(&f->d, FAKE_F_VERSION_1 | FAKE_F_EVENT_IDX | FAKE_F_INDIRECT) < 0)
		return -1;
	if (pipe2(f->in, O_CLOEXEC | O_NONBLOCK) < 0 || pipe2(f->out, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	driver_fini(&f->d);
	if (f->in[1] >= 0)
		close(f->in[1]);
	if (f->out[0] >= 0)
		close(f->out[0]);
	free(f);
	return 0;
}

static void expect(struct fixture *f, uint16_t op)
{
	assert_true(driver_recv(&f->d, &f->p));
	assert_int_equal(f->p.hdr.op, op);
	assert_int_equal(f->p.hdr.src_cid, VSOCK_HOST_CID);
	assert_int_equal(f->p.hdr.dst_cid, DRIVER_CID);
	assert_int_equal(f->p.hdr.src_port, f->d.host_port);
	assert_int_equal(f->p.hdr.dst_port, f->d.guest_port);
}

static void expect_nothing(struct fixture *f)
{
	assert_false(driver_recv(&f->d, &f->p));
}

/* The device started, and a connection from host port 1025 to guest port 1000 open on the pipes. */
static void open_connection(struct fixture *f)
{
	assert_int_equal(driver_start(&f->d, 16), 0);
	assert_int_equal(vsock_connect(f->d.dev, 1025, 1000, f->in[0], f->out[1], &events, f), 0);
	expect(f, REQUEST);
	assert_int_equal(f->n_connected, 0);
	driver_send(&f->d, RESPONSE, 0, NULL, 0);
	assert_int_equal(f->n_connected, 1);
	expect_nothing(f);
}

static void expect_out(struct fixture *f, const char *text)
{
	char buf[256] = {0};

	assert_int_equal(read(f->out[0], buf, sizeof(buf) - 1), strlen(text));
	assert_string_equal(buf, text);
}

static void expect_out_end(struct fixture *f)
{
	char c;

	assert_int_equal(read(f->out[0], &c, 1), 0);
}

static void test_config(void **state)
{
	struct fixture *f = *state;
	uint64_t cid = 0;
	uint8_t high[4];

	f->d.dev->ops->config_read(f->d.dev, 0, &cid, sizeof(cid));
	assert_int_equal(cid, DRIVER_CID);
	f->d.dev->ops->config_read(f->d.dev, 4, high, 4);
	assert_int_equal(high[0], 0);
	close(f->in[0]);
	close(f->out[1]);
}

static void test_both_ways_and_orderly_end(void **state)
{
	struct fixture *f = *state;

	open_connection(f);
	assert_int_equal(write(f->in[1], "to guest", 8), 8);
	expect(f, RW);
	assert_memory_equal(f->p.data, "to guest", 8);
	assert_int_equal(f->p.hdr.buf_alloc, VSOCK_BUFFER_BYTES);
	driver_send(&f->d, RW, 0, "to host", 7);
	expect_out(f, "to host");

	close(f->in[1]);
	f->in[1] = -1;
	expect(f, SHUTDOWN);
	assert_int_equal(f->p.hdr.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	assert_int_equal(f->p.hdr.fwd_cnt, 7);
	/* The other direction goes on until the guest ends it. */
	driver_send(&f->d, RW, 0, "more", 4);
	driver_send(&f->d, SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	assert_int_equal(f->n_drained, 1);
	assert_int_equal(f->n_closed, 0);
	expect_out(f, "more");
	expect_out_end(f);
	expect_nothing(f);
	driver_send(&f->d, SHUTDOWN, SHUT_BOTH_FLAGS, NULL, 0);
	expect(f, RST);
	assert_int_equal(f->n_closed, 1);
	assert_int_equal(f->reason, 0);
	assert_int_equal(f->n_drained, 1);
}

static void test_request_waits_for_start(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(vsock_connect(f->d.dev, 1025, 1000, f->in[0], f->out[1], &events, f), 0);
	driver_run(&f->d);
	assert_int_equal(driver_start(&f->d, 4), 0);
	expect(f, REQUEST);
}

static void test_request_waits_for_buffer(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(driver_start(&f->d, 0), 0);
	assert_int_equal(vsock_connect(f->d.dev, 1025, 1000, f->in[0], f->out[1], &events, f), 0);
	expect_nothing(f);
	driver_post(&f->d, DRIVER_RX_BYTES);
	fake_kick(&f->d.fake, 0);
	expect(f, REQUEST);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(driver_start(&f->d, 4), 0);
	assert_int_equal(vsock_connect(f->d.dev, 1025, 1000, f->in[0], f->out[1], &events, f), 0);
	expect(f, REQUEST);
	driver_send(&f->d, RST, 0, NULL, 0);
	expect_nothing(f);
	assert_int_equal(f->n_connected, 0);
	assert_int_equal(f->n_closed, 1);
	assert_int_equal(f->reason, -ECONNREFUSED);
	expect_out_end(f);
}

static void test_reset_by_guest(void **state)
{
	struct fixture *f = *state;

	open_connection(f);
	driver_send(&f->d, RW, 0, "last", 4);
	driver_send(&f->d, RST, 0, NULL, 0);
	expect_nothing(f);
	assert_int_equal(f->n_closed, 1);
	assert_int_equal(f->reason, -ECONNRESET);
	assert_int_equal(f->n_drained, 0);
	expect_out(f, "last");
	expect_out_end(f);
	/* The connection is forgotten: what still comes for it is answered by a reset. */
	driver_send(&f->d, RW, 0, "late", 4);
	expect(f, RST);
}

static void test_port_in_use(void **state)
{
	struct fixture *f = *state;

	open_connection(f);
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_int_equal(vsock_connect(f->d.dev, 1025, 1000, fd, -1, NULL, NULL), -EADDRINUSE);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* taken over on failure too */
}

static int accept_pipes(void *arg, uint32_t guest_port, struct vsock_accepted *accepted)
{
	struct fixture *f = arg;

	f->n_asked++;
	if (f->refuse)
		return -1;
	assert_int_equal(guest_port, f->d.guest_port);
	*accepted = (struct vsock_accepted){f->in[0], f->out[1], &events, f};
	return 0;
}

static void test_accept(void **state)
{
	struct fixture *f = *state;

	f->d.host_port = 1024;
	f->d.guest_port = 777;
	assert_int_equal(driver_start(&f->d, 8), 0);
	assert_int_equal(vsock_listen(f->d.dev, 1024, accept_pipes, f), 0);
	assert_int_equal(vsock_listen(f->d.dev, 1024, accept_pipes, f), -EADDRINUSE);
	assert_int_equal(write(f->in[1], "early", 5), 5);
	driver_send(&f->d, REQUEST, 0, NULL, 0);
	expect(f, RESPONSE);
	assert_int_equal(f->n_asked, 1);
	assert_int_equal(f->n_connected, 1);
	expect(f, RW);
	assert_memory_equal(f->p.data, "early", 5);
	driver_send(&f->d, RW, 0, "hello", 5);
	expect_out(f, "hello");
	/* A second request for the same connection breaks the protocol. */
	driver_send(&f->d, REQUEST, 0, NULL, 0);
	expect(f, RST);
	assert_int_equal(f->n_closed, 1);
	assert_int_equal(f->reason, -EPROTO);
}

static void test_accept_refused(void **state)
{
	struct fixture *f = *state;

	f->d.host_port = 1024;
	f->refuse = true;
	assert_int_equal(driver_start(&f->d, 8), 0);
	assert_int_equal(vsock_listen(f->d.dev, 1024, accept_pipes, f), 0);
	driver_send(&f->d, REQUEST, 0, NULL, 0);
	expect(f, RST);
	assert_int_equal(f->n_asked, 1);
	/* Nobody listens here. */
	f->d.host_port = 22;
	driver_send(&f->d, REQUEST, 0, NULL, 0);
	expect(f, RST);
	assert_int_equal(f->n_asked, 1);
	expect_nothing(f);
	close(f->in[0]);
	close(f->out[1]);
}

static void test_many_requests(void **state)
{
	struct fixture *f = *state;
	unsigned responses = 0, resets = 0;

	assert_int_equal(driver_start(&f->d, 16), 0);
	f->refuse = false;
	assert_int_equal(vsock_listen(f->d.dev, 1024, accept_pipes, f), 0);
	f->d.host_port = 1024;
	for (uint32_t port = 1; port <= VSOCK_CONNS_MAX + 40; port++) {
		f->in[0] = f->out[1] = -1;
		f->d.guest_port = port;
		driver_send(&f->d, REQUEST, 0, NULL, 0);
		while (driver_recv(&f->d, &f->p)) {
			responses += f->p.hdr.op == RESPONSE;
			resets += f->p.hdr.op == RST;
		}
	}
	assert_int_equal(responses, VSOCK_CONNS_MAX);
	assert_int_equal(resets, 40);
	assert_int_equal(vsock_connect(f->d.dev, 1, 1, -1, -1, NULL, NULL), -ENOSPC);
}

static void test_disconnect(void **state)
{
	struct fixture *f = *state;
	char filler[4096] = {0};

	open_connection(f);
	vsock_disconnect(f->d.dev, 1025, 999); /* another one, not there */
	/* More than the pipe takes: some of it waits in the device, and is thrown away. */
	while (write(f->out[1], filler, sizeof(filler)) > 0)
		;
	driver_send(&f->d, RW, 0, "left behind", 11);
	vsock_disconnect(f->d.dev, 1025, 1000);
	expect(f, RST);
	driver_run(&f->d);
	assert_int_equal(f->n_closed, 1);
	assert_int_equal(f->reason, -ECONNRESET);
	vsock_disconnect(f->d.dev, 1025, 1000);
	expect_nothing(f);
	assert_int_equal(f->n_closed, 1);
	assert_int_equal(vsock_connect(f->d.dev, 1025, 1000, -1, -1, NULL, NULL), 0);
	expect(f, REQUEST);
	/* Before the guest has answered. */
	vsock_disconnect(f->d.dev, 1025, 1000);
	expect(f, RST);
}

static void test_one_direction_only(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(driver_start(&f->d, 8), 0);
	close(f->out[1]);
	assert_int_equal(vsock_connect(f->d.dev, 1025, 1000, f->in[0], -1, &events, f), 0);
	expect(f, REQUEST);
	driver_send(&f->d, RESPONSE, 0, NULL, 0);
	expect(f, SHUTDOWN);
	assert_int_equal(f->p.hdr.flags, VIRTIO_VSOCK_SHUTDOWN_RCV);
	driver_send(&f->d, RW, 0, "ignored", 7);
	expect_nothing(f);
	assert_int_equal(write(f->in[1], "x", 1), 1);
	expect(f, RW);
	assert_int_equal(f->p.hdr.fwd_cnt, 7); /* and does not hold credit */
	close(f->in[1]);
	f->in[1] = -1;
	expect(f, SHUTDOWN);
	assert_int_equal(f->p.hdr.flags, SHUT_BOTH_FLAGS);
	driver_send(&f->d, RST, 0, NULL, 0);
	assert_int_equal(f->reason, 0);
	assert_int_equal(f->n_closed, 1);
}

static void test_reader_gone(void **state)
{
	struct fixture *f = *state;

	open_connection(f);
	close(f->out[0]);
	f->out[0] = -1;
	driver_send(&f->d, RW, 0, "x", 1);
	expect(f, SHUTDOWN);
	assert_int_equal(f->p.hdr.flags, VIRTIO_VSOCK_SHUTDOWN_RCV);
	assert_int_equal(f->p.hdr.fwd_cnt, 1);
	assert_int_equal(f->broken, EPIPE);
	driver_send(&f->d, RW, 0, "x", 1);
	expect_nothing(f);
	driver_send(&f->d, SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	assert_int_equal(f->n_drained, 1);
}

static void test_guest_stops_reading(void **state)
{
	struct fixture *f = *state;

	open_connection(f);
	driver_send(&f->d, SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_RCV, NULL, 0);
	/* The writer sees it: nobody holds the pipe's read end any more. */
	assert_int_equal(write(f->in[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
}

static void test_data_after_shutdown(void **state)
{
	struct fixture *f = *state;

	open_connection(f);
	driver_send(&f->d, SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	driver_send(&f->d, RW, 0, "x", 1);
	expect(f, RST);
	assert_int_equal(f->reason, -EPROTO);
}

static void test_header_lies_about_length(void **state)
{
	struct fixture *f = *state;

	open_connection(f);
	const struct virtio_vsock_hdr h = {.src_cid = DRIVER_CID,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = 1000,
		.dst_port = 1025,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = RW,
		.len = 100};
	assert_true(driver_send_raw(&f->d, &h, "short", 5));
	expect(f, RST);
	assert_int_equal(f->reason, -EPROTO);
	expect_out_end(f);
}

static void test_bad_packets(void **state)
{
	struct fixture *f = *state;
	struct virtio_vsock_hdr h = {.src_cid = DRIVER_CID,
		.dst_cid = VSOCK_HOST_CID,
		.src_port = 1000,
		.dst_port = 1025,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = RW};

	open_connection(f);
	/* Not ours: dropped. */
	h.src_cid = 4;
	assert_true(driver_send_raw(&f->d, &h, "x", 1));
	h.src_cid = DRIVER_CID | (UINT64_C(1) << 32);
	assert_true(driver_send_raw(&f->d, &h, "x", 1));
	h.src_cid = DRIVER_CID;
	h.dst_cid = 1;
	assert_true(driver_send_raw(&f->d, &h, "x", 1));
	expect_nothing(f);
	/* A reset is never answered. */
	h.dst_cid = VSOCK_HOST_CID;
	h.src_port = 1001;
	h.op = RST;
	assert_true(driver_send_raw(&f->d, &h, NULL, 0));
	expect_nothing(f);
	/* Another type of socket: reset with that type. */
	h.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
	h.op = REQUEST;
	assert_true(driver_send_raw(&f->d, &h, NULL, 0));
	assert_true(driver_recv(&f->d, &f->p));
	assert_int_equal(f->p.hdr.op, RST);
	assert_int_equal(f->p.hdr.type, VIRTIO_VSOCK_TYPE_SEQPACKET);
	/* An operation that does not exist. */
	assert_int_equal(f->n_closed, 0);
	driver_send(&f->d, 99, 0, NULL, 0);
	expect(f, RST);
	assert_int_equal(f->reason, -EPROTO);
}

/* Replies that the guest does not take are bounded, and none is lost. */
static void test_reset_flood(void **state)
{
	struct fixture *f = *state;
	const unsigned n = 4 * DRIVER_QUEUE_SIZE;
	unsigned sent = 0, resets = 0;

	assert_int_equal(driver_start(&f->d, 0), 0);
	struct virtio_vsock_hdr h = {.src_cid = DRIVER_CID,
		.dst_cid = VSOCK_HOST_CID,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = RW};
	while (sent < n) {
		h.src_port = sent;
		if (!driver_send_raw(&f->d, &h, NULL, 0))
			break;
		sent++;
		driver_run(&f->d);
	}
	assert_in_range(sent, DRIVER_QUEUE_SIZE, n - 1); /* the guest was made to wait */
	for (unsigned i = 0; i < 8; i++)
		driver_post(&f->d, DRIVER_RX_BYTES);
	fake_kick(&f->d.fake, 0);
	while (driver_recv(&f->d, &f->p)) {
		assert_int_equal(f->p.hdr.op, RST);
		resets++;
	}
	assert_int_equal(resets, sent);
	close(f->in[0]);
	close(f->out[1]);
}

static void test_device_reset(void **state)
{
	struct fixture *f = *state;

	open_connection(f);
	fake_transport_stop(&f->d.fake);
	driver_run(&f->d);
	assert_int_equal(f->n_closed, 1);
	assert_int_equal(f->reason, -ECONNRESET);
	expect_out_end(f);
	/* And a new life. */
	assert_int_equal(fake_transport_start(&f->d.fake, f->d.features), 0);
	driver_post(&f->d, DRIVER_RX_BYTES);
	fake_kick(&f->d.fake, 0);
	assert_int_equal(vsock_connect(f->d.dev, 1025, 1000, -1, -1, NULL, NULL), 0);
	expect(f, REQUEST);
}

static void test_broken_ring(void **state)
{
	struct fixture *f = *state;

	open_connection(f);
	fake_publish(&f->d.fake, 1, DRIVER_QUEUE_SIZE);
	fake_kick(&f->d.fake, 1);
	driver_run(&f->d);
	assert_int_equal(f->d.fake.n_needs_reset, 1);
	assert_int_equal(f->n_closed, 1);
	assert_int_equal(f->reason, -EPROTO);
}

static void test_receive_buffer_without_room(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(driver_start(&f->d, 0), 0);
	driver_post(&f->d, sizeof(struct virtio_vsock_hdr));
	fake_kick(&f->d.fake, 0);
	assert_int_equal(vsock_connect(f->d.dev, 1025, 1000, f->in[0], f->out[1], &events, f), 0);
	driver_run(&f->d);
	assert_int_equal(f->d.fake.n_needs_reset, 1);
	assert_int_equal(f->reason, -EPROTO);
}

static void test_free_with_connections(void **state)
{
	open_connection(*state);
}

#define with(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with(test_config),
		with(test_both_ways_and_orderly_end),
		with(test_request_waits_for_start),
		with(test_request_waits_for_buffer),
		with(test_refused),
		with(test_reset_by_guest),
		with(test_port_in_use),
		with(test_accept),
		with(test_accept_refused),
		with(test_many_requests),
		with(test_disconnect),
		with(test_one_direction_only),
		with(test_reader_gone),
		with(test_guest_stops_reading),
		with(test_data_after_shutdown),
		with(test_header_lies_about_length),
		with(test_bad_packets),
		with(test_reset_flood),
		with(test_device_reset),
		with(test_broken_ring),
		with(test_receive_buffer_without_room),
		with(test_free_with_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
