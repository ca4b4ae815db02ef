/* SPDX-License-Identifier: Apache-2.0 */
/* The helper for Unix sockets; see relay_helper.h. A question is a number, an answer an errno. */
#include "microvm/vmm/relay_helper.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "microvm/confine/filter.h"
#include "microvm/confine/violation.h"
#include "microvm/vmm/confine.h"
#include "microvm/vmm/root.h"

#define SOCKET_TYPE (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)

static const struct call relay_calls[] = {
	CALL(recvmsg), CALL(sendmsg), CALL(connect), CALL(close), CALL_IF_EQUAL(socket, 0, AF_UNIX),
	CALL_AND_EQUAL(socket, 1, SOCKET_TYPE),
	CALL_RARELY(exit_group), /* where it is not killed before, with the monitor */
	CALL_RARELY(write),	 /* of a log line */
};
static const struct calls relay_part = CALLS(relay_calls);
const struct filter relay_filter = {
	.kind = "relay", .parts = {&relay_part}, .denied = DENIED(THREAD_RELAY)};

/* Never waits: a listener whose queue is full refuses, as one that is gone does. */
static int connect_to(const char *fds, int path_fd)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	cleanup_close int sock = socket(AF_UNIX, SOCKET_TYPE, 0);

	if (sock < 0)
		return -errno;
	snprintf(name.sun_path, sizeof(name.sun_path), "%s/%d", fds, path_fd);
	if (connect(sock, (struct sockaddr *)&name, sizeof(name)) < 0)
		return -errno;
	return steal_fd(&sock);
}

static int serve_one(int sock, int (*connect_index)(void *arg, unsigned index), void *arg)
{
	unsigned index, none = 0;
	ssize_t n = fd_recv_packet(sock, &index, sizeof(index), NULL, &none);

	if (n <= 0)
		return n < 0 ? (int)n : -EPIPE;
	if (n != sizeof(index))
		return -EPROTO;
	cleanup_close int fd = connect_index(arg, index);
	if (fd == -EPROTO)
		return fd;
	int code = fd < 0 ? -fd : 0;
	return fd_send_packet(sock, &code, sizeof(code), &fd, fd < 0 ? 0 : 1);
}

int relay_helper_serve(int sock, int (*connect_index)(void *arg, unsigned index), void *arg)
{
	while (serve_one(sock, connect_index, arg) == 0)
		;
	return 0;
}

/* Only what connecting to the plan's sockets takes; *fds is where descriptors are found then. */
static int confine(struct plan *plan, int sock, const char **fds, struct err *e)
{
	int keep[1 + PLAN_SOCKETS_MAX];
	unsigned n = 0;

	keep[n++] = sock;
	for (unsigned i = 0; i < plan->n_sockets; i++)
		keep[n++] = plan->sockets[i].fd;
	int ret = confine_descriptors(NULL, keep, n, e);
	if (ret < 0)
		return ret;
	*fds = "/proc/self/fd";
	ret = root_own(e);
	if (ret == 0) {
		ret = root_leave(e);
		*fds = "";
		/* Sockets with a name are none of a network's; abstract ones are. */
		if (ret == 0 && unshare(CLONE_NEWNET) < 0)
			ret = err_sys(e, errno, "network namespace");
	} else if (ret == -EPERM) {
		ret = 0;
	}
	if (ret < 0)
		return ret;
	/* The capability is for sockets of other users, where the monitor's own is root. */
	return confine_helper(0, UINT64_C(1) << CAP_DAC_OVERRIDE, 0, &relay_filter, e);
}

struct sockets {
	const struct plan *plan;
	const char *fds;
};

static int connect_socket(void *arg, unsigned index)
{
	const struct sockets *sockets = arg;

	return index < sockets->plan->n_sockets
		? connect_to(sockets->fds, sockets->plan->sockets[index].fd)
		: -EPROTO;
}

static int help_sockets(struct plan *plan, int sock, struct err *e)
{
	struct sockets sockets = {.plan = plan};

	int ret = confine(plan, sock, &sockets.fds, e);
	return ret < 0 ? ret : relay_helper_serve(sock, connect_socket, &sockets);
}

static _Noreturn void help(const struct relay_role *role, struct plan *plan, int sock, pid_t parent)
{
	struct err e;
	sigset_t blocked;

	/* It ends with its socket, and not by what a terminal sends to the group. */
	sigfillset(&blocked);
	sigdelset(&blocked, SIGSYS);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	prctl(PR_SET_NAME, role->name);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	int ret = role->run(plan, sock, &e);
	if (ret < 0)
		log_warn("%s: %s", role->what, e.text);
	_exit(ret < 0);
}

int relay_helper_fork(const struct relay_role *role, struct plan *plan, int *sock, struct err *e)
{
	pid_t parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, errno, "%s: socketpair", role->what);
	pid_t pid = fork();
	if (pid == 0)
		help(role, plan, pair[1], parent);
	int code = errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return err_sys(e, code, "%s: fork", role->what);
	}
	*sock = pair[0];
	return 0;
}

int relay_helper_start(struct plan *plan, int *sock, struct err *e)
{
	static const struct relay_role role = {
		.what = "helper for Unix sockets", .name = "hvrun-relay", .run = help_sockets};

	*sock = -1;
	int ret = plan->n_sockets ? relay_helper_fork(&role, plan, sock, e) : 0;
	/* None but the helper may reach them. */
	for (unsigned i = 0; i < plan->n_sockets; i++)
		fd_closep(&plan->sockets[i].fd);
	return ret;
}

int relay_helper_connect(int sock, unsigned index)
{
	unsigned n_fds = 1;
	int code = 0, fd = -1;
	int ret = fd_send_packet(sock, &index, sizeof(index), NULL, 0);

	if (ret < 0)
		return ret;
	ssize_t n = fd_recv_packet(sock, &code, sizeof(code), &fd, &n_fds);
	if (n == sizeof(code) && !code && n_fds == 1)
		return fd;
	if (n > 0 && n_fds)
		fd_closep(&fd);
	return n < 0 ? (int)n : n != sizeof(code) || code <= 0 ? -EPIPE : -code;
}
