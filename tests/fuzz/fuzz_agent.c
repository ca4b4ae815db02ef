/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest on the agent's connection: the input is the byte stream, cut in pieces by its
 * first byte. The session must end in order whatever comes.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/vmm/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct state {
	unsigned finishes, ends, n_conns;
	const struct vsock_conn_events *events[SESSION_STREAMS];
	void *args[SESSION_STREAMS];
};

static int fuzz_connect(void *arg, uint32_t host_port, int rd_fd, int wr_fd,
	const struct vsock_conn_events *events, void *conn_arg)
{
	struct state *s = arg;

	(void)host_port;
	fd_closep(&rd_fd);
	fd_closep(&wr_fd);
	if (s->n_conns == SESSION_STREAMS)
		abort(); /* streams are opened once */
	s->events[s->n_conns] = events;
	s->args[s->n_conns++] = conn_arg;
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

static void fuzz_describe(void *arg, char *text, size_t cap_bytes)
{
	(void)arg;
	if (cap_bytes)
		text[0] = '\0';
}

static void fuzz_finish(void *arg, int exit_code)
{
	struct state *s = arg;

	if (exit_code < 0 || exit_code > 255 || s->finishes++)
		abort();
}

static const struct session_ops ops = {
	.connect = fuzz_connect,
	.stop_vm = fuzz_stop_vm,
	.emit = fuzz_emit,
	.describe = fuzz_describe,
	.finish = fuzz_finish,
};

static int null_fd(void)
{
	return open("/dev/null", O_RDWR | O_CLOEXEC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
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
		if (loop_run_once(&loop, 0) < 0)
			abort();
	}
	close(agent);
	for (int i = 0; i < 4; i++)
		if (loop_run_once(&loop, 0) < 0)
			abort();
	session_vm_ended(&session, ENGINE_END_RESET, "");
	for (unsigned i = 0; i < state.n_conns; i++) {
		state.events[i]->connected(state.args[i]);
		state.events[i]->closed(state.args[i], 0);
	}
	session_stop(&session);
	if (state.finishes != 1 || state.ends != 1)
		abort();
	session_fini(&session);
	loop_fini(&loop);
	return 0;
}
