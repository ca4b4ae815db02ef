/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's connection; see agent.h. */
#include "microvm/vmm/agent.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

#define READS_PER_WAKEUP 4 /* of a message's size each; then others have their turn */

/* The last that is done with agent: its owner may free it. */
static void agent_fail(struct agent *agent, const char *why)
{
	agent_close(agent);
	agent->closed(agent->arg, why);
}

static int agent_want_room(struct agent *agent, bool on)
{
	if (agent->wants_room == on)
		return 0;
	agent->wants_room = on;
	return loop_mod(agent->loop, &agent->sock, on ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static int agent_flush(struct agent *agent)
{
	while (agent->sent_bytes < agent->out_bytes) {
		ssize_t n = send(agent->sock.fd, agent->out + agent->sent_bytes,
			agent->out_bytes - agent->sent_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return agent_want_room(agent, true);
		if (n < 0)
			return -errno;
		agent->sent_bytes += (size_t)n;
	}
	/* The create message is large and comes once: its memory needn't stay. */
	free(agent->out);
	agent->out = NULL;
	agent->out_bytes = agent->sent_bytes = agent->out_cap_bytes = 0;
	return agent_want_room(agent, false);
}

/* Whole messages that have come; false when the connection is gone. */
static bool agent_deliver(struct agent *agent)
{
	struct err e;
	json_t *message;
	int ret;

	while ((ret = msg_reader_next(&agent->reader, &message, &e)) > 0) {
		agent->message(agent->arg, message);
		json_decref(message);
		if (agent->sock.fd < 0)
			return false;
	}
	if (ret < 0)
		agent_fail(agent, e.text);
	return ret == 0;
}

static void agent_ready(struct loop_source *source, uint32_t events)
{
	struct agent *agent =
		(struct agent *)(void *)((char *)source - offsetof(struct agent, sock));
	int ret = events & EPOLLOUT ? agent_flush(agent) : 0;

	if (ret < 0) {
		agent_fail(agent, strerror(-ret));
		return;
	}
	for (int i = 0; i < READS_PER_WAKEUP; i++) {
		ret = msg_reader_fill(&agent->reader, source->fd);
		if (ret == -EAGAIN)
			return;
		if (ret < 0)
			agent_fail(agent, strerror(-ret));
		else if (ret == 0)
			agent_fail(
				agent, agent->reader.used_bytes ? "it ended within a message" : "");
		if (ret <= 0 || !agent_deliver(agent))
			return;
	}
}

int agent_init(struct agent *agent, struct loop *loop,
	void (*message)(void *arg, const json_t *message),
	void (*closed)(void *arg, const char *why), void *arg)
{
	int pair[2];

	memset(agent, 0, sizeof(*agent));
	agent->loop = loop;
	agent->sock.fd = agent->near_end = agent->far_end = -1;
	agent->sock.ready = agent_ready;
	agent->message = message;
	agent->closed = closed;
	agent->arg = arg;
	msg_reader_init(&agent->reader, MSG_MAX_GUEST_BYTES);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	agent->near_end = pair[0];
	agent->far_end = pair[1];
	return 0;
}

void agent_close(struct agent *agent)
{
	int fd = agent->sock.fd;

	if (fd >= 0)
		loop_del(agent->loop, &agent->sock);
	fd_closep(&fd);
	fd_closep(&agent->near_end);
	fd_closep(&agent->far_end);
	msg_reader_fini(&agent->reader);
	free(agent->out);
	agent->out = NULL;
	agent->out_bytes = agent->sent_bytes = agent->out_cap_bytes = 0;
}

bool agent_is_open(const struct agent *agent)
{
	return agent->sock.fd >= 0;
}

int agent_open(struct agent *agent)
{
	if (agent->near_end < 0)
		return -ENOTCONN;
	int ret = loop_add(agent->loop, &agent->sock, agent->near_end, EPOLLIN);
	if (ret < 0)
		return ret;
	agent->near_end = -1;
	return steal_fd(&agent->far_end);
}

size_t agent_backlog_bytes(const struct agent *agent)
{
	return agent->out_bytes;
}

int agent_send_bytes(struct agent *agent, const void *bytes, size_t len_bytes)
{
	size_t want = agent->out_bytes + len_bytes;

	if (agent->sock.fd < 0)
		return -ENOTCONN;
	if (len_bytes > AGENT_QUEUE_BYTES || want > AGENT_QUEUE_BYTES)
		return -EMSGSIZE;
	if (want > agent->out_cap_bytes) {
		char *bigger = realloc(agent->out, want);
		if (!bigger)
			return -ENOMEM;
		agent->out = bigger;
		agent->out_cap_bytes = want;
	}
	memcpy(agent->out + agent->out_bytes, bytes, len_bytes);
	agent->out_bytes = want;
	/* An error shows at the next read, from the loop: not from within this call. */
	(void)!agent_flush(agent);
	return 0;
}

int agent_send(struct agent *agent, const json_t *message)
{
	cleanup_free char *bytes = NULL;
	size_t len;

	int ret = msg_encode(message, MSG_MAX_BYTES, &bytes, &len);
	return ret ? ret : agent_send_bytes(agent, bytes, len);
}
