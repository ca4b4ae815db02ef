/* SPDX-License-Identifier: Apache-2.0 */
/* Relays to the host's Unix sockets; see relay_socket.h. */
#include "microvm/vmm/relay_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/devices/vsock.h"

static void relay_closed(void *arg, int reason)
{
	struct relay_sockets *relays = arg;

	(void)reason;
	relays->n_conns--;
	if (relays->closed)
		relays->closed(relays->arg);
}

static const struct vsock_conn_events relay_events = {.closed = relay_closed};

/* Never waits: a listener whose queue is full refuses, as one that is gone does. */
static int connect_to(int path_fd, bool in_root)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	cleanup_close int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (sock < 0)
		return -errno;
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/%d",
		in_root ? "" : "/proc/self/fd", path_fd);
	if (connect(sock, (struct sockaddr *)&name, sizeof(name)) < 0)
		return -errno;
	return steal_fd(&sock);
}

static int relay_accept(void *arg, uint32_t guest_port, struct vsock_accepted *accepted)
{
	struct relay_socket *socket = arg;

	(void)guest_port;
	if (socket->all->n_conns == RELAY_CONNS_MAX)
		return -EMFILE;
	int fd = connect_to(socket->fd, socket->all->in_root);
	if (fd < 0) {
		log_debug("a socket for the guest: %s", strerror(-fd));
		return fd;
	}
	socket->all->n_conns++;
	accepted->rd_fd = accepted->wr_fd = fd;
	accepted->events = &relay_events;
	accepted->arg = socket->all;
	return 0;
}

int relay_sockets_init(struct relay_sockets *relays, struct virtio_device *vsock,
	const struct plan *plan, void (*closed)(void *arg), void *arg, struct err *e)
{
	*relays = (struct relay_sockets){.closed = closed, .arg = arg};
	for (unsigned i = 0; i < plan->n_sockets; i++) {
		struct relay_socket *socket = &relays->sockets[i];
		*socket = (struct relay_socket){.all = relays, .fd = plan->sockets[i].fd};
		int ret = vsock_listen(vsock, plan->sockets[i].port, relay_accept, socket);
		if (ret < 0)
			return err_sys(e, -ret, "plan: sockets[%u].port", i);
	}
	return 0;
}
