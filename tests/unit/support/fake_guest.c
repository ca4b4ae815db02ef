/* SPDX-License-Identifier: Apache-2.0 */
/* See fake_guest.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_guest.h"

static void close_conn(struct fake_conn *conn)
{
	if (conn->wr_fd == conn->rd_fd)
		conn->wr_fd = -1;
	fd_closep(&conn->rd_fd);
	fd_closep(&conn->wr_fd);
}

static int fake_connect(void *arg, uint32_t host_port, int rd_fd, int wr_fd,
	const struct vsock_conn_events *events, void *conn_arg)
{
	struct fake_guest *g = arg;
	struct fake_conn conn = {host_port, rd_fd, wr_fd, events, conn_arg, false};

	assert_true(g->n_conns < FAKE_CONNS_MAX);
	if (g->connect_result) {
		close_conn(&conn);
		return g->connect_result;
	}
	assert_null(fake_guest_conn(g, host_port));
	g->conns[g->n_conns++] = conn;
	return 0;
}

static void fake_disconnect(void *arg, uint32_t host_port)
{
	struct fake_conn *conn = fake_guest_conn(arg, host_port);

	if (conn)
		conn->cut = true;
}

static int fake_pause_vm(void *arg, bool pause, struct err *e)
{
	struct fake_guest *g = arg;

	(void)e;
	assert_int_not_equal(g->paused, pause);
	g->paused = pause;
	return 0;
}

static void fake_stop_vm(void *arg)
{
	((struct fake_guest *)arg)->stops++;
}

static void fake_emit(void *arg, const json_t *event)
{
	struct fake_guest *g = arg;

	assert_true(g->n_events < FAKE_EVENTS_MAX);
	g->events[g->n_events++] = json_incref((json_t *)(uintptr_t)event);
}

static bool fake_panic(void *arg, char *text, size_t cap_bytes)
{
	(void)arg;
	(void)text;
	(void)cap_bytes;
	return false;
}

static json_t *fake_console(void *arg)
{
	(void)arg;
	return NULL;
}

static bool fake_relays_open(void *arg)
{
	return ((struct fake_guest *)arg)->relays_open;
}

static void fake_finish(void *arg, int exit_code)
{
	struct fake_guest *g = arg;

	g->finishes++;
	g->exit_code = exit_code;
}

static const struct session_ops ops = {
	.connect = fake_connect,
	.disconnect = fake_disconnect,
	.pause_vm = fake_pause_vm,
	.stop_vm = fake_stop_vm,
	.emit = fake_emit,
	.panic = fake_panic,
	.console = fake_console,
	.relays_open = fake_relays_open,
	.finish = fake_finish,
};

int fake_guest_setup(void **state, bool hold)
{
	struct fake_guest *g = calloc(1, sizeof(*g));
	socklen_t len = sizeof(g->name);
	struct err e;

	assert_non_null(g);
	g->agent = -1;
	assert_int_equal(loop_init(&g->loop), 0);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct session_config config = {
		.loop = &g->loop,
		.id = "c1",
		.container_fd = fd_memfile("create", "\2\0\0\0{}", 6),
		.in_fd = null,
		.out_fd = dup(null),
		.err_fd = dup(null),
		.terminal_fd = -1,
		.hold = hold,
		.ops = &ops,
		.arg = g,
	};
	assert_int_equal(session_init(&g->session, &config, &e), 0);
	/* An abstract name of the kernel's choice: nothing to remove. */
	g->name.sun_family = AF_UNIX;
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(sock, (struct sockaddr *)&g->name, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(sock, (struct sockaddr *)&g->name, &len), 0);
	assert_int_equal(listen(sock, 128), 0);
	assert_int_equal(clients_create(&g->clients, &g->loop, sock, &g->session, &e), 0);
	g->session.clients = g->clients;
	*state = g;
	return 0;
}

int fake_guest_teardown(void **state)
{
	struct fake_guest *g = *state;

	clients_free(g->clients);
	session_fini(&g->session);
	loop_fini(&g->loop);
	fd_closep(&g->agent);
	for (unsigned i = 0; i < g->n_conns; i++)
		close_conn(&g->conns[i]);
	for (unsigned i = 0; i < g->n_events; i++)
		json_decref(g->events[i]);
	free(g);
	return 0;
}

void fake_guest_pump(struct fake_guest *g)
{
	for (int i = 0; i < 4; i++)
		assert_int_equal(loop_run_once(&g->loop, 0), 0);
}

