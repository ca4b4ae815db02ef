/* SPDX-License-Identifier: Apache-2.0 */
/* The control connection; see agent.h. */
#include "guestinit/agent.h"

#include <errno.h>
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"
#include "guestinit/container.h"
#include "guestinit/guest.h"
#include "guestinit/requests.h"

/* A driver that is a module may still be looking for its device. */
#define AGENT_CONNECT_TRIES   100
#define AGENT_CONNECT_WAIT_MS 10

void agent_end(struct agent *agent)
{
	if (agent->closed)
		return;
	agent->closed = true;
	loop_stop(&agent->guest->loop);
}

static void agent_send(struct agent *agent, json_t *packed)
{
	cleanup_json json_t *message = packed;

	if (!message || agent->closed)
		return;
	int ret = msg_write(agent->control_fd, message, MSG_MAX_GUEST_BYTES);
	if (ret < 0) {
		log_error("can't send to the host: %s", strerror(-ret));
		agent_end(agent);
	}
}

void agent_created(struct agent *agent, const char *id)
{
	if (agent)
		agent_send(agent, json_pack("{ss ss}", "type", "created", "id", id));
}

void agent_started(struct agent *agent, const char *id)
{
	if (agent)
		agent_send(agent, json_pack("{ss ss}", "type", "started", "id", id));
}

void agent_failed(struct agent *agent, const char *id, int exit_code, const char *message)
{
	if (!agent) {
		log_error("%s: %s", id, message);
		return;
	}
	agent_send(agent,
		json_pack("{ss ss si so}", "type", "failed", "id", id, "code", exit_code, "message",
			json_text(message)));
}

void agent_exited(struct agent *agent, const char *id, int exit_code, bool oom)
{
	if (agent)
		agent_send(agent,
			json_pack("{ss ss si sb}", "type", "exited", "id", id, "code", exit_code,
				"oom", oom));
}

void agent_exec_started(struct agent *agent, const char *id, const char *exec, pid_t pid)
{
	if (agent)
		agent_send(agent,
			json_pack("{ss ss ss si}", "type", "exec-started", "id", id, "exec", exec,
				"pid", (int)pid));
}

void agent_exec_failed(
	struct agent *agent, const char *id, const char *exec, int exit_code, const char *message)
{
	if (agent)
		agent_send(agent,
			json_pack("{ss ss ss si so}", "type", "exec-failed", "id", id, "exec", exec,
				"code", exit_code, "message", json_text(message)));
}

void agent_exec_exited(struct agent *agent, const char *id, const char *exec, int exit_code)
{
	if (agent)
		agent_send(agent,
			json_pack("{ss ss ss si}", "type", "exec-exited", "id", id, "exec", exec,
				"code", exit_code));
}

void agent_oom(struct agent *agent, const char *id)
{
	if (agent)
		agent_send(agent, json_pack("{ss ss}", "type", "oom", "id", id));
}

void agent_answer(struct agent *agent, json_int_t seq, json_t *body, const struct err *e)
{
	json_t *message = json_pack("{ss sI sb}", "type", "answer", "seq", seq, "ok", body != NULL);

	if (!message)
		return;
	int ret = body ? json_object_update(message, body)
		       : json_object_set_new(message, "message", json_text(e->text));
	if (ret < 0)
		log_error("out of memory for an answer");
	agent_send(agent, message);
}

void agent_log(struct agent *agent, enum log_level level, const char *fmt, ...)
{
	static const char *const words[] = {"error", "warning", "info", "debug"};
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!agent || agent->control_fd < 0) {
		log_line(level, "%s", text);
		return;
	}
	agent_send(agent,
		json_pack("{ss ss so}", "type", "log", "level", words[level], "message",
			json_text(text)));
}

/* Streams that came first find their container now. */
void agent_hand_out(struct agent *agent)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < agent->n_pending; i++) {
		struct agent_pending *p = &agent->pending[i];
		int ret = guest_container_attach(agent->guest, p->port, p->fd);
		if (ret == 0)
			agent->pending[kept++] = *p;
		else if (ret < 0)
			agent_log(agent, LOG_LEVEL_ERROR, "stream of port %u: %s", p->port,
				strerror(-ret));
	}
	agent->n_pending = kept;
}

static void agent_control_ready(struct loop_source *source, uint32_t events)
{
	struct agent *agent =
		(struct agent *)(void *)((char *)source - offsetof(struct agent, control));
	struct err e = {0};
	int ret = msg_reader_fill(&agent->reader, agent->control_fd);

	(void)events;
	if (ret == -EAGAIN)
		return;
	if (ret <= 0) {
		agent_end(agent);
		return;
	}
	for (;;) {
		cleanup_json json_t *message = NULL;
		ret = msg_reader_next(&agent->reader, &message, &e);
		if (ret <= 0)
			break;
		requests_handle(agent, message);
	}
	if (ret < 0) {
		agent_log(agent, LOG_LEVEL_ERROR, "%s", e.text);
		agent_end(agent);
	}
}

