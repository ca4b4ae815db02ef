/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's connections to the host's Unix sockets, through a vsock device with a fake driver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "microvm/vmm/relay_helper.h"
#include "microvm/vmm/relay_socket.h"
#include "support/fake_transport.h"
#include "support/vsock_driver.h"

#define REQUEST	 VIRTIO_VSOCK_OP_REQUEST
#define RESPONSE VIRTIO_VSOCK_OP_RESPONSE
#define RST	 VIRTIO_VSOCK_OP_RST
#define SHUTDOWN VIRTIO_VSOCK_OP_SHUTDOWN
#define RW	 VIRTIO_VSOCK_OP_RW

struct fixture {
	struct vsock_driver d;
	struct vsock_packet p;
	struct relay_sockets relays;
	struct plan plan;
	char dir[32];
	int listener, path_fd, helper;
	unsigned n_closed;
};

static void on_closed(void *arg)
{
	((struct fixture *)arg)->n_closed++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	struct err e;

	assert_non_null(f);
	assert_int_equal(
		driver_init(&f->d, FAKE_F_VERSION_1 | FAKE_F_EVENT_IDX | FAKE_F_INDIRECT), 0);
	snprintf(f->dir, sizeof(f->dir), "/tmp/relay.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/s", f->dir);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->listener, (struct sockaddr *)&name, sizeof(name)), 0);
	assert_int_equal(listen(f->listener, 256), 0);
	f->path_fd = open(name.sun_path, O_PATH | O_CLOEXEC);
	f->plan.n_sockets = 1;
	f->plan.sockets[0].port = 2048;
	f->plan.sockets[0].fd = f->path_fd;
	assert_int_equal(relay_helper_start(&f->plan, &f->helper, &e), 0);
	assert_int_equal(
		relay_sockets_init(&f->relays, f->d.dev, &f->plan, f->helper, on_closed, f, &e), 0);
	f->d.host_port = 2048;
	f->d.rx_repost = true;
	assert_int_equal(driver_start(&f->d, 16), 0);
	unlink(name.sun_path); /* the descriptor is enough */
	rmdir(f->dir);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	driver_fini(&f->d);
	fd_closep(&f->listener);
	close(f->helper);
	wait(NULL);
	close(f->path_fd);
	free(f);
	return 0;
}

static void expect(struct fixture *f, uint16_t op)
{
	assert_true(driver_recv(&f->d, &f->p));
	assert_int_equal(f->p.hdr.op, op);
}

static void test_both_ways(void **state)
{
	struct fixture *f = *state;
	char text[16] = "";

	f->d.guest_port = 7;
	driver_send(&f->d, REQUEST, 0, NULL, 0);
	expect(f, RESPONSE);
	cleanup_close int sock = accept(f->listener, NULL, NULL);
	assert_true(sock >= 0);
	driver_send(&f->d, RW, 0, "question", 8);
	assert_int_equal(read(sock, text, sizeof(text)), 8);
	assert_string_equal(text, "question");
	/* The guest has no more to say, and still hears. */
	driver_send(&f->d, SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	assert_int_equal(read(sock, text, sizeof(text)), 0);
	assert_int_equal(write(sock, "answer", 6), 6);
	expect(f, RW);
	assert_memory_equal(f->p.data, "answer", 6);
	assert_int_equal(f->relays.n_conns, 1);
	driver_send(&f->d, RST, 0, NULL, 0);
	driver_run(&f->d);
	assert_int_equal(f->relays.n_conns, 0);
}

/* The guest has closed its side: the connection lasts until the host's reader has it all. */
static void test_slow_reader(void **state)
{
	static char chunk[4096];
	struct fixture *f = *state;
	size_t sent = 0, got = 0;
	ssize_t n;

	f->d.guest_port = 7;
	driver_send(&f->d, REQUEST, 0, NULL, 0);
	expect(f, RESPONSE);
	cleanup_close int sock = accept(f->listener, NULL, NULL);
	assert_true(sock >= 0);
	for (; sent < (300u << 10); sent += sizeof(chunk))
		driver_send(&f->d, RW, 0, chunk, sizeof(chunk));
	driver_send(
		&f->d, SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV, NULL, 0);
	driver_run(&f->d);
	assert_int_equal(f->relays.n_conns, 1);
	assert_int_equal(f->n_closed, 0);
	while ((n = read(sock, chunk, sizeof(chunk))) > 0) {
		got += (size_t)n;
		driver_run(&f->d);
	}
	assert_int_equal(n, 0);
	assert_int_equal(got, sent);
	assert_int_equal(f->relays.n_conns, 0);
	assert_int_equal(f->n_closed, 1);
}

static void test_reader_gone(void **state)
{
	static char chunk[4096];
	struct fixture *f = *state;

	f->d.guest_port = 7;
	driver_send(&f->d, REQUEST, 0, NULL, 0);
	expect(f, RESPONSE);
	int sock = accept(f->listener, NULL, NULL);
	for (size_t sent = 0; sent < (300u << 10); sent += sizeof(chunk))
		driver_send(&f->d, RW, 0, chunk, sizeof(chunk));
	driver_send(
		&f->d, SHUTDOWN, VIRTIO_VSOCK_SHUTDOWN_SEND | VIRTIO_VSOCK_SHUTDOWN_RCV, NULL, 0);
	driver_run(&f->d);
	assert_int_equal(f->relays.n_conns, 1);
	close(sock);
	driver_run(&f->d);
	assert_int_equal(f->relays.n_conns, 0);
}

static void test_nobody_listens(void **state)
{
	struct fixture *f = *state;

	fd_closep(&f->listener);
	f->d.guest_port = 7;
	driver_send(&f->d, REQUEST, 0, NULL, 0);
	expect(f, RST);
	assert_int_equal(f->relays.n_conns, 0);
	f->d.host_port = 2049;
	driver_send(&f->d, REQUEST, 0, NULL, 0);
	expect(f, RST);
}

static void test_bounded(void **state)
{
	struct fixture *f = *state;
	unsigned responses = 0, resets = 0;

	for (uint32_t port = 1; port <= RELAY_CONNS_MAX + 10; port++) {
		f->d.guest_port = port;
		driver_send(&f->d, REQUEST, 0, NULL, 0);
		while (driver_recv(&f->d, &f->p)) {
			responses += f->p.hdr.op == RESPONSE;
			resets += f->p.hdr.op == RST;
		}
	}
	assert_int_equal(responses, RELAY_CONNS_MAX);
	assert_int_equal(resets, 10);
	assert_int_equal(f->relays.n_conns, RELAY_CONNS_MAX);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_both_ways),
		T(test_slow_reader),
		T(test_reader_gone),
		T(test_nobody_listens),
		T(test_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