static char *with_quotes(const char *text)
{
	char *copy = strdup(text);

	assert_non_null(copy);
	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	return copy;
}

void fake_guest_say(struct fake_guest *g, const char *text)
{
	cleanup_free char *copy = with_quotes(text);
	uint32_t len = (uint32_t)strlen(copy);

	assert_int_equal(fd_write_all(g->agent, &len, 4), 0);
	assert_int_equal(fd_write_all(g->agent, copy, len), 0);
	fake_guest_pump(g);
}

json_t *fake_guest_hear(struct fake_guest *g, const char *type)
{
	uint32_t len;
	struct err e;

	assert_false(fake_guest_silent(g));
	assert_int_equal(fd_read_all(g->agent, &len, 4), 0);
	assert_true(len <= MSG_MAX_BYTES);
	cleanup_free char *frame = malloc(len);
	assert_non_null(frame);
	/* A large one comes in pieces, as the loop runs. */
	for (size_t got = 0; got < len;) {
		ssize_t n = recv(g->agent, frame + got, len - got, MSG_DONTWAIT);
		assert_true(n > 0 || (n < 0 && errno == EAGAIN));
		got += n > 0 ? (size_t)n : 0;
		fake_guest_pump(g);
	}
	json_t *message = json_parse(frame, len, 16, &e);
	assert_non_null(message);
	if (type)
		assert_string_equal(json_string_value(json_object_get(message, "type")), type);
	return message;
}

bool fake_guest_silent(struct fake_guest *g)
{
	struct pollfd p = {.fd = g->agent, .events = POLLIN};

	fake_guest_pump(g);
	return poll(&p, 1, 0) == 0;
}

void fake_guest_boot(struct fake_guest *g)
{
	g->agent = session_accept(&g->session);
	assert_true(g->agent >= 0);
	assert_int_equal(fd_set_nonblock(g->agent, false), 0);
	fake_guest_say(g, "{'type':'hello','protocol':1,'tsc':1}");
}

void fake_guest_run(struct fake_guest *g)
{
	fake_guest_boot(g);
	json_decref(fake_guest_hear(g, NULL));
	fake_guest_say(g, "{'type':'started','id':'c1'}");
}

const char *fake_guest_event(struct fake_guest *g, unsigned i)
{
	assert_true(i < g->n_events);
	return json_string_value(json_object_get(g->events[i], "event"));
}

struct fake_conn *fake_guest_conn(struct fake_guest *g, uint32_t host_port)
{
	for (unsigned i = 0; i < g->n_conns; i++)
		if (g->conns[i].host_port == host_port)
			return &g->conns[i];
	return NULL;
}

void fake_guest_conn_connected(struct fake_conn *conn)
{
	conn->events->connected(conn->arg);
}

void fake_guest_conn_drained(struct fake_conn *conn)
{
	conn->events->drained(conn->arg);
}

void fake_guest_conn_closed(struct fake_conn *conn, int reason)
{
	conn->host_port = 0;
	close_conn(conn);
	conn->events->closed(conn->arg, reason);
}

int fake_guest_connect(struct fake_guest *g)
{
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_true(sock >= 0);
	assert_int_equal(
		connect(sock, (struct sockaddr *)&g->name,
			(socklen_t)(sizeof(sa_family_t) + 1 + strlen(g->name.sun_path + 1))),
		0);
	return sock;
}

void fake_guest_ask(struct fake_guest *g, int client, const char *text)
{
	fake_guest_ask_fds(g, client, text, NULL, 0);
}

void fake_guest_ask_fds(
	struct fake_guest *g, int client, const char *text, const int *fds, unsigned n_fds)
{
	cleanup_free char *copy = with_quotes(text);

	assert_int_equal(fd_send_packet(client, copy, strlen(copy), fds, n_fds), 0);
	fake_guest_pump(g);
}

json_t *fake_guest_reply(struct fake_guest *g, int client)
{
	struct pollfd p = {.fd = client, .events = POLLIN};
	char packet[70000];
	struct err e;

	fake_guest_pump(g);
	assert_int_equal(poll(&p, 1, 0), 1);
	ssize_t n = fd_recv_packet(client, packet, sizeof(packet), NULL, NULL);
	assert_true(n > 0);
	json_t *reply = json_parse(packet, (size_t)n, 16, &e);
	assert_non_null(reply);
	return reply;
}

bool fake_guest_hung_up(int client)
{
	struct pollfd p = {.fd = client, .events = POLLIN};

	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}
