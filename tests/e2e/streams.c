/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams for the end-to-end tests, of which every byte is compared: many TCP connections at once, or
 * one that comes by standard input. A digest would cost kvmbox more than what is tested.
 *
 * "streams echo PORT" sends back what it gets, on any number of connections.
 * "streams check ADDRESS PORT CONNECTIONS BYTES" opens them all, sends BYTES on each while it reads
 * them back, and closes none before all are through.
 * "streams put BYTES" writes them to standard output, "streams compare BYTES" reads them, no more and
 * no less, from standard input.
 *
 * What is sent depends on the connection and the place in it, so nothing can take another's place.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK_BYTES 65536
#define EVENTS_MAX  64
#define PATIENCE_MS 120000

static int fail(const char *what)
{
	fprintf(stderr, "streams: %s: %s\n", what, strerror(errno));
	return 1;
}

static bool watch(int epoll, int op, int fd, uint32_t events, void *data)
{
	struct epoll_event event = {.events = events, .data.ptr = data};

	return epoll_ctl(epoll, op, fd, &event) == 0;
}

static bool again(ssize_t n)
{
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* ---- echo */

struct echo {
	int fd;
	size_t at, len; /* what of the buffer is still to be sent */
	uint8_t buf[CHUNK_BYTES];
};

/* One round of a connection; false at its end. */
static bool echo_turn(struct echo *c, int epoll)
{
	if (c->at == c->len) {
		ssize_t n = read(c->fd, c->buf, sizeof(c->buf));
		if (again(n))
			return true;
		if (n <= 0)
			return false;
		c->at = 0;
		c->len = (size_t)n;
	}
	ssize_t n = send(c->fd, c->buf + c->at, c->len - c->at, MSG_NOSIGNAL);
	if (n < 0 && !again(n))
		return false;
	if (n > 0)
		c->at += (size_t)n;
	return watch(epoll, EPOLL_CTL_MOD, c->fd, c->at == c->len ? EPOLLIN : EPOLLOUT, c);
}

static int accept_one(int epoll, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return again(fd) || errno == ECONNABORTED ? 0 : -1;
	struct echo *c = calloc(1, sizeof(*c));
	if (!c)
		return -1;
	c->fd = fd;
	return watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, c) ? 0 : -1;
}

static int echo(unsigned port)
{
	struct sockaddr_in6 own = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct epoll_event events[EVENTS_MAX];
	int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (listener < 0 || epoll < 0 ||
		setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(listener, (struct sockaddr *)&own, sizeof(own)) < 0 ||
		listen(listener, SOMAXCONN) < 0 ||
		!watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN, NULL))
		return fail("listening");
	for (;;) {
		int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
		for (int i = 0; i < n; i++) {
			struct echo *c = events[i].data.ptr;
			if (!c && accept_one(epoll, listener) < 0)
				return fail("accepting");
			if (c && !echo_turn(c, epoll)) {
				close(c->fd);
				free(c);
			}
		}
	}
}

/* ---- check */

/* One way of a connection: where it is, and the chunk of the pattern there. */
struct way {
	uint64_t at;
	uint8_t chunk[CHUNK_BYTES];
};

struct check {
	int fd;
	uint64_t number;
	struct way out, in;
};

static void pattern(struct check *c, struct way *way)
{
	uint64_t seed = (c->number << 40) + way->at / CHUNK_BYTES + 1;

	if (way->at % CHUNK_BYTES)
		return;
	for (size_t i = 0; i < CHUNK_BYTES; i += sizeof(seed)) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		uint64_t word = seed ^ (seed >> 29);
		memcpy(way->chunk + i, &word, sizeof(word));
	}
}

static size_t room(const struct way *way, uint64_t bytes)
{
	uint64_t left = bytes - way->at, chunk = CHUNK_BYTES - way->at % CHUNK_BYTES;

	return (size_t)(left < chunk ? left : chunk);
}

