/* SPDX-License-Identifier: Apache-2.0 */
/* A resolver for the container; see resolver.h. */
#include "guestinit/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/resolv.h"
#include "guestinit/agent.h"
#include "guestinit/container.h"
#include "guestinit/dns.h"
#include "guestinit/guest.h"
#include "guestinit/path.h"
#include "guestinit/sockets.h"

#if defined(__GNUC__) && !defined(__clang__)
/* gcc 12's analyzer loses track of what a list keeps, and calls it leaked. */
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

#define QUERIES_MAX  64	  /* at once; one more, and the oldest is dropped */
#define QUERY_BYTES  4096 /* the largest by UDP */
#define QUERY_TICKS  15u  /* and then nobody waits for the answer any more */
#define TICK_NS	     UINT64_C(1000000000)
#define ROUNDS	     16	  /* queries taken per wake-up */
#define SETTLE_MS    2000 /* for the host to answer the first connection */
#define LENGTH_BYTES 2	  /* before a message over TCP */

/* A query by UDP: it is written, then its answer is read. */
struct query {
	struct query *next; /* a later one */
	struct resolver *resolver;
	struct loop_source source;
	int fd; /* with the host */
	union resolv_address client;
	size_t limit_bytes; /* of an answer that the client takes */
	unsigned ticks;
	bool asked;
	size_t done, len; /* of what is written or read now */
	uint8_t length[LENGTH_BYTES];
	uint8_t *buf; /* the answer, once its length is known */
	size_t question_len;
	uint8_t question[]; /* with the length in front */
};

struct resolver {
	struct container *container;
	struct loop_source source;
	struct loop_timer timer; /* while there are queries */
	int fd;
	struct query *queries; /* the oldest first */
	unsigned n_queries;
};

static struct loop *loop_of(struct resolver *r)
{
	return &r->container->guest->loop;
}

static void query_free(struct query *q)
{
	struct resolver *r = q->resolver;
	struct query **p = &r->queries;

	while (*p != q)
		p = &(*p)->next;
	*p = q->next;
	if (--r->n_queries == 0)
		(void)!loop_timer_set(&r->timer, 0, 0);
	loop_del(loop_of(r), &q->source);
	fd_closep(&q->fd);
	free(q->buf);
	free(q);
}

/* What does not go out now is lost, as with any datagram. */
static void query_answer(struct query *q, const uint8_t *message, size_t len)
{
	(void)!sendto(q->resolver->fd, message, len, MSG_DONTWAIT, &q->client.any,
		resolv_bytes(&q->client));
	query_free(q);
}

static void query_fail(struct query *q)
{
	uint8_t *message = q->question + LENGTH_BYTES;

	query_answer(q, message, dns_fail(message, q->question_len - LENGTH_BYTES));
}

/* Writes the query. 1: go on, 0: wait, negative: the connection is over. */
static int query_ask(struct query *q)
{
	ssize_t n = write(q->fd, q->question + q->done, q->question_len - q->done);

	if (n < 0)
		return errno == EAGAIN ? 0 : errno == EINTR ? 1 : -errno;
	q->done += (size_t)n;
	if (q->done < q->question_len)
		return 1;
	q->asked = true;
	q->done = 0;
	q->len = LENGTH_BYTES;
	return loop_mod(loop_of(q->resolver), &q->source, EPOLLIN);
}

/* Reads the length, then as many bytes. As query_ask. */
static int query_hear(struct query *q)
{
	uint8_t *at = q->buf ? q->buf : q->length;
	ssize_t n = read(q->fd, at + q->done, q->len - q->done);

	if (n < 0)
		return errno == EAGAIN ? 0 : errno == EINTR ? 1 : -errno;
	if (n == 0)
		return -ENODATA;
	q->done += (size_t)n;
	if (q->done < q->len || q->buf)
		return 1;
	q->len = (size_t)q->length[0] << 8 | q->length[1];
	q->done = 0;
	q->buf = q->len >= DNS_HEADER_BYTES ? malloc(q->len) : NULL;
	return q->buf ? 1 : -EPROTO;
}

static void query_ready(struct loop_source *source, uint32_t events)
{
	struct query *q = (struct query *)(void *)((char *)source - offsetof(struct query, source));
	int ret = 1;

	(void)events;
	while (ret > 0 && !(q->buf && q->done == q->len))
		ret = q->asked ? query_hear(q) : query_ask(q);
	if (ret < 0)
		query_fail(q);
	else if (q->buf && q->done == q->len)
		query_answer(q, q->buf, dns_truncate(q->buf, q->len, q->limit_bytes));
}

static int query_connect(struct query *q)
{
	struct guest *guest = q->resolver->container->guest;

	q->fd = guest->connect_host(q->resolver->container->create->resolver);
	return q->fd < 0 ? q->fd : loop_add(&guest->loop, &q->source, q->fd, EPOLLOUT);
}

static void query_new(
	struct resolver *r, const uint8_t *message, size_t len, const union resolv_address *client)
{
	struct query *q = calloc(1, sizeof(*q) + LENGTH_BYTES + len), **last = &r->queries;

