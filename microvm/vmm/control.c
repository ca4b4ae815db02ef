/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket to hvrun; see control.h. */
#include "microvm/vmm/control.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"

#define CONTROL_DEPTH_MAX 4

bool control_integer(const json_t *json, const char *key, int min, int max, int *out)
{
	json_int_t number;

	if (!json_integer_in(json, key, min, max, &number))
		return false;
	*out = (int)number;
	return true;
}

static void handle(struct control *control, const json_t *json)
{
	const char *op = json_string_value(json_object_get(json, "op"));
	int a, b;

	if (op && !strcmp(op, "kill") && control_integer(json, "signal", 1, SIGRTMAX, &a))
		control->ops->kill(control->arg, a);
	else if (op && !strcmp(op, "resize") &&
		control_integer(json, "rows", 1, CONTROL_SIZE_MAX, &a) &&
		control_integer(json, "columns", 1, CONTROL_SIZE_MAX, &b))
		control->ops->resize(control->arg, (unsigned)a, (unsigned)b);
	else if (op && !strcmp(op, "stop"))
		control->ops->stop(control->arg);
	else if (op && !strcmp(op, "create"))
		control->ops->create(control->arg);
	else if (op && !strcmp(op, "detach"))
		control->lifeline = false;
	else
		log_warn("control socket: not a command: %.64s", op ? op : "no \"op\"");
}

static void control_ready(struct loop_source *source, uint32_t events)
{
	struct control *control =
		(struct control *)(void *)((char *)source - offsetof(struct control, sock));
	char packet[CONTROL_PACKET_BYTES];
	struct err e;

	(void)events;
	ssize_t n = fd_recv_packet(source->fd, packet, sizeof(packet), NULL, NULL);
	if (n == -EAGAIN)
		return;
	if (n == -EMSGSIZE) {
		log_warn("control socket: too large a packet");
		return;
	}
	if (n <= 0) {
		log_debug("control socket: hvrun is gone");
		int fd = source->fd;
		loop_del(control->loop, source);
		fd_closep(&fd);
		if (control->lifeline)
			control->ops->stop(control->arg);
		return;
	}
	cleanup_json json_t *json = json_parse(packet, (size_t)n, CONTROL_DEPTH_MAX, &e);
	if (json)
		handle(control, json);
	else
		log_warn("control socket: %s", e.text);
}

int control_init(struct control *control, struct loop *loop, int sock_fd, bool lifeline,
	const struct control_ops *ops, void *arg, struct err *e)
{
	cleanup_close int sock = sock_fd;

	*control = (struct control){.loop = loop, .ops = ops, .arg = arg, .lifeline = lifeline};
	control->sock.fd = -1;
	control->sock.ready = control_ready;
	int ret = fd_set_nonblock(sock, true);
	if (!ret)
		ret = loop_add(loop, &control->sock, sock, EPOLLIN);
	if (ret < 0)
		return err_sys(e, -ret, "control socket");
	(void)steal_fd(&sock);
	return 0;
}

void control_fini(struct control *control)
{
	int fd = control->sock.fd;

	if (fd >= 0)
		loop_del(control->loop, &control->sock);
	fd_closep(&fd);
}

void control_emit(struct control *control, const json_t *event)
{
	cleanup_free char *text = json_dumps(event, JSON_COMPACT);

	if (!text || control->sock.fd < 0)
		return;
	int ret = fd_send_packet(control->sock.fd, text, strlen(text), NULL, 0);
	if (ret < 0)
		log_debug("control socket: %s", strerror(-ret));
}