static bool send_some(struct check *c, int epoll, uint64_t bytes)
{
	pattern(c, &c->out);
	ssize_t n = send(
		c->fd, c->out.chunk + c->out.at % CHUNK_BYTES, room(&c->out, bytes), MSG_NOSIGNAL);
	if (n < 0)
		return again(n);
	c->out.at += (uint64_t)n;
	return c->out.at < bytes || watch(epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
}

static bool receive_some(struct check *c, uint64_t bytes)
{
	uint8_t buf[CHUNK_BYTES];

	pattern(c, &c->in);
	ssize_t n = recv(c->fd, buf, room(&c->in, bytes), 0);
	if (n < 0)
		return again(n);
	if (n == 0) {
		errno = ECONNRESET;
		return false;
	}
	if (memcmp(buf, c->in.chunk + c->in.at % CHUNK_BYTES, (size_t)n) != 0) {
		fprintf(stderr,
			"streams: connection %" PRIu64 ": not what was sent, at byte %" PRIu64 "\n",
			c->number, c->in.at);
		errno = EBADMSG;
		return false;
	}
	c->in.at += (uint64_t)n;
	return true;
}

/* All connections at once, until each has all of its bytes back. */
static int exchange(struct check *list, uint64_t n, uint64_t bytes, int epoll)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t left = n;

	while (left) {
		int found = epoll_wait(epoll, events, EVENTS_MAX, PATIENCE_MS);
		if (found == 0) {
			errno = ETIMEDOUT;
			return fail("nothing moves");
		}
		for (int i = 0; i < found; i++) {
			struct check *c = events[i].data.ptr;
			if (c->in.at == bytes) {
				errno = EPROTO;
				return fail("more came back than was sent, or the other end closed "
					    "first");
			}
			if ((events[i].events & EPOLLOUT) && !send_some(c, epoll, bytes))
				return fail("sending");
			if ((events[i].events & ~(uint32_t)EPOLLOUT) && !receive_some(c, bytes))
				return fail("receiving");
			left -= c->in.at == bytes;
		}
	}
	for (uint64_t i = 0; i < n; i++)
		close(list[i].fd);
	printf("%" PRIu64 " connections, %" PRIu64 " bytes each way on each: equal\n", n, bytes);
	return 0;
}

static int check(const char *address, uint64_t port, uint64_t n, uint64_t bytes)
{
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct check *list = calloc(n, sizeof(*list));
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	char text[INET6_ADDRSTRLEN];

	if (!list || epoll < 0)
		return fail("starting");
	snprintf(text, sizeof(text), "%s%s", strchr(address, ':') ? "" : "::ffff:", address);
	if (inet_pton(AF_INET6, text, &to.sin6_addr) != 1) {
		errno = EINVAL;
		return fail(address);
	}
	for (uint64_t i = 0; i < n; i++) {
		list[i].number = i;
		list[i].fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (list[i].fd < 0 || connect(list[i].fd, (struct sockaddr *)&to, sizeof(to)) < 0)
			return fail("connecting");
	}
	for (uint64_t i = 0; i < n; i++)
		if (fcntl(list[i].fd, F_SETFL, O_NONBLOCK) < 0 ||
			!watch(epoll, EPOLL_CTL_ADD, list[i].fd, EPOLLIN | EPOLLOUT, &list[i]))
			return fail("starting");
	return exchange(list, n, bytes, epoll);
}

/* ---- put, compare */

static int put(uint64_t bytes)
{
	static struct check c;

	while (c.out.at < bytes) {
		pattern(&c, &c.out);
		ssize_t n = write(STDOUT_FILENO, c.out.chunk + c.out.at % CHUNK_BYTES,
			room(&c.out, bytes));
		if (n < 0)
			return fail("writing");
		c.out.at += (uint64_t)n;
	}
	return 0;
}

static int compare(uint64_t bytes)
{
	static struct check c;
	static uint8_t buf[CHUNK_BYTES];

	while (c.in.at < bytes) {
		pattern(&c, &c.in);
		ssize_t n = read(STDIN_FILENO, buf, room(&c.in, bytes));
		if (n > 0 && memcmp(buf, c.in.chunk + c.in.at % CHUNK_BYTES, (size_t)n) == 0) {
			c.in.at += (uint64_t)n;
			continue;
		}
		if (n < 0)
			return fail("reading");
		fprintf(stderr, "streams: %s at byte %" PRIu64 " of %" PRIu64 "\n",
			n ? "not what was sent" : "the end", c.in.at, bytes);
		return 1;
	}
	if (read(STDIN_FILENO, buf, 1) != 0) {
		fprintf(stderr, "streams: more than %" PRIu64 " bytes\n", bytes);
		return 1;
	}
	printf("%" PRIu64 " bytes: equal\n", bytes);
	return 0;
}

static bool number(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return !errno && *text >= '1' && *text <= '9' && !*end && *out <= max;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	uint64_t port, n, bytes;

	/* As many connections as there may be. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (argc == 3 && strcmp(argv[1], "echo") == 0 && number(argv[2], 65535, &port))
		return echo((unsigned)port);
	if (argc == 6 && strcmp(argv[1], "check") == 0 && number(argv[3], 65535, &port) &&
		number(argv[4], 10000, &n) && number(argv[5], (uint64_t)1 << 40, &bytes))
		return check(argv[2], port, n, bytes);
	if (argc == 3 && number(argv[2], (uint64_t)1 << 40, &bytes)) {
		if (strcmp(argv[1], "put") == 0)
			return put(bytes);
		if (strcmp(argv[1], "compare") == 0)
			return compare(bytes);
	}
	fprintf(stderr, "usage: streams echo PORT | streams check ADDRESS PORT CONNECTIONS BYTES |"
			" streams put BYTES | streams compare BYTES\n");
	return 2;
}
