/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections of clients; see clients.h. A client that does not take what it is sent is served no
 * further request, and is cut off when the little that can come unasked has filled its queue.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "microvm/vmm/clients_internal.h"
#include "microvm/vmm/control.h"
#include "microvm/vmm/session.h"

#if defined(__GNUC__) && !defined(__clang__)
/* gcc 12's analyzer loses track of what a queue keeps, and calls it leaked. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

#define ACCEPTS_PER_WAKEUP 8
#define TICK_NS		   UINT64_C(10000000000)
#define OOM_NS		   UINT64_C(1000000000) /* from one event to the next */
#define PATIENCE_TICKS	   4			/* with the guest's answer to a question */
#define NOT_RUNNING	   "container not running"

static void set_ticking(struct clients *clients, bool on)
{
	uint64_t ns = on ? TICK_NS : 0;

	/* Not set anew when it runs: those who ask often would keep it from ever ending. */
	if (clients->ticking != on && loop_timer_set(&clients->timer, ns, ns) == 0)
		clients->ticking = on;
}

static void want(struct client *client, uint32_t events)
{
	if (loop_mod(client->clients->loop, &client->sock, events) < 0)
		client_close(client);
}

static void listen_again(struct clients *clients)
{
	if (clients->listener.fd < 0 && clients->listen_fd >= 0)
		(void)!loop_add(clients->loop, &clients->listener, clients->listen_fd, EPOLLIN);
}

static void client_done(struct client *client)
{
	client->op = NULL;
	client->seq = 0;
}

void client_close(struct client *client)
{
	int fd = client->sock.fd;

	if (fd < 0)
		return;
	loop_del(client->clients->loop, &client->sock);
	fd_closep(&fd);
	while (client->first) {
		struct client_packet *packet = client->first;
		client->first = packet->next;
		free(packet);
	}
	client_done(client);
	client->queued_bytes = 0;
	client->subscribed = false;
	if (client->exec) {
		struct exec *exec = client->exec;
		client->exec = NULL;
		exec_client_gone(exec);
	}
	listen_again(client->clients);
}

static void enqueue(struct client *client, const char *text, size_t len_bytes)
{
	struct client_packet *packet = NULL, **end = &client->first;

	if (client->queued_bytes + len_bytes <= CLIENT_QUEUE_BYTES)
		packet = malloc(sizeof(*packet) + len_bytes);
	if (!packet) {
		log_warn("a client does not take what it is sent: cut off");
		client_close(client);
		return;
	}
	packet->next = NULL;
	packet->len_bytes = len_bytes;
	memcpy(packet->bytes, text, len_bytes);
	while (*end)
		end = &(*end)->next;
	*end = packet;
	client->queued_bytes += len_bytes;
	/* No more requests until it has taken this. */
	want(client, EPOLLOUT);
}

static void send_queued(struct client *client)
{
	while (client->first) {
		struct client_packet *packet = client->first;
		int ret =
			fd_send_packet(client->sock.fd, packet->bytes, packet->len_bytes, NULL, 0);
		if (ret == -EAGAIN)
			return;
		if (ret < 0) {
			client_close(client);
			return;
		}
		client->first = packet->next;
		client->queued_bytes -= packet->len_bytes;
		free(packet);
	}
	want(client, EPOLLIN);
}

