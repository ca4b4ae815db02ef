/* SPDX-License-Identifier: Apache-2.0 */
/* Relays to the host's Unix sockets; see relay_socket.h. */
#include "microvm/vmm/relay_socket.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "microvm/devices/vsock.h"
#include "microvm/vmm/relay_helper.h"

static void relay_closed(void *arg, int reason)
{
	struct relay_sockets *relays = arg;

	(void)reason;
	relays->n_conns--;
	if (relays->closed)
		relays->closed(relays->arg);
}

static const struct vsock_conn_events relay_events = {.closed = relay_closed};

static int relay_accept(void *arg, uint32_t guest_port, struct vsock_accepted *accepted)
{
	struct relay_socket *socket = arg;

	(void)guest_port;
	if (socket->all->n_conns == RELAY_CONNS_MAX)
		return -EMFILE;
	int fd = relay_helper_connect(socket->all->helper, socket->index);
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
	const struct plan *plan, int helper, void (*closed)(void *arg), void *arg, struct err *e)
{
	*relays = (struct relay_sockets){.helper = helper, .closed = closed, .arg = arg};
	for (unsigned i = 0; i < plan->n_sockets; i++) {
		struct relay_socket *socket = &relays->sockets[i];
		*socket = (struct relay_socket){.all = relays, .index = i};
		int ret = vsock_listen(vsock, plan->sockets[i].port, relay_accept, socket);
		if (ret < 0)
			return err_sys(e, -ret, "plan: sockets[%u].port", i);
	}
	return 0;
}
