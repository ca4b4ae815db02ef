/* SPDX-License-Identifier: Apache-2.0 */
/* Unix sockets of the host; see sockets.h. */
#include "guestinit/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/msg.h"
#include "guestinit/agent.h"
#include "guestinit/container.h"
#include "guestinit/guest.h"
#include "guestinit/ns.h"
#include "guestinit/relay.h"

#define SOCKETS_LINKS_MAX 128 /* of a listener; more wait in its queue */

/* A connection: the container's end is client, the host's is vsock. Each relay has its own copy. */
struct socket_link {
	struct socket_link *next;
	struct socket_listener *listener;
	struct loop_source connecting;
	int client_fd, vsock_fd; /* until the relays take them */
	struct relay up, down;
};

struct socket_listener {
	struct socket_listener *next;
	struct container *container;
	struct loop_source source;
	int fd;
	uint32_t port;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* empty until it is bound */
	struct socket_link *links;
	unsigned n_links;
	bool ending; /* the container has ended: what was written is passed on, nothing else */
	bool busy;   /* it is being served, and must stay */
};

static struct loop *listener_loop(struct socket_listener *l)
{
	return &l->container->guest->loop;
}

static void link_stop(struct socket_link *link)
{
	loop_del(listener_loop(link->listener), &link->connecting);
	fd_closep(&link->client_fd);
	fd_closep(&link->vsock_fd);
	relay_stop(&link->up);
	relay_stop(&link->down);
	free(link);
}

static void listener_free(struct socket_listener *l)
{
	struct container *c = l->container;
	struct socket_listener **p = &c->sockets;

	while (*p != l)
		p = &(*p)->next;
	*p = l->next;
	loop_del(listener_loop(l), &l->source);
	fd_closep(&l->fd);
	if (l->path[0])
		unlink(l->path);
	while (l->links) {
		struct socket_link *link = l->links;
		l->links = link->next;
		link_stop(link);
	}
	free(l);
}

static void listener_serve_rest(struct socket_listener *l);

static void link_free(struct socket_link *link)
{
	struct socket_listener *l = link->listener;
	struct socket_link **p = &l->links;

	while (*p != link)
		p = &(*p)->next;
	*p = link->next;
	link_stop(link);
	bool was_full = l->n_links-- == SOCKETS_LINKS_MAX;
	if (l->ending) {
		listener_serve_rest(l);
	} else if (was_full) {
		int ret = loop_add(listener_loop(l), &l->source, l->fd, EPOLLIN);
		(void)ret; /* without memory it stays deaf until the next connection ends */
	}
}

static void link_try_over(struct socket_link *link)
{
	if (!relay_running(&link->up) && !relay_running(&link->down))
		link_free(link);
}

/* A client that writes what the host does not take any more must hear of it, even if it never
 * reads. */
static void link_up_done(struct relay *relay)
{
	struct socket_link *link =
		(struct socket_link *)(void *)((char *)relay - offsetof(struct socket_link, up));

	if (relay_running(&link->down))
		shutdown(link->down.to_fd, SHUT_RD);
	link_try_over(link);
}

static void link_down_done(struct relay *relay)
{
	link_try_over(
		(struct socket_link *)(void *)((char *)relay - offsetof(struct socket_link, down)));
}

static int link_start(struct socket_link *link)
{
	struct loop *loop = listener_loop(link->listener);
	int client = fcntl(link->client_fd, F_DUPFD_CLOEXEC, 3);
	int vsock = fcntl(link->vsock_fd, F_DUPFD_CLOEXEC, 3);

	if (client < 0 || vsock < 0) {
		fd_closep(&client);
		fd_closep(&vsock);
		return -EMFILE;
	}
	int ret = relay_start(&link->down, loop, vsock, client, link_down_done);
	if (ret < 0)
		return ret;
	return relay_start(&link->up, loop, steal_fd(&link->client_fd), steal_fd(&link->vsock_fd),
		link_up_done);
}

/*
 * Its client has ended: what it wrote goes to the host, what the host says to nobody. The link may
 * be gone afterwards.
 */
static void link_finish(struct socket_link *link)
{
	relay_stop(&link->down);
	relay_drain(&link->up);
}