void client_send(struct client *client, const json_t *packet)
{
	cleanup_free char *text = packet ? json_dumps(packet, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;

	if (client->sock.fd < 0)
		return;
	if (!len || len > CONTROL_PACKET_BYTES) {
		log_warn("a client's answer can't be sent: %s", len ? "too large" : "no memory");
		client_close(client);
		return;
	}
	int ret = client->first ? -EAGAIN : fd_send_packet(client->sock.fd, text, len, NULL, 0);
	if (ret == -EAGAIN)
		enqueue(client, text, len);
	else if (ret < 0)
		client_close(client);
}

void client_reply(struct client *client, const char *op, json_t *fields)
{
	cleanup_json json_t *owned = fields;
	cleanup_json json_t *reply = json_pack("{s:s, s:b}", "reply", op, "ok", 1);

	client_done(client);
	if (owned && reply && json_object_update_missing(reply, owned) < 0)
		log_warn("a client's answer is not whole");
	client_send(client, reply);
}

void client_refuse(struct client *client, const char *op, int code, const char *message)
{
	cleanup_json json_t *reply = json_pack("{s:s, s:b, s:i, s:s%}", "reply", op, "ok", 0,
		"code", code, "message", message, strnlen(message, CONTROL_PACKET_BYTES / 8));

	client_done(client);
	if (!reply) /* cut within a character, perhaps */
		reply = json_pack("{s:s, s:b, s:i, s:s}", "reply", op, "ok", 0, "code", code,
			"message", "the reason can't be shown");
	client_send(client, reply);
}

void client_wait(struct client *client, const char *op, uint64_t seq)
{
	client->op = op;
	client->seq = seq;
	client->waited_ticks = 0;
	if (seq)
		set_ticking(client->clients, true);
}

static void close_fds(int *fds, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		fd_closep(&fds[i]);
}

static void client_ready(struct loop_source *source, uint32_t events)
{
	struct client *client =
		(struct client *)(void *)((char *)source - offsetof(struct client, sock));
	char packet[CONTROL_PACKET_BYTES];
	int fds[FD_PASS_MAX];
	unsigned n_fds = FD_PASS_MAX;
	struct err e;

	if (client->first) {
		send_queued(client);
		return;
	}
	(void)events;
	ssize_t n = fd_recv_packet(source->fd, packet, sizeof(packet), fds, &n_fds);
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		close_fds(fds, n < 0 ? 0 : n_fds);
		if (n == -EMSGSIZE)
			client_refuse(client, "", 1, "the request is too large");
		client_close(client);
		return;
	}
	cleanup_json json_t *json = json_parse(packet, (size_t)n, CLIENT_DEPTH_MAX, &e);
	if (!json)
		client_refuse(client, "", 1, e.text);
	else
		client_handle(client, json, fds, n_fds);
	if (!json)
		close_fds(fds, n_fds);
}

/* False when no more connections can be taken now. */
static bool accept_one(struct clients *clients)
{
	static const char full[] = "{\"reply\":\"\",\"ok\":false,\"code\":1,"
				   "\"message\":\"too many clients of this container\"}";
	struct client *client = NULL;

	cleanup_close int fd =
		accept4(clients->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return false;
		/* No descriptors, say: later, when a client has gone, or after a while. */
		loop_del(clients->loop, &clients->listener);
		set_ticking(clients, true);
		return false;
	}
	for (unsigned i = 0; i < CLIENTS_MAX && !client; i++)
		if (clients->table[i].sock.fd < 0)
			client = &clients->table[i];
	if (!client) {
		(void)!fd_send_packet(fd, full, sizeof(full) - 1, NULL, 0);
		return true;
	}
	if (loop_add(clients->loop, &client->sock, fd, EPOLLIN) == 0)
		(void)steal_fd(&fd);
	return true;
}

static void listener_ready(struct loop_source *source, uint32_t events)
{
	struct clients *clients =
		(struct clients *)(void *)((char *)source - offsetof(struct clients, listener));

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_WAKEUP; i++)
		if (!accept_one(clients))
			return;
}

static void tick(struct loop_timer *timer)
{
	struct clients *clients =
		(struct clients *)(void *)((char *)timer - offsetof(struct clients, timer));
	bool waiting = false;

	listen_again(clients);
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &clients->table[i];
		if (client->sock.fd < 0 || !client->seq)
			continue;
		/* While the guest stands still, so does its time to answer. */
		if (!clients->session->paused && ++client->waited_ticks >= PATIENCE_TICKS)
			client_refuse(client, client->op, 1, "the guest does not answer");
		else
			waiting = true;
	}
	if (!waiting && clients->listener.fd >= 0)
		set_ticking(clients, false);
}

