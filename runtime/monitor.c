/* SPDX-License-Identifier: Apache-2.0 */
/* The client of the monitor's socket; see monitor.h. */
#include "runtime/monitor.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json.h"

#define BACKLOG 64

/* The directory's path may be longer than a socket's address: so by its descriptor. */
static void address(int dir, struct sockaddr_un *out)
{
	*out = (struct sockaddr_un){.sun_family = AF_UNIX};
	snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d/" MONITOR_SOCKET, dir);
}

int monitor_listen(int dir, struct err *e)
{
	struct sockaddr_un name;
	cleanup_close int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	address(dir, &name);
	if (sock < 0 || bind(sock, (struct sockaddr *)&name, sizeof(name)) < 0 ||
		listen(sock, BACKLOG) < 0)
		return err_sys(e, errno, MONITOR_SOCKET);
	return steal_fd(&sock);
}

static int not_running(int code, struct err *e)
{
	return err_set(e, code, "container not running");
}

int monitor_connect(int dir, struct err *e)
{
	struct sockaddr_un name;
	cleanup_close int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	address(dir, &name);
	if (sock < 0)
		return err_sys(e, errno, MONITOR_SOCKET);
	if (connect(sock, (struct sockaddr *)&name, sizeof(name)) == 0)
		return steal_fd(&sock);
	if (errno == ECONNREFUSED || errno == ENOENT)
		return not_running(errno, e);
	return err_sys(e, errno, MONITOR_SOCKET);
}

int monitor_send(int sock, json_t *packet, const int *fds, unsigned n_fds, struct err *e)
{
	cleanup_json json_t *json = packet;
	cleanup_free char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

	if (!text)
		return err_sys(e, ENOMEM, "a request to the monitor");
	size_t len = strlen(text);
	if (len > MONITOR_MAX_BYTES)
		return err_set(e, EMSGSIZE, "the request to the monitor is larger than %u bytes",
			MONITOR_MAX_BYTES);
	int ret = fd_send_packet(sock, text, len, fds, n_fds);
	if (ret == -EPIPE || ret == -ECONNRESET)
		return not_running(ECONNRESET, e);
	return ret < 0 ? err_sys(e, -ret, "a request to the monitor") : 0;
}

json_t *monitor_receive(int sock, int timeout_ms, struct err *e)
{
	struct pollfd poller = {.fd = sock, .events = POLLIN};
	char packet[MONITOR_MAX_BYTES];

	int n = poll(&poller, 1, timeout_ms);
	if (n == 0) {
		err_set(e, ETIMEDOUT, "the monitor does not answer");
		return NULL;
	}
	if (n < 0) {
		err_sys(e, errno, "waiting for the monitor");
		return NULL;
	}
	ssize_t len = fd_recv_packet(sock, packet, sizeof(packet), NULL, NULL);
	if (len > 0)
		return json_parse(packet, (size_t)len, MONITOR_MAX_DEPTH, e);
	if (len == 0 || len == -ECONNRESET)
		not_running(ECONNRESET, e);
	else
		err_sys(e, (int)-len, "the monitor's answer");
	return NULL;
}

int monitor_result(const json_t *reply, int *code, struct err *e)
{
	const char *message = json_string_value(json_object_get(reply, "message"));
	json_int_t number = json_integer_value(json_object_get(reply, "code"));

	if (json_is_true(json_object_get(reply, "ok")))
		return 0;
	if (code && number > 0 && number < 256)
		*code = (int)number;
	return err_set(e, EINVAL, "%s", message ? message : "the monitor refused");
}

int monitor_request(
	int dir, json_t *request, int timeout_ms, json_t **reply, int *code, struct err *e)
{
	cleanup_json json_t *packet = request, *answer = NULL;

	if (code)
		*code = 0;
	cleanup_close int sock = monitor_connect(dir, e);
	if (sock < 0)
		return sock;
	int ret = monitor_send(sock, json_incref(packet), NULL, 0, e);
	if (ret < 0)
		return ret;
	answer = monitor_receive(sock, timeout_ms, e);
	if (!answer)
		return e->code ? -e->code : -EPROTO;
	ret = monitor_result(answer, code, e);
	if (ret == 0 && reply)
		*reply = steal_ptr(&answer);
	return ret;
}