void agent_stream(struct agent *agent, uint32_t port, int fd)
{
	int ret = guest_container_attach(agent->guest, port, fd);

	if (ret < 0)
		agent_log(agent, LOG_LEVEL_ERROR, "stream of port %u: %s", port, strerror(-ret));
	if (ret)
		return;
	/* Those of processes that could not be started are never asked for: the oldest goes. */
	if (agent->n_pending == AGENT_PENDING_MAX) {
		close(agent->pending[0].fd);
		memmove(agent->pending, agent->pending + 1,
			--agent->n_pending * sizeof(agent->pending[0]));
	}
	agent->pending[agent->n_pending++] = (struct agent_pending){port, fd};
}

/* Only the host may open streams: a container can reach the port through CID 1 or 3 at most. */
static void agent_listener_ready(struct loop_source *source, uint32_t events)
{
	struct agent *agent =
		(struct agent *)(void *)((char *)source - offsetof(struct agent, listener));
	struct sockaddr_vm peer = {0};
	socklen_t len = sizeof(peer);
	int fd = accept4(agent->listen_fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);

	(void)events;
	if (fd < 0)
		return;
	if (len < sizeof(peer) || peer.svm_family != AF_VSOCK || peer.svm_cid != MSG_HOST_CID) {
		close(fd);
		return;
	}
	agent_stream(agent, peer.svm_port, fd);
}

int agent_attach(struct agent *agent, struct guest *guest, int control_fd, struct err *e)
{
	memset(agent, 0, sizeof(*agent));
	agent->guest = guest;
	agent->control = (struct loop_source){.fd = -1, .ready = agent_control_ready};
	agent->listener = (struct loop_source){.fd = -1, .ready = agent_listener_ready};
	agent->listen_fd = -1;
	agent->control_fd = control_fd;
	msg_reader_init(&agent->reader, MSG_MAX_BYTES);
	guest->agent = agent;
	int ret = loop_add(&guest->loop, &agent->control, control_fd, EPOLLIN);
	return ret < 0 ? err_sys(e, -ret, "can't watch the control connection") : 0;
}

static int agent_dial(struct err *e)
{
	struct sockaddr_vm host = {
		.svm_family = AF_VSOCK, .svm_cid = MSG_HOST_CID, .svm_port = MSG_CONTROL_PORT};
	const struct timespec wait = {.tv_nsec = AGENT_CONNECT_WAIT_MS * 1000000L};
	cleanup_close int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 && errno == EAFNOSUPPORT)
		return err_set(e, EAFNOSUPPORT, "the guest's kernel has no vsock");
	if (fd < 0)
		return err_sys(e, errno, "vsock");
	for (int i = 0; connect(fd, (struct sockaddr *)&host, sizeof(host)) < 0; i++) {
		if (errno != ENODEV || i == AGENT_CONNECT_TRIES)
			return err_sys(e, errno, "vsock: can't connect to the host's port %u",
				MSG_CONTROL_PORT);
		nanosleep(&wait, NULL);
	}
	return steal_fd(&fd);
}

static int agent_listen(struct err *e)
{
	struct sockaddr_vm any = {
		.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = MSG_STREAM_PORT};
	cleanup_close int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 && errno == EAFNOSUPPORT)
		return err_set(e, EAFNOSUPPORT, "the guest's kernel has no vsock");
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
		listen(fd, AGENT_PENDING_MAX) < 0)
		return err_sys(e, errno, "vsock: can't listen on port %u", MSG_STREAM_PORT);
	return steal_fd(&fd);
}

int agent_connect(struct agent *agent, struct guest *guest, uint64_t tsc, struct err *e)
{
	/* First the port: the host may use it as soon as it sees the connection. */
	cleanup_close int listener = agent_listen(e);

	if (listener < 0)
		return listener;
	int control = agent_dial(e);
	if (control < 0)
		return control;
	int ret = agent_attach(agent, guest, control, e);
	if (ret < 0)
		return ret;
	agent->listen_fd = steal_fd(&listener);
	ret = loop_add(&guest->loop, &agent->listener, agent->listen_fd, EPOLLIN);
	if (ret < 0)
		return err_sys(e, -ret, "can't watch the streams' port");
	agent_send(agent,
		json_pack("{ss si sI}", "type", "hello", "protocol", MSG_PROTOCOL, "tsc",
			(json_int_t)(tsc & INT64_MAX)));
	return 0;
}

void agent_fini(struct agent *agent)
{
	loop_del(&agent->guest->loop, &agent->control);
	loop_del(&agent->guest->loop, &agent->listener);
	fd_closep(&agent->control_fd);
	fd_closep(&agent->listen_fd);
	for (unsigned i = 0; i < agent->n_pending; i++)
		close(agent->pending[i].fd);
	msg_reader_fini(&agent->reader);
	agent->guest->agent = NULL;
}
