/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest on the agent's connection: the input is the byte stream, cut in pieces by its
 * first byte. Meanwhile clients ask for what makes the guest's answers mean something, and streams
 * are connected, break and end as each piece's first byte says, and hvrun says its own. The session
 * must end in order whatever comes, and everyone be told, in words that terminals don't obey.
 *
 * Covers: base/msg.c base/log.c microvm/vmm/agent.c microvm/vmm/session.c
 * microvm/vmm/session_stream.c microvm/vmm/events.c microvm/vmm/clients.c microvm/vmm/requests.c
 * microvm/vmm/exec.c microvm/vmm/control.c
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "microvm/vmm/clients.h"
#include "microvm/vmm/control.h"
#include "microvm/vmm/session.h"

#define CLIENTS	  6
#define CONNS_MAX (SESSION_STREAMS + 3 * 64)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct conn {
	const struct vsock_conn_events *events; /* NULL: closed */
	void *arg;
	uint32_t host_port;
	bool connected, drained, reset;
};

struct state {
	struct session *session;
	struct control *control;
	unsigned finishes, ends, n_conns, n_streams;
	struct conn conns[CONNS_MAX];
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
	s->conns[s->n_conns++] =
		(struct conn){.events = events, .arg = conn_arg, .host_port = host_port};
	return 0;
}

static void fuzz_disconnect(void *arg, uint32_t host_port)
{
	struct state *s = arg;

	for (unsigned i = 0; i < s->n_conns; i++)
		if (s->conns[i].host_port == host_port)
			s->conns[i].reset = true;
}

static void close_conn(struct conn *conn, int reason)
{
	const struct vsock_conn_events *events = conn->events;

	conn->events = NULL;
	events->closed(conn->arg, reason);
}

