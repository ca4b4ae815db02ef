/* SPDX-License-Identifier: Apache-2.0 */
/* The container's streams; see session_stream.h. */
#include "microvm/vmm/session_stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"

/*
 * A stream is done once the device has said so; it always does when the guest has had the request.
 * One that was never connected may wait for a device that the guest has reset: not longer than the
 * callbacks that may still be on their way.
 */
bool session_streams_done(const struct session *s)
{
	for (unsigned i = 0; i < SESSION_STREAMS; i++) {
		const struct session_stream *stream = &s->streams[i];
		if (stream->opened && !stream->done && (stream->connected || !s->settled))
			return false;
	}
	return true;
}

static void stream_connected(void *arg)
{
	struct session_stream *stream = arg;

	stream->connected = true;
}

static void stream_done(void *arg)
{
	struct session_stream *stream = arg;

	stream->done = true;
	session_output_done(stream->session);
}

static void tell_stderr_over(const struct session_stream *stream)
{
	const struct session *s = stream->session;
	unsigned own = s->config.terminal_fd >= 0 ? 0 : 2;

	if (stream == &s->streams[own] && s->config.ops->stderr_over)
		s->config.ops->stderr_over(s->config.arg);
}

static void stream_drained(void *arg)
{
	tell_stderr_over(arg);
	stream_done(arg);
}

/* A reader that went away is nobody's fault; a terminal that did has nobody to tell. */
static void stream_broken(void *arg, int code)
{
	struct session_stream *stream = arg;
	const struct session *s = stream->session;
	char reason[ERR_REASON_BYTES], name[24] = "stdout";

	if (code == EPIPE || code == ECONNRESET || stream == &s->streams[0])
		return;
	if (stream->host_port == SESSION_PORT_STDERR)
		snprintf(name, sizeof(name), "stderr");
	else if (stream->host_port >= SESSION_PORT_PRESERVED)
		snprintf(name, sizeof(name), "descriptor %u",
			stream->host_port - SESSION_PORT_PRESERVED + 3);
	cleanup_json json_t *event = json_pack("{s:s, s:s, s:s}", "event", "lost", "stream", name,
		"message", err_reason(code, reason));
	if (event)
		s->config.ops->emit(s->config.arg, event);
}

static void stream_closed(void *arg, int reason)
{
	struct session_stream *stream = arg;
	struct session *s = stream->session;

	if (reason == -ECONNREFUSED && s->outcome == SESSION_RUNNING)
		session_fail(s, "guestinit refused a stream of the container");
	else if (reason && reason != -ECONNRESET)
		log_debug("stream %u: %s", stream->host_port, strerror(-reason));
	stream_done(arg);
}

static const struct vsock_conn_events stream_events = {
	.connected = stream_connected,
	.broken = stream_broken,
	.drained = stream_drained,
	.closed = stream_closed,
};

int session_stream_open(struct session *s, unsigned i, struct err *e)
{
	struct session_stream *stream = &s->streams[i];

	if (!stream->used)
		return 0;
	bool output = stream->wr_fd >= 0;
	int rd = steal_fd(&stream->rd_fd), wr = steal_fd(&stream->wr_fd);
	/* Input may end when it likes; nobody waits for it. */
	stream->done = !output;
	stream->opened = true;
	int ret = s->config.ops->connect(
		s->config.arg, stream->host_port, rd, wr, &stream_events, stream);
	if (ret < 0)
		stream->opened = false;
	return ret < 0 ? err_sys(e, -ret, "stream %u of the container", stream->host_port) : 0;
}

static void stream_init(
	struct session *s, unsigned i, uint32_t host_port, int rd_fd, int wr_fd, bool used)
{
	s->streams[i] = (struct session_stream){
		.session = s,
		.host_port = host_port,
		.rd_fd = rd_fd,
		.wr_fd = wr_fd,
		.used = used,
	};
}

void session_streams_init(struct session *s)
{
	const struct session_config *config = &s->config;
	bool terminal = config->terminal_fd >= 0;

	if (terminal)
		stream_init(
			s, 0, SESSION_PORT_STDIN, config->terminal_fd, config->terminal_fd, true);
	else
		stream_init(s, 0, SESSION_PORT_STDIN, config->in_fd, -1, true);
	stream_init(s, 1, SESSION_PORT_STDOUT, -1, config->out_fd, !terminal);
	stream_init(s, 2, SESSION_PORT_STDERR, -1, config->err_fd, !terminal);
	for (unsigned i = 0; i < MSG_PRESERVED_MAX; i++) {
		const struct preserved *p = &config->preserved[i];
		bool used = i < config->n_preserved;
		stream_init(s, 3 + i, SESSION_PORT_PRESERVED + i, used && p->in ? p->fd : -1,
			used && p->out ? p->fd : -1, used);
	}
}

void session_streams_fini(struct session *s)
{
	for (unsigned i = 0; i < SESSION_STREAMS; i++) {
		struct session_stream *stream = &s->streams[i];
		if (stream->wr_fd == stream->rd_fd)
			stream->wr_fd = -1;
		fd_closep(&stream->rd_fd);
		fd_closep(&stream->wr_fd);
	}
}
