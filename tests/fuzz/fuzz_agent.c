/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest on the agent's connection: the input is the byte stream, cut in pieces by its
 * first byte. Meanwhile clients ask for what makes the guest's answers mean something. The session
 * must end in order whatever comes, and everyone be told.
 *
 * Covers: base/msg.c microvm/vmm/agent.c microvm/vmm/session.c microvm/vmm/exec.c
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/vmm/clients.h"
#include "microvm/vmm/session.h"

#define CLIENTS	  4
#define CONNS_MAX (SESSION_STREAMS + 3 * 64)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
	unsigned finishes, ends, n_conns, n_streams;
	const struct vsock_conn_events *events[CONNS_MAX];
	void *args[CONNS_MAX];
};

static int fuzz_connect(void *arg, uint32_t host_port, int rd_fd, int wr_fd,
	const struct vsock_conn_events *events, void *conn_arg)
{
	struct state *s = arg;

	fd_closep(&rd_fd);
	fd_closep(&wr_fd);
	if (host_port <= SESSION_PORT_STDERR && s->n_streams++ == 3)
		abort(); /* streams are opened once */
	if (s->n_conns == CONNS_MAX)
		return -ENOSPC;
	s->events[s->n_conns] = events;
	s->args[s->n_conns++] = conn_arg;
	return 0;
}

static void fuzz_disconnect(void *arg, uint32_t host_port)
{
	(void)arg;
	(void)host_port;
}

static int fuzz_pause_vm(void *arg, bool pause, struct err *e)
{
	(void)arg;
	(void)pause;
	(void)e;
	return 0;
}

static void fuzz_stop_vm(void *arg)
{
	(void)arg;
}

static void fuzz_emit(void *arg, const json_t *event)
{
	struct state *s = arg;
	const char *name = json_string_value(json_object_get(event, "event"));

	if (s->ends)
		abort(); /* the last event is the last */
	if (!strcmp(name, "exited") || !strcmp(name, "failed"))
		s->ends++;
}

static bool fuzz_panic(void *arg, char *text, size_t cap_bytes)
{
	(void)arg;
	(void)text;
	(void)cap_bytes;
	return false;
}

static json_t *fuzz_console(void *arg)
{
	(void)arg;
	return NULL;
}

static void fuzz_finish(void *arg, int exit_code)
{
	struct state *s = arg;

	if (exit_code < 0 || exit_code > 255 || s->finishes++)
		abort();
}

static const struct session_ops ops = {
	.connect = fuzz_connect,
	.disconnect = fuzz_disconnect,
	.pause_vm = fuzz_pause_vm,
	.stop_vm = fuzz_stop_vm,
	.emit = fuzz_emit,
	.panic = fuzz_panic,
	.console = fuzz_console,
	.finish = fuzz_finish,
};

static int null_fd(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

/* A listening socket under a name of the kernel's choice. */
static int make_listener(struct sockaddr_un *name, socklen_t *len)
{
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	*name = (struct sockaddr_un){.sun_family = AF_UNIX};
	*len = sizeof(*name);
	if (sock < 0 || bind(sock, (struct sockaddr *)name, sizeof(sa_family_t)) < 0 ||
		getsockname(sock, (struct sockaddr *)name, len) < 0 || listen(sock, CLIENTS) < 0)
		abort();
	return sock;
}

/* Each client asks its own, over and over, and reads what comes. */
static void ask(const int *clients)
{
	static const char *const requests[CLIENTS] = {
		"{\"op\":\"start\"}",
		"{\"op\":\"ps\"}",
		"{\"op\":\"update\",\"resources\":{}}",
		"{\"op\":\"exec\",\"process\":{}}",
	};
	char packet[1 << 16];

	for (unsigned i = 0; i < CLIENTS; i++) {
		int fds[3] = {null_fd(), null_fd(), null_fd()};
		(void)!fd_send_packet(clients[i], requests[i], strlen(requests[i]), fds, 3);
		for (unsigned k = 0; k < 3; k++)
			close(fds[k]);
		while (recv(clients[i], packet, sizeof(packet), MSG_DONTWAIT) > 0)
			;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_un name;
	socklen_t name_len;
	struct clients *served;
	int clients[CLIENTS];
	struct state state = {0};
	struct loop loop;
	struct session session;
	struct err e;

	log_init("fuzz", -1, LOG_LEVEL_DEBUG);
	if (loop_init(&loop) < 0)
		abort();
	struct session_config config = {
		.loop = &loop,
		.id = "c1",
		.container_fd = fd_memfile("create", "\2\0\0\0{}", 6),
		.in_fd = null_fd(),
		.out_fd = null_fd(),
		.err_fd = null_fd(),
		.terminal_fd = -1,
		.ops = &ops,
		.arg = &state,
	};
	if (session_init(&session, &config, &e) < 0)
		abort();
	int listener = make_listener(&name, &name_len);
	if (clients_create(&served, &loop, listener, &session, &e) < 0)
		abort();
	session.clients = served;
	for (unsigned i = 0; i < CLIENTS; i++) {
		clients[i] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (connect(clients[i], (struct sockaddr *)&name, name_len) < 0)
			abort();
	}
	int agent = session_accept(&session);
	if (agent < 0)
		abort();
	size_t piece = size ? *data++ : 0;
	size -= size > 0;
	piece = piece ? piece * 16 : SIZE_MAX;
	while (size) {
		size_t n = size < piece ? size : piece;
		if (send(agent, data, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
		data += n;
		size -= n;
		ask(clients);
		if (loop_run_once(&loop, 0) < 0)
			abort();
	}
	close(agent);
	for (int i = 0; i < 4; i++)
		if (loop_run_once(&loop, 0) < 0)
			abort();
	session_vm_ended(&session, ENGINE_END_RESET, "");
	for (unsigned i = 0; i < state.n_conns; i++) {
		if (state.events[i]->connected)
			state.events[i]->connected(state.args[i]);
		state.events[i]->closed(state.args[i], 0);
	}
	session_stop(&session);
	if (state.finishes != 1 || state.ends != 1)
		abort();
	for (unsigned i = 0; i < CLIENTS; i++)
		close(clients[i]);
	clients_free(served);
	session_fini(&session);
	loop_fini(&loop);
	return 0;
}
