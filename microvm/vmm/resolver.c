/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver in a namespace's loopback; see resolver.h. */
#include "microvm/vmm/resolver.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/resolv.h"
#include "microvm/confine/filter.h"
#include "microvm/confine/violation.h"
#include "microvm/devices/vsock.h"
#include "microvm/vmm/confine.h"
#include "microvm/vmm/relay_helper.h"
#include "microvm/vmm/root.h"

#define SOCKET_TYPE (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)

/* TCP alone: of all else Landlock knows no ports. */
static const struct call resolver_calls[] = {
	CALL(recvmsg), CALL(sendmsg), CALL(pread64), CALL(connect), CALL(close),
	CALL_IF_EQUAL(socket, 0, AF_INET), CALL_AND_EQUAL(socket, 1, SOCKET_TYPE),
	CALL_AND_EQUAL(socket, 2, 0), CALL_IF_EQUAL_RARELY(socket, 0, AF_INET6),
	CALL_AND_EQUAL(socket, 1, SOCKET_TYPE), CALL_AND_EQUAL(socket, 2, 0),
	CALL_RARELY(exit_group), /* where it is not killed before, with the monitor */
	CALL_RARELY(write),	 /* of a log line */
};
static const struct calls resolver_part = CALLS(resolver_calls);
const struct filter resolver_filter = {
	.kind = "resolver", .parts = {&resolver_part}, .denied = DENIED(THREAD_RESOLVER)};

/* What the process knows. */
struct lookup {
	int file; /* until it was read */
	bool found;
	union resolv_address address;
};

/* Never waits: the connection may come about, or fail, later. */
static int connect_to(const union resolv_address *address)
{
	cleanup_close int sock = socket(address->any.sa_family, SOCKET_TYPE, 0);

	if (sock < 0)
		return -errno;
	if (connect(sock, &address->any, resolv_bytes(address)) < 0 && errno != EINPROGRESS)
		return -errno;
	return steal_fd(&sock);
}

static int answer(void *arg, unsigned index)
{
	struct lookup *lookup = arg;

	if (index != 0)
		return -EPROTO;
	if (lookup->file >= 0) {
		lookup->found = resolv_read(lookup->file, &lookup->address);
		fd_closep(&lookup->file);
	}
	return lookup->found ? connect_to(&lookup->address) : -ECONNREFUSED;
}

/* Only what connecting to port 53 in this network namespace takes, and the open file. */
static int confine(const struct plan *plan, int sock, struct err *e)
{
	const int keep[] = {sock, plan->resolver_fd};

	int ret = confine_descriptors(NULL, keep, 2, e);
	if (ret == 0)
		ret = root_own(e);
	if (ret == 0)
		ret = root_leave(e);
	else if (ret == -EPERM)
		ret = 0;
	if (ret < 0)
		return ret;
	return confine_helper(plan->uid_base ? plan->uid_base + (uid_t)getpid() : 0, 0, RESOLV_PORT,
		&resolver_filter, e);
}

static int look_up(struct plan *plan, int sock, struct err *e)
{
	struct lookup lookup = {.file = plan->resolver_fd};

	int ret = confine(plan, sock, e);
	return ret < 0 ? ret : relay_helper_serve(sock, answer, &lookup);
}

int resolver_start(struct resolver *r, struct plan *plan, struct err *e)
{
	static const struct relay_role role = {
		.what = "helper for the resolver", .name = "hvrun-resolver", .run = look_up};

	r->helper = -1;
	if (plan->resolver_fd < 0)
		return 0;
	int ret = relay_helper_fork(&role, plan, &r->helper, e);
	fd_closep(&plan->resolver_fd);
	return ret;
}

static void closed(void *arg, int reason)
{
	(void)reason;
	((struct resolver *)arg)->n_conns--;
}

static const struct vsock_conn_events events = {.closed = closed};

static int accept_guest(void *arg, uint32_t guest_port, struct vsock_accepted *accepted)
{
	struct resolver *r = arg;

	(void)guest_port;
	if (r->n_conns == RESOLVER_CONNS_MAX)
		return -EMFILE;
	int fd = relay_helper_connect(r->helper, 0);
	if (fd < 0) {
		log_debug("the resolver for the guest: %s", strerror(-fd));
		return fd;
	}
	r->n_conns++;
	accepted->rd_fd = accepted->wr_fd = fd;
	accepted->events = &events;
	accepted->arg = r;
	return 0;
}

int resolver_listen(
	struct resolver *r, struct virtio_device *vsock, const struct plan *plan, struct err *e)
{
	if (r->helper < 0)
		return 0;
	int ret = vsock_listen(vsock, plan->resolver_port, accept_guest, r);
	return ret < 0 ? err_sys(e, -ret, "plan: resolver.port") : 0;
}