static void link_connected(struct loop_source *source, uint32_t events)
{
	struct socket_link *link = (struct socket_link *)(void *)((char *)source -
		offsetof(struct socket_link, connecting));
	int code = 0;
	socklen_t len = sizeof(code);

	(void)events;
	loop_del(listener_loop(link->listener), source);
	if (getsockopt(link->vsock_fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0 || code ||
		link_start(link) < 0)
		link_free(link);
	else if (link->listener->ending)
		link_finish(link);
}

static int link_connect(struct socket_link *link)
{
	struct guest *guest = link->listener->container->guest;
	int fd = guest->connect_host(link->listener->port);

	if (fd < 0)
		return fd;
	link->vsock_fd = fd;
	return loop_add(&guest->loop, &link->connecting, fd, EPOLLOUT);
}

/* One more connection; false when nobody waits. */
static bool listener_accept(struct socket_listener *l)
{
	int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return false;
	struct socket_link *link = calloc(1, sizeof(*link));
	if (!link) {
		close(fd);
		return true;
	}
	link->listener = l;
	link->connecting = (struct loop_source){.fd = -1, .ready = link_connected};
	link->client_fd = fd;
	link->vsock_fd = -1;
	relay_init(&link->up);
	relay_init(&link->down);
	link->next = l->links;
	l->links = link;
	if (++l->n_links == SOCKETS_LINKS_MAX)
		loop_del(listener_loop(l), &l->source);
	int ret = link_connect(link);
	if (ret < 0) {
		agent_log(l->container->guest->agent, LOG_LEVEL_WARNING,
			"can't connect to the host's port %u: %s", l->port, strerror(-ret));
		link_free(link);
	}
	return true;
}

static void listener_ready(struct loop_source *source, uint32_t events)
{
	(void)events;
	(void)listener_accept((struct socket_listener *)(void *)((char *)source -
		offsetof(struct socket_listener, source)));
}

/* Those who had connected before the container ended. The container may be gone afterwards. */
static void listener_serve_rest(struct socket_listener *l)
{
	struct container *c = l->container;

	if (l->busy)
		return;
	l->busy = true;
	while (l->n_links < SOCKETS_LINKS_MAX && listener_accept(l))
		;
	l->busy = false;
	if (l->links)
		return;
	listener_free(l);
	if (!c->sockets)
		guest_container_rest_over(c);
}

int sockets_connect_host(uint32_t port)
{
	struct sockaddr_vm host = {
		.svm_family = AF_VSOCK, .svm_cid = MSG_HOST_CID, .svm_port = port};
	cleanup_close int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&host, sizeof(host)) < 0 && errno != EINPROGRESS)
		return -errno;
	return steal_fd(&fd);
}

/* Owned as the files of the host are, or else by the container's root. */
static uint32_t socket_owner(const struct opt_u64 *id, const struct cfg_id_maps *maps)
{
	return id->set ? (uint32_t)id->value : ns_map_id(maps, 0);
}

/* The file is nowhere a container could see it; it has to stay while it is to be mounted. */
static int listener_bind(struct socket_listener *l, const struct cfg_mount *m, struct err *e)
{
	const struct cfg_linux *os = &l->container->create->os;
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	mode_t mode = m->socket_mode.set ? (mode_t)m->socket_mode.value & 07777 : 0666;

	int len = snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket-%u",
		l->container->guest->nodes_dir, l->port);
	if (len < 0 || (size_t)len >= sizeof(name.sun_path))
		return err_set(e, ENAMETOOLONG, "socket");
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return err_sys(e, errno, "socket");
	l->fd = fd;
	if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
		return err_sys(e, errno, "socket: %s", name.sun_path);
	memcpy(l->path, name.sun_path, sizeof(l->path));
	if (chmod(l->path, mode) < 0 ||
		chown(l->path, socket_owner(&m->socket_uid, &os->uid_maps),
			socket_owner(&m->socket_gid, &os->gid_maps)) < 0 ||
		listen(fd, SOCKETS_BACKLOG) < 0)
		return err_sys(e, errno, "socket: %s", l->path);
	int tree = open_tree(AT_FDCWD, l->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	return tree < 0 ? err_sys(e, errno, "socket: can't make a mount of it") : tree;
}

/* From here on, sockets_close frees it. */
static struct socket_listener *listener_new(struct container *c, uint32_t port)
{
	struct socket_listener *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->container = c;
	l->port = port;
	l->source = (struct loop_source){.fd = -1, .ready = listener_ready};
	l->fd = -1;
	l->next = c->sockets;
	c->sockets = l;
	return l;
}

int sockets_serve(struct container *c, int fd, uint32_t port)
{
	struct socket_listener *l = listener_new(c, port);

	if (!l) {
		close(fd);
		return -ENOMEM;
	}
	l->fd = fd;
	return loop_add(&c->guest->loop, &l->source, fd, EPOLLIN);
}

int sockets_listen(struct container *c, const struct cfg_mount *m, struct err *e)
{
	struct socket_listener *l = listener_new(c, m->socket);

	if (!l)
		return err_set(e, ENOMEM, "out of memory");
	cleanup_close int tree = listener_bind(l, m, e);
	if (tree < 0)
		return tree;
	int ret = loop_add(&c->guest->loop, &l->source, l->fd, EPOLLIN);
	return ret < 0 ? err_sys(e, -ret, "socket: can't watch it") : steal_fd(&tree);
}

static void listener_end(struct socket_listener *l)
{
	struct socket_link *next;

	l->ending = l->busy = true;
	loop_del(listener_loop(l), &l->source);
	for (struct socket_link *link = l->links; link; link = next) {
		next = link->next;
		if (relay_running(&link->up))
			link_finish(link);
		else if (link->connecting.fd < 0)
			link_free(link); /* only the host still spoke */
	}
	l->busy = false;
	listener_serve_rest(l);
}

void sockets_end(struct container *c)
{
	struct socket_listener *next;

	/* The container goes with the last one at the earliest. */
	for (struct socket_listener *l = c->sockets; l; l = next) {
		next = l->next;
		listener_end(l);
	}
}

void sockets_close(struct container *c)
{
	while (c->sockets)
		listener_free(c->sockets);
}
