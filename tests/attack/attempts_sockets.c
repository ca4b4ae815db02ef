/* SPDX-License-Identifier: Apache-2.0 */
/* The network and the host's sockets; see attack.h. */
#include "tests/attack/attack.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ACT_SOCKET(name, family, type, protocol)                                                   \
	static int act_##name(struct attack *a)                                                    \
	{                                                                                          \
		(void)a;                                                                           \
		return outcome(syscall(SYS_socket, family, type, protocol));                       \
	}

ACT_SOCKET(tcp, AF_INET, SOCK_STREAM, 0)
ACT_SOCKET(udp, AF_INET, SOCK_DGRAM, 0)
ACT_SOCKET(raw, AF_INET, SOCK_RAW, IPPROTO_ICMP)
ACT_SOCKET(mptcp, AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_MPTCP)
ACT_SOCKET(unix, AF_UNIX, SOCK_STREAM, 0)
ACT_SOCKET(unix_datagram, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)
ACT_SOCKET(netlink, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
ACT_SOCKET(packet, AF_PACKET, SOCK_RAW, 0)

static int have_unix(struct attack *a)
{
	a->fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return outcome(a->fds[0]);
}

static int have_tcp(struct attack *a)
{
	a->fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return outcome(a->fds[0]);
}

static int have_bound(struct attack *a)
{
	struct sockaddr_in name = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int error = have_tcp(a);

	return error ? error : outcome(bind(a->fds[0], (struct sockaddr *)&name, sizeof(name)));
}

/* With a socket that it has, or else one that it may make. */
static int connect_to(struct attack *a, const struct sockaddr_un *name, size_t len)
{
	int fd = a->fds[0];

	if (attack_attacker() == ATTACKER_RELAY)
		fd = (int)syscall(
			SYS_socket, AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return fd < 0 ? errno : outcome(syscall(SYS_connect, fd, name, len));
}

static int act_connect(struct attack *a)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};

	memcpy(name.sun_path, a->socket, strlen(a->socket));
	return connect_to(a, &name, sizeof(name));
}

static int act_connect_abstract(struct attack *a)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	size_t n = strlen(a->abstract);

	memcpy(name.sun_path + 1, a->abstract, n);
	return connect_to(a, &name, offsetof(struct sockaddr_un, sun_path) + 1 + n);
}

static int act_bind_unix(struct attack *a)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0hvrun-attack-bound"};

	return outcome(syscall(SYS_bind, a->fds[0], &name, sizeof(name)));
}

static int act_bind_tcp(struct attack *a)
{
	struct sockaddr_in name = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	return outcome(syscall(SYS_bind, a->fds[0], &name, sizeof(name)));
}

static int act_listen(struct attack *a)
{
	return outcome(syscall(SYS_listen, a->fds[0], 1));
}

static int act_accept(struct attack *a)
{
	return outcome_past(syscall(SYS_accept, a->fds[0], NULL, NULL), EINVAL);
}

static int act_setsockopt(struct attack *a)
{
	int size = 1 << 20;

	return outcome(syscall(
		SYS_setsockopt, a->fds[0], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)));
}

static int have_pair(struct attack *a)
{
	return outcome(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, a->fds));
}

/* What they may send with is what leads to hvrun-vmm. */
#define HELPERS (BIT(ATTACKER_RELAY) | BIT(ATTACKER_RESOLVER))

/* Says to be somebody else. */
static int act_forge(struct attack *a)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control = {.bytes = ""};
	char byte = 'x';
	struct iovec iov = {&byte, 1};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes)};
	struct ucred other = {.pid = a->victim};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_CREDENTIALS;
	head->cmsg_len = CMSG_LEN(sizeof(other));
	memcpy(CMSG_DATA(head), &other, sizeof(other));
	if (!(BIT(attack_attacker()) & HELPERS))
		return outcome(syscall(SYS_sendmsg, a->fds[0], &msg, 0));
	/* It has closed that one: by any that it has. */
	for (int fd = 0; fd < 1024; fd++)
		if (syscall(SYS_sendmsg, fd, &msg, 0) >= 0)
			return 0;
		else if (errno != EBADF && errno != ENOTSOCK)
			return errno;
	return EBADF;
}

static int act_socketpair(struct attack *a)
{
	return outcome(syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, a->fds));
}

/* Unlike streams, datagrams go where they are sent from a socket that is connected, too. */
#define RECEIVER "\0hvrun-attack-datagrams"

static int have_receiver(struct attack *a)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = RECEIVER};

	a->fds[0] = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return outcome(bind(a->fds[0], (struct sockaddr *)&name, sizeof(name)));
}

static int act_datagram(struct attack *a)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = RECEIVER};
	int pair[2];

	(void)a;
	if (syscall(SYS_socketpair, AF_UNIX, SOCK_DGRAM, 0, pair) < 0)
		return errno;
	return outcome(syscall(SYS_sendto, pair[0], "x", 1, 0, &name, sizeof(name)));
}

static const struct attempt table[] = {
	ATTEMPT("a TCP socket", NULL, act_tcp, .allowed = BIT(ATTACKER_RESOLVER)),
	ATTEMPT("a TCP socket of several paths (MPTCP)", NULL, act_mptcp),
	ATTEMPT("a UDP socket", NULL, act_udp),
	ATTEMPT("a raw socket", NULL, act_raw),
	ATTEMPT("a Unix socket", NULL, act_unix, .allowed = BIT(ATTACKER_RELAY)),
	ATTEMPT("a Unix socket for datagrams", NULL, act_unix_datagram),
	ATTEMPT("a netlink socket", NULL, act_netlink),
	ATTEMPT("a packet socket", NULL, act_packet),
	ATTEMPT("connect to a socket of the host by its name", have_unix, act_connect),
	ATTEMPT("connect to an abstract socket of the host", have_unix, act_connect_abstract),
	ATTEMPT("give a Unix socket a name", have_unix, act_bind_unix),
	ATTEMPT("give a TCP socket a port", have_tcp, act_bind_tcp),
	ATTEMPT("listen", have_bound, act_listen),
	ATTEMPT("accept", have_bound, act_accept),
	ATTEMPT("exceed the bound of a socket's buffer", have_tcp, act_setsockopt),
	/* hvrun-fs has CAP_SYS_ADMIN; nobody whom its sockets lead to asks who sends. */
	ATTEMPT("send with somebody else's credentials", have_pair, act_forge,
		.allowed = BIT(ATTACKER_SERVER)),
	ATTEMPT("a pair of sockets", NULL, act_socketpair),
	ATTEMPT("send a datagram to an abstract socket of the host", have_receiver, act_datagram),
};
const struct attempts attempts_sockets = ATTEMPTS(table);
