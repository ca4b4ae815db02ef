/* SPDX-License-Identifier: Apache-2.0 */
/* vsock: credit, back-pressure, kinds of descriptors, and bytes in bulk. */
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

#define RST	       VIRTIO_VSOCK_OP_RST
#define RW	       VIRTIO_VSOCK_OP_RW
#define RESPONSE       VIRTIO_VSOCK_OP_RESPONSE
#define SHUTDOWN       VIRTIO_VSOCK_OP_SHUTDOWN
#define CREDIT_UPDATE  VIRTIO_VSOCK_OP_CREDIT_UPDATE
#define CREDIT_REQUEST VIRTIO_VSOCK_OP_CREDIT_REQUEST
#define BULK_BYTES     (48u << 20)
#define FEATURES       (FAKE_F_VERSION_1 | FAKE_F_EVENT_IDX | FAKE_F_INDIRECT)

struct fixture {
	struct vsock_driver d;
	struct vsock_packet p;
	unsigned n_drained, n_closed;
	int reason;
	int in, out; /* our ends: write in, read out */
};

static void on_drained(void *arg)
{
	((struct fixture *)arg)->n_drained++;
}

static void on_closed(void *arg, int reason)
{
	((struct fixture *)arg)->n_closed++;
	((struct fixture *)arg)->reason = reason;
}

static const struct vsock_conn_events events = {.drained = on_drained, .closed = on_closed};

static int setup_with(void **state, uint64_t features)
{
	struct fixture *f = calloc(1, sizeof(*f));

	signal(SIGPIPE, SIG_IGN);
	if (!f || driver_init(&f->d, features) < 0)
		return -1;
	f->in = f->out = -1;
	*state = f;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, FEATURES);
}

static int setup_plain(void **state)
{
	return setup_with(state, FAKE_F_VERSION_1);
}

static int setup_pieces(void **state)
{
	int ret = setup_with(state, FEATURES);

	if (!ret)
		((struct fixture *)*state)->d.rx_segment_bytes = 17;
	return ret;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	driver_fini(&f->d);
	if (f->in >= 0)
		close(f->in);
	if (f->out >= 0)
		close(f->out);
	free(f);
	return 0;
}

static void expect(struct fixture *f, uint16_t op)
{
	assert_true(driver_recv(&f->d, &f->p));
	assert_int_equal(f->p.hdr.op, op);
}

static void expect_nothing(struct fixture *f)
{
	assert_false(driver_recv(&f->d, &f->p));
}

/* Opens a connection on these descriptors; n_rx receive buffers are posted. */
static void open_on(struct fixture *f, int rd_fd, int wr_fd, unsigned n_rx)
{
	assert_int_equal(driver_start(&f->d, n_rx), 0);
	assert_int_equal(vsock_connect(f->d.dev, 1025, 1000, rd_fd, wr_fd, &events, f), 0);
	expect(f, VIRTIO_VSOCK_OP_REQUEST);
	driver_send(&f->d, RESPONSE, 0, NULL, 0);
}