	if (!q)
		return;
	q->resolver = r;
	q->source = (struct loop_source){.fd = -1, .ready = query_ready};
	q->fd = -1;
	q->client = *client;
	q->limit_bytes = dns_udp_limit(message, len);
	q->question[0] = (uint8_t)(len >> 8);
	q->question[1] = (uint8_t)len;
	memcpy(q->question + LENGTH_BYTES, message, len);
	q->question_len = LENGTH_BYTES + len;
	if (r->n_queries == QUERIES_MAX)
		query_free(r->queries);
	while (*last)
		last = &(*last)->next;
	*last = q;
	if (r->n_queries++ == 0)
		(void)!loop_timer_set(&r->timer, TICK_NS, TICK_NS);
	if (query_connect(q) < 0)
		query_fail(q);
}

static void resolver_ready(struct loop_source *source, uint32_t events)
{
	struct resolver *r =
		(struct resolver *)(void *)((char *)source - offsetof(struct resolver, source));
	uint8_t message[QUERY_BYTES];

	(void)events;
	for (int i = 0; i < ROUNDS; i++) {
		union resolv_address client;
		socklen_t client_len = sizeof(client);
		ssize_t n = recvfrom(r->fd, message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC,
			&client.any, &client_len);
		if (n < 0)
			return;
		if (n >= DNS_HEADER_BYTES && n <= QUERY_BYTES)
			query_new(r, message, (size_t)n, &client);
	}
}

static void resolver_tick(struct loop_timer *timer)
{
	struct resolver *r =
		(struct resolver *)(void *)((char *)timer - offsetof(struct resolver, timer));

	for (struct query *q = r->queries; q; q = q->next)
		q->ticks++;
	while (r->queries && r->queries->ticks >= QUERY_TICKS)
		query_free(r->queries);
}

/* A file of the container's process, which may be anything, is opened and read without waiting. */
static bool read_conf(int proc, pid_t pid, union resolv_address *address)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "%d/root", (int)pid);
	cleanup_close int root = openat(proc, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_close int found = root < 0 ? -1 : path_open(root, RESOLV_CONF);
	if (found < 0 || fstat(found, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	snprintf(path, sizeof(path), "self/fd/%d", found);
	cleanup_close int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && resolv_read(fd, address);
}

static int listen_on(int type, const union resolv_address *address)
{
	cleanup_close int fd =
		socket(address->any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || bind(fd, &address->any, resolv_bytes(address)) < 0 ||
		(type == SOCK_STREAM && listen(fd, SOCKETS_BACKLOG) < 0))
		return -errno;
	return steal_fd(&fd);
}

/* A socket belongs to the namespace in which it is made. */
static int make_sockets(struct guest *guest, int proc, pid_t pid,
	const union resolv_address *address, int *udp, int *tcp)
{
	char path[64];

	snprintf(path, sizeof(path), "%d/ns/net", (int)pid);
	cleanup_close int home = openat(proc, "self/ns/net", O_RDONLY | O_CLOEXEC);
	cleanup_close int ns = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (home < 0 || ns < 0 || setns(ns, CLONE_NEWNET) < 0)
		return -errno;
	*udp = listen_on(SOCK_DGRAM, address);
	*tcp = *udp < 0 ? -1 : listen_on(SOCK_STREAM, address);
	/* Elsewhere than at home, what comes next would go to the container. */
	if (setns(home, CLONE_NEWNET) < 0 && guest->agent)
		agent_end(guest->agent);
	return *udp < 0 ? *udp : *tcp < 0 ? *tcp : 0;
}

/*
 * The host takes the address for good at the first connection. It is waited for: what the container
 * then makes of the file, which may be its own to write, has no meaning for the host.
 */
static int settle(const struct container *c)
{
	cleanup_close int fd = c->guest->connect_host(c->create->resolver);
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	if (fd < 0)
		return fd;
	/* A refusal is an answer as well: there may be nobody who listens yet. */
	return poll(&poll_fd, 1, SETTLE_MS) > 0 ? 0 : -ETIMEDOUT;
}

static int resolver_new(struct container *c, int *udp, int *tcp)
{
	struct loop *loop = &c->guest->loop;
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->container = c;
	r->source = (struct loop_source){.fd = -1, .ready = resolver_ready};
	r->fd = steal_fd(udp);
	r->timer.source.fd = -1;
	c->resolver = r;
	int ret = loop_timer_init(loop, &r->timer, resolver_tick);
	if (ret == 0)
		ret = loop_add(loop, &r->source, r->fd, EPOLLIN);
	if (ret == 0)
		ret = sockets_serve(c, steal_fd(tcp), c->create->resolver);
	if (ret < 0)
		guest_resolver_close(c);
	return ret;
}

void guest_resolver_start(struct container *c)
{
	cleanup_close int udp = -1, tcp = -1;
	union resolv_address address;
	struct err e;

	if (!c->create->resolver || c->resolver)
		return;
	int settled = settle(c);
	int proc = guest_proc(c->guest, &e);
	if (proc < 0 || !read_conf(proc, c->pid, &address))
		return;
	int ret = settled;
	if (ret == 0)
		ret = make_sockets(c->guest, proc, c->pid, &address, &udp, &tcp);
	if (ret == 0)
		ret = resolver_new(c, &udp, &tcp);
	if (ret < 0)
		agent_log(c->guest->agent, LOG_LEVEL_WARNING,
			RESOLV_CONF
			": questions to its nameserver in the loopback can't be passed to "
			"the host: %s",
			strerror(-ret));
}

void guest_resolver_close(struct container *c)
{
	struct resolver *r = c->resolver;

	if (!r)
		return;
	c->resolver = NULL;
	while (r->queries)
		query_free(r->queries);
	loop_del(loop_of(r), &r->source);
	loop_timer_fini(&r->timer);
	fd_closep(&r->fd);
	free(r);
}