static void tell_oom(struct clients *clients)
{
	cleanup_json json_t *event = json_pack("{s:s}", "event", "oom");

	clients->oom_again = false;
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &clients->table[i];
		/* One that has not taken the last one yet will hear of it by that. */
		if (client->subscribed && !client->first)
			client_send(client, event);
	}
	clients->oom_told = loop_timer_set(&clients->oom_timer, OOM_NS, 0) == 0;
}

static void oom_timer_expired(struct loop_timer *timer)
{
	struct clients *clients =
		(struct clients *)(void *)((char *)timer - offsetof(struct clients, oom_timer));

	clients->oom_told = false;
	if (clients->oom_again)
		tell_oom(clients);
}

void clients_oom(struct clients *clients)
{
	if (clients && clients->oom_told)
		clients->oom_again = true;
	else if (clients)
		tell_oom(clients);
}

int clients_create(struct clients **out, struct loop *loop, int listen_fd, struct session *session,
	struct err *e)
{
	struct clients *clients = calloc(1, sizeof(*clients));

	if (!clients) {
		fd_closep(&listen_fd);
		return err_sys(e, ENOMEM, "clients");
	}
	clients->loop = loop;
	clients->session = session;
	clients->listen_fd = listen_fd;
	clients->listener = (struct loop_source){.fd = -1, .ready = listener_ready};
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		clients->table[i].clients = clients;
		clients->table[i].sock = (struct loop_source){.fd = -1, .ready = client_ready};
	}
	clients->timer.source.fd = clients->oom_timer.source.fd = -1;
	int ret = loop_timer_init(loop, &clients->timer, tick);
	if (!ret)
		ret = loop_timer_init(loop, &clients->oom_timer, oom_timer_expired);
	if (ret < 0) {
		clients_free(clients);
		return err_sys(e, -ret, "clients");
	}
	ret = fd_set_nonblock(listen_fd, true);
	if (!ret)
		ret = loop_add(loop, &clients->listener, listen_fd, EPOLLIN);
	if (ret < 0) {
		clients_free(clients);
		return err_sys(e, -ret, "listening socket");
	}
	*out = clients;
	return 0;
}

void clients_free(struct clients *clients)
{
	if (!clients)
		return;
	clients_close_all(clients);
	loop_timer_fini(&clients->timer);
	loop_timer_fini(&clients->oom_timer);
	free(clients);
}

void clients_container_started(struct clients *clients)
{
	for (unsigned i = 0; clients && i < CLIENTS_MAX; i++) {
		struct client *client = &clients->table[i];
		if (client->op && !strcmp(client->op, "start"))
			client_reply(client, "start", NULL);
	}
}

void clients_container_over(struct clients *clients, int code, const char *message)
{
	for (unsigned i = 0; clients && i < CLIENTS_MAX; i++) {
		struct client *client = &clients->table[i];
		if (!client->op)
			continue;
		bool starts = message && !strcmp(client->op, "start");
		client_refuse(
			client, client->op, starts ? code : 1, starts ? message : NOT_RUNNING);
	}
}

void clients_close_all(struct clients *clients)
{
	if (!clients || clients->listen_fd < 0)
		return;
	if (clients->listener.fd >= 0)
		loop_del(clients->loop, &clients->listener);
	fd_closep(&clients->listen_fd);
	clients_container_over(clients, 0, NULL);
	if (clients->oom_again)
		tell_oom(clients);
	exec_close_all(clients);
	for (unsigned i = 0; i < CLIENTS_MAX; i++)
		client_close(&clients->table[i]);
}

int clients_answer(struct clients *clients, const json_t *message)
{
	const json_t *seq = json_object_get(message, "seq");
	json_int_t number = json_integer_value(seq);

	if (!clients || !json_is_integer(seq) || number < 1 || (uint64_t)number > clients->last_seq)
		return -EPROTO;
	for (unsigned i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &clients->table[i];
		if (client->seq == (uint64_t)number) {
			client_handle_answer(client, client->op, message);
			return 0;
		}
	}
	return 0; /* whoever asked has gone */
}