static void open_pipes(struct fixture *f, unsigned n_rx, int flags)
{
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	f->in = in[1];
	f->out = out[0];
	assert_int_equal(fcntl(in[0], F_SETFL, flags), 0);
	assert_int_equal(fcntl(out[1], F_SETFL, flags), 0);
	assert_int_equal(fcntl(f->in, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(fcntl(f->out, F_SETFL, O_NONBLOCK), 0);
	open_on(f, in[0], out[1], n_rx);
}

static void test_guest_credit_is_kept(void **state)
{
	struct fixture *f = *state;
	char text[100] = {1};

	f->d.buf_alloc = 60;
	open_pipes(f, 16, O_NONBLOCK);
	assert_int_equal(write(f->in, text, sizeof(text)), sizeof(text));
	expect(f, RW);
	assert_int_equal(f->p.data_bytes, 60);
	/* Asks once, then waits. */
	expect(f, CREDIT_REQUEST);
	expect_nothing(f);
	driver_send(&f->d, CREDIT_UPDATE, 0, NULL, 0);
	expect_nothing(f);
	f->d.fwd_cnt = 25;
	driver_send(&f->d, CREDIT_UPDATE, 0, NULL, 0);
	expect(f, RW);
	assert_int_equal(f->p.data_bytes, 25);
	f->d.fwd_cnt = 60;
	driver_send(&f->d, CREDIT_UPDATE, 0, NULL, 0);
	while (driver_recv(&f->d, &f->p) && f->p.hdr.op == CREDIT_REQUEST)
		;
	assert_int_equal(f->p.hdr.op, RW);
	assert_int_equal(f->p.data_bytes, 15);
	/* Counters that make no sense give no credit. */
	f->d.fwd_cnt = 1000;
	driver_send(&f->d, CREDIT_UPDATE, 0, NULL, 0);
	assert_int_equal(write(f->in, text, sizeof(text)), sizeof(text));
	while (driver_recv(&f->d, &f->p))
		assert_int_not_equal(f->p.hdr.op, RW);
}

static void test_our_credit_is_enforced(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[DRIVER_TX_BYTES];
	uint32_t sent = 0;

	open_pipes(f, 16, O_NONBLOCK);
	assert_int_equal(fcntl(f->out, F_SETPIPE_SZ, 4096), 4096);
	/* The pipe takes a page, we take VSOCK_BUFFER_BYTES, and that is the end. */
	while (sent < VSOCK_BUFFER_BYTES) {
		driver_send(&f->d, RW, 0, bytes, sizeof(bytes));
		sent += (uint32_t)sizeof(bytes);
	}
	assert_int_equal(f->n_closed, 0);
	driver_send(&f->d, RW, 0, bytes, 4096); /* what the pipe took */
	expect_nothing(f);
	driver_send(&f->d, RW, 0, bytes, 1);
	expect(f, RST);
	assert_int_equal(f->n_closed, 0); /* what came within the credit is still delivered */
	sent = 0;
	for (ssize_t n; (n = read(f->out, bytes, sizeof(bytes))) > 0; driver_run(&f->d))
		sent += (uint32_t)n;
	assert_int_equal(sent, VSOCK_BUFFER_BYTES + 4096);
	assert_int_equal(f->n_closed, 1);
	assert_int_equal(f->reason, -EPROTO);
}

static void test_credit_update_when_drained(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[DRIVER_TX_BYTES];
	uint32_t told = 0;

	open_pipes(f, 16, O_NONBLOCK);
	for (unsigned i = 0; i < 4; i++)
		driver_send(&f->d, RW, 0, bytes, sizeof(bytes));
	do {
		while (driver_recv(&f->d, &f->p)) {
			assert_int_equal(f->p.hdr.op, CREDIT_UPDATE);
			told = f->p.hdr.fwd_cnt;
		}
	} while (read(f->out, bytes, sizeof(bytes)) > 0);
	assert_in_range(told, VSOCK_BUFFER_BYTES / 2, VSOCK_BUFFER_BYTES);
	driver_send(&f->d, CREDIT_REQUEST, 0, NULL, 0);
	expect(f, CREDIT_UPDATE);
	assert_int_equal(f->p.hdr.fwd_cnt, VSOCK_BUFFER_BYTES);
}

/* Without receive buffers nothing is read: the writer's pipe stays full. */
static void test_back_pressure(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[1 << 20];
	size_t in = 0, out = 0;
	ssize_t n;

	f->d.rx_repost = false;
	f->d.buf_alloc = 1u << 20;
	open_pipes(f, 3, O_NONBLOCK);
	do {
		while ((n = write(f->in, bytes, 4096)) > 0)
			in += (size_t)n;
		driver_run(&f->d);
	} while (write(f->in, bytes, 1) == 1 && ++in);
	assert_int_equal(errno, EAGAIN);
	assert_in_range(in, 60000, 100000); /* a pipe and two buffers */
	close(f->in);
	f->in = -1;
	for (unsigned left = 1000; left; left--) {
		if (!driver_recv(&f->d, &f->p)) {
			driver_post(&f->d, DRIVER_RX_BYTES);
			fake_kick(&f->d.fake, 0);
			continue;
		}
		if (f->p.hdr.op == SHUTDOWN)
			break;
		assert_int_equal(f->p.hdr.op, RW);
		out += f->p.data_bytes;
	}
	assert_int_equal(f->p.hdr.op, SHUTDOWN);
	assert_int_equal(out, in);
}

/* Buffers popped for a read that needed fewer go back: none is lost, none waits for a kick. */
static void test_unused_buffers_go_back(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[2 * (DRIVER_RX_BYTES - sizeof(struct virtio_vsock_hdr))];

	f->d.rx_repost = false;
	open_pipes(f, 5, O_NONBLOCK);
	/* A full read makes the next one ask for more buffers than there are. */
	assert_int_equal(write(f->in, bytes, sizeof(bytes)), sizeof(bytes));
	expect(f, RW);
	expect(f, RW);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(write(f->in, bytes, 10), 10);
		expect(f, RW);
		assert_int_equal(f->p.data_bytes, 10);
	}
	f->d.rx_repost = true;
	for (unsigned i = 0; i < 4; i++)
		driver_post(&f->d, DRIVER_RX_BYTES);
	fake_kick(&f->d.fake, 0);
	for (unsigned i = 0; i < 200; i++) {
		assert_int_equal(write(f->in, bytes, 10), 10);
		expect(f, RW);
	}
}

/* What was buffered for a reader that went away is credit again. */
static void test_reader_gone_with_bytes_waiting(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[DRIVER_TX_BYTES];

	open_pipes(f, 16, O_NONBLOCK);
	for (unsigned i = 0; i < 4; i++)
		driver_send(&f->d, RW, 0, bytes, sizeof(bytes));
	close(f->out);
	f->out = -1;
	while (driver_recv(&f->d, &f->p) && f->p.hdr.op != SHUTDOWN)
		;
	assert_int_equal(f->p.hdr.op, SHUTDOWN);
	assert_int_equal(f->p.hdr.flags, VIRTIO_VSOCK_SHUTDOWN_RCV);
	assert_int_equal(f->p.hdr.fwd_cnt, 4 * sizeof(bytes));
}

static void test_drained_after_slow_reader(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[DRIVER_TX_BYTES];
	size_t got = 0;

	open_pipes(f, 16, O_NONBLOCK);
	driver_send(&f->d, RW, 0, bytes, sizeof(bytes));
	driver_send(&f->d, RW, 0, bytes, sizeof(bytes));
	driver_send(&f->d, SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	/* The machine goes down: what it had sent still arrives, then the end. */
	fake_transport_stop(&f->d.fake);
	driver_run(&f->d);
	assert_int_equal(f->n_drained + f->n_closed, 0);
	for (ssize_t n; (n = read(f->out, bytes, sizeof(bytes))) > 0; driver_run(&f->d))
		got += (size_t)n;
	assert_int_equal(got, 2 * sizeof(bytes));
	assert_int_equal(f->n_drained, 1);
	assert_int_equal(f->n_closed, 1);
	assert_int_equal(read(f->out, bytes, 1), 0);
}

/* A pattern that shows every loss, doubling or swap. */
static void fill_pattern(uint8_t *p, size_t len, uint64_t offset)
{
	for (size_t i = 0; i < len; i++) {
		uint64_t x = (offset + i) * UINT64_C(0x9e3779b97f4a7c15);
		p[i] = (uint8_t)(x >> 56);
	}
}

static void check_pattern(const uint8_t *p, size_t len, uint64_t offset)
{
	static uint8_t want[DRIVER_TX_BYTES];

	fill_pattern(want, len, offset);
	assert_memory_equal(p, want, len);
}

struct bulk {
	uint64_t written, to_guest;   /* host to guest */
	uint64_t from_guest, arrived; /* guest to host */
	uint32_t host_fwd_cnt;	      /* what the device told */
	bool ended;
	uint8_t bytes[DRIVER_TX_BYTES];
};

static void bulk_recv(struct fixture *f, struct bulk *b)
{
	while (driver_recv(&f->d, &f->p)) {
		b->host_fwd_cnt = f->p.hdr.fwd_cnt;
		if (f->p.hdr.op == SHUTDOWN)
			b->ended = true;
		if (f->p.hdr.op != RW)
			continue;
		check_pattern(f->p.data, f->p.data_bytes, b->to_guest);
		b->to_guest += f->p.data_bytes;
		/* A guest that reads: tells its credit now and then. */
		if (b->to_guest - f->d.fwd_cnt > 100000) {
			f->d.fwd_cnt = (uint32_t)b->to_guest;
			driver_send(&f->d, CREDIT_UPDATE, 0, NULL, 0);
		}
	}
}

static void bulk_send(struct fixture *f, struct bulk *b)
{
	uint32_t room = VSOCK_BUFFER_BYTES - ((uint32_t)b->from_guest - b->host_fwd_cnt);
	uint32_t len = (uint32_t)(b->from_guest * 7919 % DRIVER_TX_BYTES) + 1;

	if (len > room)
		len = room;
	if (len > BULK_BYTES - b->from_guest)
		len = (uint32_t)(BULK_BYTES - b->from_guest);
	if (!len)
		return;
	fill_pattern(b->bytes, len, b->from_guest);
	driver_send(&f->d, RW, 0, b->bytes, len);
	b->from_guest += len;
	if (b->from_guest == BULK_BYTES)
		driver_send(&f->d, SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
}

static void bulk_write(struct fixture *f, struct bulk *b)
{
	size_t len = (size_t)(b->written * 104729 % sizeof(b->bytes)) + 1;

	if (f->in < 0)
		return;
	if (len > BULK_BYTES - b->written)
		len = (size_t)(BULK_BYTES - b->written);
	fill_pattern(b->bytes, len, b->written);
	ssize_t n = write(f->in, b->bytes, len);
	if (n > 0)
		b->written += (uint64_t)n;
	if (b->written == BULK_BYTES) {
		if (f->in == f->out)
			(void)shutdown(f->in, SHUT_WR);
		else
			close(f->in);
		f->in = -1;
	}
}

/* True at the end of the stream. */
static bool bulk_read(struct fixture *f, struct bulk *b)
{
	ssize_t n = read(f->out, b->bytes, b->arrived * 31 % sizeof(b->bytes) + 1);

	if (n > 0) {
		check_pattern(b->bytes, (size_t)n, b->arrived);
		b->arrived += (uint64_t)n;
	}
	return !n;
}

static void bulk_run(struct fixture *f)
{
	static struct bulk b;
	bool end = false;

	memset(&b, 0, sizeof(b));
	f->d.fwd_cnt = 0;
	for (unsigned idle = 0; !(end && b.ended) && idle < 1000; idle++) {
		uint64_t before = b.written + b.to_guest + b.from_guest + b.arrived;
		bulk_write(f, &b);
		bulk_recv(f, &b);
		if (b.from_guest < BULK_BYTES)
			bulk_send(f, &b);
		end = end || bulk_read(f, &b);
		if (b.written + b.to_guest + b.from_guest + b.arrived != before)
			idle = 0;
	}
	assert_true(end && b.ended);
	assert_int_equal(b.to_guest, BULK_BYTES);
	assert_int_equal(b.arrived, BULK_BYTES);
	assert_int_equal(f->n_drained, 1);
}

static void test_bulk(void **state)
{
	open_pipes(*state, 32, O_NONBLOCK);
	bulk_run(*state);
}

/* Pipes that can't be made non-blocking: the loop must not hang on them. */
static void test_bulk_blocking(void **state)
{
	open_pipes(*state, 32, 0);
	bulk_run(*state);
}

static void test_bulk_socket(void **state)
{
	struct fixture *f = *state;
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	assert_int_equal(fcntl(s[0], F_SETFL, O_NONBLOCK), 0);
	f->in = f->out = s[0];
	open_on(f, s[1], s[1], 32);
	bulk_run(f);
}

static void test_files(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[1 << 20];
	char rd_path[] = "/tmp/hvrun-test-XXXXXX", wr_path[] = "/tmp/hvrun-test-XXXXXX";
	int rd = mkstemp(rd_path), wr = mkstemp(wr_path);
	size_t got = 0;

	assert_true(rd >= 0 && wr >= 0);
	f->out = dup(wr);
	unlink(rd_path);
	unlink(wr_path);
	fill_pattern(bytes, sizeof(bytes), 0);
	assert_int_equal(write(rd, bytes, sizeof(bytes)), sizeof(bytes));
	assert_int_equal(lseek(rd, 0, SEEK_SET), 0);
	open_on(f, rd, wr, 32);
	do {
		assert_true(driver_recv(&f->d, &f->p));
		if (f->p.hdr.op == RW) {
			check_pattern(f->p.data, f->p.data_bytes, got);
			got += f->p.data_bytes;
			f->d.fwd_cnt = (uint32_t)got;
			driver_send(&f->d, RW, 0, f->p.data, f->p.data_bytes);
		}
	} while (f->p.hdr.op != SHUTDOWN);
	assert_int_equal(got, sizeof(bytes));
	driver_send(&f->d, SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	assert_int_equal(f->n_drained, 1);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(pread(f->out, bytes, sizeof(bytes), 0), sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i += DRIVER_TX_BYTES)
		check_pattern(bytes + i, DRIVER_TX_BYTES, i);
}

static void test_dev_null(void **state)
{
	struct fixture *f = *state;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	open_on(f, fd, fd, 8);
	driver_send(&f->d, RW, 0, "into the void", 13);
	expect(f, SHUTDOWN);
	driver_send(&f->d, SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	assert_int_equal(f->n_drained, 1);
}

/* An endless source must leave the loop to others. */
static void test_dev_zero(void **state)
{
	struct fixture *f = *state;
	int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	unsigned n = 0;

	f->d.buf_alloc = 40000;
	open_on(f, fd, -1, 8);
	while (driver_recv(&f->d, &f->p) && n++ < 100)
		;
	assert_in_range(n, 2, 99);
}

#define with(fn)       cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define with_plain(fn) cmocka_unit_test_setup_teardown(fn, setup_plain, teardown)
#define with_pieces(fn)                                                                            \
	{                                                                                          \
#fn "_pieces", fn, setup_pieces, teardown, NULL                                    \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with(test_guest_credit_is_kept),
		with(test_our_credit_is_enforced),
		with(test_credit_update_when_drained),
		with(test_back_pressure),
		with(test_unused_buffers_go_back),
		with(test_reader_gone_with_bytes_waiting),
		with(test_drained_after_slow_reader),
		with(test_bulk),
		with_plain(test_bulk),
		with_pieces(test_bulk),
		with(test_bulk_blocking),
		with(test_bulk_socket),
		with(test_files),
		with(test_dev_null),
		with(test_dev_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
