/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's Unix sockets in a container. A socket can't be shared through the file server: what
 * is bound into the container is a socket of guestinit's own, and each connection to it is relayed
 * to a vsock port of the host's, behind which the monitor connects to the real one.
 */
#ifndef GUESTINIT_SOCKETS_H
#define GUESTINIT_SOCKETS_H

#include <stdint.h>

#include "base/err.h"

struct cfg_mount;
struct container;

/* Listens for the mount m; a detached tree of the socket to bind in the container, or -errno. */
int sockets_listen(struct container *c, const struct cfg_mount *m, struct err *e) must_check;

#define SOCKETS_BACKLOG 128

/* Relays what the listening socket fd, which is taken, accepts to the host's port; or -errno. */
int sockets_serve(struct container *c, int fd, uint32_t port) must_check;

/* A non-blocking socket that connects to the host's vsock port; or -errno. */
int sockets_connect_host(uint32_t port) must_check;

/*
 * The container's processes have ended. What they wrote by then is passed on, as it would stay in
 * the buffers of the host's sockets; guest_container_rest_over is called, perhaps at once, when the
 * last of it went out.
 */
void sockets_end(struct container *c);

/* Ends all listeners and connections of the container at once. */
void sockets_close(struct container *c);

#endif