/* What may happen to a stream next, as vsock.h has it. */
static void step_conn(struct conn *conn, unsigned choice)
{
	static const int ends[] = {0, -ECONNRESET, -EPROTO, -ENOMEM};

	if (!conn->events)
		return;
	if (conn->reset) {
		close_conn(conn, -ECONNRESET);
	} else if (!conn->connected) {
		conn->connected = true;
		if (choice % 16 == 15)
			close_conn(conn, -ECONNREFUSED);
		else if (conn->events->connected)
			conn->events->connected(conn->arg);
	} else if (choice % 8 == 1 && !conn->drained) {
		if (conn->events->broken)
			conn->events->broken(conn->arg, choice % 16 == 1 ? EPIPE : ENOSPC);
	} else if (choice % 8 == 2 && !conn->drained) {
		conn->drained = true;
		if (conn->events->drained)
			conn->events->drained(conn->arg);
	} else if (choice % 8 == 3) {
		close_conn(conn, ends[choice / 8 % 4]);
	}
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
	control_emit(s->control, event);
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

static void on_kill(void *arg, int signal)
{
	session_kill(((struct state *)arg)->session, signal, false);
}

static void on_resize(void *arg, unsigned rows, unsigned columns)
{
	session_resize(((struct state *)arg)->session, rows, columns);
}

static void on_create(void *arg)
{
	session_release(((struct state *)arg)->session);
}

static void on_stop(void *arg)
{
	session_stop(((struct state *)arg)->session);
}

static const struct control_ops control_ops = {
	.kill = on_kill,
	.resize = on_resize,
	.create = on_create,
	.stop = on_stop,
};

static void check_text(const char *text)
{
	size_t left = strlen(text), n;

	for (; left; text += n, left -= n)
		if (text_is_control(text_character(text, left, &n)))
			abort();
}

/* Nothing that the guest has said may reach a terminal as it is. */
static void check(const json_t *json)
{
	const json_t *child;
	const char *key;
	size_t i;

	if (json_is_string(json))
		check_text(json_string_value(json));
	json_array_foreach (json, i, child)
		check(child);
	json_object_foreach ((json_t *)(uintptr_t)json, key, child) {
		check_text(key);
		check(child);
	}
}

static void drain(int sock)
{
	static char packet[1 << 16];
	ssize_t n;

	while ((n = recv(sock, packet, sizeof(packet), MSG_DONTWAIT)) > 0) {
		cleanup_json json_t *json = json_loadb(packet, (size_t)n, 0, NULL);
		if (!json)
			abort();
		check(json);
	}
}

/* hvrun's end of the control socket: one word each time, and what comes is read. */
static void order(int control, unsigned round)
{
	static const char *const words[] = {"{\"op\":\"create\"}",
		"{\"op\":\"kill\",\"signal\":15}", "{\"op\":\"resize\",\"rows\":24,\"columns\":80}",
		"{\"op\":\"kill\",\"signal\":0}", "{\"op\":\"resize\",\"rows\":24}", "{\"op\":1}",
		"{\"op\":", "{\"op\":\"detach\"}", "{\"op\":\"stop\"}"};

	if (round % 8 == 0 && round / 8 < sizeof(words) / sizeof(words[0]))
		(void)!fd_send_packet(control, words[round / 8], strlen(words[round / 8]), NULL, 0);
	drain(control);
}

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

/* A process and its streams, as hvrun exec passes them; to be closed. */
static unsigned make_exec(int *fds, unsigned n_streams)
{
	static const char process[] = "{\"args\":[\"a\"]}";

	fds[0] = fd_memfile("process", process, sizeof(process) - 1);
	if (fds[0] < 0 || fd_seal(fds[0]) < 0)
		abort();
	for (unsigned i = 1; i <= n_streams; i++)
		fds[i] = null_fd();
	return 1 + n_streams;
}

static void ask_one(int sock, const char *request, unsigned n_streams)
{
	int fds[8] = {-1};
	unsigned n = n_streams ? make_exec(fds, n_streams) : 0;

	(void)!fd_send_packet(sock, request, strlen(request), fds, n);
	while (n > 0)
		close(fds[--n]);
}

/* Each client asks its own, over and over, the last one something else each time; and reads what
 * comes. */
static void ask(const int *clients, unsigned round)
{
	static const struct {
		const char *text;
		unsigned n_streams;
	} requests[CLIENTS - 1] = {
		{"{\"op\":\"start\"}", 0},
		{"{\"op\":\"ps\"}", 0},
		{"{\"op\":\"update\",\"resources\":{}}", 0},
		{"{\"op\":\"exec\"}", 3},
		{"{\"op\":\"exec\",\"terminal\":true,\"rows\":9,\"columns\":9,"
		 "\"preserved\":[{\"in\":true},{\"out\":true}]}",
			3},
	};
	/* An exec's client says more about its process. */
	static const char *const more[] = {"{\"op\":\"resize\",\"rows\":24,\"columns\":80}",
		"{\"op\":\"kill\",\"signal\":15}", "{\"op\":\"?\"}"};
	static const char *const others[] = {"{\"op\":\"subscribe\"}", "{\"op\":\"state\"}",
		"{\"op\":\"pause\"}", "{\"op\":\"exec\"}", "{\"op\":\"resume\"}",
		"{\"op\":\"kill\",\"signal\":10,\"all\":true}",
		"{\"op\":\"resize\",\"rows\":1,\"columns\":2}", "{\"op\":\"stats\"}",
		"{\"op\":\"network\",\"network\":{}}", "{\"op\":\"kill\",\"signal\":9}"};

	for (unsigned i = 0; i < CLIENTS; i++) {
		if (i < CLIENTS - 1)
			ask_one(clients[i], requests[i].text, requests[i].n_streams);
		else
			ask_one(clients[i], others[round % (sizeof(others) / sizeof(others[0]))],
				0);
		if (i < CLIENTS - 1 && requests[i].n_streams && round % 4 > 0)
			ask_one(clients[i], more[round % 4 - 1], 0);
		drain(clients[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_un name;
	socklen_t name_len;
	struct clients *served;
	int clients[CLIENTS], pair[2];
	struct loop loop;
	struct session session;
	struct control control;
	struct state state = {.session = &session, .control = &control};
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
	if (session_init(&session, &config, &e) < 0 ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
		control_init(&control, &loop, pair[0], true, &control_ops, &state, &e) < 0)
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
	for (unsigned round = 0; size; round++) {
		size_t n = size < piece ? size : piece;
		unsigned choice = *data;
		if (send(agent, data, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
		data += n;
		size -= n;
		ask(clients, round);
		order(pair[1], round);
		if (loop_run_once(&loop, 0) < 0)
			abort();
		for (unsigned i = 0; i < state.n_conns; i++)
			step_conn(&state.conns[i], choice + round + i);
	}
	close(agent);
	close(pair[1]);
	for (int i = 0; i < 4; i++)
		if (loop_run_once(&loop, 0) < 0)
			abort();
	session_vm_ended(&session, ENGINE_END_RESET, "");
	for (unsigned i = 0; i < state.n_conns; i++)
		if (state.conns[i].events)
			close_conn(&state.conns[i], -ECONNRESET);
	session_stop(&session);
	if (state.finishes != 1 || state.ends != 1)
		abort();
	for (unsigned i = 0; i < CLIENTS; i++)
		close(clients[i]);
	clients_free(served);
	control_fini(&control);
	session_fini(&session);
	loop_fini(&loop);
	return 0;
}
